"""Plain text: paragraphs as they are, titles underlined or in capitals as headings."""

from __future__ import annotations

from pathlib import Path

from mirim.documents.draft import Draft
from mirim.documents.markdown import capitals, underlined
from mirim.documents.text import clean, decode

SUFFIXES = (".txt", ".text", ".log", ".rst", ".asc")
MEDIA = "text/plain"
VERSION = 2
ISOLATE = False


def read(path: Path) -> Draft:
    text, notes = decode(path.read_bytes())
    return Draft(capitals(underlined(clean(text))), notes=tuple(notes))
