"""Markdown: kept as written; front matter becomes metadata, underlined headings become '#' headings."""

from __future__ import annotations

import re
from pathlib import Path

from mirim.documents.draft import Draft
from mirim.documents.markdown import underlined
from mirim.documents.store import title_of
from mirim.documents.text import clean, decode

SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
MEDIA = "text/markdown"
VERSION = 1
ISOLATE = False

_FRONT = re.compile(r"\A---[ \t]*\n((?:[^\n]*\n)*?)---[ \t]*(?:\n|\Z)")
_PAIR = re.compile(r"^([A-Za-z][\w -]{0,40}):[ \t]*(.*)$")
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
    text = clean(underlined(_COMMENT.sub("", text)))
    title = metadata.pop("title", "") or title_of(text)
    return Draft(text, title=title, metadata={k: v for k, v in metadata.items() if v}, notes=tuple(notes))
