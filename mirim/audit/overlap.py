"""Whether a text says, or nearly says, one of some given questions: for leaks between tests and training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from mirim.documents.words import STOPWORDS, stem, tokens

#: Two questions that share this much of their words (Jaccard) are the same question.
SAME = 0.8
#: Words by which a question is looked up inside a text.
_OPENING = 4
#: Letters of a question at least, and what one ends with or begins behind.
_SHORT = 6
_PARTS = re.compile(r"[.!?\n|>:]")


def _questions(text: str) -> Iterator[str]:
    last = 0
    for mark in _PARTS.finditer(text):
        if mark.group() == "?" and mark.start() - last >= _SHORT:
            yield text[last : mark.end()]
        last = mark.end()


class Overlap:
    """Says whether a question is one of the given ones, or nearly: by all its words, or by those that matter."""

    def __init__(self, questions: list[str]) -> None:
        measures: tuple[Callable[[str], frozenset[str]], ...] = (_words, _all)
        self._measures = [(measure, _Sets([measure(q) for q in questions])) for measure in measures]
        self._openings: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for question in questions:
            words = tuple(tokens(question))
            if len(words) >= _OPENING:
                self._openings.setdefault(words[:_OPENING], []).append(words)

    def holds(self, question: str) -> bool:
        """Whether a question is one of the given ones, or as good as."""
        return bool(question) and any(sets.near(measure(question)) for measure, sets in self._measures)

    def inside(self, text: str) -> bool:
        """Whether a text (a prompt, a passage, a heading) holds a given question somewhere."""
        if "?" in text and any(self.holds(q) for q in _questions(text)):
            return True
        words = tokens(text)
        for i in range(len(words) - _OPENING + 1):
            for whole in self._openings.get(tuple(words[i : i + _OPENING]), ()):
                if tuple(words[i : i + len(whole)]) == whole:
                    return True
        return False


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
