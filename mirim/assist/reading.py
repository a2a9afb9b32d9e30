"""The passages that search found, read together with the question: which of their sentences answer it, if any does.

Search knows what a passage speaks of; only reading tells whether it says what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from mirim.assist.rank import UNREAD, Ranked, ranker
from mirim.core.types import Passage
from mirim.documents.sentences import sentences
from mirim.examples.units import units
from mirim.models import reader

#: Passages that are read, those of the best sentences, and how many are remembered: a question is ranked more than
#: once where it follows another or calibration asks it.
MOST, _KEPT = 4, 1024
#: Log-odds up to which nothing that was read seems to answer. Then a story may hide what is asked.
NOTHING = -3.0


def read(question: str, language: str, ranked: Sequence[Ranked]) -> list[Ranked]:
    """The same sentences, best first, now that those of the best passages were read; see `Ranked.features`.

    A story is read with what it tells; where nothing answers so, what asks is read without it.
    """
    passages = list(islice(dict.fromkeys(row.candidate.passage for row in ranked), MOST))
    odds = _read(question, passages)
    if max(odds.values(), default=0.0) <= NOTHING / reader.LIMIT:
        alone = _asks(question, language)
        if alone != question.strip():
            odds = _read(alone, passages)
    return sorted((_with(row, odds) for row in ranked), key=place)


def _read(question: str, passages: Sequence[Passage]) -> dict[tuple[str, int], float]:
    """By document and start: sentences' log-odds, -1 to 1."""
    odds: dict[tuple[str, int], float] = {}
    for passage in passages:
        for start, one in _odds(question, passage):
            # Passages overlap: what is read twice counts where it is surest.
            key = passage.document, start
            odds[key] = max(one / reader.LIMIT, odds.get(key, UNREAD))
    return odds


def _asks(question: str, language: str) -> str:
    """The sentences of a question that end in its mark, or the last one."""
    parts = [question[start:end] for start, end in sentences(question, language)]
    return " ".join([part for part in parts if part.rstrip().endswith("?")] or parts[-1:]) or question


def place(row: Ranked) -> tuple[float, str, int]:
    """What sentences are ordered by: the best first, and always the same way."""
    return -row.score, row.candidate.passage.document, row.candidate.start


@lru_cache(_KEPT)
def _odds(question: str, passage: Passage) -> list[tuple[int, float]]:
    """Where each sentence of a passage begins, and its log-odds."""
    (found,) = reader.read(question, [reader.text(passage)])
    return [(unit.start, one) for unit, one in zip(units(passage), found, strict=True)]


def _with(row: Ranked, odds: dict[tuple[str, int], float]) -> Ranked:
    known = odds.get((row.candidate.passage.document, row.candidate.start), UNREAD)
    features = (*row.features[:-1], known)
    return replace(row, features=features, score=row.score + ranker(features) - ranker(row.features))
