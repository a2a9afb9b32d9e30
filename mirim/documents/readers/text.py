"""Plain text: paragraphs as they are, underlined titles as headings."""

from __future__ import annotations

from pathlib import Path

from mirim.documents.draft import Draft
from mirim.documents.markdown import underlined
from mirim.documents.text import clean, decode

SUFFIXES = (".txt", ".text", ".log", ".rst", ".asc")
MEDIA = "text/plain"
VERSION = 1
ISOLATE = False


def read(path: Path) -> Draft:
    text, notes = decode(path.read_bytes())
    return Draft(underlined(clean(text)), notes=tuple(notes))
