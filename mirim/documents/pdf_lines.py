"""A PDF page as lines of text with their place, size and weight, and the ruled tables on it."""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

#: A gap of this many letter heights parts two columns of a row.
_GAP = 0.95
#: Cosine of the angle that a line which is not turned has at least.
_LEVEL = 0.99
#: What an item of a list begins with.
_MARK = re.compile(r"[•●▪◦‣⁃∙■□◆○*\uf0b7\uf0a7·–-]|\(?(?:\d{1,2}|[a-z])[.)]")

#: Parts of the names of bold fonts, those of TeX included.
_BOLD = ("bold", "black", "heavy", "demi", "-medi", "cmbx", "cmssbx", "sfbx")

#: Characters and ruled tables read from one page: beyond that it is a drawing.
_MOST = 200_000


@dataclass(slots=True)
class Line:
    """A line in page units, y growing upwards. `parts` are its pieces between wide gaps: (x0, x1, text)."""

    text: str
    x0: float
    x1: float
    y: float
    size: float
    bold: bool
    font: str = ""
    hyphen: bool = False
    parts: list[tuple[float, float, str]] = field(default_factory=list)


@dataclass(slots=True)
class Ruled:
    """A table within ruled lines and the box it fills: x0, bottom, x1, top."""

    rows: list[list[str]]
    box: tuple[float, float, float, float]


Page = tuple[list[Line], list[Ruled], float]


def lines(document: Any, number: int, path: Path) -> Page:
    """Lines in the order of the page's content, ruled tables, and the page's height."""
    import pypdfium2.raw as raw

    page = document[number]
    try:
        height = page.get_height()
        text = page.get_textpage()
        try:
            found = _lines(text, raw)
        finally:
            text.close()
        tables = _ruled(page, path, number, height, raw) if found else []
    finally:
        page.close()
    return found, tables, height


def _lines(textpage: Any, raw: Any) -> list[Line]:
    handle = textpage.raw
    count = min(raw.FPDFText_CountChars(handle), _MOST)
    box = raw.FS_RECTF()
    pointer = ctypes.byref(box)
    found: list[Line] = []
    row: list[tuple[str, float, float, float, float]] = []
    first = -1
    high = 0
    for i in range(count):
        code = raw.FPDFText_GetUnicode(handle, i)
        if 0xD800 <= code < 0xDC00:
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00 if high else 0xFFFD
        if code in (10, 13, 2, 0xFFFE):
            if row:
                found.append(_line(row, handle, first, raw, hyphen=code in (2, 0xFFFE)))
            row, first = [], -1
            continue
        if code == 0 or (code < 32 and code != 9):
            continue
        raw.FPDFText_GetLooseCharBox(handle, i, pointer)
        level = row and code not in (32, 9, 160) and math.cos(raw.FPDFText_GetCharAngle(handle, i)) > _LEVEL
        if level and _leaves(row, box):
            found.append(_line(row, handle, first, raw, hyphen=False))
            row, first = [], -1
        if first < 0 and code not in (32, 9, 160):
            first = i
        row.append((chr(code), box.left, box.right, box.bottom, box.top))
    if row:
        found.append(_line(row, handle, first, raw, hyphen=False))
    return [line for line in found if line.text]


def _leaves(row: list[tuple[str, float, float, float, float]], box: Any) -> bool:
    """Whether a letter stands wholly above or below the last one of a row, and further back: lists, each item of which
    is drawn by itself, come without line breaks."""
    last = next((c for c in reversed(row) if not c[0].isspace() and c[2] > c[1]), None)
    return last is not None and box.left < last[1] and (box.top <= last[3] or box.bottom >= last[4])


def _line(row: list[tuple[str, float, float, float, float]], handle: Any, first: int, raw: Any, hyphen: bool) -> Line:
    inked = [c for c in row if not c[0].isspace() and c[2] > c[1]]
    if not inked:
        return Line("", 0, 0, 0, 0, False)
    size = median(c[4] - c[3] for c in inked)
    font, bold = _face(handle, first, raw)
    text = unicodedata.normalize("NFKC", "".join(c[0] for c in row)) if _ligated(row) else "".join(c[0] for c in row)
    return Line(
        text=" ".join(text.split()),
        x0=min(c[1] for c in inked),
        x1=max(c[2] for c in inked),
        y=median(c[3] for c in inked),
        size=size,
        bold=bold,
        font=font,
        hyphen=hyphen,
        parts=[] if _leftward(row) else _parts(row, size),
    )


