"""Plain text: paragraphs as they are, titles underlined or in capitals as headings."""

from __future__ import annotations

from pathlib import Path

from mirim.documents.draft import Draft
from mirim.documents.markdown import capitals, tildes, underlined
from mirim.documents.text import decode_clean

SUFFIXES = (".txt", ".text", ".log", ".rst", ".asc")
MEDIA = "text/plain"
VERSION = 3
ISOLATE = False


def read(path: Path) -> Draft:
    text, notes = decode_clean(path.read_bytes())
    # One after the other: each lets go of the text before it.
    text = tildes(text)
    text = underlined(text)
    text = capitals(text)
    return Draft(text, notes=tuple(notes))
