"""Tables as text: delimiter found out, decimal commas and quoted fields kept, one GitHub table."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path

from mirim.documents.draft import Draft, Refused
from mirim.documents.markdown import table
from mirim.documents.text import decode

SUFFIXES = (".csv", ".tsv", ".tab")
MEDIA = "text/csv"
VERSION = 1
ISOLATE = False

_DELIMITERS = (";", "\t", "|", ",")


def read(path: Path) -> Draft:
    text, notes = decode(path.read_bytes())
    text = text.replace("\x00", "").lstrip("\ufeff")
    delimiter = ""
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first.strip()) <= 5:
        # A line that spreadsheet programs write to name the delimiter.
        delimiter, text = first.strip()[4:], rest
    delimiter = delimiter or ("\t" if path.suffix.lower() in (".tsv", ".tab") else _delimiter(text))
    rows = _rows(text, delimiter)
    if not rows:
        raise Refused("holds no rows")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        notes.append(f"rows have {min(widths)} to {max(widths)} fields; shorter ones were filled up")
    return Draft(table(rows), notes=tuple(notes))


def _rows(text: str, delimiter: str, limit: int = 0) -> list[list[str]]:
    csv.field_size_limit(2**31 - 1)
    found = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True):
            cells = [c.strip() for c in row]
            if any(cells):
                found.append(cells)
            if limit and len(found) >= limit:
                break
    except csv.Error as error:
        raise Refused(f"is not a table that can be read: {error}") from error
    return found


def _delimiter(text: str) -> str:
    """The delimiter that cuts the first rows into the most even columns. Decimal commas speak for ';'."""
    sample = text[:20000]
    best, score = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            rows = _rows(sample, delimiter, limit=50)
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