def _ligated(row: list[tuple[str, float, float, float, float]]) -> bool:
    """Whether letters are joined ('ﬁ') or Arabic letters come in their drawn forms."""
    return any("\ufb00" <= c[0] <= "\ufdff" or "\ufe70" <= c[0] <= "\ufeff" for c in row)


def _leftward(row: list[tuple[str, float, float, float, float]]) -> bool:
    """Whether a line is written from right to left: its places do not follow the order of its letters."""
    return sum("\u0590" <= c[0] <= "\u08ff" or "\ufb1d" <= c[0] <= "\ufefc" for c in row) * 3 > len(row)


def _parts(row: list[tuple[str, float, float, float, float]], size: float) -> list[tuple[float, float, str]]:
    parts: list[tuple[float, float, str]] = []
    letters: list[str] = []
    begin = end = 0.0
    for char, left, right, _, _ in row:
        if char.isspace() or right <= left:
            letters.append(" ")
            continue
        if "".join(letters).strip() and (left - end > _GAP * size or left < begin - size):
            parts.append((begin, end, " ".join("".join(letters).split())))
            letters = []
        if not "".join(letters).strip():
            begin = left
            end = right
        letters.append(char)
        end = max(end, right)
    if "".join(letters).strip():
        parts.append((begin, end, " ".join("".join(letters).split())))
    if len(parts) > 1 and _MARK.fullmatch(parts[0][2]):
        # What a list's items begin with is no column, however far it is from their words.
        parts[:2] = [(parts[0][0], parts[1][1], f"{parts[0][2]} {parts[1][2]}")]
    return parts


def _face(handle: Any, index: int, raw: Any) -> tuple[str, bool]:
    """Name of a letter's font, and whether it is bold."""
    if index < 0:
        return "", False
    flags = ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    raw.FPDFText_GetFontInfo(handle, index, name, 256, ctypes.byref(flags))
    plain = name.value.decode("utf-8", "replace").lower().rpartition("+")[2]
    heavy = raw.FPDFText_GetFontWeight(handle, index) >= 600 or bool(flags.value & 1 << 18)
    return plain, heavy or any(word in plain for word in _BOLD)


def _ruled(page: Any, path: Path, number: int, height: float, raw: Any) -> list[Ruled]:
    """Tables drawn with lines both ways; pages without such lines cost nothing."""
    if page.get_rotation():
        return []
    across = down = 0
    for i, thing in enumerate(page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH], max_depth=2)):
        left, bottom, right, top = thing.get_bounds()
        wide, tall = right - left, top - bottom
        across += wide > 20 and (tall < 3 or tall > 8)
        down += tall > 8 and (wide < 3 or wide > 20)
        if i > 3000:
            return []
    if across < 2 or down < 2:
        return []
    import logging

    import pdfplumber

    logging.getLogger("pdfminer").setLevel(logging.CRITICAL)
    found = []
    try:
        with pdfplumber.open(path, pages=[number + 1]) as plumbed:
            for table in plumbed.pages[0].find_tables():
                rows = [[" ".join((c or "").split()) for c in row] for row in table.extract()]
                x0, top, x1, bottom = table.bbox
                if _real(rows):
                    found.append(Ruled(_tight(rows), (x0, height - bottom, x1, height - top)))
    except Exception:
        # The text is safe with PDFium; only the frame of the table is lost.
        return []
    return found


def _real(rows: list[list[str]]) -> bool:
    """A table has several rows and columns and most cells hold something: a box around text has not."""
    if len(rows) < 2 or max(map(len, rows)) < 2:
        return False
    cells = [c for row in rows for c in row]
    return sum(bool(c) for c in cells) >= max(3, 0.3 * len(cells))


def _tight(rows: list[list[str]]) -> list[list[str]]:
    """Without the columns and rows that are empty throughout."""
    width = max(map(len, rows))
    full = [row + [""] * (width - len(row)) for row in rows]
    kept = [i for i in range(width) if any(row[i] for row in full)]
    return [[row[i] for i in kept] for row in full if any(row)]
