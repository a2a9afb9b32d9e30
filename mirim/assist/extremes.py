"""The most or the least of a table: "qual o plano mais barato?", "which pool is deepest?".

No row says that it is the cheapest, so neither words nor meaning find it: the column that is asked about is read as
amounts, and the row that has the most or the least of it comes first. A table counts only in whole, and only where the
question's other words stand over it or in it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from mirim.assist.amounts import Amount, amounts
from mirim.assist.features import Question
from mirim.assist.newest import Day, day_of
from mirim.assist.rank import Ranked
from mirim.assist.superlatives import Superlative
from mirim.core.types import Passage
from mirim.documents.passages import cells
from mirim.documents.words import fold, kindred, stem, stems
from mirim.examples.units import Unit, units

#: The share of a question's weight, its superlative left out, that has to stand over a table or in it; and where the
#: question has a word of the column's name.
LEAST, LEAST_NAMED = 0.5, 0.3
#: What a column has whose name a word of the question stands in, see `_column`.
NAMED = 1.5
#: Rows that a table needs to have a most and a least, the share of them that has to be amounts, and rows that tie.
ROWS, READ, TIES = 3, 0.6, 3
#: Documents whose tables are looked at, and passages that one has at most.
DOCUMENTS, LONGEST = 12, 400
#: Log-odds that such a row is right.
TOLD = 1.0


#: What nobody asks about: words that carry the question.
_CARRIES = frozenset(
    "cost costs costing pay pays paid price priced take takes taking have has offer offers sell sells sold get got"
    " there place one ones option options thing things all every much many long big far deep high old today custa"
    " custam pagar paga tem ter oferece vende existe leva demora fica ficar sai sair entre todos todas qual quanto"
    " hoje what whats which who go goes going you voce voces space espaco model modelo type tipo kind".split()
)


_ITEM = re.compile(r"[ \t]*[-*+•][ \t]")
_NAMED = re.compile(r"([^:–—]{2,60})(?::| [–—-])\s+(.{1,80})")


@dataclass(frozen=True, slots=True)
class Extreme:
    """Rows that answer, by their document and where they start, and the passages that they stand in."""

    rows: frozenset[tuple[str, int]]
    passages: tuple[Passage, ...]


class _Column(NamedTuple):
    """A table's column, how far its name says that it is asked about, and the amounts of a kind that some rows have."""

    at: int
    named: float
    kind: str
    told: dict[int, Amount]


@dataclass
class _Table:
    """Cells below a header, and what each row is in the text; of a turned table each column is."""

    header: Sequence[str]
    values: list[list[str]]
    units: list[Unit]
    is_turned: bool = False

    def turned(self) -> _Table:
        """As if rows were columns: some tables have a column for each thing that they tell of."""
        columns = [list(column) for column in zip(self.header, *self.values, strict=True)]
        return _Table(columns[0], columns[1:], self.units, True)

    def unit(self, row: int, column: int) -> Unit:
        return self.units[column - 1 if self.is_turned else row]


def extreme(asked: Superlative, question: Question, whole: Question, passages: Sequence[Passage]) -> Extreme | None:
    """The rows of the table that is asked about with the most or the least of it; None where no table tells.

    question    `asked.rest` as features see it, and `whole` all that is asked
    passages    all of some documents, each document's in their order
    """
    tables = _tables(passages)
    turned = [] if asked.adjective.bare else [table.turned() for table in tables]
    lists = _lists(passages) if asked.adjective.kinds else []
    for some in (tables, turned, lists):
        found = [one for table in some if (one := _of(table, asked, question, whole))]
        if found:
            # Of an old list and a new one that fit alike the new one tells.
            return max(found, key=lambda one: (one[0], _day(one[1].passages[0])))[1]
    return None


def _day(passage: Passage) -> Day:
    """The day of a table by what stands over it, else by its file's name; before all others where it is to come."""
    today = datetime.date.today()
    name = passage.source.rpartition("/")[2]
    day = day_of(passage.heading, alone=True) or day_of(name, alone=True) or (0, 0, 0)
    return day if day <= (today.year, today.month, today.day) else (-1, 0, 0)


def extreme_first(found: Extreme, ranked: Sequence[Ranked]) -> list[Ranked]:
    """The sentences, best first, with the rows that were found before all others; one that was kept out of reach is not
    there, and none takes its place."""
    rows = [r for r in ranked if (r.candidate.passage.document, r.candidate.start) in found.rows]
    others = [r for r in ranked if (r.candidate.passage.document, r.candidate.start) not in found.rows]
    top = max((r.score for r in ranked), default=0.0)
    return [*(replace(r, score=top, told=TOLD) for r in rows), *others]


def _tables(passages: Sequence[Passage]) -> list[_Table]:
    """Tables in whole: those that were cut into passages have the same header below the same heading."""
    held: dict[tuple[str, str, tuple[str, ...]], list[Unit]] = {}
    for passage in passages:
        if "|" in passage.text:
            for unit in units(passage):
                if unit.header:
                    held.setdefault((passage.document, unit.lead, unit.header), []).append(unit)
    tables = [_Table(header, [cells(unit.raw) for unit in some], some) for (*_, header), some in held.items()]
    return [t for t in tables if len(t.values) >= ROWS and all(len(row) == len(t.header) for row in t.values)]


