"""Currencies, countries and languages that a text names, and their codes (ISO 4217, 3166-1 and 639-1).

Their names in English and Portuguese are those of the Unicode CLDR (copyright Unicode, Inc.; Unicode License v3), which
`scripts/make_codes.py` takes from Babel.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources

from mirim.documents.words import STOPWORDS, fold

KINDS = ("currency", "country", "language")

_WORD = re.compile(r"[^\W\d_]+|[^\w\s]")

Spans = tuple[tuple[int, int], ...]


def codes(kind: str) -> Mapping[str, list[str]]:
    """What each code of a kind is called."""
    return _table()[kind]


@functools.cache
def _table() -> dict[str, dict[str, list[str]]]:
    table: dict[str, dict[str, list[str]]] = json.loads(
        resources.files("mirim.documents").joinpath("codes.json").read_text("utf-8")
    )
    return table


@functools.lru_cache(maxsize=256)
def mentioned(text: str, kind: str) -> Mapping[str, Spans]:
    """The codes of what a text names, and where; also of codes that it has as such."""
    called, beginning = _names(kind)
    found: dict[str, list[tuple[int, int]]] = {}
    end = 0
    for word in _WORD.finditer(text):
        names = beginning.get(word.group().lower())
        match = names.match(text, word.start()) if names and word.start() >= end else None
        if match is None:
            continue
        said = match.group()
        code = called.get(said) or called.get(_plain(said), "")
        # "all" and "try" are words before they are money, "it" and "no" before they are languages.
        if code and not (fold(said) == fold(code) and not said.isupper() and _common(said)):
            found.setdefault(code, []).append(match.span())
            end = match.end()
    return {code: tuple(spans) for code, spans in found.items()}


def _common(word: str) -> bool:
    return len(word) < 3 or any(fold(word) in words for words in STOPWORDS.values()) or word.lower() in _EVERYDAY


#: Codes of money that are everyday words too.
_EVERYDAY = frozenset({"all", "cup", "gel", "mad", "mop", "nad", "pen", "sos", "top", "try", "won"})


def _plain(name: str) -> str:
    return re.sub(r"\s+", " ", fold(name))


@functools.cache
def _names(kind: str) -> tuple[dict[str, str], dict[str, re.Pattern[str]]]:
    """name → code, and by the word that names begin with what finds the longest of them."""
    called: dict[str, str] = {}
    for code, names in codes(kind).items():
        for name in (*names, code):
            called.setdefault(_plain(name), code)
            called.setdefault(name, code)
    beginning: dict[str, list[str]] = {}
    for name in sorted({name.lower() for name in called}, key=len, reverse=True):
        if word := _WORD.match(name):
            beginning.setdefault(word.group(), []).append(_bounded(name))
    return called, {word: re.compile("|".join(some), re.IGNORECASE) for word, some in beginning.items()}


def _bounded(name: str) -> str:
    """A name as a pattern: not within a word, its blanks of any kind."""
    inside = r"\s+".join(map(re.escape, name.split()))
    before, behind = r"(?<!\w)" if name[0].isalnum() else "", r"(?!\w)" if name[-1].isalnum() else ""
    return before + inside + behind
