"""Whether a claim gives a source's numbers to what the source gives them to: "Monday 8 to 12, Tuesday 14 to 18"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mirim.documents.passages import cells
from mirim.documents.values import numbers
from mirim.documents.words import kindred, stems

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
#: Where one thing that has numbers ends and the next begins.
_CUT = re.compile(r"[,;:.!?()–—]+(?=\s|$)|\s(?:and|or|but|while|e|ou|mas|enquanto)\s", re.IGNORECASE)
#: What numbers are counted in, which names nothing that has them.
_UNIT = re.compile(
    r"(?:R|US)?\$|\b(?:h|am|pm|hrs?|min|reais|real|d[oó]lare?s?|dollars?|euros?|(?:hour|minute|day|hora|minuto|dia)s?)\b",
    re.IGNORECASE,
)


class _Group(NamedTuple):
    """What is said of a thing: the stems that name it, and its numbers."""

    words: set[str]
    numbers: set[str]


def paired(claim: str, language: str, source: str, spoken: str, header: Sequence[str] = ()) -> bool:
    """Whether no numbers of a claim in `language` are, in a source in `spoken`, another thing's alone.

    header   the cells above the source's, when it is a table's row

    Where a part of the claim also names what the source gives the numbers to, it may be either's, and is let be.
    """
    groups = _groups(_columns(source, header), spoken)
    said = _groups(claim, language) if len(groups) > 1 else []
    return not any(_swapped(one, word, groups) for one in said for word in one.words)


def _swapped(one: _Group, word: str, groups: Sequence[_Group]) -> bool:
    """Whether the numbers beside a word of the claim stand, all of them, with another thing than the word does."""
    own = [group for group in groups if word in group.words]
    named, held = (set[str]().union(*(group[i] for group in own)) for i in (0, 1))
    if not own or one.numbers <= held:
        return False
    others = [group for group in groups if word not in group.words and one.numbers <= group.numbers]
    return bool(others) and not any(w in group.words and _other(w, named) for group in others for w in one.words)


def _other(word: str, words: set[str]) -> bool:
    """Whether a word is neither one of some others nor a form of one: "opens", "open"."""
    return word not in words and not any(kindred(word, one) for one in words)


def _groups(text: str, language: str) -> list[_Group]:
    """The things of a text that have numbers, in order."""
    groups: list[_Group] = []
    waiting, early = set[str](), set[str]()
    for joined, words, said in _pieces(text, language):
        if said and (words or waiting):
            # "Children, R$ 10" names the thing first; "On Mondays, doors open at 8" says when, of all that follows.
            groups.append(_Group(words | waiting if joined or not words else words, said | early))
            waiting, early = set(), set()
        elif said and groups:
            groups[-1].numbers.update(said)
        elif said:
            early = early | said
        elif words:
            waiting = words | waiting if joined else words
    if groups:
        groups[-1].words.update(waiting)
    return groups


def _pieces(text: str, language: str) -> list[tuple[bool, set[str], set[str]]]:
    """Of each piece whether a conjunction joins it to the one before, its stems without numbers, and its numbers."""
    places = numbered(text)
    cuts = [m for m in _CUT.finditer(text) if not any(a < m.start() < b for a, b, _ in places)]
    found = []
    for before, after in zip([None, *cuts], [*cuts, None], strict=True):
        start, end = before.end() if before else 0, after.start() if after else len(text)
        inside = [(a, b, value) for a, b, value in places if start <= a < end]
        bare = "".join(" " if any(a <= i < b for a, b, _ in inside) else text[i] for i in range(start, end))
        bare = _UNIT.sub(" ", bare)
        joined = before is not None and before.group().strip().isalpha()
        found.append((joined, set(stems(bare, language, content=True)), {value for _, _, value in inside}))
    return found


def _columns(source: str, header: Sequence[str]) -> str:
    """A table's row with each value beside what its column is called; the first cell names the row, not a column."""
    values = cells(source) if header else []
    if not values or len(values) != len(header):
        return source
    return "; ".join(f"{name}: {value}" for name, value in zip(header[1:], values[1:], strict=True))


def numbered(text: str) -> list[tuple[int, int, str]]:
    """(start, end, number) of those written in digits, as they are written, and of those said in words, in digits, but
    for "one": it may be an article."""
    written = [(*m.span(), m.group()) for m in _NUMBER.finditer(text)]
    spelled = [one for one in numbers(text) if one.values and not _NUMBER.fullmatch(text, one.start, one.end)]
    return written + [(one.start, one.end, f"{one.values[0]:.15g}") for one in spelled if one.values[0] != 1]
