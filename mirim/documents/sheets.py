"""The sheets of a workbook as Markdown: each a heading, and under it its tables and what stands around them.

A sheet is a wall on which people put tables where there is room, so empty rows and columns part them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path

from mirim.documents.blocks import joined
from mirim.documents.draft import Draft, Refused
from mirim.documents.markdown import headless, tabled, valued
from mirim.documents.store import named

#: Filled cells of a file at most, those counted too that are filled because a cell reaches into them.
MOST = 5_000_000
#: Lines above a table's header at most, such as its title and its date.
_TITLES = 12
#: A table with more places than this for each filled cell is no table; small ones may be.
_SPARSE, _SMALL = 8, 400
#: Names that programs give to sheets.
_UNNAMED = re.compile(r"(?:sheet|plan|planilha|folha|p[aá]gina|tabelle|hoja|feuil|foglio|table|tabela) ?_?\d*", re.I)

Row = dict[int, str]


class Across(str):
    """A cell's text once more, in a column that the cell reaches into."""

    __slots__ = ()


@dataclass(slots=True)
class Sheet:
    """The filled cells of a sheet by row and column, and (first row, first column, last row, last column) of its cells
    that reach into others.

    unseen   rows that are hidden; empty ones among them part nothing
    hidden   how many rows and columns with something in them were left out for that
    """

    name: str
    rows: dict[int, Row] = field(default_factory=dict)
    spans: list[tuple[int, int, int, int]] = field(default_factory=list)
    unseen: set[int] = field(default_factory=set)
    hidden: int = 0


class Count:
    """How many cells a file may still have."""

    def __init__(self) -> None:
        self._left = MOST

    def take(self, cells: int = 1) -> None:
        self._left -= cells
        if self._left < 0:
            raise Refused(
                f"has more than {MOST} cells; split it, or save the sheets that matter as CSV, which is read row by row"
            )


def draft(
    path: Path, sheets: Iterable[Sheet], count: Count, title: str, metadata: dict[str, str], notes: list[str]
) -> Draft:
    """The document of a workbook. Sheets are asked for one at a time."""
    several = False
    hidden: dict[str, int] = {}

    def text() -> Iterator[str]:
        nonlocal several
        first = ""
        for sheet in sheets:
            if sheet.hidden:
                hidden[sheet.name] = sheet.hidden
            pieces = _markdown(sheet, count)
            if (start := next(pieces, None)) is None:
                continue
            several = several or bool(first)
            first = first or sheet.name
            yield "" if _UNNAMED.fullmatch(sheet.name.strip()) else f"## {' '.join(sheet.name.split())}\n\n"
            yield start
            yield from pieces
            yield "\n"

    content = joined(text())
    for name, number in hidden.items():
        what = f"hidden rows and columns of the sheet {name} that were left out: {number}"
        notes.append(f"{what}; to have them read, show them and save")
    # What a first sheet is called is not what all of them are about.
    return Draft(content, title or (named(path.name) if several else ""), metadata=metadata, notes=tuple(notes))


def left_out(hidden: list[str]) -> list[str]:
    """The note on hidden sheets, if there are any."""
    named = ", ".join(hidden[:20])
    return [f"hidden sheets were left out: {named}; to have them read, show them and save"] * bool(hidden)


def _markdown(sheet: Sheet, count: Count) -> Iterator[str]:
    covered = _spread(sheet, count) | sheet.unseen
    writer = _Writer()
    for band in _whole(_bands(sheet.rows, covered)):
        yield from writer.band(band)


def _spread(sheet: Sheet, count: Count) -> set[int]:
    """Repeat cells in the places they reach into, in rows that have others; the numbers of rows that have none."""
    covered: set[int] = set()
    last = max(sheet.rows, default=0)
    widest = max((max(row) for row in sheet.rows.values() if row), default=0)
    for top, left, bottom, right in sheet.spans:
        text = sheet.rows.get(top, {}).get(left, "")
        for number in range(top, min(bottom, last) + 1) if text else ():
            row = sheet.rows.get(number)
            count.take()
            if not row:
                covered.add(number)
                continue
            if number > top:
                row.setdefault(left, text)
            for column in range(left + 1, min(right, widest, left + 200) + 1):
                count.take()
                row.setdefault(column, Across(text))
    return covered


def _bands(rows: dict[int, Row], covered: Container[int] = frozenset()) -> Iterator[list[Row]]:
    """Rows between empty ones."""
    held: list[Row] = []
    last = -1
    for number in sorted(n for n, row in rows.items() if row):
        while last + 1 < number and last + 1 in covered:
            last += 1
        if held and number > last + 1:
            yield held
            held = []
        held.append(rows[number])
        last = number
    if held:
        yield held


