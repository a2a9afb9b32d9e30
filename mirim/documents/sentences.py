"""Where the sentences of a Markdown text are: prose sentences, headings, list items, table rows, code lines.

Every character that is not white space lies in exactly one unit, so nothing that a document says is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
#: How a line opens: fence, heading, rule, table row, list item, or nothing special.
_OPENS = re.compile(
    r"(?P<fence>[ \t]*(?:```|~~~))|(?P<heading>[ ]{0,3}\#{1,6}[ \t])|(?P<rule>[ ]{0,3}(?:[-*_][ \t]*){3,}$"
    r"|[ \t]*(?:>[ \t]*)+$)|(?P<row>[ \t]*\|)"
    r"|(?P<item>[ \t>]*(?:[-*+•]|\(?(?:\d{1,3}|[a-z])[.)])[ \t]+)|(?P<quote>[ \t]*>)"
)

#: A mark that ends a sentence, closing quotes and emphasis, then white space and something that can open one.
_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s[\s>]*[\"'“‘«(\[*_¿¡–—]*[^\W_a-zß-öø-ÿ]|\s+[\"“«][^\W\d_])|[。！？]+[」』”]?(?=\S)"
)

#: Abbreviations that end no sentence, by language; '' holds those of both.
_SHORT = {
    "": "dr dra sr sra srta mr mrs ms prof profa st vs fig al ca approx eng",
    "en": "e.g i.e cf viz jr gen rep sen gov hon rev capt col lt sgt messrs dept univ vol",
    "pt": "p.ex ex exmo exma ilmo sto sta av r cel des obs pe dir enf séc ed",
}
_NEVER = {language: frozenset(words.split()) for language, words in _SHORT.items()}

#: These end nothing when a number follows: 'No. 5', 'art. 7', 'p. 12'.
_NUMBERED = """no nº n nos art arts p pp pag pág págs cap fig figs tab sec sect ch eq vol ed inc incs tel ext ramal rm
apt apto jan feb mar apr jun jul aug sep sept oct nov dec fev abr mai ago set out dez lei res port"""
_BEFORE_NUMBER = frozenset(_NUMBERED.split())
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]*\Z")
_INK = re.compile(r"\S")
_INITIAL = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]\Z")

#: A list item up to this long is one unit: its second sentence rarely means much without the first.
_ITEM = 240


def sentences(text: str, language: str = "") -> list[tuple[int, int]]:
    """Offsets (start, end) of the units of a text, in order, white space trimmed, none empty.

    Prose is split at sentence ends and blank lines. A heading, a table row and a line of code is one unit
    each; a list item is one unit, or several sentences when it is long. `language` ('en', 'pt' or '')
    chooses the abbreviations that end no sentence; '' knows those of both.
    """
    return list(within(text, 0, len(text), language))


def within(text: str, start: int, end: int, language: str = "") -> Iterator[tuple[int, int]]:
    """The sentences of `text[start:end]`, one by one, at their offsets in the whole text."""
    never = _never(language)
    for begin, stop, whole in _stretches(text, start, end):
        if whole:
            yield from trimmed(text, begin, stop)
        else:
            yield from _split(text, begin, stop, end, never)


def _stretches(text: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether it is one unit) of lines that belong together."""
    begun, item, fence = -1, False, False
    for match in _LINE.finditer(text, start, end):
        begin, stop = match.span()
        line = match.group()
        opening = _OPENS.match(line)
        kind = opening.lastgroup if opening else None
        alone = fence or kind in ("fence", "heading", "rule", "row")
        blank = not line.strip()
        if begun >= 0 and (alone or blank or kind == "item"):
            yield begun, begin, item and begin - begun <= _ITEM
            begun = -1
        if blank:
            continue
        if alone:
            yield begin, stop, True
            fence = fence != (kind == "fence")
        elif begun < 0:
            begun, item = begin, kind == "item"
    if begun >= 0:
        yield begun, end, item and end - begun <= _ITEM


def _never(language: str) -> frozenset[str]:
    known = ("", language) if language in ("en", "pt") else tuple(_NEVER)
    return frozenset[str]().union(*(_NEVER[one] for one in known))


def trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """`text[start:end]` without white space at its ends, if anything is left."""
    first = _INK.search(text, start, end)
    if first:
        while text[end - 1].isspace():
            end -= 1
        yield first.start(), end


def _split(text: str, start: int, end: int, limit: int, never: frozenset[str]) -> Iterator[tuple[int, int]]:
    """The sentences of a stretch of prose. Nothing is seen of what stands beyond `limit`."""
    begin = start
    for match in _END.finditer(text, start, end):
        following = text[match.end() : min(match.end() + 8, limit)].lstrip()
        if match.group()[0] != "." or _ends(text, begin, match, following, never):
            yield from trimmed(text, begin, match.end())
            begin = match.end()
    yield from trimmed(text, begin, end)


def _ends(text: str, begin: int, match: re.Match[str], following: str, never: frozenset[str]) -> bool:
    """Whether the full stop at `match` ends a sentence rather than an abbreviation, an initial or a number."""
    last = _LAST_WORD.search(text, max(begin, match.start() - 40), match.start())
    word = last.group().strip("*_").lower() if last else ""
    if match.group().startswith(".."):
        return True
    if word in never:
        return False
    if word in _BEFORE_NUMBER and following[:1].isdigit():
        return False
    if word in ("a.m", "p.m", "u.s", "u.k", "e.u"):
        return True
    if _INITIAL.match(word):
        # 'J. Silva', 'R. das Flores', 'S.A. Something'; but 'vitamin C. Take' ends: its letter is alone in prose.
        return "." not in word and last is not None and _lone_capital_ends(text, begin, last.start(), following)
    # '1. First' at the beginning of a line is a number of a list.
    return not (word.isdigit() and len(word) <= 3 and not _INK.search(text, begin, match.start() - len(word)))


def _lone_capital_ends(text: str, begin: int, at: int, following: str) -> bool:
    while at > begin and text[at - 1].isspace():
        at -= 1
    word = at
    while word > begin and not text[word - 1].isspace():
        word -= 1
    # An initial stands after nothing or after another name; in 'hepatitis B. The' a lower-case word precedes.
    return text[word:at].islower() and len(following) > 1
