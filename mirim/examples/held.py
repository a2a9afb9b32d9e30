"""Questions that people wrote to measure with: read here, and kept out of everything that is trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mirim.audit.overlap import Overlap
from mirim.core.errors import UsageError
from mirim.core.files import numbered_jsonl
from mirim.core.project import Project


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A line of evals/*.jsonl.

    document   id of the document that answers, '' when none does
    place      file and line
    """

    id: str
    question: str
    answer: str
    answerable: bool
    document: str = ""
    place: str = ""


_KINDS = {"id": (str, int), "question": (str,), "answer": (str,), "answerable": (bool,), "document": (str,)}
_SHAPE = f"a line is {{{', '.join(json.dumps(key) for key in _KINDS)}}}"


def read(path: Path) -> Iterator[HeldOut]:
    """The questions of a file; UsageError names the line and the key that is missing or of the wrong type."""
    for number, row in numbered_jsonl(path):
        place = f"{path} line {number}"
        # Nobody writes an answer to what has none, or its document.
        row = {"document": None} | row
        for key in ("document", *["answer"] * (row.get("answerable") is False)):
            row[key] = "" if row.get(key) is None else row[key]
        for key, kinds in _KINDS.items():
            # To Python true is a whole number.
            if type(row.get(key)) not in kinds:
                what = f"is {json.dumps(row[key])}" if key in row else "is missing"
                raise UsageError(f'{place}: "{key}" {what}; {_SHAPE}')
        if not str(row["id"]).strip() or not row["question"].strip():
            raise UsageError(f"{place}: the id or the question is empty; {_SHAPE}")
        if row["answerable"] and not re.search(r"\w", row["answer"]):
            raise UsageError(f'{place}: the answer is empty; where there is none, write "answerable": false')
        yield HeldOut(str(row["id"]), row["question"], row["answer"], row["answerable"], row["document"], place)


def read_all(paths: Iterable[Path]) -> list[HeldOut]:
    """The questions of all files; UsageError names both places of an id that stands twice."""
    found: dict[str, HeldOut] = {}
    for path in paths:
        for asked in read(path):
            if asked.id in found:
                raise UsageError(
                    f'{asked.place}: the id "{asked.id}" stands in {found[asked.id].place} too; give each its own'
                )
            found[asked.id] = asked
    return list(found.values())


class Guard(Overlap):
    """Keeps the questions of evals/ out of everything that is trained on."""

    @classmethod
    def of(cls, project: Project) -> Guard:
        return cls([asked.question for asked in read_all(project.eval_files())])
