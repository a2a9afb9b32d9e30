"""Questions that people wrote to measure with: read here, and kept out of everything that is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mirim.audit.overlap import Overlap
from mirim.core.errors import UsageError
from mirim.core.files import read_jsonl
from mirim.core.project import Project


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A line of evals/*.jsonl. `document` is the id of the document that answers, '' when none does."""

    id: str
    question: str
    answer: str
    answerable: bool
    document: str = ""


def read(path: Path) -> Iterator[HeldOut]:
    """The questions of a file; UsageError names the line and the key that is missing or of the wrong type."""
    for number, row in enumerate(read_jsonl(path), 1):
        if row.get("answerable") is False and row.get("answer") is None:
            # Nobody writes an answer to what has none.
            row["answer"] = ""
        for key, kind in (("id", (str, int)), ("question", str), ("answer", str), ("answerable", bool)):
            if not isinstance(row.get(key), kind):
                raise UsageError(
                    f'{path} line {number}: "{key}" is {row.get(key)!r}; '
                    'a line is {"id", "question", "answer", "answerable", "document"}'
                )
        yield HeldOut(str(row["id"]), row["question"], row["answer"], row["answerable"], str(row.get("document") or ""))


class Guard(Overlap):
    """Keeps the questions of evals/ out of everything that is trained on."""

    @classmethod
    def of(cls, project: Project) -> Guard:
        return cls([h.question for path in project.eval_files() for h in read(path)])
