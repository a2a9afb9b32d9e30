"""Word documents (Office Open XML, ISO/IEC 29500, transitional and strict), read from their XML.

Headings by style or outline level, lists with their numbers, tables with spans, text boxes, links,
footnotes and formulas. Headers, footers, comments and deleted text are left out.
"""

from __future__ import annotations

from pathlib import Path

from mirim.core.extras import need
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft
from mirim.documents.markdown import emboldened
from mirim.documents.office import packed

SUFFIXES = (".docx", ".docm", ".dotx")
MEDIA = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
VERSION = 4
ISOLATE = True


def sniff(head: bytes, path: Path) -> bool:
    return packed(head, path, "word/document", SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    from mirim.documents.word import Word

    with Archive(path) as archive:
        word = Word(archive)
        text = emboldened(word.text())
        return Draft(text, title=word.title(), metadata=word.metadata(), notes=tuple(word.notes))
