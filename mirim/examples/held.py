"""Questions that people wrote to measure with: read here, and kept out of everything that is trained on."""

from __future__ import annotations

import math
import re
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
    """Says whether a question is one of the held-out ones, or nearly: by all its words, or by those that matter."""

    def __init__(self, questions: list[str]) -> None:
        self._measures = [(measure, _Sets([measure(q) for q in questions])) for measure in (_words, _all)]
        self._openings: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for question in questions:
            words = tuple(tokens(question))
            if len(words) >= _OPENING:
                self._openings.setdefault(words[:_OPENING], []).append(words)

    @classmethod
    def of(cls, project: Project) -> Guard:
        return cls([h.question for path in project.eval_files() for h in read(path)])

    def holds(self, question: str) -> bool:
        """Whether a question is a held-out one, or as good as."""
        return bool(question) and any(sets.near(measure(question)) for measure, sets in self._measures)

    def inside(self, text: str) -> bool:
        """Whether a text (a prompt, a passage, a heading) holds a held-out question somewhere."""
        if any(self.holds(q) for q in _QUESTION.findall(text)):
            return True
        words = tokens(text)
        for i in range(len(words) - _OPENING + 1):
            for whole in self._openings.get(tuple(words[i : i + _OPENING]), ()):
                if tuple(words[i : i + len(whole)]) == whole:
                    return True
        return False


#: Words by which a held-out question is looked up inside a text.
_OPENING = 4
_QUESTION = re.compile(r"[^.!?\n|>:]{6,}\?")


class _Sets:
    """Sets of words, and whether another set is nearly one of them (Jaccard ≥ SAME)."""

    def __init__(self, sets: list[frozenset[str]]) -> None:
        self._sets = sets
        self._by_word: dict[str, list[int]] = {}
        for i, words in enumerate(sets):
            for word in words:
                self._by_word.setdefault(word, []).append(i)

    def near(self, words: frozenset[str]) -> bool:
        # Two sets with a Jaccard of SAME share a word among any few of one: the rarest are looked up.
        rarest = sorted(words, key=lambda w: len(self._by_word.get(w, ())))
        few = rarest[: len(words) - math.ceil(SAME * len(words)) + 1]
        candidates = {i for w in few for i in self._by_word.get(w, ())}
        return any(len(words & self._sets[i]) >= SAME * len(words | self._sets[i]) for i in candidates)


def _all(question: str) -> frozenset[str]:
    return frozenset(tokens(question))


def _words(question: str) -> frozenset[str]:
    """Stems of either language: the same question with other small words stays the same question."""
    words = tokens(question)
    content = [w for w in words if w not in STOPWORDS["en"] and w not in STOPWORDS["pt"]]
    return frozenset(stem(w, "pt") if len(w) > 3 else w for w in content or words)
