"""Old Excel workbooks (.xls, 1993 to 2003) and binary ones (.xlsb), through calamine.

It does not tell how cells show their numbers, nor which rows are hidden: days and times are known, a share is 0.15.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from mirim.core.extras import need
from mirim.documents.archive import DAMAGE
from mirim.documents.draft import Draft, Refused
from mirim.documents.number_formats import Shown
from mirim.documents.sheets import Count, Sheet, draft, left_out

SUFFIXES = (".xls", ".xlt", ".xlsb")
MEDIA = "application/vnd.ms-excel"
VERSION = 1
ISOLATE = True

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_STREAMS = tuple(f"{name}\0".encode("utf-16-le") for name in ("Workbook", "Book"))
_NUMBER = Shown()


def sniff(head: bytes, path: Path) -> bool:
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                return "xl/workbook.bin" in archive.namelist()
        except (*DAMAGE, ValueError):
            return False
    if not head.startswith(_OLE) or len(head) < 512:
        return False
    # Where the names of its streams begin, by the file's own header.
    shift, first = struct.unpack_from("<H", head, 30)[0], struct.unpack_from("<I", head, 48)[0]
    with path.open("rb") as stream:
        stream.seek((first + 1) << min(shift, 12))
        names = stream.read(4096)
    # Cut short, it has lost them: the file's own name is all that is left.
    return any(name in names for name in _STREAMS) or (len(names) < 128 and path.suffix.lower() in SUFFIXES)


def read(path: Path) -> Draft:
    calamine: Any = need("python_calamine", "documents")
    notes: list[str] = []
    count = Count()
    try:
        with calamine.load_workbook(str(path)) as book:
            notes.append("cells are read without their formats: a share of 15% is 0.15, and a price has no currency")
            return draft(path, _sheets(book, calamine, count, notes), count, "", {}, notes)
    except calamine.PasswordError as error:
        raise Refused("is encrypted with a password; save a copy without one") from error
    except calamine.CalamineError as error:
        raise Refused(f"is damaged or cut short: {' '.join(str(error).split())[:200]}") from error
    except BaseException as error:
        # A panic of the library is no Exception, so that nothing takes it for one; here it is the file's fault.
        if type(error).__name__ != "PanicException":
            raise
        raise Refused("is damaged or cut short: its parts point to places outside the file") from error


def _sheets(book: Any, calamine: Any, count: Count, notes: list[str]) -> Iterator[Sheet]:
    hidden = []
    for facts in book.sheets_metadata:
        if facts.visible != calamine.SheetVisibleEnum.Visible:
            hidden.append(facts.name)
        elif facts.typ == calamine.SheetTypeEnum.WorkSheet:
            found = book.get_sheet_by_name(facts.name)
            spans = [(*start, *end) for start, end in found.merged_cell_ranges or ()]
            sheet = Sheet(facts.name, spans=spans)
            # Rows come from the first one on, columns from the first that is used.
            left = found.start[1] if found.start else 0
            for number, values in enumerate(found.iter_rows()):
                row = {c: text for c, value in enumerate(values, left) if (text := _shown(value).strip())}
                count.take(len(row))
                if row:
                    sheet.rows[number] = row
            yield sheet
    notes += left_out(hidden)


def _shown(value: Any) -> str:
    if isinstance(value, bool | str):
        return value if isinstance(value, str) else str(value).upper()
    if isinstance(value, int | float):
        return _NUMBER(value, "")
    if isinstance(value, timedelta):
        return _NUMBER(value / timedelta(days=1), "[h]:mm")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    return f"{value:%H:%M}" if isinstance(value, time) else value.isoformat() if isinstance(value, date) else ""
