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
from mirim.examples.units import units
from mirim.models import reader

#: Passages that are read, those of the best sentences, and how many are remembered: a question is ranked more than
#: once where it follows another or calibration asks it.
MOST, _KEPT = 4, 1024


def read(question: str, ranked: Sequence[Ranked]) -> list[Ranked]:
    """The same sentences, best first, now that those of the best passages were read; see `Ranked.features`."""
    passages = dict.fromkeys(row.candidate.passage for row in ranked)
    odds: dict[tuple[str, int], float] = {}
    for passage in islice(passages, MOST):
        for start, one in _odds(question, passage):
            # Passages overlap: what is read twice counts where it is surest.
            key = passage.document, start
            odds[key] = max(one / reader.LIMIT, odds.get(key, UNREAD))
    return sorted((_with(row, odds) for row in ranked), key=place)


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