def _lists(passages: Sequence[Passage]) -> list[_Table]:
    """Lists whose items name what they tell of ("- Sauna: R$ 40") as tables of two columns."""
    held: dict[tuple[str, str], list[tuple[Unit, list[str]]]] = {}
    for passage in passages:
        for unit in units(passage):
            if not unit.header and _ITEM.match(unit.raw) and (named := _NAMED.fullmatch(unit.text)):
                held.setdefault((passage.document, unit.lead), []).append((unit, list(named.groups())))
    return [
        _Table(("", lead), [pair for _, pair in some], [unit for unit, _ in some])
        for (_, lead), some in held.items()
        if len(some) >= ROWS
    ]


def _of(
    table: _Table, asked: Superlative, question: Question, whole: Question
) -> tuple[tuple[float, float], Extreme] | None:
    """How well a table fits, the share of what asks and of all that is said, then its column's name; and its rows."""
    passage = table.units[0].passage
    language = passage.language or question.language
    above = _bag(f"{passage.heading} {table.units[0].lead} {' '.join(table.header)}", language)
    rows = [_bag(" ".join(cell for cell in row if not amounts(cell)), language) for row in table.values]
    inside = frozenset().union(*rows)
    texts = (above, inside)
    share = _share(question, texts)
    if share < LEAST_NAMED:
        return None
    # "The earliest age" is not told by hours.
    of = _meant(asked.beside, question.language)
    if any(word not in inside and not _stands(word, (), above | inside) for word in of):
        return None
    # Of the rows, those that have most of the words that only some have: "the cheapest black cartridge".
    narrowing = [
        one
        for one, others in zip(question.stems, question.others, strict=True)
        if one not in _carrying(question.language) and _stands(one, others, inside) and not _stands(one, others, above)
    ]
    counted = [sum(_stands(one, (), row) for one in narrowing) for row in rows]
    kept = [at for at, count in enumerate(counted) if count == max(counted)]
    column = _column(table, kept, asked, question.stems, language)
    if column is None or (column.named < NAMED and share < LEAST):
        return None
    ends = {at: one.high if asked.edge > 0 else one.low for at, one in column.told.items()}
    sign = -asked.adjective.sign if column.kind in asked.adjective.opposite else asked.adjective.sign
    most = max(value * sign for value in ends.values())
    best = [at for at, value in ends.items() if value * sign == most]
    if len(best) > TIES or len(best) == len(ends):
        return None
    found = [table.unit(at, column.at) for at in best]
    places = frozenset((unit.passage.document, unit.start) for unit in found)
    fit = (round(share + _share(whole, texts), 6), column.named)
    return fit, Extreme(places, tuple({u.passage.id: u.passage for u in found}.values()))


def _share(question: Question, texts: Sequence[frozenset[str]]) -> float:
    """How much of a question's weight stands in some texts."""
    share = total = 0.0
    for one, others, weight in zip(question.stems, question.others, question.weights, strict=True):
        if one not in _carrying(question.language):
            total += weight
            share += weight * any(_stands(one, others, text) for text in texts)
    return share / total if total else 0.0


def _column(
    table: _Table, kept: Sequence[int], asked: Superlative, words: Sequence[str], language: str
) -> _Column | None:
    """The column that is asked about, with the amounts that some rows have there."""
    adjective, of = asked.adjective, _meant(asked.beside, language)
    specific = (*adjective.kinds, *adjective.opposite)
    best: _Column | None = None
    rival = False
    # The first says what a row is of.
    for at, name in enumerate(table.header[1:], 1):
        called = _bag(name, language)
        named = sum(2.0 * (word in called) or 1.5 * any(kindred(word, one) for one in called) for word in words)
        named += 2.0 * any(word in called for word in of)
        if adjective.bare and of and not of & called:
            # "The most praised menu" is no menu for the most guests.
            continue
        known = bool(adjective.names and re.search(rf"\b(?:{adjective.names})", fold(name)))
        named += known
        read = {row: amounts(table.values[row][at]) for row in kept}
        filled = sum(table.values[row][at].strip(" –—-") != "" for row in kept)
        # What a column's name says need not stand in each of its cells: "Price (£)".
        for kind in (*(adjective.kinds or _kinds(read)), *adjective.opposite, "number"):
            told = {row: one for row, some in read.items() for one in some if one.kind == kind}
            # By the kind of its amounts alone no column of a turned table is meant, nor one of any kind.
            sure = known or not adjective.names if table.is_turned else kind in specific or named >= 1
            fits = sure and len(told) >= 2 and len(told) >= READ * filled
            # "The most games" are rather counted than priced.
            here = named + (0.1 if kind == "number" and not adjective.kinds else 0.0)
            if fits and (best is None or here > best.named):
                best, rival = _Column(at, here, kind, told), False
            elif fits and best and here == best.named and at != best.at:
                rival = True
    # Of prices the first is meant where nothing says which; of other amounts any may be.
    return None if rival and adjective.kinds != ("money",) else best


def _kinds(read: Mapping[int, Sequence[Amount]]) -> list[str]:
    return sorted({one.kind for some in read.values() for one in some})


def _stands(one: str, others: Sequence[Sequence[str]], bag: frozenset[str]) -> bool:
    return one in bag or any(kindred(one, other) for other in bag) or any(bag.issuperset(other) for other in others)


@lru_cache(maxsize=8192)
def _bag(text: str, language: str) -> frozenset[str]:
    return frozenset(stems(text, language, content=True))


def _meant(words: Sequence[str], language: str) -> frozenset[str]:
    """The first of some words that says something."""
    found = (_bag(word, language) - _carrying(language) for word in words)
    return next((some for some in found if some), frozenset())


@lru_cache(maxsize=8)
def _carrying(language: str) -> frozenset[str]:
    return frozenset(stem(word, language) for word in _CARRIES)
