"""Tables as text: delimiter found out, decimal commas and quoted fields kept, titles above one GitHub table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

from mirim.documents.blocks import joined
from mirim.documents.draft import Draft, Refused
from mirim.documents.markdown import tabled
from mirim.documents.text import decode

SUFFIXES = (".csv", ".tsv", ".tab")
MEDIA = "text/csv"
VERSION = 2
ISOLATE = False

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_DELIMITERS = (";", "\t", "|", ",")
#: Lines above a table's header at most, such as its title and its date.
_TITLES = 12


def read(path: Path) -> Draft:
    text, delimiter, notes = opened(path)
    # The rows are read twice, for they would take ten times the text's memory.
    titles = _titles(rows_of(text, delimiter))
    widths = {len(row) for row in islice(rows_of(text, delimiter), len(titles), None)}
    if not widths:
        raise Refused("holds no rows")
    if len(widths) > 1:
        notes.append(f"rows have {min(widths)} to {max(widths)} fields; shorter ones were filled up")
    if text.count('"') % 2:
        notes.append("holds an odd number of quotation marks; what follows one that is not closed stands in one cell")
    rows = islice(rows_of(text, delimiter), len(titles), None)
    return Draft(joined(chain((f"{title}\n\n" for title in titles), tabled(rows, max(widths)))), notes=tuple(notes))


def opened(path: Path) -> tuple[str, str, list[str]]:
    """A table's text, what parts its cells, and notes on how it was read."""
    text, notes = decode(path.read_bytes())
    text = text.replace("\x00", "").lstrip("\ufeff")
    delimiter = ""
    first = text[: text.find("\n") + 1] or text
    if first.lower().startswith("sep=") and len(first.strip()) <= 5:
        # A line that spreadsheet programs write to name the delimiter.
        delimiter, text = first.strip()[4:], text[len(first) :]
    return text, delimiter or ("\t" if path.suffix.lower() in (".tsv", ".tab") else _delimiter(text)), notes


def _titles(rows: Iterator[list[str]]) -> list[str]:
    """What stands above the header: in rows of one filled cell, the first, which a row of several follows."""
    found: list[str] = []
    for row in islice(rows, _TITLES + 1):
        if sum(map(bool, row)) > 1:
            return found
        if not row[0]:
            break
        found.append(" ".join(row[0].split()))
    return []


def rows_of(text: str, delimiter: str) -> Iterator[list[str]]:
    """The cells of each row that has any filled. Refused for a table that cannot be read."""
    csv.field_size_limit(2**31 - 1)
    lines = (match.group() for match in _LINE.finditer(text))
    try:
        for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
            cells = [c.strip() for c in row]
            if any(cells):
                yield cells
    except csv.Error as error:
        raise Refused(f"is not a table that can be read: {error}") from error


def _delimiter(text: str) -> str:
    """The delimiter that cuts the first rows into the most even columns. Decimal commas speak for ';'."""
    sample = text[:20000]
    best, score = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            rows = list(islice(rows_of(sample, delimiter), 50))
        except Refused:
            continue
        if len(rows) > 2 and len(text) > len(sample):
            rows = rows[:-1]
        widths = sorted(len(row) for row in rows)
        if not widths or widths[len(widths) // 2] < 2:
            continue
        usual = widths[len(widths) // 2]
        even = sum(w == usual for w in widths) / len(widths)
        # Evenness first; commas inside text and numbers cut unevenly, or once in each price.
        value = even + 0.02 * min(usual, 10) - (0.3 if delimiter == "," and _decimal(rows) else 0.0)
        if value > score + 1e-9:
            best, score = delimiter, value
    return best


def _decimal(rows: list[list[str]]) -> bool:
    """Whether cutting at commas splits prices: '1200,50' gives a field of digits and one of two digits."""
    pairs = sum(
        a.lstrip('R$ -"').replace(".", "").isdigit() and b.rstrip('" ')[:2].isdigit() and len(b.strip('" ')) == 2
        for row in rows
        for a, b in pairwise(row)
    )
    return pairs > 0.8 * max(1, len(rows) - 1)
