"""Markdown: kept as written; front matter becomes metadata, underlined headings become '#' headings."""

from __future__ import annotations

import html
import re
from pathlib import Path

from mirim.documents.draft import Draft
from mirim.documents.markdown import underlined
from mirim.documents.readers.html import page
from mirim.documents.store import title_of
from mirim.documents.text import clean, decode

SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
MEDIA = "text/markdown"
VERSION = 1
ISOLATE = False

_FRONT = re.compile(r"\A---[ \t]*\n((?:[^\n]*\n)*?)---[ \t]*(?:\n|\Z)")
_PAIR = re.compile(r"^([A-Za-z][\w -]{0,40}):[ \t]*(.*)$")
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|#124;|vert;|#x7c;)#?\w{2,8};", re.IGNORECASE)
_HTML = re.compile(r"^<(table|ul|ol|dl|div|p|details|section|figure|center|blockquote|h[1-6])\b[^>\n]*>", re.M | re.I)
_FENCED = re.compile(r"(^(?:```|~~~)[^\n]*\n.*?^(?:```|~~~)[ \t]*$)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->[ \t]*\n?", re.DOTALL)


def read(path: Path) -> Draft:
    text, notes = decode(path.read_bytes())
    text = clean(text)
    metadata: dict[str, str] = {}
    front = _FRONT.match(text)
    if front:
        pairs = [_PAIR.match(line) for line in front.group(1).splitlines()]
        if any(pairs):
            metadata = {p.group(1).strip().lower(): p.group(2).strip().strip("'\"") for p in pairs if p}
            text = text[front.end() :]
    parts = _FENCED.split(text)
    text = clean("".join(part if i % 2 else _prose(part) for i, part in enumerate(parts)))
    title = metadata.pop("title", "") or title_of(text)
    return Draft(text, title=title, metadata={k: v for k, v in metadata.items() if v}, notes=tuple(notes))


def _prose(text: str) -> str:
    """What stands outside code: comments out, HTML blocks as Markdown, characters for their entities."""
    text = _embedded(underlined(_COMMENT.sub("", text)))
    return _ENTITY.sub(lambda m: html.unescape(m.group()), text) if "&" in text else text


def _embedded(text: str) -> str:
    """Blocks of HTML written into Markdown, such as tables, as Markdown."""
    out, last = [], 0
    for match in _HTML.finditer(text):
        if match.start() < last:
            continue
        end = _closing(text, match.start(), match.group(1))
        if end:
            out += [text[last : match.start()], "\n", page(text[match.start() : end])[0], "\n"]
            last = end
    return "".join(out) + text[last:]


def _closing(text: str, start: int, tag: str) -> int:
    """Where the element opened at `start` is closed; 0 when it never is."""
    depth = 0
    for match in re.compile(rf"<(/?){tag}\b[^>]*>", re.IGNORECASE).finditer(text, start):
        depth += -1 if match.group(1) else 1
        if depth == 0:
            return match.end()
    return 0
