"""`mirim synth`: documents to training examples and held-out ones, alone or with a teacher."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from mirim.audit import seeds
from mirim.audit.private import concealed
from mirim.core import stamp
from mirim.core.database import explained
from mirim.core.errors import UsageError
from mirim.core.files import read_jsonl
from mirim.core.progress import note, track
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.types import Document, Example
from mirim.core.verbs import verb
from mirim.documents import store
from mirim.examples import imported, teacher
from mirim.examples.filter import LONGEST, reason
from mirim.examples.held import Guard
from mirim.examples.maker import Maker
from mirim.examples.split import split, spread
from mirim.examples.spool import Spool

#: Raised whenever equal documents give other examples.
VERSION = "3"


@verb
def synth(
    project: Project,
    *,
    teacher_url: str = "",
    teacher_model: str = "",
    per_document: int = 24,
    limit: int = 12_000,
    valid_share: float = 0.15,
    outside_share: float = 0.1,
    seed: int = 0,
) -> Report:
    """Make training examples from the documents: questions with answers at known offsets, and some to refuse.

    The documents are split into training and validation first, so nothing leaks from one to the other.
    Questions in evals/ are never used; people's own examples in seeds/*.jsonl and seeds/*.csv are.

    Args:
        teacher_url: OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; it writes further questions.
        teacher_model: The teacher's model name; its key is read from MIRIM_TEACHER_KEY.
        per_document: Questions made of a document at most.
        limit: Questions in all at most, spread evenly over the documents.
        valid_share: Share of the documents kept for validation.
        outside_share: Questions that no document answers, beside those that one does.
        seed: Seed of every choice; 0 takes the project's.
    """
    _check(per_document, limit, valid_share, outside_share, teacher_url, teacher_model)
    seed = seed or project.seed
    ids = store.ids(project.documents) if project.documents.is_dir() else []
    if not ids:
        raise UsageError(f"{project.root} has no documents; type: mirim ingest PATH... {project.flag}")
    settings: dict[str, Any] = {
        "version": VERSION, "teacher": [teacher_url, teacher_model], "per_document": per_document, "limit": limit,
        "valid_share": valid_share, "outside_share": outside_share, "seed": seed,
    }  # fmt: skip
    inputs = stamp.fingerprint(settings, project.documents, project.evals, project.root / "seeds")
    path = project.stamps / "synth-inputs.json"
    if stamp.fresh(path, inputs):
        counts = Counter(_key(e) for e in _written(project))
        return _report(project, counts, Counter(), "Up to date: nothing that the examples were made from has changed.")
    chosen = spread(ids, limit, seed)
    sides = split((store.load(project.documents, id_) for id_ in track(chosen, "split")), valid_share, seed)
    guard = Guard.of(project)
    share = max(1, min(per_document, limit // len(chosen)))
    left_out: Counter[str] = Counter()
    known, strange = {"", *ids}, list[str]()
    unused: dict[str, list[str]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        stack.enter_context(explained(project.root / "data", "run again"))
        spool = stack.enter_context(Spool(project.root / "data"))
        maker = stack.enter_context(Maker(project, sides, guard, seed, outside_share, valid_share, left_out))

        def take(examples: Iterator[Example], document: Document | None) -> str:
            """Why the last one was left out; "" where any was taken, or "nothing found" where there are none."""
            last, taken = "nothing found", False
            for example in examples:
                why = reason(example, document, guard)
                if why:
                    left_out[why] += 1
                    last = why
                else:
                    spool.add(example)
                    taken = True
            return "" if taken else last

        for id_ in track(chosen, "synth"):
            document = store.load(project.documents, id_)
            take(maker.examples(document, maker.asked(document, share)), document)
        if teacher_url:
            asking = teacher.ask(project.documents, chosen, teacher_url, teacher_model, project.root / "data")
            for document, asked in asking:
                take(maker.examples(document, maker.allowed(asked), origin="teacher"), document)
        for file in seeds.files(project):
            for one in track(imported.read(file), file.name):
                if one.document not in known:
                    strange.append(one.document)
                if any(map(guard.holds, one.asked)):
                    left_out["held out"] += 1
                    why = "held out"
                else:
                    why = take(*maker.seeded(one))
                if why:
                    unused[why].append(one.asked[0] if one.asked else "")
        if not spool.counts:
            private = f", and {left_out['private']} examples hold numbers of persons or passwords" * (
                "private" in left_out
            )
            raise UsageError(
                f"no question could be made from {len(ids)} document(s): their texts are too short, or neither English "
                f"nor Portuguese{private}; write examples of your own into seeds/examples.jsonl"
            )
        outputs = spool.write(project.examples)
        counts = spool.counts
    stamp.write(path, inputs, outputs)
    for line in (*_passed_over(project), *_notes(sides, left_out, len(ids), len(chosen), strange, unused)):
        note(line)
    return _report(project, counts, left_out, f"{sum(counts.values())} examples from {len(chosen)} documents.")


def _check(per_document: int, limit: int, valid_share: float, outside_share: float, url: str, model: str) -> None:
    for name, share in (("valid-share", valid_share), ("outside-share", outside_share)):
        if not 0 <= share < 1:
            raise UsageError(f"--{name} {share} is not between 0 and 1")
    for name, value in (("per-document", per_document), ("limit", limit)):
        if value < 1:
            raise UsageError(f"--{name} {value} is too small; at least 1")
    if bool(url) != bool(model):
        raise UsageError("a teacher needs both --teacher-url and --teacher-model")
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f'--teacher-url "{url}" is not an address; such as http://127.0.0.1:8000/v1')


#: What keeps a person's own example from being learned.
_WHY = {
    "held out": "evals/ has the question, or one that is nearly the same",
    "too long": f"it has more than {LONGEST:,} characters",
    "empty": "a message of it is empty",
    "not grounded": "its answer does not stand in the document as it is there",
    "private": "it holds a number that names one person, or a password; take it out of seeds/",
    "nothing found": "the documents have no passage for it",
}


def _passed_over(project: Project) -> Iterator[str]:
    """Files of seeds/ that look like examples and are not read."""
    folder = project.root / "seeds"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in (".json", ".xlsx", ".ods", ".zst", ".parquet"):
            yield (
                f"seeds/{path.name} is not read: examples are lines of JSON in seeds/*.jsonl, each "
                '{"question": "...", "answer": "..."}, or rows of seeds/*.csv with the columns question and answer'
            )


def _notes(
    sides: Mapping[str, str],
    left_out: Counter[str],
    every: int,
    chosen: int,
    strange: list[str],
    unused: Mapping[str, list[str]],
) -> Iterator[str]:
    if len(sides) == 1:
        yield (
            "there is one document only: its last part is kept for validation, so the figures on it flatter; "
            "more documents make them honest"
        )
    elif len(set(sides.values())) < 2:
        yield "the documents are all of one text: nothing is left for validation, and the confidence keeps its defaults"
    if strange:
        yield (
            f'{len(strange)} of your own examples name a document that there is not, such as "{strange[0]}": '
            "they are learned without one"
        )
    for why, asked in unused.items():
        yield f'{len(asked)} of your own examples are not learned, such as "{concealed(asked[0])[:60]}": {_WHY[why]}'
    if chosen < every:
        yield f"examples are made from {chosen} of {every} documents (--limit)"
    if left_out["held out"]:
        yield f"{left_out['held out']} questions were left out because they are (nearly) questions of evals/"
    if left_out["private"]:
        yield (
            f"{left_out['private']} examples were left out because they hold a number that names one person, or a "
            "password: nobody who asks is to be told it; type: mirim audit, which says where it stands"
        )
    if left_out["language"]:
        yield f"{left_out['language']} documents are neither English nor Portuguese: no questions were made from them"


def _written(project: Project) -> Iterator[Example]:
    for path in sorted(project.examples.glob("*.jsonl")):
        yield from map(Example.from_json, read_jsonl(path))


def _key(e: Example) -> tuple[str, str, str, str]:
    return e.task, str(e.metadata.get("kind", "")), str(e.metadata.get("language", "")), e.split


def _report(
    project: Project, counts: Counter[tuple[str, str, str, str]], left_out: Counter[str], summary: str
) -> Report:
    table = Table(
        "Examples", ("task", "kind", "language", "split", "count"), tuple((*k, n) for k, n in sorted(counts.items()))
    )
    samples = Table("Some questions", ("question", "answered by"), tuple(_samples(project)))
    tasks: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    for (task, _, _, side), n in counts.items():
        tasks[task] += n
        splits[side] += n
    data = {
        "examples": sum(counts.values()),
        "train": splits["train"],
        "valid": splits["valid"],
        "tasks": dict(sorted(tasks.items())),
        "left_out": dict(sorted(left_out.items())),
        "path": str(project.examples),
    }
    return Report("Examples", summary, (table, samples), data=data)


def _samples(project: Project, most: int = 8) -> Iterator[tuple[str, str]]:
    """A few questions with their texts, spread over the file without holding it."""
    path = project.examples / "judge.jsonl"
    if not path.is_file():
        return
    shown = [
        (str(row["metadata"].get("question", "")), row["messages"][0]["content"].rpartition("\n? ")[0][-160:])
        for i, row in enumerate(read_jsonl(path))
        if i % 37 == 0 and row["messages"][-1]["content"] == "yes"
    ]
    yield from shown[:: max(1, len(shown) // most)][:most]
