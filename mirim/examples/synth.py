"""`mirim synth`: documents to training examples and held-out ones, alone or with a teacher."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirim.core import stamp
from mirim.core.errors import UsageError
from mirim.core.files import read_jsonl, write_jsonl
from mirim.core.progress import note, track
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.types import Document, Example, Message, Passage, Split
from mirim.core.verbs import verb
from mirim.documents import store
from mirim.documents.passages import at, cut
from mirim.examples import outside, teacher
from mirim.examples.held import Guard
from mirim.examples.questions import Asked, ask
from mirim.examples.split import split
from mirim.examples.tasks import answer as answer_task
from mirim.examples.tasks import judge as judge_task

#: Raised whenever equal documents give other examples.
VERSION = "1"


@verb
def synth(
    project: Project,
    *,
    teacher_url: str = "",
    teacher_model: str = "",
    per_document: int = 40,
    limit: int = 12_000,
    valid_share: float = 0.15,
    outside_share: float = 0.1,
    seed: int = 0,
) -> Report:
    """Make training examples from the documents: questions with answers at known offsets, and some to refuse.

    The documents are split into training and validation first, so nothing leaks from one to the other.
    Questions in evals/ are never used; people's own examples in seeds/*.jsonl are.

    Args:
        teacher_url: OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; it writes further questions.
        teacher_model: The teacher's model name; its key is read from MIRIM_TEACHER_KEY.
        per_document: Questions made of a document at most.
        limit: Questions in all at most, spread evenly over the documents.
        valid_share: Share of the documents kept for validation.
        outside_share: Questions that no document answers, beside those that one does.
        seed: Seed of every choice; 0 takes the project's.
    """
    if not 0 <= valid_share < 1:
        raise UsageError(f"--valid-share {valid_share} is not between 0 and 1")
    for name, value in (("per-document", per_document), ("limit", limit)):
        if value < 1:
            raise UsageError(f"--{name} {value} is too small; at least 1")
    seed = seed or project.seed
    ids = store.ids(project.documents) if project.documents.is_dir() else []
    if not ids:
        raise UsageError(f"{project.root} has no documents; type: mirim ingest PATH... --project {project.root}")
    settings = {
        "version": VERSION,
        "teacher": [teacher_url, teacher_model],
        "per_document": per_document,
        "limit": limit,
    }
    settings |= {"valid_share": valid_share, "outside_share": outside_share, "seed": seed}
    inputs = stamp.fingerprint(settings, project.documents, project.evals, project.root / "seeds")
    path = project.stamps / "synth-inputs.json"
    if stamp.fresh(path, inputs):
        return _report(
            project, list(_written(project)), "Up to date: nothing that the examples were made from has changed."
        )
    sides = split(store.iterate(project.documents), valid_share, seed)
    if len(set(sides.values())) < 2:
        note(
            "there is one document only (or several of one text): nothing is left for validation, so the confidence keeps its defaults"
        )
    guard = Guard.of(project)
    share = max(1, min(per_document, limit // len(ids)))
    made: dict[str, Example] = {}
    dropped = 0
    questions = _questions(project, ids, share, seed)
    if teacher_url:
        documents = (store.load(project.documents, id_) for id_ in ids)
        questions = _both(
            questions, teacher.ask(documents, teacher_url, teacher_model, project.root / "data" / "teacher.jsonl")
        )
    for document, asked in questions:
        kept = [a for a in asked if not guard.holds(a.question)]
        dropped += len(asked) - len(kept)
        for example in _examples(document, kept, sides[document.id], outside_share, seed):
            made.setdefault(example.id, example)
    for example in _seeds(project, sides, guard):
        made.setdefault(example.id, example)
    if not made:
        raise UsageError(
            f"no question could be made from {len(ids)} document(s): their texts are too short, or neither English nor Portuguese"
        )
    if dropped:
        note(f"{dropped} questions were left out because they are (nearly) questions of evals/")
    rows = sorted(made.values(), key=lambda e: e.id)
    tasks = sorted({e.task for e in rows})
    for task in tasks:
        write_jsonl(project.examples / f"{task}.jsonl", (e.to_json() for e in rows if e.task == task))
    for stale in sorted(project.examples.glob("*.jsonl")):
        if stale.stem not in tasks:
            stale.unlink()
    stamp.write(path, inputs, [project.examples / f"{task}.jsonl" for task in tasks])
    return _report(project, rows, f"{len(rows)} examples from {len(ids)} documents.", left_out=dropped)


Questions = Iterator[tuple[Document, list[Asked]]]


def _questions(project: Project, ids: list[str], share: int, seed: int) -> Questions:
    for id_ in track(ids, "synth"):
        document = store.load(project.documents, id_)
        yield document, list(ask(document, random.Random(f"{seed} {id_}"), share))


def _both(first: Questions, second: Questions) -> Questions:
    yield from first
    yield from second


def _examples(
    document: Document, asked: list[Asked], side: Split, outside_share: float, seed: int
) -> Iterator[Example]:
    """A document's examples. Wrong texts come from the same document: they are the ones hard to tell apart."""
    rng = random.Random(f"{seed} {document.id} examples")
    passages = cut(document)
    for one in asked:
        for example in judge_task.make(one, asked, rng):
            yield replace(example, split=side)
        home = at(passages, one.span.start)
        if home is None or one.span.end > home.end:
            continue
        away = [p for p in passages if p.start != home.start]
        for example in answer_task.make(one, home, rng.choice(away) if away and rng.random() < 0.4 else None):
            yield replace(example, split=side)
    if document.language in ("en", "pt") and passages:
        stream = outside.questions(document.language, rng)
        for _ in range(round(len(asked) * outside_share)):
            yield replace(_refused(next(stream), document.language, rng.choice(passages)), split=side)


