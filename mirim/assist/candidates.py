"""From a question to the sentences that may answer it, each with the context that gives it meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mirim.core.types import Passage
from mirim.documents.search import Hit
from mirim.examples.units import units


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence, list item or table row of a passage.

    start, end  offsets in the document
    lead        the heading path and the question or label right above it, which it may be answering
    rank        0-based rank of its passage in the search results; `score` is that passage's search score
    place       0-based place of the sentence below its heading or question
    header      cells of the header of the table that it is a row of
    opens       where the question or label right above it starts, `start` when there is none
    """

    passage: Passage
    start: int
    end: int
    text: str
    lead: str
    rank: int
    score: float
    place: int
    header: tuple[str, ...]
    opens: int


def candidates(hits: Iterable[Hit]) -> list[Candidate]:
    """Every sentence of the hit passages that can stand as an answer, in rank order, none twice."""
    found: dict[tuple[str, int], Candidate] = {}
    for rank, hit in enumerate(hits):
        for u in units(hit.passage):
            one = Candidate(u.passage, u.start, u.end, u.raw, u.lead, rank, hit.score, u.place, u.header, u.opens)
            found.setdefault((u.passage.document, u.start), one)
    return list(found.values())
