"""The parts of an Excel workbook (Office Open XML): sheets, texts that they share, formats of their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.archive import Archive
from mirim.documents.draft import Refused
from mirim.documents.number_formats import BUILT_IN, Shown
from mirim.documents.office import attribute, child, kind, main_part, relations, whole
from mirim.documents.sheets import Count, Sheet, left_out
from mirim.documents.words import detect

_PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
#: What formats of one country have in them.
_BRAZIL = re.compile(r"R\$|-416\]")
#: Rows of a sheet at most, in programs that are in use.
_ROWS = 1 << 20
#: Characters of the texts that tell the language.
_SAMPLE = 20_000


class Workbook:
    """Sheets and notes of an opened .xlsx."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.notes: list[str] = []
        self.count = Count()
        self._main = main_part(archive, "xl/workbook.xml")
        self._root = archive.xml(self._main)
        if self._root is None:
            raise Refused("is damaged: it holds no workbook part")
        links = relations(archive, self._main, by_type=True)
        self._texts = list(_texts(archive, links.get("sharedStrings", "")))
        self._formats = _formats(archive.xml(links.get("styles", "")))
        sample = "\n".join(self._texts)[:_SAMPLE] if len(self._texts) < _SAMPLE else "\n".join(self._texts[:2000])
        late = attribute(child(self._root, "s:workbookPr"), "date1904") in ("1", "true")
        # Where the words do not say, the currency may.
        language = detect(sample) or "pt" * any(_BRAZIL.search(code) for code in self._formats)
        self._portuguese = language == "pt"
        self._shown = Shown(comma=self._portuguese, late=late)
        self._errors = self._uncounted = 0

    def sheets(self) -> Iterator[Sheet]:
        links = relations(self.archive, self._main)
        hidden: list[str] = []
        for entry in self._listed():
            name, part = attribute(entry, "name"), links.get(attribute(entry, "id"), "")
            if attribute(entry, "state") in ("hidden", "veryHidden"):
                hidden.append(name)
            elif part in self.archive.names and "chartsheet" not in part:
                yield self._sheet(name, part)
        self.notes += left_out(hidden)
        if self._errors:
            self.notes.append(f"cells with an error such as #N/A, not a value, that were left out: {self._errors}")
        if self._uncounted:
            self.notes.append(
                f"formulas without a value, for the program that wrote them did not work them out: {self._uncounted}; "
                "open the file in a spreadsheet program, save it, and ingest it again"
            )
        for what, pattern in (("charts", r"/charts/chart[^/]*\.xml$"), ("pictures", r"/media/[^/]+$")):
            if number := sum(bool(re.search(pattern, part)) for part in self.archive.names):
                self.notes.append(f"{what} that were not read: {number}")

    def _listed(self) -> list[Any]:
        sheets = child(self._root, "s:sheets")
        return [e for e in sheets if kind(e) == "s:sheet"] if sheets is not None else []

    def _sheet(self, name: str, part: str) -> Sheet:
        sheet = Sheet(name)
        unseen: set[int] = set()
        number = -1
        for event, e in self.archive.elements(part, "row", "col", "mergeCell"):
            tag = e.tag.rpartition("}")[2]
            if event == "start":
                continue
            if tag == "col":
                if e.get("hidden") in ("1", "true"):
                    first, last = whole(e.get("min")), min(whole(e.get("max")), 16384)
                    unseen.update(range(first - 1, last))
            elif tag == "mergeCell":
                corners = [_place(p) for p in (e.get("ref") or "").split(":")]
                if len(corners) == 2 and all(corners):
                    (top, left), (bottom, right) = corners  # type: ignore[misc]
                    sheet.spans.append((top, left, bottom, right))
            else:
                number = whole(e.get("r"), number + 2) - 1
                if number >= _ROWS:
                    raise Refused(f"has more than {_ROWS} rows in the sheet {name}, which no program makes")
                row = self._row(e)
                if e.get("hidden") in ("1", "true"):
                    sheet.unseen.add(number)
                    sheet.hidden += bool(row)
                elif row:
                    sheet.rows[number] = row
        used = {c for row in sheet.rows.values() for c in row} & unseen
        sheet.hidden += len(used)
        for row in sheet.rows.values() if used else ():
            for column in used & row.keys():
                del row[column]
        return sheet

    def _row(self, element: Any) -> dict[int, str]:
        row: dict[int, str] = {}
        column = -1
        for c in element:
            if not isinstance(c.tag, str):
                continue
            place = _place(c.get("r") or "")
            column = place[1] if place else column + 1
            text = self._value(c)
            if text and text.strip():
                self.count.take()
                row[column] = text
        return row

    def _value(self, c: Any) -> str:
        """What a cell shows."""
        what = c.get("t") or "n"
        value, formula = "", False
        for e in c:
            name = e.tag.rpartition("}")[2] if isinstance(e.tag, str) else ""
            if name == "v":
                value = e.text or ""
            elif name == "f":
                formula = True
            elif name == "is":
                return _text(e)
        if not value:
            self._uncounted += formula and what != "str"
            return ""
        if what == "s":
            at = whole(value, -1)
            return self._texts[at] if 0 <= at < len(self._texts) else ""
        if what == "str":
            return _unescaped(value)
        if what == "b":
            return ("VERDADEIRO", "FALSO")[value != "1"] if self._portuguese else ("TRUE", "FALSE")[value != "1"]
        if what == "e":
            self._errors += 1
            return ""
        if what == "d":
            return value.replace("T00:00:00", "").replace("T", " ")
        try:
            number = float(value)
        except ValueError:
            return value
        style = whole(c.get("s"), 0)
        return self._shown(number, self._formats[style] if 0 <= style < len(self._formats) else "")


def _place(reference: str) -> tuple[int, int] | None:
    """(row, column), counted from 0, of 'B3'."""
    match = _PLACE.fullmatch(reference.replace("$", ""))
    if match is None:
        return None
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - 64
    return int(match[2]) - 1, column - 1


def _texts(archive: Archive, part: str) -> Iterator[str]:
    # There are no more texts than cells that have one.
    count = Count()
    for event, e in archive.elements(part, "si"):
        if event == "end":
            count.take()
            yield _text(e)


def _text(element: Any) -> str:
    """A text, with or without formats in it; how it is pronounced left out."""
    pieces = []
    for e in element:
        name = e.tag.rpartition("}")[2] if isinstance(e.tag, str) else ""
        if name == "t":
            pieces.append(e.text or "")
        elif name == "r":
            pieces += (t.text or "" for t in e if isinstance(t.tag, str) and t.tag.endswith("}t"))
    return _unescaped("".join(pieces))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)), text) if "_x" in text else text


def _formats(root: Any) -> list[str]:
    """The format of each cell style by number."""
    if root is None:
        return []
    own = {whole(e.get("numFmtId")): e.get("formatCode") or "" for e in root.iter() if kind(e) == "s:numFmt"}
    styles = child(root, "s:cellXfs")
    numbers = [whole(e.get("numFmtId")) for e in styles if kind(e) == "s:xf"] if styles is not None else []
    return [own.get(n) or BUILT_IN.get(n, "") for n in numbers]
