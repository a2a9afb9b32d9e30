"""Pieces of Markdown that several readers write: tables, headings that plain text only hints at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from mirim.documents.blocks import replaced

_UNDERLINED = re.compile(
    r"(?:^|(?<=\n))(?P<over>[=~*#^\"-]{3,}\n)?(?P<title>[ ]{0,3}[^\s|>#*+`=~-][^\n|]{0,118})\n"
    r"(?P<line>=+|-{2,})[ \t]*(?=\n|\Z)"
)

_FENCE = re.compile(r"^(?:```|~~~)[^\n]*\n", re.MULTILINE)
_CLOSED = re.compile(r"^(?:```|~~~)[ \t]*$", re.MULTILINE)
#: A line of tildes and, where one line stands between it and a blank one, that line, a title.
_TILDES = re.compile(
    r"^(?:(?<=\n\n)|(?<!\n))(?P<title>[ ]{0,3}[^\s|>#~][^\n|]{0,118})(?<![.,;:!])\n[ \t]*~{3,}[ \t]*(?:\n|\Z)"
    r"|^[ \t]*~{3,}[ \t]*(?:\n|\Z)",
    re.MULTILINE,
)
_NAMED_FENCE = re.compile(r"^[ ]{0,3}~{3,}[ \t]*\w", re.MULTILINE)
_LINE = re.compile(r"[^\n]+")
#: A number with its unit, a share, a price, a day, a time, a telephone number; an address. A year alone is none.
_VALUE = re.compile(
    r"(?!(?:19|20)\d\d$)[+\-–(]?\s*(?:R\$|US\$|[$€£])?\s*\d[\d.,:/()h\s–-]*(?:%|[a-zA-Zµ°º]{1,4}(?:/\w{1,3})?)?"
    r"|\S+@\S+\.\w+|https?://\S+"
)
_INK = re.compile(r"\S")
#: A short line in bold that is a paragraph of its own above another one; a question or a label leads what follows as it
#: is, and a sentence in bold is one that matters.
_BOLD = re.compile(
    r"(?:^|(?<=\n\n))(?P<mark>\*{2,3})(?P<title>[^*\n]{2,79}[^*\n\s.,:;!?])(?P=mark)[ \t]*\n"
    r"(?=\n+(?!#|(\*{2,3})[^*\n]+\3[ \t]*(?:\n|\Z))\S)"
)
_LEVEL = re.compile(r"^(#{1,6}) ", re.M)

#: Characters of a heading at most.
_HEADING = 80


def fences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each block of code between fences."""
    end = 0
    while (opened := _FENCE.search(text, end)) and (closed := _CLOSED.search(text, opened.end())):
        end = closed.end()
        yield opened.start(), end


def underlined(text: str) -> str:
    """Headings underlined with '=' or '-' as '#' and '##' headings; code fences stay as they are."""
    if "\n==" not in text and "\n--" not in text:
        return text
    return replaced(text, _underlined(text))


def _underlined(text: str) -> Iterator[tuple[int, int, str]]:
    start = 0
    for fence, after in chain(fences(text), [(len(text), len(text))]):
        for match in _UNDERLINED.finditer(text, start, fence):
            at, rule = match.start(), match.group("line")[0] == "-" and not match.group("over")
            # '---' right under a paragraph of several lines is a rule to most writers.
            if not (rule and at > start and not text.endswith("\n\n", start, at)):
                sign = "# " if match.group("line")[0] == "=" else "## "
                yield at, match.end(), sign + match.group("title").strip()
        start = after


def emboldened(text: str) -> str:
    """Lines in bold that stand as headings do as headings, one level below the last one; code stays as it is."""
    return replaced(text, _emboldened(text)) if "**" in text else text


def _emboldened(text: str) -> Iterator[tuple[int, int, str]]:
    start = seen = 0
    level = 1
    for fence, after in chain(fences(text), [(len(text), len(text))]):
        for match in _BOLD.finditer(text, start, fence):
            if not re.search(r"[^\W\d_]{3}", match["title"]):
                continue
            for above in _LEVEL.finditer(text, max(seen, start), match.start()):
                level = len(above[1])
            seen = match.end()
            yield match.start(), match.end(), f"{'#' * min(6, level + 1)} {match['title'].strip()}\n"
        start = after


def tildes(text: str) -> str:
    """Lines of tildes, rules and underlines of plain text, which in Markdown would make code of what follows: '###'
    headings where they underline a title that stands by itself, otherwise blank lines. Fences that name a language are
    left as they are."""
    if "~~~" not in text or _NAMED_FENCE.search(text):
        return text
    changes = ((m, (m["title"] or "").strip()) for m in _TILDES.finditer(text))
    return replaced(text, ((m.start(), m.end(), f"### {title}\n" if title else "\n") for m, title in changes))


def capitals(text: str) -> str:
    """Lines in capitals that open a block as headings: the first line of the text as '#', the others as '##'.

    Plain text has no other way to show a heading. A text that shouts (more than half of its lines) has none.
    """
    loud: list[tuple[int, int]] = []
    lines, first = 0, -1
    for match in _LINE.finditer(text):
        if line := match.group().strip():
            lines += 1
            first = match.start() if first < 0 else first
            if _loud(line):
                loud.append(match.span())
    if 2 * len(loud) > lines:
        return text
    opening = ((start, end) for start, end in loud if _opens(text, start, end))
    return replaced(text, ((a, b, ("# " if a == first else "## ") + text[a:b].strip()) for a, b in opening))


def _opens(text: str, start: int, end: int) -> bool:
    """Whether a line opens a block and has something below it, as a heading does."""
    above = text[text.rfind("\n", 0, max(0, start - 1)) + 1 : start]
    following = text.find("\n", end + 1)
    second = text.find("\n", following + 1) if following >= 0 else -1
    return not above.strip() and _INK.search(text, end, second if second >= 0 else len(text)) is not None


def _loud(line: str) -> bool:
    if len(line) > _HEADING or not line[0].isalnum() or line[-1] in ".,;!":
        return False
    letters = [c for c in line if c.isalpha()]
    return len(letters) > 3 and 2 * len(letters) > len(line) and all(c.isupper() for c in letters)


def valued(text: str) -> bool:
    """Whether a cell holds a value, which no header does: a number with its unit, a price, a day, an address."""
    return bool(_VALUE.fullmatch(text.strip()))


def headless(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a table of labels and values is one of these, and no header: "Phone | 555-0100"."""
    return (
        max(map(len, rows), default=0) == 2
        and len(rows[0]) == 2
        and (valued(rows[0][1]) or rows[0][0].rstrip("* ").endswith(":"))
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table, its first row the header; shorter rows are filled up. '' without rows."""
    return "".join(tabled(rows, max(map(len, rows), default=0)))


def tabled(rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """The lines of a table whose longest row has `width` cells."""
    for number, row in enumerate(rows if width else ()):
        yield "| " + " | ".join([*map(cell, row), *[""] * (width - len(row))]) + " |\n"
        if number == 0:
            yield "|" + " --- |" * width + "\n"


def cell(text: str) -> str:
    """Text as it can stand in a table cell: one line, bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")
