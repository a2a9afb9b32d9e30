"""Ways of wording an answer, one file each: `write(task) -> Draft`, found by file name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mirim.assist.rank import Ranked
from mirim.core.types import Citation, Engine, Message


@dataclass(frozen=True, slots=True)
class Task:
    """What a policy words its answer from. `ranked` is best first and never empty."""

    question: str
    language: str
    ranked: Sequence[Ranked]
    history: Sequence[Message]
    engine: Engine | None
    words: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer's text and what it rests on; an empty text means that nothing could be said."""

    text: str
    citations: tuple[Citation, ...] = ()
    removed: tuple[str, ...] = ()


def cite(ranked: Sequence[Ranked], limit: int = 5) -> tuple[Citation, ...]:
    """Citations of the ranked sentences, best first, each with the question or label above it; neighbours make one.

    What stands apart and is the best of all opens the first: behind what stands before it, that would be read as the
    answer.
    """
    spans: list[Citation] = []
    opening = bool(ranked) and ranked[0].apart
    for row in ranked:
        c = row.candidate
        for i, span in enumerate(spans):
            if opening and i == 0 and c.opens < span.start:
                continue
            if span.document == c.passage.document and _touch(span, c.opens, c.end, c.passage.start, c.passage.end):
                start, end = min(span.start, c.opens), max(span.end, c.end)
                spans[i] = _citation(row, start, end)
                break
        else:
            if len(spans) < limit:
                spans.append(_citation(row, c.opens, c.end))
    return tuple(spans)


def _touch(span: Citation, start: int, end: int, low: int, high: int) -> bool:
    """Whether two sentences of one passage stand side by side, with nothing but space between them."""
    inside = low <= span.start and span.end <= high
    return inside and (0 <= start - span.end <= 2 or 0 <= span.start - end <= 2)


def _citation(row: Ranked, start: int, end: int) -> Citation:
    p = row.candidate.passage
    page = p.page
    return Citation(p.document, p.source, page, start, end, p.text[start - p.start : end - p.start])
