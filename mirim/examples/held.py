"""Questions that people wrote to measure with: read here, and kept out of everything that is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mirim.core.errors import UsageError
from mirim.core.files import read_jsonl
from mirim.core.project import Project
from mirim.documents.words import STOPWORDS, stem, tokens

#: Two questions that share this much of their words (Jaccard) are the same question.
SAME = 0.8


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
        for key, kind in (("id", (str, int)), ("question", str), ("answer", str), ("answerable", bool)):
            if not isinstance(row.get(key), kind):  # type: ignore[arg-type]
                raise UsageError(
                    f'{path} line {number}: "{key}" is {row.get(key)!r}; '
                    'a line is {"id", "question", "answer", "answerable", "document"}'
                )
        yield HeldOut(str(row["id"]), row["question"], row["answer"], row["answerable"], str(row.get("document") or ""))


class Guard:
    """Says whether a question is one of the held-out ones, or nearly."""

    def __init__(self, questions: list[str]) -> None:
        self._sets = [_words(q) for q in questions]
        self._by_word: dict[str, list[int]] = {}
        for i, words in enumerate(self._sets):
            for word in words:
                self._by_word.setdefault(word, []).append(i)

    @classmethod
    def of(cls, project: Project) -> Guard:
        return cls([h.question for path in project.eval_files() for h in read(path)])

    def holds(self, question: str) -> bool:
        words = _words(question)
        counts: dict[int, int] = {}
        for word in words:
            for i in self._by_word.get(word, ()):
                counts[i] = counts.get(i, 0) + 1
        return any(n / len(words | self._sets[i]) >= SAME for i, n in counts.items())


def _words(question: str) -> frozenset[str]:
    """Stems of either language: the same question with other small words stays the same question."""
    words = tokens(question)
    content = [w for w in words if w not in STOPWORDS["en"] and w not in STOPWORDS["pt"]]
    return frozenset(stem(w, "pt") if len(w) > 3 else w for w in content or words)
