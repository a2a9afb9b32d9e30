"""Pieces of Markdown that several readers write: tables, underlined headings."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNDERLINED = re.compile(
    r"(?:^|(?<=\n))(?P<over>[=~*#^\"-]{3,}\n)?(?P<title>[ ]{0,3}[^\s|>#*+`=~-][^\n|]{0,118})\n"
    r"(?P<line>=+|-{2,})[ \t]*(?=\n|\Z)"
)


def underlined(text: str) -> str:
    """Headings underlined with '=' or '-' as '#' and '##' headings; code fences stay as they are."""
    if "\n==" not in text and "\n--" not in text:
        return text
    parts = re.split(r"(^(?:```|~~~)[^\n]*\n.*?^(?:```|~~~)[ \t]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if i % 2 else _UNDERLINED.sub(_heading, part) for i, part in enumerate(parts))


def _heading(match: re.Match[str]) -> str:
    before = match.string[: match.start()]
    if before and not before.endswith("\n\n") and match.group("line")[0] == "-" and not match.group("over"):
        # '---' right under a paragraph of several lines is a rule to most writers.
        return match.group()
    return ("# " if match.group("line")[0] == "=" else "## ") + match.group("title").strip()


def table(rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table, its first row the header; shorter rows are filled up. '' without rows."""
    width = max(map(len, rows), default=0)
    if not width:
        return ""
    lines = []
    for row in rows:
        lines.append("| " + " | ".join([*map(cell, row), *[""] * (width - len(row))]) + " |")
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text as it can stand in a table cell: one line, bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")
