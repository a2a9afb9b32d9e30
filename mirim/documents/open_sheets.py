"""The sheets of an OpenDocument spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.archive import Archive
from mirim.documents.draft import Refused
from mirim.documents.office import attribute, child, kind, whole
from mirim.documents.sheets import Count, Sheet, left_out

_MAIN = "content.xml"
#: Names of attributes in full: a sheet may have a million cells.
_TABLE, _OFFICE = (f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("table", "office"))
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?.*)?")
_SHOWN = re.compile(r"\d{1,2}\D\d{1,2}\D\d{2,4}\b|\d{4}\D\d{1,2}\D\d{1,2}")
#: Rows of a sheet at most, and columns, in programs that are in use.
_ROWS, _COLUMNS = 1 << 20, 1 << 14


class OpenSheets:
    """Sheets and notes of an opened .ods."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.notes: list[str] = []
        self.count = Count()
        if _MAIN not in archive.names:
            raise Refused(f"is damaged: it holds no {_MAIN}")

    def sheets(self) -> Iterator[Sheet]:
        unseen_styles: set[str] = set()
        hidden: list[str] = []
        pictures = depth = 0
        sheet, number, columns, unseen = Sheet(""), 0, 0, set[int]()
        for event, e in self.archive.elements(_MAIN, "style", "table", "table-column", "table-row", "frame"):
            tag = kind(e)
            if tag == "style:style" and event == "end":
                display = attribute(child(e, "style:table-properties"), "display")
                if attribute(e, "family") == "table" and display == "false":
                    unseen_styles.add(attribute(e, "name"))
            elif tag == "draw:frame":
                pictures += event == "end"
            elif tag == "table:table" and event == "start":
                depth += 1
                if depth == 1:
                    sheet, number, columns, unseen = Sheet(attribute(e, "name")), 0, 0, set()
                    gone = attribute(e, "style-name") in unseen_styles
            elif tag == "table:table":
                depth -= 1
                if depth == 0 and gone and sheet.rows:
                    hidden.append(sheet.name)
                elif depth == 0:
                    yield sheet
            elif event == "start" or depth != 1:
                continue
            elif tag == "table:table-column":
                count = min(whole(attribute(e, "number-columns-repeated"), 1), _COLUMNS)
                if attribute(e, "visibility") in ("collapse", "filter"):
                    unseen.update(range(columns, columns + count))
                columns += count
            elif tag == "table:table-row":
                number = self._rows(e, sheet, number, unseen)
        self.notes += left_out(hidden)
        if pictures:
            self.notes.append(f"charts and pictures that were not read: {pictures}")

    def _rows(self, element: Any, sheet: Sheet, number: int, unseen: set[int]) -> int:
        """Put a row into its sheet as often as it is there; the number of the next one."""
        row: dict[int, str] = {}
        column = 0
        for c in element:
            tag = kind(c)
            if tag not in ("table:table-cell", "table:covered-table-cell"):
                continue
            times = min(whole(c.get(f"{_TABLE}number-columns-repeated"), 1), _COLUMNS)
            text = _shown(c) if tag == "table:table-cell" else ""
            if text:
                across, down = (whole(c.get(f"{_TABLE}number-{way}-spanned"), 1) for way in ("columns", "rows"))
                if across > 1 or down > 1:
                    sheet.spans.append((number, column, number + down - 1, column + across - 1))
                self.count.take(times)
                row.update(dict.fromkeys(range(column, min(column + times, _COLUMNS)), text))
            column += times
        times = max(1, min(whole(attribute(element, "number-rows-repeated"), 1), _ROWS))
        times = max(0, min(times, _ROWS - number))
        if attribute(element, "visibility") in ("collapse", "filter"):
            sheet.unseen.update(range(number, number + times))
            sheet.hidden += times if row else 0
        elif seen := {c: text for c, text in row.items() if c not in unseen}:
            self.count.take(len(seen) * (times - 1))
            for n in range(number, number + times):
                sheet.rows[n] = dict(seen)
        return number + times


def _shown(c: Any) -> str:
    """What a cell shows, days as ISO 8601 has them."""
    text = "\n".join(_words(p) for p in c if kind(p) == "text:p").strip()
    if c.get(f"{_OFFICE}value-type") == "date" and _SHOWN.search(text):
        # A whole day, however its digits are ordered; what shows a month alone stays.
        match = _DAY.fullmatch(attribute(c, "date-value"))
        if match:
            timed = match[2] and re.search(r"\d:\d\d", text)
            return f"{match[1]} {match[2]}" if timed else match[1]
    return text


def _words(element: Any) -> str:
    """The text of a paragraph without comments on it."""
    pieces = [element.text or ""]
    for e in element:
        tag = kind(e)
        if tag == "text:s":
            pieces.append(" " * min(whole(attribute(e, "c"), 1), 100))
        elif tag in ("text:tab", "text:line-break"):
            pieces.append(" ")
        elif tag and tag != "office:annotation":
            pieces.append(_words(e))
        pieces.append(e.tail or "")
    return "".join(pieces)
