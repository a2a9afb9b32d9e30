"""A table's rows, which are nearly alike to words and to meaning: which of them comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mirim.assist.rank import Ranked
from mirim.documents.words import stems

#: Sentences, the best first, whose tables are looked at.
COMPARED = 40


def tables(ranked: Sequence[Ranked]) -> list[list[int]]:
    """Where the rows of each table stand, the best first."""
    found: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    for at, row in enumerate(ranked[:COMPARED]):
        c = row.candidate
        if c.header:
            found.setdefault((c.passage.document, c.lead, c.header), []).append(at)
    return list(found.values())


def put_first(rows: list[Ranked], places: Sequence[int], at: int) -> None:
    """Give the row `at` one of a table's `places` the first of them, and each before it the next; scores stay."""
    before = [place for place in places if place <= at]
    scores = [rows[place].score for place in before]
    moved = [rows[at], *(rows[place] for place in before[:-1])]
    for place, row, score in zip(before, moved, scores, strict=True):
        rows[place] = replace(row, score=score)


def named(question: str, row: Ranked) -> int:
    """How many words of a question a row has; that 12 years cost 12 pounds is chance."""
    language = row.candidate.passage.language
    asked, said = (set(stems(text, language, content=True)) for text in (question, row.candidate.text))
    return sum(not word.isdigit() for word in asked & said)


def latest_first(questions: Sequence[str], ranked: Sequence[Ranked]) -> list[Ranked]:
    """The sentences, best first; of each table's rows the one with most words of the latest of some questions, else of
    the one before it, and so on, has the place of the best: "and the tandem?" leaves the road bike."""
    rows = list(ranked)
    for places in tables(rows):
        counted = {at: [named(question, rows[at]) for question in questions] for at in places}
        put_first(rows, places, max(places, key=lambda at: counted[at]))
    return rows