def _refused(question: str, language: str, passage: Passage) -> Example:
    return answer_task.outside(question, language, passage)


def _seeds(project: Project, sides: dict[str, Split], guard: Guard) -> Iterator[Example]:
    """People's own examples: {"question", "answer", "document"?} or {"messages": [...]}, in seeds/*.jsonl."""
    folder = project.root / "seeds"
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
        for number, row in enumerate(read_jsonl(path), 1):
            yield from _seed(row, f"{path} line {number}", project, sides, guard)


def _seed(
    row: dict[str, Any], where: str, project: Project, sides: dict[str, Split], guard: Guard
) -> Iterator[Example]:
    from mirim.examples.tasks import example

    if isinstance(row.get("messages"), list):
        try:
            messages = tuple(Message.from_json(m) for m in row["messages"])
        except (KeyError, TypeError) as error:
            raise UsageError(f'{where}: a message is {{"role", "content"}} ({error})') from error
        if len(messages) < 2 or messages[-1].role != "assistant":
            raise UsageError(f"{where}: the last message must be the assistant's")
        if not any(m.role == "user" and guard.holds(m.content) for m in messages):
            yield example("chat", messages[:-1], messages[-1].content, (), {"kind": "seed"}, origin="import")
        return
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise UsageError(f'{where}: expected {{"question", "answer"}} or {{"messages"}}')
    if guard.holds(question):
        return
    id_ = str(row.get("document") or "")
    if id_ and id_ in sides:
        document = store.load(project.documents, id_)
        start = document.text.find(answer[:200])
        home = at(cut(document), start) if start >= 0 else None
        if home is not None:
            metadata = {"question": question, "language": document.language, "kind": "seed"}
            prompt = judge_task.messages(home.text[start - home.start :][:400], home.heading, question)
            yield replace(example("judge", prompt, "yes", (), metadata, origin="import"), split=sides[id_])
            prompt = answer_task.messages(question, [home], document.language)
            yield replace(example("answer", prompt, answer, (), metadata, origin="import"), split=sides[id_])
            return
    yield example(
        "chat", (Message("user", question),), answer, (), {"question": question, "kind": "seed"}, origin="import"
    )


def _written(project: Project) -> Iterator[Example]:
    for path in sorted(project.examples.glob("*.jsonl")):
        yield from map(Example.from_json, read_jsonl(path))


def _report(project: Project, rows: list[Example], summary: str, left_out: int = 0) -> Report:
    counts = Counter(
        (e.task, str(e.metadata.get("kind", "")), str(e.metadata.get("language", "")), e.split) for e in rows
    )
    table = Table(
        "Examples", ("task", "kind", "language", "split", "count"), tuple((*k, n) for k, n in sorted(counts.items()))
    )
    shown = [e for e in rows if e.task == "judge" and e.messages[-1].content == "yes"]
    step = max(1, len(shown) // 8)
    samples = Table(
        "Some questions",
        ("question", "answered by"),
        tuple((e.metadata["question"], e.messages[0].content.split("\n?")[0][:160]) for e in shown[::step][:8]),
    )
    data = {
        "examples": len(rows),
        "train": sum(e.split == "train" for e in rows),
        "valid": sum(e.split == "valid" for e in rows),
        "tasks": dict(sorted(Counter(e.task for e in rows).items())),
        "left_out": left_out,
        "path": str(project.examples),
    }
    return Report("Examples", summary, (table, samples), data=data)
