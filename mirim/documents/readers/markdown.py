"""Markdown: kept as written; front matter becomes metadata, underlined or bold headings become '#' headings."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from mirim.documents.blocks import joined, replaced
from mirim.documents.draft import Draft
from mirim.documents.markdown import emboldened, fences, underlined
from mirim.documents.readers.html import page
from mirim.documents.store import title_of
from mirim.documents.text import clean, decode_clean

SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
MEDIA = "text/markdown"
VERSION = 3
ISOLATE = False

_FRONT = re.compile(r"\A---[ \t]*\n((?:[^\n]*\n)*?)---[ \t]*(?:\n|\Z)")
_PAIR = re.compile(r"^([A-Za-z][\w -]{0,40}):[ \t]*(.*)$")
#: Lines of front matter that belong to the one before: indented, items, comments, what closes a bracket.
_HELD = re.compile(r"[ \t]|- |-$|#|[\]}]|\.\.\.$")
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|#124;|vert;|#x7c;)#?\w{2,8};", re.IGNORECASE)
_HTML = re.compile(r"^<(table|ul|ol|dl|div|p|details|section|figure|center|blockquote|h[1-6])\b[^>\n]*>", re.M | re.I)
_CLOSED = re.compile(r"-->[ \t]*\n?")


def read(path: Path) -> Draft:
    text, notes = decode_clean(path.read_bytes())
    metadata, text = front(text)
    text = clean(prose(text))
    title = metadata.pop("title", "") or title_of(text)
    return Draft(text, title=title, metadata={k: v for k, v in metadata.items() if v}, notes=tuple(notes))


def prose(text: str) -> str:
    """A text with its headings as '#' headings and without HTML; code stays as it is."""
    return emboldened(joined(_parts(text)))


def front(text: str) -> tuple[dict[str, str], str]:
    """What a text's front matter says of it, and the text without it."""
    if found := _FRONT.match(text):
        lines = [line for line in found.group(1).splitlines() if line.strip()]
        pairs = [_PAIR.match(line) for line in lines]
        # Between two rules there may be prose too, with a colon in it.
        if any(pairs) and all(pair or _HELD.match(line) for pair, line in zip(pairs, lines, strict=True)):
            said = {p.group(1).strip().lower(): p.group(2).strip().strip("'\"") for p in pairs if p}
            return said, text[found.end() :]
    return {}, text


def _parts(text: str) -> Iterator[str]:
    last = 0
    for start, end in fences(text):
        yield _prose(text[last:start])
        yield text[start:end]
        last = end
    yield _prose(text[last:])


def _prose(text: str) -> str:
    """What stands outside code: comments out, HTML blocks as Markdown, characters for their entities."""
    text = replaced(text, _comments(text))
    text = underlined(text)
    text = replaced(text, _embedded(text))
    if "&" not in text:
        return text
    return replaced(text, ((m.start(), m.end(), html.unescape(m.group())) for m in _ENTITY.finditer(text)))


def _comments(text: str) -> Iterator[tuple[int, int, str]]:
    end = 0
    while (start := text.find("<!--", end)) >= 0 and (closed := _CLOSED.search(text, start + 4)):
        end = closed.end()
        yield start, end, ""


def _embedded(text: str) -> Iterator[tuple[int, int, str]]:
    """Blocks of HTML written into Markdown, such as tables, and the Markdown for them."""
    last = 0
    elements: dict[str, dict[int, int]] = {}
    for match in _HTML.finditer(text):
        start, tag = match.start(), match.group(1).lower()
        if start < last:
            continue
        if tag not in elements:
            elements[tag] = _elements(text, tag)
        if end := elements[tag].get(start):
            yield start, end, f"\n{page(text[start:end])[0]}\n"
            last = end


def _elements(text: str, tag: str) -> dict[int, int]:
    """Where each element of a name that is closed starts, and where it ends."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for match in re.compile(rf"<(/?){tag}\b[^<>]*>", re.IGNORECASE).finditer(text):
        if not match.group(1):
            opened.append(match.start())
        elif opened:
            ends[opened.pop()] = match.end()
    return ends
