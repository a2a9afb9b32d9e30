"""Pieces of Markdown that several readers write: tables, headings that plain text only hints at."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNDERLINED = re.compile(
    r"(?:^|(?<=\n))(?P<over>[=~*#^\"-]{3,}\n)?(?P<title>[ ]{0,3}[^\s|>#*+`=~-][^\n|]{0,118})\n"
    r"(?P<line>=+|-{2,})[ \t]*(?=\n|\Z)"
)

#: Characters of a heading at most.
_HEADING = 80


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


def capitals(text: str) -> str:
    """Lines in capitals that open a block as headings: the first line of the text as '#', the others as '##'.

    Plain text has no other way to show a heading. A text that shouts (more than half of its lines) has none.
    """
    lines = text.split("\n")
    loud = [i for i, line in enumerate(lines) if _loud(line)]
    if 2 * len(loud) > sum(1 for line in lines if line.strip()):
        return text
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    # A heading opens a block and has something below it.
    for i in loud:
        if (i == 0 or not lines[i - 1].strip()) and any(line.strip() for line in lines[i + 1 : i + 3]):
            lines[i] = ("# " if i == first else "## ") + lines[i].strip()
    return "\n".join(lines)


def _loud(line: str) -> bool:
    words = line.strip()
    letters = [c for c in words if c.isalpha()]
    return (
        len(letters) > 3
        and 2 * len(letters) > len(words)
        and len(words) <= _HEADING
        and all(c.isupper() for c in letters)
        and words[0].isalnum()
        and words[-1] not in ".,;!"
    )


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
