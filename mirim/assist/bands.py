"""Of a table's rows for bands ("4 a 11 anos", "5 to 10 kg"), the one that holds what is asked comes first.

To words and to meaning such rows are all alike, and "for 12 people" is as near to "4 to 10 people".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from mirim.assist.candidates import Candidate
from mirim.assist.rank import Ranked
from mirim.assist.rows import named, put_first, tables
from mirim.documents.passages import cells
from mirim.documents.words import fold, tokens

_NUMBER = r"(?<![\w.,:/£$€])\d{1,6}(?:[.,]\d{1,2})?(?![\d:/]|[.,]\d)"
#: Folded texts: "12 anos", "a 12-year-old", "7 e 9 anos"; "aged 12".
_ASKED = re.compile(rf"({_NUMBER})(?:(?:,| e| ou| and| or) ({_NUMBER}))?[ -]?([a-z]+)")
_AGED = re.compile(rf"\b(?:aged|idade(?: de)?) ({_NUMBER})")
_NO_UNIT = r"(?!(?:ao?s?|e|em|ou|to|and|or|ate|through|onwards?)\b)"
_BAND = re.compile(
    r"(?:\b(?:(?P<under>under|below|less than|menos de|menor(?:es)? (?:de|que)|abaixo de)"
    r"|(?P<to>up to|at most|ate|no maximo)|(?P<over>over|above|more than|mais de|acima de)"
    r"|(?P<since>from|at least|a partir de|no minimo|maior(?:es)? de)|(?P<among>between|entre)) )?"
    rf"(?P<low>{_NUMBER})(?: ?{_NO_UNIT}(?P<early>[a-z]+))?"
    rf"(?:(?: ?[-–—] ?| (?:ao?s?|ate|to|through) |(?P<and> (?:e|and) ))(?P<high>{_NUMBER}))?"
    rf"(?:[ -]?{_NO_UNIT}(?P<late>[a-z]+))?"
    r"(?P<more>\+| (?:ou|e) (?:mais|acima)| em diante| (?:or|and) (?:more|over|above|older|up)| onwards?)?"
    r"(?P<less> (?:ou|e) (?:menos|abaixo)| (?:or|and) (?:under|less|below|younger))?"
)
#: What one thing is counted in by several names.
_ONE = {
    "age": "ano anos year years yr yrs yo aged age ages idade idades etaria",
    "person": "person persons people pessoa pessoas",
    "kg": "kg kgs quilo quilos kilo kilos",
    "m": "m metro metros meter meters metre metres",
}
_UNITS = {name.removesuffix("s"): unit for unit, names in _ONE.items() for name in names.split()}


def banded(question: str, ranked: Sequence[Ranked]) -> list[Ranked]:
    """The sentences, best first; where a table's best row is for a band that holds no number asked, its best row that
    does takes the place, unless it has fewer words of the question: a row that is asked for by name stays."""
    rows = list(ranked)
    asked = _asked(fold(question))
    for places in tables(rows) if asked else ():
        first = rows[places[0]]
        if _holds(first.candidate, asked) is False:
            least = named(question, first)
            held = (at for at in places if _holds(rows[at].candidate, asked) and named(question, rows[at]) >= least)
            put_first(rows, places, next(held, places[0]))
    return rows


def _asked(question: str) -> frozenset[tuple[float, str]]:
    """The numbers of a folded question, each with what it counts."""
    found = {(_value(number), _unit(m[3])) for m in _ASKED.finditer(question) for number in (m[1], m[2]) if number} | {
        (_value(m[1]), "age") for m in _AGED.finditer(question)
    }
    return frozenset(found)


def _holds(candidate: Candidate, asked: frozenset[tuple[float, str]]) -> bool | None:
    """Whether a row's bands hold a number that is asked; None where it has none of what that counts."""
    units = {unit for _, unit in asked}
    bands = [band for band in _bands(candidate.text, candidate.header) if not units.isdisjoint(band[2])]
    return any(low <= n <= high and unit in said for low, high, said in bands for n, unit in asked) if bands else None


@lru_cache(maxsize=8192)
def _bands(row: str, header: tuple[str, ...]) -> tuple[tuple[float, float, frozenset[str]], ...]:
    """(lowest, highest, what they count) of a row's bands; without a word of its own, what its column's header says."""
    values = cells(row)
    names = header if len(header) == len(values) else ("",) * len(values)
    return tuple(band for value, name in zip(values, names, strict=True) for band in _of_cell(fold(value), fold(name)))


def _of_cell(value: str, name: str) -> Iterator[tuple[float, float, frozenset[str]]]:
    for m in _BAND.finditer(value):
        low, word = _value(m["low"]), (m["late"] or m["early"] or "").removesuffix("s")
        if m["high"] and bool(m["among"]) == bool(m["and"]):
            low, high = low, _value(m["high"])
        elif m["more"] or m["since"]:
            high = math.inf
        elif m["over"]:
            low, high = math.nextafter(low, math.inf), math.inf
        elif m["to"] or m["less"]:
            low, high = -math.inf, low
        elif m["under"]:
            low, high = -math.inf, math.nextafter(low, -math.inf)
        else:
            continue
        yield low, high, frozenset(map(_unit, (word,) if word else tokens(name)))


def _value(number: str) -> float:
    return float(number.replace(",", "."))


def _unit(word: str) -> str:
    word = word.removesuffix("s")
    return _UNITS.get(word, word)
