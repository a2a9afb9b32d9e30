"""`synth` end to end: grounded, split by document, without held-out questions, the same every time."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.documents import store
from mirim.documents.passages import cut
from mirim.examples.held import Guard
from mirim.examples.questions import ask
from mirim.examples.split import split
from mirim.examples.spool import Spool
from mirim.examples.synth import synth
from mirim.examples.tasks import answer, judge
from mirim.examples.units import plain, units

Make = Callable[..., Project]
Read = Callable[[Project], list[dict[str, Any]]]


def test_every_positive_is_grounded(make: Make, read: Read) -> None:
    project = make()
    report = synth(project)
    rows = read(project)
    assert report.data["examples"] == len(rows) > 150
    assert report.data["tasks"].keys() == {"answer", "ask", "judge", "rewrite"}
    texts = {d.id: d.text for d in store.iterate(project.documents)}
    positives = [r for r in rows if r["sources"]]
    assert positives
    for row in positives:
        span = row["sources"][0]
        text = texts[span["document"]][span["start"] : span["end"]]
        prompt, target = row["messages"][0]["content"], row["messages"][-1]["content"]
        if row["task"] == "answer":
            assert target == text.strip()
            assert target in prompt
        else:
            assert plain(text) in prompt
        if row["task"] == "judge":
            assert target == "yes"
    for row in rows:
        if row["task"] == "judge" and not row["sources"]:
            assert row["messages"][-1]["content"] == "no"
        if row["task"] == "answer" and not row["sources"]:
            assert row["messages"][-1]["content"] == answer.REFUSAL[row["metadata"]["language"]]


def test_judging_is_balanced_and_every_kind_of_negative_is_there(make: Make, read: Read) -> None:
    project = make()
    synth(project)
    rows = read(project)
    judged = Counter(r["messages"][-1]["content"] for r in rows if r["task"] == "judge")
    assert 0.25 < judged["yes"] / sum(judged.values()) < 0.6
    kinds = {r["metadata"]["kind"] for r in rows if r["task"] == "judge" and not r["sources"]}
    assert {"same document", "other subject", "type clash", "out of scope"} <= kinds
    refused = {r["metadata"]["kind"] for r in rows if r["task"] == "answer" and not r["sources"]}
    assert {"other passage", "fact removed", "out of scope"} <= refused
    assert {r["metadata"]["language"] for r in rows} == {"en", "pt"}


def test_a_removed_fact_is_gone_from_the_prompt(make: Make, read: Read) -> None:
    project = make()
    synth(project)
    by_question = {r["metadata"]["question"]: r for r in read(project) if r["task"] == "answer" and r["sources"]}
    removed = [r for r in read(project) if r["metadata"]["kind"] == "fact removed"]
    assert removed
    for row in removed:
        whole = by_question[row["metadata"]["question"]]
        assert whole["messages"][-1]["content"] not in row["messages"][0]["content"]


def test_no_text_of_validation_stands_in_training(make: Make, read: Read) -> None:
    project = make()
    synth(project)
    sides = split(store.iterate(project.documents), 0.15, 0)
    assert set(sides.values()) == {"train", "valid"}
    prompts = {
        s: "\n".join(r["messages"][0]["content"] for r in read(project) if r["split"] == s) for s in ("train", "valid")
    }
    for document in store.iterate(project.documents):
        other = prompts["valid" if sides[document.id] == "train" else "train"]
        for passage in cut(document):
            for unit in units(passage):
                if len(unit.text.split()) >= 4:
                    assert unit.text not in other
    for row in read(project):
        for span in row["sources"]:
            assert sides[span["document"]] == row["split"]


def test_the_same_every_time_and_sorted(make: Make) -> None:
    first, second = make(name="a"), make(name="b")
    synth(first)
    synth(second)
    files = sorted(p.name for p in first.examples.iterdir())
    assert files == ["answer.jsonl", "ask.jsonl", "judge.jsonl", "rewrite.jsonl"]
    for name in files:
        data = (first.examples / name).read_bytes()
        assert data == (second.examples / name).read_bytes()
        ids = [json.loads(line)["id"] for line in data.decode().splitlines()]
        assert ids == sorted(set(ids))
    other = make(name="c")
    synth(other, seed=7)
    assert (other.examples / "judge.jsonl").read_bytes() != (first.examples / "judge.jsonl").read_bytes()


def test_up_to_date_work_is_not_done_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()
    done = synth(project)
    monkeypatch.setattr("mirim.examples.synth.split", None)
    again = synth(project)
    assert "Up to date" in again.summary
    assert again.data["tasks"] == done.data["tasks"]
    monkeypatch.undo()
    path = next(project.documents.glob("pool*"))
    path.write_text(path.read_text("utf-8").replace("R$ 25.00", "R$ 27.00"), "utf-8")
    assert "Up to date" not in synth(project).summary
    assert "R$ 27.00" in (project.examples / "judge.jsonl").read_text("utf-8")


def test_files_of_former_tasks_go_and_nothing_temporary_stays(make: Make) -> None:
    project = make()
    project.examples.mkdir(parents=True)
    (project.examples / "gone.jsonl").write_text("{}\n")
    synth(project)
    assert not (project.examples / "gone.jsonl").exists()
    assert not list((project.root / "data").rglob(".tmp-*"))


# Held-out questions: planted as a generated question, with other words, and inside the documents themselves.


def test_held_out_questions_are_never_trained_on(make: Make, read: Read) -> None:
    plain_run = make(name="plain")
    synth(plain_run)
    judged = [r["metadata"]["question"] for r in read(plain_run) if r["task"] == "judge" and r["sources"]]
    planted = [*[q for q in judged if len(q.split()) > 4][:12], "Can I bring a guest?", "Posso levar um acompanhante?"]
    seeds = [{"question": planted[0], "answer": "Seven."}, {"messages": [
        {"role": "user", "content": planted[1].lower()}, {"role": "assistant", "content": "Yes."}]}]  # fmt: skip
    project = make(evals=planted, seeds=seeds, name="planted")
    report = synth(project)
    assert report.data["left_out"]["held out"] >= len(planted)
    guard = Guard.of(project)
    rows = read(project)
    assert len(rows) > 100
    for row in rows:
        text = " ".join(m["content"] for m in row["messages"])
        assert not guard.inside(text), text
        assert not guard.holds(str(row["metadata"].get("question", "")))
        for question in planted:
            assert question.lower() not in text.lower()
            assert question.lower().rstrip("?") not in str(row["metadata"]).lower()
    # The question of an FAQ is held out, and so is what stands below it.
    assert not any("two guests a month" in r["messages"][0]["content"] for r in rows)
    assert any("two guests a month" in r["messages"][0]["content"] for r in read(plain_run))


@pytest.mark.parametrize(
    ("question", "held"),
    [
        ("How long must I fast before the blood test?", True),
        ("how long must i fast before the blood test", True),
        ("Before the blood test, how long must I fast?", True),
        ("How long do I fast before a blood test?", True),
        ("How long must I fast before the colonoscopy?", False),
        ("Where is the blood test?", False),
        ("", False),
    ],
)
def test_guard(question: str, held: bool) -> None:
    assert Guard(["How long must I fast before the blood test?"]).holds(question) is held


def test_guard_looks_inside_texts() -> None:
    guard = Guard(["How long must I fast before the test?"])
    assert guard.inside("Title > how long must I fast before the TEST?: Eight hours.\n? another")
    assert guard.inside("We are often asked how long must i fast before the test and say eight.")
    assert not guard.inside("How long is the test? You must fast before it.")
    assert not Guard([]).inside("anything?")


def test_guard_agrees_with_jaccard_over_words() -> None:
    rng = random.Random(5)
    words = [f"w{i}" for i in range(14)]
    held = [" ".join(rng.sample(words, rng.randint(3, 9))) for _ in range(60)]
    guard = Guard(held)
    for _ in range(400):
        question = " ".join(rng.sample(words, rng.randint(3, 9)))
        one = set(question.split())
        near = any(len(one & set(h.split())) / len(one | set(h.split())) >= 0.8 for h in held)
        assert guard.holds(question) == near


# Splitting.


def test_documents_of_one_text_fall_on_one_side(make: Make, texts: dict[str, str]) -> None:
    for i in range(12):
        texts[f"copy-{i}.md"] = texts["pool.md"].replace("Tuesdays", "Fridays") + f"\nVersion {i}.\n"
    project = make(texts)
    for seed in range(6):
        sides = split(store.iterate(project.documents), 0.3, seed)
        copies = {s for id_, s in sides.items() if id_.startswith(("copy", "pool"))}
        assert len(copies) == 1
        assert set(sides.values()) == {"train", "valid"}


def test_a_new_document_moves_no_old_one(make: Make, texts: dict[str, str]) -> None:
    project = make(texts)
    before = split(store.iterate(project.documents), 0.4, 3)
    after = {}
    document = store.load(project.documents, store.ids(project.documents)[0])
    for extra in range(5):
        more = type(document)(
            f"zz{extra}", "x", "text/plain", "x", f"Entirely other words {extra} " * 30, language="en"
        )
        after = split([*store.iterate(project.documents), more], 0.4, 3)
        moved = [i for i in before if after[i] != before[i]]
        assert len(moved) <= 1


def test_one_document_is_divided_and_it_is_said(
    make: Make, read: Read, texts: dict[str, str], notes: list[str]
) -> None:
    project = make({"pool.md": texts["pool.md"]})
    synth(project)
    rows = read(project)
    assert {r["split"] for r in rows} == {"train", "valid"}
    assert any("one document only" in n for n in notes)
    last = max(s["end"] for r in rows if r["split"] == "train" for s in r["sources"])
    assert all(s["start"] >= last for r in rows if r["split"] == "valid" for s in r["sources"])


def test_one_text_twice_leaves_nothing_for_validation(
    make: Make, read: Read, texts: dict[str, str], notes: list[str]
) -> None:
    project = make({"a.md": texts["pool.md"], "b.md": texts["pool.md"]})
    synth(project)
    assert {r["split"] for r in read(project)} == {"train"}
    assert any("one text" in n for n in notes)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr("mirim.examples.synth.note", found.append)
    return found


# Limits and bad input.


def test_limit_spreads_over_documents(make: Make, read: Read, notes: list[str]) -> None:
    project = make()
    synth(project, limit=8)
    judged = [r for r in read(project) if r["task"] == "judge" and r["sources"]]
    assert len(judged) <= 8
    assert len({r["sources"][0]["document"] for r in judged}) == 4
    project = make(name="less")
    synth(project, limit=2)
    assert any("2 of 4 documents" in n for n in notes)


def test_documents_without_english_or_portuguese(make: Make) -> None:
    project = make(
        {"x.md": "# Bonjour\n\nLa bibliothèque est ouverte tous les jours de neuf heures à midi pour les lecteurs.\n"}
    )
    with pytest.raises(UsageError, match="neither English nor Portuguese"):
        synth(project)
    assert not project.examples.exists() or not list(project.examples.iterdir())


def test_no_documents(make: Make) -> None:
    project = make()
    shutil.rmtree(project.documents)
    with pytest.raises(UsageError, match="mirim ingest"):
        synth(project)


@pytest.mark.parametrize(
    "options",
    [{"per_document": 0}, {"limit": -1}, {"valid_share": 1.0}, {"outside_share": -0.1}, {"teacher_url": "http://x"},
     {"teacher_model": "m"}, {"teacher_url": "ftp://x", "teacher_model": "m"}],
)  # fmt: skip
def test_bad_options(make: Make, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        synth(make(), **options)


def test_a_broken_line_of_evals_is_named(make: Make) -> None:
    project = make()
    project.evals.mkdir()
    (project.evals / "q.jsonl").write_text('{"id": "1", "question": 5}\n')
    with pytest.raises(UsageError, match=r"q\.jsonl line 1"):
        synth(project)


# What the model is shown must be what answering shows it.


def test_units_are_what_answering_shows(make: Make) -> None:
    assist = pytest.importorskip("mirim.assist.candidates")
    from mirim.documents.search import Hit

    for document in store.iterate(make().documents):
        for passage in cut(document):
            shown = [(c.start, c.end, plain(c.text), c.lead) for c in assist.candidates([Hit(passage, 1.0)])]
            assert shown == [(u.start, u.end, u.text, u.lead) for u in units(passage)]


def test_judge_prompt_is_short(make: Make) -> None:
    message = judge.messages("Fast for 8 hours.", "Blood test", "How long?")
    assert [m.content for m in message] == ["Blood test: Fast for 8 hours.\n? How long?"]


def test_questions_do_not_depend_on_what_was_asked_before(make: Make) -> None:
    documents = list(store.iterate(make().documents))
    alone = [a.question for a in ask(documents[-1], random.Random("x"), 20)]
    for document in documents:
        list(ask(document, random.Random("y"), 20))
    assert alone == [a.question for a in ask(documents[-1], random.Random("x"), 20)]


def test_edited_documents_are_asked_as_they_stand(make: Make, tmp_path: Path) -> None:
    project = make()
    path = next(project.documents.glob("library*"))
    path.write_text(path.read_text("utf-8") + "\n## Parking\n\nThe car park closes at 23:00 every day.\n", "utf-8")
    asked = [a.text for d in store.iterate(project.documents) for a in ask(d, random.Random(1), 200)]
    assert "The car park closes at 23:00 every day." in asked


def test_a_place_that_cannot_be_written_is_one_message(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()

    def connect(*_: Any, **__: Any) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("mirim.examples.spool.sqlite3.connect", connect)
    with pytest.raises(UsageError, match="no permission to write"):
        synth(project)
    monkeypatch.undo()
    assert synth(project).data["examples"]


def test_a_full_disk_is_one_message(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Spool, "add", full)
    with pytest.raises(MirimError, match="no space left on the disk"):
        synth(project)
