"""Quote: the answer is stretches of the documents, word for word. It cannot invent."""

from __future__ import annotations

from collections.abc import Container, Sequence

from mirim.assist.features import NAMES
from mirim.assist.policies import Draft, Task, cite
from mirim.assist.rank import Ranked
from mirim.examples.units import readable

#: Words that an answer quotes; only a single longer sentence may go beyond.
WORDS = 150
#: Share of them that one stretch takes at most, so that a wrong first choice leaves room for others.
STRETCH = 1 / 3
#: Stretches at most.
MOST = 5
#: A question is about a whole section when the section's heading holds this share of the question.
SECTION = 0.75

_LEAD = NAMES.index("lead")


def write(task: Task) -> Draft:
    """What `choose` chooses; neighbours make one quotation, each in reading order."""
    citations = cite(choose(task.ranked, task.words or WORDS), MOST)
    passages = {r.candidate.passage.id: r.candidate.passage for r in task.ranked}.values()
    texts = []
    for c in citations:
        home = next(p for p in passages if p.document == c.document and p.start <= c.start and c.end <= p.end)
        texts.append(readable(home, c.start, c.end))
    return Draft("\n\n".join(texts), citations)


def choose(ranked: Sequence[Ranked], words: int = WORDS) -> list[Ranked]:
    """The sentences to quote: stretch by stretch, the best first; of a question that a heading answers, its section.

    A stretch grows from the best sentence that is not quoted yet to the better of its neighbours, again and
    again, inside one section or below one question of an FAQ.
    """
    section = _section(ranked, words)
    if section:
        return section
    homes: dict[tuple[str, str], list[Ranked]] = {}
    for row in sorted(ranked, key=lambda r: r.candidate.start):
        homes.setdefault(_home(row), []).append(row)
    chosen: dict[int, Ranked] = {}
    left = words
    stretches = 0
    for row in ranked:
        if id(row) in chosen:
            continue
        if chosen and (stretches == MOST or _size(row) > left):
            break
        stretch = _grow(row, homes[_home(row)], chosen, min(left, int(words * STRETCH)))
        chosen.update((id(r), r) for r in stretch)
        left -= sum(map(_size, stretch))
        stretches += 1
    return list(chosen.values())


def _grow(row: Ranked, home: Sequence[Ranked], taken: Container[int], room: int) -> Sequence[Ranked]:
    """The stretch of `home` around a sentence that fits into `room` words; a table row stands for itself."""
    low = high = next(i for i, r in enumerate(home) if r is row)
    if row.apart:
        return [row]
    room -= _size(row)
    while True:
        beside = [i for i in (low - 1, high + 1) if 0 <= i < len(home) and not home[i].apart]
        beside = [i for i in beside if id(home[i]) not in taken and _size(home[i]) <= room]
        if not beside:
            return home[low : high + 1]
        best = max(beside, key=lambda i: home[i].score)
        room -= _size(home[best])
        low, high = min(low, best), max(high, best)


def _section(ranked: Sequence[Ranked], words: int) -> list[Ranked]:
    """The best sentence's section from its start when its heading holds the question, otherwise nothing."""
    best = ranked[0]
    home = best.candidate
    section = [
        r for r in ranked if r.candidate.passage.document == home.passage.document and r.candidate.lead == home.lead
    ]
    # What every sentence of a section has together with its heading is what the heading has; of one, nobody can tell.
    if len(section) < 2 or min(r.features[_LEAD] for r in section) < SECTION:
        return []
    chosen: list[Ranked] = []
    for row in sorted(section, key=lambda r: r.candidate.start):
        words -= _size(row)
        if chosen and words < 0:
            break
        chosen.append(row)
    if best in chosen and not home.header:
        return chosen
    # A long section may hold the best sentence beyond what fits: it is what was asked for. A table has no beginning.
    return [best, *(r for r in chosen if r is not best)][: len(chosen)]


def _home(row: Ranked) -> tuple[str, str]:
    return row.candidate.passage.id, row.candidate.lead


def _size(row: Ranked) -> int:
    return len(row.candidate.text.split())