def _whole(bands: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Bands with a header that an empty row parts from its table put together with it."""
    held: list[Row] = []
    for band in bands:
        if held and _goes_on(_own(held[-1]), band):
            yield held + band
            held = []
            continue
        if held:
            yield held
        held = band if len(band) - _titles(band) == 1 and not any(map(valued, band[-1].values())) else []
        if not held:
            yield band
    if held:
        yield held


def _goes_on(columns: Iterable[int], band: list[Row]) -> bool:
    """Whether a band has no header of its own and fits under columns above it."""
    own = _own(band[0])
    fits = set().union(*map(_own, band)) <= set(columns)
    return len(own) > 1 and fits and any(valued(band[0][c]) for c in own)


def _own(row: Row) -> list[int]:
    """The columns of a row's cells that begin there."""
    return [column for column, text in row.items() if not isinstance(text, Across)]


class _Writer:
    """Bands of a sheet as blocks. A table with an empty row in it goes on below that, and below a title of its own with
    its header once more."""

    def __init__(self) -> None:
        self._table: tuple[int, ...] = ()
        self._header: list[str] = []
        #: Whether the last block is the table, and whether there is a block.
        self._open = self._begun = False

    def band(self, band: list[Row]) -> Iterator[str]:
        titles = _titles(band)
        for row in band[:titles]:
            yield from self._block([" ".join(row[min(row)].split()) + "\n"])
        rest = band[titles:]
        if _goes_on(self._table, rest):
            lines = tabled(chain([self._header], _lines(rest, self._table)), len(self._table))
            # Two lines of header.
            yield from islice(lines, 2, None) if self._open else self._block(lines)
            self._open = True
            return
        groups = _groups(rest)
        if len(groups) == 1:
            yield from self._write(rest, groups[0])
            return
        self._table = ()
        for group in groups:
            inside = set(group)
            part = {i: {c: text for c, text in row.items() if c in inside} for i, row in enumerate(rest)}
            for piece in _bands(part):
                yield from self.band(piece)
            self._table = ()

    def _block(self, lines: Iterable[str]) -> Iterator[str]:
        if self._begun:
            yield "\n"
        self._begun, self._open = True, False
        yield from lines

    def _write(self, band: list[Row], columns: tuple[int, ...]) -> Iterator[str]:
        filled = sum(map(len, band))
        if len(columns) == 1:
            yield from self._block(_listed([row.get(columns[0], "") for row in band]))
        elif len(band) * len(columns) > max(_SMALL, _SPARSE * filled):
            # A form, or notes here and there: what stands side by side is all that can be told.
            yield from self._block(_listed(["; ".join(row[c] for c in sorted(_own(row))) for row in band], bare=True))
        else:
            rows = _headed(band, columns)
            self._table, self._header = columns, next(rows)
            yield from self._block(tabled(chain([self._header], rows), len(columns)))
            self._open = True


def _titles(band: list[Row]) -> int:
    """How many rows above a table's header have one cell each."""
    for number, row in enumerate(islice(band, _TITLES + 1)):
        if len(_own(row)) > 1:
            return number
    return 0


def _groups(band: list[Row]) -> list[tuple[int, ...]]:
    """The columns of tables side by side: empty ones part them. One column alone belongs to those beside it, and one
    into which others reach says nothing of its own."""
    used = sorted({c for row in band for c in row})
    own = {c for row in band for c in _own(row)}
    parts: list[list[int]] = []
    for before, column in pairwise([-2, *used]):
        if column > before + 1:
            parts.append([])
        if column in own:
            parts[-1].append(column)
    groups: list[tuple[int, ...]] = []
    for part in filter(None, parts):
        if groups and (len(part) == 1 or len(groups[-1]) == 1):
            groups[-1] += tuple(part)
        else:
            groups.append(tuple(part))
    return groups


def _lines(band: Iterable[Row], columns: tuple[int, ...]) -> Iterator[list[str]]:
    for row in band:
        own = _own(row)
        # A cell that reaches across the table is a heading between its rows.
        yield [row.get(c, "") for c in columns] if len(own) > 1 else [row[c] if c in own else "" for c in columns]


def _headed(band: list[Row], columns: tuple[int, ...]) -> Iterator[list[str]]:
    """The rows of a table, its header first."""
    lines = _lines(band, columns)
    first = next(lines)
    second = next(lines, None)
    if second is None or headless([first, second]):
        yield [""] * len(columns)
    elif _grouped(band[0], columns, first, second):
        # Under a heading that reaches across several columns stands what each of them is.
        yield [a if a == b or not b else f"{a} {b}".strip() for a, b in zip(first, second, strict=True)]
        yield from lines
        return
    yield first
    if second is not None:
        yield second
    yield from lines


def _grouped(header: Row, columns: tuple[int, ...], first: list[str], second: list[str]) -> bool:
    """Whether a header has a second row: where a cell of the first reaches across columns, and nowhere else."""
    under = {c for c in columns if isinstance(header.get(c), Across) or isinstance(header.get(c + 1), Across)}
    beside = ((a, b) for c, a, b in zip(columns, first, second, strict=True) if c not in under)
    return bool(under) and not any(map(valued, second)) and all(not b or a == b for a, b in beside)


def _listed(texts: list[str], bare: bool = False) -> Iterator[str]:
    """One column: a line, two of them, or a heading with what is listed under it."""
    texts = [" ".join(text.split()) for text in texts]
    for number, text in enumerate(texts):
        if bare or (number and len(texts) > 2):
            yield ("\n" if number == 1 and not bare else "") + f"- {text}\n"
        else:
            yield ("\n" if number else "") + f"{text}\n"
