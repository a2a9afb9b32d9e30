"""Ingest as people use it: what is new, changed, gone, edited, in the way, interrupted."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.core.report import Report
from mirim.documents import spool, store
from mirim.documents.ingest import ingest
from mirim.documents.search import Index


def write(project: Project, name: str, text: str) -> Path:
    path = project.sources / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def state(project: Project) -> dict[str, object]:
    """Everything that ingest derives: documents byte for byte, rows of the index in order."""
    documents = {p.name: p.read_bytes() for p in sorted(project.documents.iterdir())}
    db = sqlite3.connect(project.index)
    rows = {t: db.execute(f"SELECT * FROM {t}").fetchall() for t in ("meta", "documents", "passages", "vocabulary")}
    db.close()
    return {"documents": documents, **rows}


def counts(report: Report) -> dict[str, int]:
    return {
        k: report.data[k] for k in ("new", "changed", "unchanged", "edited", "removed", "refused") if report.data[k]
    }


def test_only_what_changed_is_done_again(project: Project) -> None:
    write(project, "a.md", "# Alpha\n\nFirst text.\n")
    write(project, "deep/b.txt", "Second text.\n")
    assert counts(ingest(project)) == {"new": 2}
    before = store.path_of(project.documents, "a.md").stat().st_mtime_ns
    write(project, "deep/b.txt", "Second text, changed.\n")
    report = ingest(project)
    assert counts(report) == {"unchanged": 1, "changed": 1}
    assert (report.data["documents"], report.data["passages"]) == (2, 2)
    assert store.path_of(project.documents, "a.md").stat().st_mtime_ns == before
    with Index.open(project.index) as index:
        assert index.search("changed")[0].passage.source == "deep/b.txt"


def test_libraries_beside_source_code_are_left_out_and_told(project: Project) -> None:
    write(project, "app/pool.js", "// Opens the pool at nine.\nfunction open() {}\n")
    write(project, "app/node_modules/left/README.md", "# Left\n\nPads words.\n")
    report = ingest(project)
    assert counts(report) == {"new": 1}
    [finding] = report.findings
    assert (finding.severity, finding.where) == ("info", "app/node_modules/")
    assert "left out" in finding.what


def test_what_is_gone_is_removed(project: Project) -> None:
    write(project, "a.md", "Alpha words.\n")
    gone = write(project, "b.md", "Beta words.\n")
    ingest(project)
    gone.unlink()
    assert counts(ingest(project)) == {"unchanged": 1, "removed": 1}
    assert store.ids(project.documents) == ["a.md"]
    with Index.open(project.index) as index:
        assert index.search("beta") == []
        assert index.frequency("beta") == 0


def test_an_edit_is_kept_and_said(project: Project) -> None:
    source = write(project, "a.md", "# Alpha\n\nOpen at 8.\n")
    ingest(project)
    file = store.path_of(project.documents, "a.md")
    file.write_text(file.read_text("utf-8").replace("Open at 8.", "Open at nine sharp."), "utf-8")
    report = ingest(project)
    assert counts(report) == {"edited": 1}
    assert report.findings[0].severity == "info"
    with Index.open(project.index) as index:
        assert "nine sharp" in index.search("open")[0].passage.text

    source.write_text("# Alpha\n\nOpen at 10.\n", "utf-8")
    for _ in range(2):
        report = ingest(project)
        assert counts(report) == {"edited": 1}
        assert report.findings[0].severity == "warning"
        assert "source has changed" in report.findings[0].what
        assert str(file) in report.findings[0].do
        assert "nine sharp" in file.read_text("utf-8")

    # What the message says to do gives the new text.
    file.unlink()
    assert counts(ingest(project)) == {"new": 1}
    assert "Open at 10." in store.load(project.documents, "a.md").text


def test_edits_of_front_matter_outlive_a_changed_source(project: Project) -> None:
    source = write(project, "a.md", "# Alpha\n\nOpen at 8.\n")
    ingest(project)
    file = store.path_of(project.documents, "a.md")
    file.write_text(file.read_text("utf-8").replace('title: "Alpha"', "title: Our opening hours"), "utf-8")
    assert counts(ingest(project)) == {"unchanged": 1}
    with Index.open(project.index) as index:
        assert index.search("opening")[0].passage.heading.startswith("Our opening hours")
    source.write_text("# Alpha\n\nOpen at 10.\n", "utf-8")
    assert counts(ingest(project)) == {"changed": 1}
    document = store.load(project.documents, "a.md")
    assert (document.title, document.text) == ("Our opening hours", "# Alpha\n\nOpen at 10.\n")


def test_an_edited_document_whose_source_is_gone_is_set_aside(project: Project) -> None:
    gone = write(project, "a.md", "Alpha.\n")
    write(project, "b.md", "Beta.\n")
    ingest(project)
    file = store.path_of(project.documents, "a.md")
    file.write_text(file.read_text("utf-8") + "My own words.\n", "utf-8")
    gone.unlink()
    report = ingest(project)
    aside = project.root / "data" / "removed" / "a.md.md"
    assert "My own words." in aside.read_text("utf-8")
    assert str(aside) in report.findings[0].what
    assert store.ids(project.documents) == ["b.md"]

    # When the source comes back, so may the edit.
    write(project, "a.md", "Alpha.\n")
    report = ingest(project)
    assert counts(report) == {"new": 1, "unchanged": 1}
    assert str(aside) in report.findings[0].what
    aside.replace(file)
    assert counts(ingest(project)) == {"edited": 1, "unchanged": 1}
    assert "My own words." in store.load(project.documents, "a.md").text


def test_an_edit_that_was_set_aside_is_not_overwritten_by_the_next(project: Project) -> None:
    write(project, "b.md", "Beta.\n")
    file = store.path_of(project.documents, "a.md")
    for words in ("First edit.", "Second edit."):
        source = write(project, "a.md", "Alpha.\n")
        ingest(project)
        file.write_text(file.read_text("utf-8") + words, "utf-8")
        source.unlink()
        ingest(project)
    aside = project.root / "data" / "removed"
    assert "First edit." in (aside / "a.md.md").read_text("utf-8")
    assert "Second edit." in (aside / "a.md.2.md").read_text("utf-8")


def test_documents_of_a_folder_that_cannot_be_looked_into_are_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "a.md", "Alpha.\n")
    write(project, "away/b.md", "Beta.\n")
    ingest(project)
    file = store.path_of(project.documents, "away--b.md")
    file.write_text(file.read_text("utf-8") + "My own words.\n", "utf-8")
    look = os.listdir

    def locked(folder: str) -> list[str]:
        if folder.endswith("away"):
            raise PermissionError(13, "Permission denied", folder)
        return look(folder)

    monkeypatch.setattr(os, "listdir", locked)
    report = ingest(project)
    assert counts(report) == {"unchanged": 1, "refused": 1}
    assert "its documents are kept" in report.data["refusals"][0]["reason"]
    assert "My own words." in file.read_text("utf-8")
    monkeypatch.undo()
    assert counts(ingest(project)) == {"unchanged": 1, "edited": 1}


def test_documents_are_kept_while_the_disk_that_sources_leads_to_is_away(project: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    project.sources.rename(disk)
    project.sources.symlink_to(disk)
    write(project, "a.md", "Alpha.\n")
    ingest(project)
    disk.rename(tmp_path / "away")
    with pytest.raises(MirimError, match=r"sources/: is a link to .*, which is not there"):
        ingest(project)
    assert store.ids(project.documents) == ["a.md"]
    (tmp_path / "away").rename(disk)
    assert counts(ingest(project)) == {"unchanged": 1}


def test_hidden_files_of_a_person_are_left_alone(project: Project) -> None:
    write(project, "a.md", "Alpha.\n")
    mine = write(project, ".tmp-notes.md", "Mine.\n")
    left = write(project, ".tmp-a1b2c3_4", "Half of a copy.\n")
    ingest(project)
    assert (mine.exists(), left.exists()) == (True, False)


def test_an_edit_saved_in_another_encoding_stays_where_it_is(project: Project) -> None:
    write(project, "a.md", "Alpha.\n")
    write(project, "b.md", "Beta.\n")
    ingest(project)
    file = store.path_of(project.documents, "a.md")
    words = file.read_text("utf-8") + "Café.\n"
    file.write_bytes(words.encode("latin-1"))
    report = ingest(project)
    assert counts(report) == {"unchanged": 1, "refused": 1}
    assert "is not UTF-8" in report.findings[0].what
    with Index.open(project.index) as index:
        assert index.search("alpha") == []
    file.write_text(words, "utf-8")
    assert counts(ingest(project)) == {"unchanged": 1, "edited": 1}


def test_order_of_arrival_does_not_matter(project: Project, tmp_path: Path) -> None:
    texts = {f"{i % 3}/file{i}.md": f"# Title {i}\n\nText number {i} of many.\n" for i in range(12)}
    for name in sorted(texts):
        write(project, name, texts[name])
    ingest(project)
    other = Project.open(
        shutil.copytree(project.root, tmp_path / "other", ignore=shutil.ignore_patterns("data", "sources"))
    )
    names = sorted(texts)
    random.Random(1).shuffle(names)
    for part in (names[:5], names[5:]):
        for name in part:
            write(other, name, texts[name])
        write(other, "zz-later-gone.txt", "This one will go.\n")
        ingest(other, workers=1)
    (other.sources / "zz-later-gone.txt").unlink()
    ingest(other)
    assert state(project) == state(other)


def test_copies_a_file_and_prints_its_document(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "Horário.txt"
    file.write_bytes("Aberto das 8h às 18h, de segunda a sexta.\n".encode())
    row = ingest(project, file).to_json()
    assert (project.sources / "Horário.txt").read_bytes() == file.read_bytes()
    assert row["id"] == "Horário.txt"
    assert row["text"] == "Aberto das 8h às 18h, de segunda a sexta.\n"
    assert (row["language"], row["source"], row["media_type"]) == ("pt", "Horário.txt", "text/plain")
    json.dumps(row)
    assert ingest(project, project.sources / "Horário.txt").to_json()["id"] == "Horário.txt"


def test_copies_a_folder_with_its_layout(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "exams").mkdir(parents=True)
    (folder / "exams" / "a.md").write_text("Alpha.\n")
    (folder / "b.md").write_text("Beta.\n")
    (folder / ".hidden.md").write_text("No.\n")
    report = ingest(project, folder)
    assert counts(report) == {"new": 2}
    assert sorted(store.ids(project.documents)) == ["docs--b.md", "docs--exams--a.md"]
    assert not (project.sources / "docs" / ".hidden.md").exists()
    assert counts(ingest(project, folder)) == {"unchanged": 2}


def test_sources_may_be_a_link_to_a_folder_elsewhere(project: Project, tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    (papers / "sub").mkdir(parents=True)
    (papers / "sub" / "a.md").write_text("Alpha.\n")
    project.sources.rmdir()
    project.sources.symlink_to(papers)
    report = ingest(project, papers)
    assert (counts(report), report.data["refusals"]) == ({"new": 1}, [])
    assert str(papers) in report.findings[0].what
    assert ingest(project, papers / "sub" / "a.md").data["id"] == "sub--a.md"
    assert sorted(p.name for p in papers.rglob("*")) == ["a.md", "sub"]


def test_never_overwrites_silently(project: Project, tmp_path: Path) -> None:
    write(project, "a.md", "The old one.\n")
    write(project, "b.md", "Another.\n")
    new = tmp_path / "a.md"
    new.write_text("The new one.\n")
    with pytest.raises(MirimError, match="another file of the same name") as caught:
        ingest(project, new)
    assert caught.value.exit_code == 1
    assert (project.sources / "a.md").read_text() == "The old one.\n"
    ingest(project, new, replace=True)
    assert (project.sources / "a.md").read_text() == "The new one.\n"
    assert store.load(project.documents, "a.md").text == "The new one.\n"


@pytest.mark.parametrize("there", [True, False])
def test_a_file_where_a_folder_would_be_costs_those_files_only(project: Project, tmp_path: Path, there: bool) -> None:
    folder, file, other = tmp_path / "x" / "docs", tmp_path / "y" / "docs", tmp_path / "b.md"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("Alpha.\n")
    file.parent.mkdir()
    file.write_text("A file.\n")
    other.write_text("Beta.\n")
    for first, second, what in ((folder, file, "docs is a folder"), (file, folder, "docs is a file, not a folder")):
        shutil.rmtree(project.sources)
        if there:
            ingest(project, first)
        report = ingest(project, *[first] * (not there), second, other)
        assert f"was not taken: sources/{what}" in report.data["refusals"][0]["reason"]
        assert len(store.ids(project.documents)) == 2


@pytest.mark.parametrize("name", [".notes.md", "notes.md~", "Thumbs.db"])
def test_what_sources_leaves_out_cannot_be_named_either(project: Project, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Words.\n")
    with pytest.raises(UsageError, match="rename it"):
        ingest(project, tmp_path / name)


def test_two_files_of_one_name_in_one_call(project: Project, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text(f"From {folder}.\n")
    report = ingest(project, tmp_path / "x" / "a.md", tmp_path / "y" / "a.md")
    assert counts(report) == {"new": 1, "refused": 1}
    assert store.load(project.documents, "a.md").text == "From x.\n"


def test_empty_corpus_missing_path_and_the_project_itself(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no files yet"):
        ingest(project)
    with pytest.raises(UsageError, match="does not exist"):
        ingest(project, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="does not exist; download it"):
        ingest(project, Path("https://example.com/a.pdf"))
    with pytest.raises(UsageError, match="holds the project"):
        ingest(project, tmp_path)
    with pytest.raises(UsageError, match="max_megabytes = 0"):
        ingest(project, max_megabytes=0)


def test_the_last_source_going_removes_its_document(project: Project) -> None:
    only = write(project, "a.md", "Alpha.\n")
    ingest(project)
    only.unlink()
    with pytest.raises(UsageError, match="holds no files yet"):
        ingest(project)
    assert store.ids(project.documents) == []


@pytest.mark.parametrize("settings", [{"workers": 100_000}, {"workers": -1}, {"max_seconds": 0}])
def test_settings_out_of_bounds(project: Project, settings: dict[str, int]) -> None:
    write(project, "a.md", "Alpha.\n")
    with pytest.raises(UsageError, match=f"{next(iter(settings))} = .* at (?:least|most)"):
        ingest(project, **settings)


def test_one_at_a_time(project: Project) -> None:
    fcntl = pytest.importorskip("fcntl")
    write(project, "a.md", "Alpha.\n")
    ingest(project)
    with (project.root / "data" / ".ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MirimError, match="another ingest"):
            ingest(project)


def test_a_damaged_index_is_made_anew(project: Project) -> None:
    write(project, "a.md", "Alpha words.\n")
    ingest(project)
    before = state(project)
    project.index.write_bytes(b"not a database at all" * 500)
    ingest(project)
    assert state(project) == before


def test_an_index_damaged_inside_says_what_to_do(project: Project) -> None:
    write(project, "a.md", "Alpha words.\n")
    ingest(project)
    head, size = project.index.read_bytes()[:8192], project.index.stat().st_size
    project.index.write_bytes(head + b"\xa5" * (size - len(head)))
    with pytest.raises(MirimError, match=r"is damaged .* delete it and type: mirim ingest"):
        ingest(project)
    project.index.unlink()
    assert counts(ingest(project)) == {"unchanged": 1}


def test_a_deleted_document_comes_back(project: Project) -> None:
    write(project, "a.md", "Alpha words.\n")
    ingest(project)
    before = state(project)
    store.path_of(project.documents, "a.md").unlink()
    ingest(project)
    assert state(project) == before


def test_processes_give_what_this_process_gives(project: Project, tmp_path: Path) -> None:
    for i in range(7):
        write(project, f"{i}.md", f"# Title {i}\n\nText {i}.\n")
    ingest(project)
    here = state(project)
    shutil.rmtree(project.root / "data")
    ingest(project, workers=2)
    assert state(project) == here


def test_rows_that_go_by_way_of_the_disk_are_the_same(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(7):
        write(project, f"{i}.md", f"# Title {i}\n\n" + "\n\n".join(f"Words{k} of {i}. " * 40 for k in range(9)))
    ingest(project)
    here = state(project)
    shutil.rmtree(project.root / "data")
    monkeypatch.setattr("mirim.documents.job._LARGE", 4000)
    ingest(project)
    assert state(project) == here
    left = project.index.with_name(".tmp-rows-of-a-killed-run")
    left.write_text("[]")
    ingest(project)
    assert not list(project.index.parent.glob(".tmp-*"))


_RUN = """
import sys
from mirim.core.project import Project
from mirim.documents.ingest import ingest
ingest(Project.open(sys.argv[1]), *sys.argv[2:], workers=1)
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_next_run_finishes(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(300):
        paragraphs = "\n\n".join(f"Paragraph {k} of document {i} says word{i * k % 97}." for k in range(40))
        (folder / f"{i}.md").write_text(f"# Title {i}\n\n{paragraphs}\n")
    calm = Project.open(shutil.copytree(project.root, tmp_path / "calm"))
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", _RUN, str(calm.root), str(folder)], check=True)
    whole = time.monotonic() - started
    rng = random.Random(3)
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", _RUN, str(project.root), str(folder)])
        time.sleep(whole * rng.uniform(0.2, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, "-c", _RUN, str(project.root), str(folder)], check=True)
    assert state(project) == state(calm)
    assert sorted(p.name for p in (project.sources / "docs").iterdir()) == sorted(p.name for p in folder.iterdir())
    assert not [p for p in project.root.rglob(".tmp-*")]
    with Index.open(project.index) as index, Index.open(calm.index) as other:
        assert index.search("word13 title") == other.search("word13 title")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_no_write_permission(project: Project) -> None:
    write(project, "a.md", "Alpha.\n")
    project.root.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="no permission"):
            ingest(project)
    finally:
        project.root.chmod(0o700)


def test_a_full_disk_stops_with_one_message(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "a.md", "Alpha.\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MirimError, match="no space left"):
        ingest(project)
    monkeypatch.undo()
    assert counts(ingest(project)) == {"new": 1}
    assert not list(project.documents.glob(".tmp-*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no disk that is always full")
def test_rows_that_fill_the_disk_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, mode: str, **how: str) -> Any:
        os.close(handle)
        return open("/dev/full", mode, **how)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(MirimError, match="no space left"):
        spool.write(tmp_path, [(1, 0, 5, None, "", "", "words", "", "", "word")])
    assert not list(tmp_path.iterdir())
