"""OpenDocument spreadsheets: each cell as its program showed it, for the file says that too.

Hidden sheets, rows and columns are left out, and so are comments; macros are never run.
"""

from __future__ import annotations

from pathlib import Path

from mirim.core.extras import need
from mirim.documents import office
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft
from mirim.documents.sheets import draft

SUFFIXES = (".ods", ".ots")
MEDIA = "application/vnd.oasis.opendocument.spreadsheet"
VERSION = 1
ISOLATE = True


def sniff(head: bytes, path: Path) -> bool:
    return office.opened(head, path, MEDIA, SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    from mirim.documents.open_sheets import OpenSheets

    with Archive(path) as archive:
        office.unlocked(archive)
        book = OpenSheets(archive)
        return draft(path, book.sheets(), book.count, office.title(archive), office.metadata(archive), book.notes)
