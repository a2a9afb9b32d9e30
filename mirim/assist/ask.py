"""`mirim ask`: one question, or a file of them, answered from a project's documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mirim.core.errors import UsageError
from mirim.core.files import numbered_jsonl
from mirim.core.project import Project
from mirim.core.types import Answer
from mirim.core.verbs import verb

#: Passages whose vectors `build` makes by default: about a minute and a half of work on two cores, and 20 MB.
VECTORS = 2000


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with the id of its question."""

    id: str | int
    answer: Answer

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, **self.answer.to_json()}

    def to_text(self) -> str:
        return f"{self.id}: {self.answer.question}\n{self.answer.to_text()}\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers one by one, as they come."""

    rows: Iterator[Answered]

    def to_lines(self) -> Iterator[Answered]:
        return self.rows


@verb
def ask(
    project: Project,
    question: str = "",
    *,
    file: Path | None = None,
    model: str = "",
    policy: Literal["", "quote", "grounded", "free"] = "",
    words: int = 0,
    refuse: Literal["unsupported", "outside"] = "unsupported",
    vectors: int = VECTORS,
    engine: str = "",
) -> Answer | Answers:
    """Answer from the project's documents, with citations, or say that it is not known.

    Args:
        question: The question.
        file: JSON lines {"id", "question"}, each id once; one answer a line comes out.
        model: Model to use instead of the project's own; "none" answers by search alone.
        policy: quote (default), grounded or free.
        words: How many words an answer may quote, more only where one sentence is longer; 0 takes the policy's default.
        refuse: What the threshold that build fits must refuse: questions whose passage is missing, or, where many
            pages say the same, only those outside the documents' subject. Read from mirim.toml when building.
        vectors: Up to how many passages build makes vectors of what they mean, so that a question also finds what says
            the same in other words; 0 searches by words alone. Read from mirim.toml when building.
        engine: Engine to run the model with; chosen by the model's format when empty.
    """
    from mirim.assist.answer import Assistant

    if bool(question.strip()) == (file is not None):
        raise UsageError("ask one question or give --file questions.jsonl, not both and not neither")
    if file is None:
        with Assistant.open(project, model=model, policy=policy, words=words, engine=engine) as assistant:
            return assistant.answer(question)
    rows = list(_questions(file))
    assistant = Assistant.open(project, model=model, policy=policy, words=words, engine=engine)
    return Answers(_answer_all(assistant, rows))


def _questions(path: Path) -> Iterator[tuple[str | int, str]]:
    """(id, question) of each line. Answers are matched by id, so that no two lines may have one."""
    places: dict[str, int] = {}
    for number, row in numbered_jsonl(path):
        for name, kinds in (("id", (str, int)), ("question", (str,))):
            # To Python true is a whole number.
            if type(row.get(name)) not in kinds:
                what = f"is {json.dumps(row[name])}" if name in row else "is missing"
                raise UsageError(f'{path} line {number}: "{name}" {what}; a line is {{"id", "question"}}')
        key, question = row["id"], row["question"]
        if not question.strip():
            raise UsageError(f"{path} line {number}: the question is empty")
        if str(key) in places:
            first = places[str(key)]
            raise UsageError(f'{path} line {number}: the id "{key}" stands in line {first} too; give each its own')
        places[str(key)] = number
        yield key, question


def _answer_all(assistant: Any, rows: list[tuple[str | int, str]]) -> Iterator[Answered]:
    with assistant:
        for key, question in rows:
            yield Answered(key, assistant.answer(question))
