"""Cutting a document on its structure: sections, then paragraphs, lists and tables, then sentences.

`text == document.text[start:end]` holds for every passage. Passages never overlap, never cross a heading,
and together hold every word of the document; heading lines live on in `heading`, the path to the section.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from mirim.core.types import Document, Passage
from mirim.documents.sentences import sentences
from mirim.documents.store import headings

__all__ = ["LEAST", "MOST", "cut", "sentences"]

#: Words of a passage: a shorter one takes in the next block of its section, a longer one is cut.
LEAST, MOST = 60, 180

#: Characters that one word may count for: texts without spaces are cut too.
_LONG_WORD = 12

#: Longest header row, in characters, that passages further down in a table carry.
_LONGEST_HEADER = 1000

_BLANK = re.compile(r"\n[ \t]*\n")
_BAR = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-*:?[ \t]*)*$")


def cut(document: Document, most: int = MOST) -> list[Passage]:
    """The passages of a document in order, each of about LEAST to `most` words where the structure allows."""
    text = document.text
    found: list[Passage] = []
    for start, end, heading, level in _sections(document):
        spans = list(_pack(text, start, end, most, document.language))
        if not spans and level:
            continue
        found += [_passage(document, a, b, heading, header) for a, b, header in spans]
    # A heading over nothing, and under it no deeper heading that carries its words, is content itself.
    found += [_passage(document, a, b, path) for a, b, path in _lonely(document)]
    return sorted(found, key=lambda p: p.start)


def _passage(document: Document, start: int, end: int, heading: str, header: str = "") -> Passage:
    return Passage(
        document=document.id,
        source=document.source,
        start=start,
        end=end,
        heading=heading,
        text=document.text[start:end],
        page=document.page_at(start),
        language=document.language,
        header=header,
    )


def _sections(document: Document) -> Iterator[tuple[int, int, str, int]]:
    """(start, end, heading path, level) of the text between one heading line and the next."""
    text = document.text
    path: list[tuple[int, str]] = []
    start, level = 0, 0
    for begin, end, depth, words in headings(text):
        yield start, begin, _join(document.title, path), level
        path = [(d, w) for d, w in path if d < depth] + [(depth, words)]
        start, level = end, depth
    yield start, len(text), _join(document.title, path), level


def _lonely(document: Document) -> Iterator[tuple[int, int, str]]:
    found = list(headings(document.text))
    path: list[tuple[int, str]] = []
    for i, (begin, end, depth, words) in enumerate(found):
        path = [(d, w) for d, w in path if d < depth] + [(depth, words)]
        after = found[i + 1] if i + 1 < len(found) else None
        body = document.text[end : after[0] if after else len(document.text)]
        if not body.strip() and (after is None or after[2] <= depth) and words:
            line = document.text[begin:end]
            lead = len(line) - len(line.lstrip())
            yield begin + lead, begin + len(line.rstrip()), _join(document.title, path)


def _join(title: str, path: list[tuple[int, str]]) -> str:
    parts = [title] if title else []
    for _, words in path:
        if words and (not parts or words.casefold() != parts[-1].casefold()):
            parts.append(words)
    return " > ".join(parts)


def _size(text: str) -> int:
    return max(len(text.split()), len(text) // _LONG_WORD)


def _pack(text: str, start: int, end: int, most: int, language: str) -> Iterator[tuple[int, int, str]]:
    """Blocks of a section put together up to `most` words; (start, end, header of a table that goes on)."""
    least = min(LEAST, most)
    held: tuple[int, int, int, str] | None = None  # start, end, words, header
    for begin, stop in _blocks(text, start, end):
        size = _size(text[begin:stop])
        if held and held[2] + size <= most:
            held = (held[0], stop, held[2] + size, held[3])
            continue
        if size <= most and not (held and held[2] < least):
            if held:
                yield held[0], held[1], held[3]
            held = (begin, stop, size, "")
            continue
        # Too long for one passage, or the held one is too short to stand alone: go on unit by unit.
        header = _header(text[begin:stop])
        for a, b in _units(text, begin, stop, most, language):
            size = _size(text[a:b])
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
        yield from _trim(text, begin, match.start())
        begin = match.end()
    yield from _trim(text, begin, end)


def _trim(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    block = text[start:end]
    kept = block.strip()
    if kept:
        start += len(block) - len(block.lstrip())
        yield start, start + len(kept)


def _units(text: str, start: int, end: int, most: int, language: str) -> Iterator[tuple[int, int]]:
    """Sentences of a block; one that is itself too long is cut between words, or anywhere if it has no spaces."""
    for a, b in sentences(text[start:end], language):
        a, b = a + start, b + start
        if _size(text[a:b]) <= most:
            yield a, b
        else:
            yield from _force(text, a, b, most)


def _force(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    size, begin, last = 0, start, start
    for match in re.finditer(rf"\S{{1,{_LONG_WORD * 4}}}", text[start:end]):
        a, b = match.start() + start, match.end() + start
        words = _size(text[a:b])
        if size and size + words > most:
            yield begin, last
            begin, size = a, 0
        size, last = size + words, b
    if size:
        yield begin, last


def _header(block: str) -> str:
    """The header row's cells when a block is a table, unless they are too many to tell anything."""
    first, _, rest = block.partition("\n")
    if not first.lstrip().startswith("|") or not _RULE.match(rest.partition("\n")[0]):
        return ""
    header = " | ".join(cells(first))
    return header if len(header) <= _LONGEST_HEADER else ""


def cells(row: str) -> list[str]:
    """What stands in the cells of a table row, empty cells too."""
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(row.strip().strip("|"))]


def at(passages: list[Passage], offset: int) -> Passage | None:
    """The passage of one document's sorted passages that holds a character offset."""
    i = bisect_right([p.start for p in passages], offset) - 1
    return passages[i] if i >= 0 and offset < passages[i].end else None
