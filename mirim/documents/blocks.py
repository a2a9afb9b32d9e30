"""Large texts in pieces: what is done to one as a whole takes its memory once more for every copy it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

#: Characters of a block, about; bytes of one still to be decoded.
SIZE = 1 << 20


def blocks(text: str, start: int = 0, stop: int | None = None) -> Iterator[str]:
    """`text[start:stop]` in blocks, each of which ends with a line."""
    stop = len(text) if stop is None else stop
    while start < stop:
        end = text.find("\n", start + SIZE, stop) + 1 or stop
        yield text[start:end]
        start = end


def joined(pieces: Iterable[str]) -> str:
    """The pieces as one text, which grows where it is: `str.join` and StringIO hold everything twice."""
    text = ""
    for piece in pieces:
        text += piece
    return text


def replaced(text: str, changes: Iterable[tuple[int, int, str]]) -> str:
    """The text with other words from start to end, for each (start, end, words) in order; itself without any."""
    found = iter(changes)
    first = next(found, None)
    return text if first is None else joined(_between(text, chain([first], found)))


def _between(text: str, changes: Iterable[tuple[int, int, str]]) -> Iterator[str]:
    last = 0
    for start, end, words in changes:
        yield from blocks(text, last, start)
        yield words
        last = end
    yield from blocks(text, last)
