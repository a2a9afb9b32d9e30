"""Cutting a document on its structure: sections, then paragraphs, lists and tables, then sentences.

`text == document.text[start:end]` holds for every passage. Passages never overlap, never cross a heading,
and together hold every word of the document; heading lines live on in `heading`, the path to the section.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from mirim.core.types import Document, Passage
from mirim.documents.sentences import sentences, trimmed, within
from mirim.documents.store import headings

__all__ = ["LEAST", "MOST", "cut", "sentences"]

#: Words of a passage: a shorter one takes in the next block of its section, a longer one is cut.
LEAST, MOST = 60, 180

#: Characters that one word may count for: texts without spaces are cut too.
_LONG_WORD = 12

#: Longest header row, in characters, that passages further down in a table carry.
_LONGEST_HEADER = 1000

#: Lines right above a table that may be its caption.
_CAPTION = 3

_BLANK = re.compile(r"\n[ \t]*\n")
_CHUNK = re.compile(rf"\S{{1,{_LONG_WORD * 4}}}")
_ROW = re.compile(r"[^\n]*(?:\n|\Z)")
_BAR = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-*:?[ \t]*)*$")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a passage stands, without its text."""

    start: int
    end: int
    heading: str
    header: str = ""

    def of(self, document: Document) -> Passage:
        return Passage(
            document=document.id,
            source=document.source,
            start=self.start,
            end=self.end,
            heading=self.heading,
            text=document.text[self.start : self.end],
            page=document.page_at(self.start),
            language=document.language,
            header=self.header,
        )


def cut(document: Document, most: int = MOST) -> list[Passage]:
    """The passages of a document in order, each of about LEAST to `most` words where the structure allows."""
    return [one.of(document) for one in cuts(document, most)]


def cuts(document: Document, most: int = MOST) -> list[Cut]:
    """Where they stand."""
    found: list[Cut] = []
    for start, end, heading in _sections(document):
        spans = _pack(document.text, start, end, most, document.language)
        found += (Cut(a, b, heading, header) for a, b, header in spans)
    # A heading over nothing, and under it no deeper heading that carries its words, is content itself.
    found += _lonely(document)
    return sorted(found, key=lambda p: p.start)


def _sections(document: Document) -> Iterator[tuple[int, int, str]]:
    """(start, end, heading path) of the text between one heading line and the next."""
    path: list[tuple[int, str]] = []
    start = 0
    for begin, end, depth, words in headings(document.text):
        yield start, begin, _join(document.title, path)
        path = [(d, w) for d, w in path if d < depth] + [(depth, words)]
        start = end
    yield start, len(document.text), _join(document.title, path)


def _lonely(document: Document) -> Iterator[Cut]:
    text = document.text
    path: list[tuple[int, str]] = []
    for one, after in pairwise(chain(headings(text), [None])):
        assert one is not None
        begin, end, depth, words = one
        path = [(d, w) for d, w in path if d < depth] + [(depth, words)]
        deeper = after is not None and after[2] > depth
        if words and not deeper and not any(trimmed(text, end, after[0] if after else len(text))):
            for a, b in trimmed(text, begin, end):
                yield Cut(a, b, _join(document.title, path))


def _join(title: str, path: list[tuple[int, str]]) -> str:
    parts = [title] if title else []
    for _, words in path:
        if words and (not parts or words.casefold() != parts[-1].casefold()):
            parts.append(words)
    return " > ".join(parts)


def _size(text: str, start: int, end: int, most: int) -> int:
    """Words of a stretch; of a very long one only that they are more than `most`."""
    least = (end - start) // _LONG_WORD
    return least if least > most else max(len(text[start:end].split()), least)


def _pack(text: str, start: int, end: int, most: int, language: str) -> Iterator[tuple[int, int, str]]:
    """Blocks of a section put together up to `most` words; (start, end, header of a table that goes on)."""
    least = min(LEAST, most)
    held: tuple[int, int, int, str] | None = None  # start, end, words, header
    for begin, stop in _blocks(text, start, end):
        size = _size(text, begin, stop, most)
        if held and held[2] + size <= most:
            held = (held[0], stop, held[2] + size, held[3])
            continue
        if size <= most and not (held and held[2] < least):
            if held:
                yield held[0], held[1], held[3]
            held = (begin, stop, size, "")
            continue
        # Too long for one passage, or the held one is too short to stand alone: go on unit by unit.
        header = _header(text, begin, stop)
        for a, b in _units(text, begin, stop, most, language):
            size = _size(text, a, b, most)
            if held and held[2] + size > most:
                yield held[0], held[1], held[3]
                held = None
            held = (held[0], b, held[2] + size, held[3]) if held else (a, b, size, header if a > begin else "")
    if held:
        yield held[0], held[1], held[3]


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Paragraphs, tables and lists: what blank lines part, white space trimmed, code fences kept whole."""
    begin = seen = start
    fences = 0
    for match in _BLANK.finditer(text, start, end):
        fences += text.count("```", seen, match.end())
        seen = match.end()
        if fences % 2:
            continue
        yield from trimmed(text, begin, match.start())
        begin = match.end()
    yield from trimmed(text, begin, end)


def _units(text: str, start: int, end: int, most: int, language: str) -> Iterator[tuple[int, int]]:
    """Sentences of a block; one that is itself too long is cut between words, or anywhere if it has no spaces."""
    for a, b in within(text, start, end, language):
        if _size(text, a, b, most) <= most:
            yield a, b
        else:
            yield from _force(text, a, b, most)


def _force(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    size, begin, last = 0, start, start
    for match in _CHUNK.finditer(text, start, end):
        words = _size(text, *match.span(), most)
        if size and size + words > most:
            yield begin, last
            begin, size = match.start(), 0
        size, last = size + words, match.end()
    if size:
        yield begin, last


def _header(text: str, start: int, end: int) -> str:
    """The header row when a block is a table, below its caption or not, unless it is too long to tell anything."""
    rows = [match.group().strip() for match in islice(_ROW.finditer(text, start, end), _CAPTION + 2)]
    for row, rule in pairwise(rows):
        if row.startswith("|"):
            told = _RULE.match(rule) and any(cells(row)) and len(row) <= _LONGEST_HEADER
            return row if told else ""
    return ""


def cells(row: str) -> list[str]:
    """What stands in the cells of a table row, empty cells too."""
    row = row.strip().removeprefix("|")
    row = row[:-1] if row.endswith("|") and not row.endswith("\\|") else row
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(row)]


def at(passages: list[Passage], offset: int) -> Passage | None:
    """The passage of one document's sorted passages that holds a character offset."""
    i = bisect_right([p.start for p in passages], offset) - 1
    return passages[i] if i >= 0 and offset < passages[i].end else None
