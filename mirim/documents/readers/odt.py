"""OpenDocument texts, read from their XML: headings, lists with their numbers, tables with spans, links, notes.

Headers, footers, comments, tables of contents and what tracked changes deleted are left out.
"""

from __future__ import annotations

from pathlib import Path

from mirim.core.extras import need
from mirim.documents import office
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft
from mirim.documents.markdown import emboldened

SUFFIXES = (".odt", ".ott")
MEDIA = "application/vnd.oasis.opendocument.text"
VERSION = 1
ISOLATE = True


def sniff(head: bytes, path: Path) -> bool:
    return office.opened(head, path, MEDIA, SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    from mirim.documents.open_text import OpenText

    with Archive(path) as archive:
        office.unlocked(archive)
        content = OpenText(archive)
        text = emboldened(content.text())
        return Draft(text, office.title(archive), metadata=office.metadata(archive), notes=tuple(content.notes))
