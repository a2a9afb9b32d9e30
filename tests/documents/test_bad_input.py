"""Files that lie, are damaged, encrypted, hostile or in no encoding: one reason each, and the rest goes on."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, MissingExtra
from mirim.core.project import Project
from mirim.documents import store, workers
from mirim.documents.ingest import ingest
from mirim.documents.job import Job
from mirim.documents.search import Index
from mirim.documents.store import identify
from mirim.documents.text import decode, unscramble

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
ENCRYPTED = OLE + "EncryptedPackage".encode("utf-16-le") + b"\0" * 100


def zipped(path: Path, **members: bytes) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.md", b" \n\t\n\0\0", "is empty"),
        ("blank.html", b"<html><body> </body></html>", "holds no text"),
        ("picture.pdf", PNG, "is a PNG image, not a PDF file"),
        ("picture.docx", PNG, "is a PNG image, not a DOCX file"),
        ("picture.txt", PNG, "is a PNG image, not plain text"),
        ("picture.png", PNG, "no reader|PNG image"),
        ("words.pdf", b"just some words", "named .pdf but its content is not"),
        ("words.docx", b"just some words", "named .docx but its content is not"),
        ("cut.pdf", b"%PDF-1.7\n1 0 obj <<", "damaged or cut short"),
        ("old.doc", OLE, "old Office document"),
        ("locked.docx", ENCRYPTED, "encrypted with a password"),
        ("packed.txt", gzip.compress(b"hello"), "gzip archive"),
        ("film.txt", b"\0\0\0\x18ftypmp42" + b"\0" * 99, "film"),
        ("program.csv", b"\x7fELF" + bytes(range(32)) * 9, "a program"),
        ("noise.txt", bytes(range(1, 32)) * 100, "binary data"),
        ("noise.csv", bytes((i * 37 + 11) % 256 for i in range(5000)), "binary data"),
        ("noise", bytes(range(1, 32)) * 100, "binary data"),
        ("data.xyz", b"words", "no reader for .xyz"),
        ("note.eml", b"no header here at all\n\njust text", "not an e-mail"),
        ("nothing.csv", b",,,\n,,,\n", "no rows"),
        ("punctuation.txt", b"... --- ...", "holds no text"),
    ],
)
def test_one_reason_each_and_the_rest_goes_on(project: Project, name: str, data: bytes, reason: str) -> None:
    (project.sources / "good.md").write_text("# Good\n\nGood text.\n")
    (project.sources / name).write_bytes(data)
    report = ingest(project)
    assert report.data["new"] == 1
    assert [f.where for f in report.findings if f.severity == "error"] == [name]
    [refusal] = report.data["refusals"]
    assert refusal["source"] == name
    assert re.search(reason, refusal["reason"]), refusal["reason"]
    assert store.ids(project.documents) == ["good.md"]


def test_one_refused_file_alone_exits_with_the_reason_and_leaves_nothing(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "picture.pdf"
    file.write_bytes(PNG)
    with pytest.raises(MirimError, match="PNG image") as caught:
        ingest(project, file)
    assert caught.value.exit_code == 1
    assert not project.sources.exists() or not list(project.sources.iterdir())
    (project.sources / "a.txt").write_bytes(PNG)
    with pytest.raises(MirimError, match="none of the 1 files"):
        ingest(project)


def test_a_readable_source_that_turns_unreadable_loses_its_document(project: Project) -> None:
    (project.sources / "good.md").write_text("Good text.\n")
    (project.sources / "a.txt").write_text("Words.\n")
    ingest(project)
    (project.sources / "a.txt").write_bytes(PNG)
    assert ingest(project).data["refused"] == 1
    assert store.ids(project.documents) == ["good.md"]


def test_encrypted_pdf(project: Project, shared: Path) -> None:
    file = shared / "data/documents/pypdf/005-libreoffice-writer-password/libreoffice-writer-password.pdf"
    with pytest.raises(MirimError, match="is encrypted"):
        ingest(project, file)


def test_scanned_pdf(project: Project, tmp_path: Path, make_pdf: Callable[..., bytes]) -> None:
    (tmp_path / "scan.pdf").write_bytes(make_pdf([[], []]))
    with pytest.raises(MirimError, match="scanned"):
        ingest(project, tmp_path / "scan.pdf")


def test_huge(project: Project) -> None:
    (project.sources / "good.md").write_text("Good text.\n")
    (project.sources / "huge.txt").write_text("word " * 300_000)
    report = ingest(project, max_megabytes=1)
    assert "is 2 MB, more than max_megabytes = 1;" in report.data["refusals"][0]["reason"]


def test_a_missing_library_is_no_damaged_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.sources / "old.txt").write_bytes("Situação já é. ".encode("cp1252") * 100)
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mirim\[documents\]'"):
        ingest(project)


def test_zip_bomb(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mirim.documents import archive
    from mirim.documents.draft import Refused

    monkeypatch.setattr(archive, "PART", 1_000_000)
    file = tmp_path / "bomb.docx"
    zipped(file, word__document=b"")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("word/document.xml", b"<a>" + b"0" * 5_000_000)
    assert file.stat().st_size < 20_000
    with archive.Archive(file) as opened, pytest.raises(Refused, match="unpacks to more than"):
        opened.xml("word/document.xml")


@pytest.mark.parametrize("name", ["truncated.docx", "plain.docx", "broken.docx"])
def test_damaged_word(project: Project, tmp_path: Path, name: str, make_docx: Callable[..., Path]) -> None:
    file = tmp_path / name
    if name == "truncated.docx":
        whole = make_docx(file, "<w:p><w:r><w:t>Hello there</w:t></w:r></w:p>" * 50).read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    elif name == "plain.docx":
        zipped(file, readme=b"hello")
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("word/document.xml", b"\xff\xfe not xml at all")
    with pytest.raises(MirimError):
        ingest(project, file)
    assert not store.ids(project.documents)


def _with_entities(file: Path, declared: str, said: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "word/document.xml",
            f"<!DOCTYPE d [{declared}]>"
            '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
            f"<w:t>{said}</w:t></w:r></w:p></w:body></w:document>",
        )
    return file


def test_entities_are_not_fetched(project: Project, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret words")
    declared = f'<!ENTITY x SYSTEM "file://{secret}"><!ENTITY b0 "lol">'
    file = _with_entities(tmp_path / "xxe.docx", declared, "Visible &x; text &b0; to the end")
    text = ingest(project, file, max_seconds=20).to_json()["text"]
    assert "Visible text to the end" in " ".join(text.split())
    assert "secret" not in text


def test_entities_within_entities_are_refused(project: Project, tmp_path: Path) -> None:
    bombs = "".join(f'<!ENTITY b{i + 1} "{f"&b{i};" * 10}">' for i in range(12))
    file = _with_entities(tmp_path / "bomb.docx", f'<!ENTITY b0 "lol">{bombs}', "Visible &b12; text that would be lost")
    with pytest.raises(MirimError, match=r"without end \(word/document.xml\), as files made to do harm do"):
        ingest(project, file, max_seconds=20)
    assert not store.ids(project.documents)


@pytest.mark.slow
def test_deeply_nested_pages(project: Project, tmp_path: Path) -> None:
    for name, text in (
        ("div.html", "<html><body>" + "<div>" * 60_000 + "Deep words" + "</div>" * 60_000),
        ("ul.html", "<html><body><p>Shallow words</p>" + "<ul><li>" * 20_000 + "Deep words"),
        ("b.html", "<html><body><p>Shallow words</p>" + "<b><i>" * 20_000 + "Deep words"),
        ("table.html", "<html><body><p>Shallow words</p>" + "<table><tr><td>" * 5_000 + "Deep words"),
    ):
        (project.sources / name).write_text(text)
    (project.sources / "good.md").write_text("Good text.\n")
    report = ingest(project, max_seconds=60)
    assert report.data["new"] + report.data["refused"] == 5
    assert "good.md" in store.ids(project.documents)
    for refusal in report.data["refusals"]:
        assert "nested too deeply" in refusal["reason"]


def test_links_and_special_files(project: Project) -> None:
    (project.sources / "good.md").write_text("Good text.\n")
    (project.sources / "loop.md").symlink_to("loop.md")
    (project.sources / "gone.md").symlink_to("nowhere.md")
    (project.sources / "also.md").symlink_to("good.md")
    (project.sources / "again").symlink_to(".")
    os.mkfifo(project.sources / "pipe.md")
    report = ingest(project)
    assert {r["source"]: r["reason"] for r in report.data["refusals"]} == {
        "loop.md": "is a link that leads back to itself",
        "gone.md": "is a link to a file that does not exist, or was taken away meanwhile",
        "pipe.md": "is not a regular file",
    }
    assert store.ids(project.documents) == ["also.md", "good.md"]


@pytest.mark.parametrize("brought", [False, True])
def test_links_that_lead_out_are_taken_only_when_named(project: Project, tmp_path: Path, brought: bool) -> None:
    outside = tmp_path / "it's private"
    outside.mkdir()
    (outside / "key.md").write_text("The private words.\n")
    folder = tmp_path / "handbook" if brought else project.sources
    folder.mkdir(exist_ok=True)
    (folder / "good.md").write_text("Good text.\n")
    (folder / "also.md").symlink_to(folder / "good.md")
    (folder / "key.md").symlink_to(outside / "key.md")
    (folder / "all").symlink_to(outside)
    (folder / "far.md").symlink_to("../../../../../../../../../../../../etc/passwd")
    report = ingest(project, *[folder] * brought)
    prefix = "handbook/" * brought
    errors = {f.where: f for f in report.findings if f.severity == "error"}
    assert sorted(errors) == [prefix + "all", prefix + "far.md", prefix + "key.md"]
    assert all("is a link that leads out of the" in f.what for f in errors.values())
    assert str(outside / "key.md") in errors[prefix + "key.md"].what
    name = "handbook--" * brought
    assert store.ids(project.documents) == [f"{name}also.md", f"{name}good.md"]

    for link in ("key.md", "all"):
        line = errors[prefix + link].do.partition("type: ")[2]
        removal, _, line = line.rpartition("&& ")
        if removal:
            os.unlink(shlex.split(removal)[1])
        words = shlex.split(line)
        assert [words[:2], words[3:]] == [["mirim", "ingest"], ["--project", str(project.root)]]
        ingest(project, Path(words[2]))
    taken = "all--key.md" if brought else identify("it's private/key.md")
    assert {"key.md", taken} < set(store.ids(project.documents))
    assert (outside / "key.md").read_text() == "The private words.\n"


def test_a_document_that_is_a_link_is_not_followed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("The private words.\n")
    for name in ("a.md", "b.md"):
        (project.sources / name).write_text("Good text.\n")
    store.path_of(project.documents, "a.md").parent.mkdir(parents=True)
    store.path_of(project.documents, "a.md").symlink_to(tmp_path / "key")
    report = ingest(project)
    assert "is a link" in report.data["refusals"][0]["reason"]
    with Index.open(project.index) as index:
        assert index.search("private") == []


def test_nothing_is_written_through_a_link(project: Project, tmp_path: Path) -> None:
    (project.sources / "good.md").write_text("Good text.\n")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "a.md").write_text("Mine.\n")
    (project.sources / "handbook").symlink_to(tmp_path / "theirs")
    report = ingest(project, tmp_path / "handbook")
    assert [r["source"] for r in report.data["refusals"]] == [str(tmp_path / "handbook" / "a.md"), "handbook"]
    assert not list((tmp_path / "theirs").iterdir())


def test_a_link_to_another_folder_of_the_project_is_taken(project: Project) -> None:
    (project.root / "papers").mkdir()
    (project.root / "papers" / "a.md").write_text("Alpha.\n")
    (project.sources / "papers").symlink_to("../papers")
    assert ingest(project).data["new"] == 1
    assert store.ids(project.documents) == ["papers--a.md"]


@pytest.mark.parametrize("brought", [False, True])
def test_a_link_back_to_the_project_brings_in_nothing_that_was_made(
    project: Project, tmp_path: Path, brought: bool
) -> None:
    (project.sources / "good.md").write_text("Good text.\n")
    folder = tmp_path / "outside" if brought else project.sources
    folder.mkdir(exist_ok=True)
    (folder / "more.md").write_text("More text.\n")
    (folder / "up").symlink_to(project.root)
    (folder / "made").symlink_to(project.root / "data")
    for _ in range(3):
        ingest(project, *[folder] * brought)
    assert store.ids(project.documents) == ["good.md", "outside--more.md" if brought else "more.md"]


@pytest.mark.parametrize("brought", [False, True])
def test_names_that_are_not_utf8(project: Project, tmp_path: Path, brought: bool) -> None:
    folder = tmp_path / "outside" if brought else project.sources
    folder.mkdir(exist_ok=True)
    (folder / "good.md").write_text("Good text.\n")
    with open(os.fsencode(folder) + b"/caf\xe9.md", "wb") as stream:
        stream.write(b"Words.\n")
    report = ingest(project, *[folder] * brought)
    assert [r["reason"] for r in report.data["refusals"]] == ["has a name that is not UTF-8"]
    report.to_text().encode()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
def test_unreadable_permissions(project: Project) -> None:
    (project.sources / "good.md").write_text("Good text.\n")
    (project.sources / "mine.md").write_text("Secret.\n")
    (project.sources / "mine.md").chmod(0)
    assert "may not be read" in ingest(project).data["refusals"][0]["reason"]


def test_a_page_cannot_say_in_letters_that_it_has_none(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_bytes('<html><head><meta charset="utf-16"></head><p>Situação já é</p>'.encode("cp1252"))
    assert file.stat().st_size % 2 == 0
    assert ingest(project, file).to_json()["text"] == "Situação já é\n"


def test_a_quotation_mark_that_is_not_closed_is_said(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"open,2\n3,4\n')
    assert "odd number of quotation marks" in str(ingest(project, tmp_path / "a.csv").findings)


def test_web_page_called_text(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "page.txt"
    file.write_text("<!DOCTYPE html><html><head><title>Shop</title></head><body><h1>Hours</h1><p>8 to 18</p></body>")
    row = ingest(project, file).to_json()
    assert row["media_type"] == "text/html"
    assert row["text"] == "# Hours\n\n8 to 18\n"
    assert "is named .txt but is an HTML file" in row["findings"][0]["what"]


@pytest.mark.parametrize(
    ("data", "expected", "note"),
    [
        ("Ação é já".encode("cp1252"), "Ação é já", "read as cp1252"),
        ("Ação é já".encode("utf-16"), "Ação é já", ""),
        ("Plain words in here".encode("utf-16-le"), "Plain words in here", "utf-16-le"),
        (b"\xef\xbb\xbfBOM \xc3\xa9", "BOM é", ""),
        ("Informação, é o início".encode().decode("cp1252").encode(), "Informação, é o início", "put right"),
        (
            "It’s “fine”".encode().decode("cp1252", "replace").replace("\ufffd", "\x9d").encode(),
            "It’s “fine”",
            "put right",
        ),
        ("é".encode() * 20 + b" caf\xe9", "é" * 20 + " café", "1 bytes were not valid UTF-8"),
        ("Привет, мир. Это длинный текст по-русски. ".encode("cp1251") * 12, "Привет, мир. Это", "not UTF-8: read as"),
        (b"lost \xef\xbf\xbd letter", "lost \ufffd letter", "1 characters are lost"),
    ],
)
def test_encodings(data: bytes, expected: str, note: str) -> None:
    found, notes = decode(data)
    assert found.startswith(expected)
    assert any(note in n for n in notes) if note else not notes


def test_unscramble_leaves_good_text_alone() -> None:
    for text in ("Ação, ÍNDICE, São João", "naïve Ångström €5 – “quoted”", "ÁÉÍÓÚ ãõ çÇ Ã ã", "Ó°"):
        assert unscramble(text) == (text, 0)
    assert unscramble("Ã¡gua e pÃ£o") == ("água e pão", 2)


@pytest.mark.slow
def test_a_reader_that_crashes_hangs_or_prints_costs_its_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose reader is replaced by one that misbehaves on command."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time, mirim.documents.readers.text as t\n"
        "good = t.read\n"
        "def read(path):\n"
        "    print('noise on stdout', flush=True)\n"
        "    if 'crash' in path.name: os.kill(os.getpid(), 11)\n"
        "    if 'hang' in path.name: time.sleep(60)\n"
        "    return good(path)\n"
        "t.read = read\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["a.txt", "crash.txt", "b.txt", "hang.txt", "c.txt"]
    jobs = []
    for name in names:
        (tmp_path / name).write_text(f"Words of {name}.\n")
        jobs.append(Job(name, str(tmp_path / name), str(tmp_path), str(tmp_path / "documents")))
    done = {d.source: d for d in workers.run(jobs, 1, seconds=2)}
    assert [n for n in names if done[n].state == "new"] == ["a.txt", "b.txt", "c.txt"]
    assert "crashed its reader (signal SIGSEGV): it is damaged or needs" in done["crash.txt"].findings[0][1]
    assert "took longer than 2 s" in done["hang.txt"].findings[0][1]


@pytest.mark.parametrize(
    ("name", "inside", "said"),
    [
        ("prices.xlsx", "xl/workbook.xml", "holds no text"),
        ("drawing.odg", "META-INF/manifest.xml", "is a ZIP archive; unpack it"),
        ("all.zip", "more.zip", "is a ZIP archive; unpack it"),
    ],
)
def test_what_to_do_with_files_that_are_archives(project: Project, name: str, inside: str, said: str) -> None:
    with zipfile.ZipFile(project.sources / name, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(inside, "<x/>")
    with pytest.raises(MirimError, match=said):
        ingest(project)
