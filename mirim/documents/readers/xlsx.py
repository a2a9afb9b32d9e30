"""Excel workbooks (Office Open XML), read from their XML, for only that tells how a cell shows its number.

Each sheet is a heading with its tables; formulas by the value they had when the file was saved. Hidden sheets, rows and
columns are left out, macros are never run.
"""

from __future__ import annotations

from pathlib import Path

from mirim.core.extras import need
from mirim.documents import office
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft
from mirim.documents.sheets import draft

SUFFIXES = (".xlsx", ".xlsm", ".xltx", ".xltm")
MEDIA = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
VERSION = 1
ISOLATE = True


def sniff(head: bytes, path: Path) -> bool:
    return office.packed(head, path, "xl/workbook.xml", SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    from mirim.documents.workbook import Workbook

    with Archive(path) as archive:
        book = Workbook(archive)
        return draft(path, book.sheets(), book.count, office.title(archive), office.metadata(archive), book.notes)
