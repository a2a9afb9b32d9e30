"""HTML elements to Markdown: headings, paragraphs, lists, definition lists, tables with spans, code, quotes.

Works on lxml elements. What no reader of the page reads (menus, cookie banners) is taken out before, by `furniture`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.elements import BLOCKS, OPENING, SPACE, content, opens
from mirim.documents.markdown import cell, headless

_DROPPED = frozenset(
    "script style noscript template svg canvas iframe object embed applet audio video map head title meta link base "
    "select option datalist textarea input".split()
)
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "del": "~~", "s": "~~", "strike": "~~"}
_CODE = frozenset("code kbd samp tt".split())
#: What a number of a note may stand behind.
_RAISES = re.compile(r"\d$|[^\W\d_]{3}$")
#: Characters of a row's cell at most: in a table of one row, longer ones are texts side by side.
CELL = 120


def convert(root: Any) -> str:
    """Markdown of an element and all below it."""
    return "\n\n".join(_Blocks().of(root))


def _dropped(element: Any, tag: str) -> bool:
    """Whether nothing of an element is text of the page."""
    return not tag or tag in _DROPPED or (tag == "button" and not opens(element))


def raised(before: str, text: str, up: bool) -> str:
    """A text that may be written above the line; a number there is no digit of the one before it and no part of a word,
    as it is of a unit: "10^6", "R$ 50^1", "days^1", "m2"."""
    return f"^{text}" if up and text[:1].isdigit() and _RAISES.search(before.rstrip("*_`")[-3:]) else text


class _Blocks:
    """Turns elements into blocks: strings without blank lines around, to be parted by blank lines."""

    def of(self, element: Any) -> list[str]:
        """Blocks of an element's content."""
        blocks: list[str] = []
        run: list[str] = []

        def flush() -> None:
            paragraph = _tidy("".join(run))
            run.clear()
            if paragraph:
                blocks.append(paragraph)

        run.append(SPACE.sub(" ", element.text or ""))
        for child in element:
            tag = child.tag if isinstance(child.tag, str) else ""
            if _dropped(child, tag):
                pass
            elif tag in BLOCKS or tag == "button" or _holds_blocks(child):
                flush()
                blocks.extend(self.block(child, tag))
            else:
                run.append(raised("".join(run[-2:]), self.inline(child, tag), tag == "sup"))
            run.append(SPACE.sub(" ", child.tail or ""))
        flush()
        return blocks

    def block(self, element: Any, tag: str) -> list[str]:
        if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            words = " ".join(" ".join(self.of(element)).split())
            return [f"{'#' * int(tag[1])} {words}"] if words else []
        if tag in ("ul", "ol", "menu"):
            lines = "\n".join(self.items(element, tag))
            return [lines] if lines else []
        if tag == "dl":
            lines = "\n".join(self.definitions(element))
            return [lines] if lines else []
        if tag == "table":
            return self.table(element)
        if tag == "pre":
            code = "".join(element.itertext()).strip("\n")
            fence = "````" if "```" in code else "```"
            return [f"{fence}\n{code}\n{fence}"] if code.strip() else []
        if tag == "blockquote":
            inner = "\n\n".join(self.of(element))
            return ["\n".join(f"> {line}".rstrip() for line in inner.split("\n"))] if inner else []
        if tag in ("summary", "legend") or (
            tag == "button" and not any(a.tag in OPENING for a in element.iterancestors())
        ):
            words = " ".join(" ".join(self.of(element)).split())
            return [f"**{words}**" if not words.startswith(("#", "*")) else words] if words else []
        if tag == "hr":
            return []
        if tag == "a":
            blocks = self.of(element)
            return [_link(blocks[0], element.get("href", ""))] if len(blocks) == 1 and "\n" not in blocks[0] else blocks
        return self.of(element)

    def inline(self, element: Any, tag: str) -> str:
        """Text of an element that stands within a line."""
        if tag == "br":
            return "\n"
        if tag == "img":
            if any(a.tag == "figure" and a.find(".//figcaption") is not None for a in element.iterancestors()):
                return ""
            alt = " ".join((element.get("alt") or "").split())
            return f" {alt} " if alt and not re.fullmatch(r"\S+\.\w{3,4}", alt) else ""
        if tag == "wbr":
            return ""
        inner = SPACE.sub(" ", element.text or "")
        for child in element:
            name = child.tag if isinstance(child.tag, str) else ""
            if not _dropped(child, name):
                inner += raised(inner, self.inline(child, name), name == "sup")
            inner += SPACE.sub(" ", child.tail or "")
        if tag in _MARKS:
            return _around(inner, _MARKS[tag])
        if tag in _CODE:
            return _around(inner, "`") if "`" not in inner else inner
        if tag == "a":
            pictured = not "".join(element.itertext()).strip()
            return inner if pictured else _link(inner, element.get("href", ""))
        if tag == "q":
            return f"“{inner.strip()}”"
        return inner

    def items(self, element: Any, tag: str) -> list[str]:
        """Lines of a list; what an item holds beside its text is indented under it."""
        lines: list[str] = []
        number = _whole(element.get("start"), 1)
        for child in element:
            name = child.tag if isinstance(child.tag, str) else ""
            if name in ("ul", "ol", "menu"):
                # A list straight inside a list belongs to the item before it.
                lines += [f"    {line}" for line in self.items(child, name)]
                continue
            if _dropped(child, name):
                continue
            mark = f"{number}." if tag == "ol" else "-"
            blocks = self.of(child)
            first = blocks.pop(0) if blocks and not _is_list(blocks[0]) else ""
            if first or blocks:
                number += 1
                opening, *rest = first.split("\n") if first.startswith("```") else [" ".join(first.split())]
                lines.append(f"{mark} {opening}".rstrip())
                lines += [f"    {line}" for line in rest]
            for block in blocks:
                lines += [f"    {line}".rstrip() for line in block.split("\n")]
        return lines

    def definitions(self, element: Any) -> list[str]:
        """A definition list, often the questions and answers of a page: terms with what is said under them."""
        lines: list[str] = []
        for child in _flat(element, ("div",)):
            name = child.tag if isinstance(child.tag, str) else ""
            if name == "dt":
                term = " ".join(" ".join(self.of(child)).split())
                if term:
                    lines.append(f"- {term}" if term.startswith(("**", "[")) else f"- **{term}**")
            elif name == "dd":
                for block in self.of(child):
                    inner = block.split("\n")
                    lead = "" if _is_list(block) else "- "
                    lines.append(f"    {lead}{inner[0]}")
                    lines += [f"    {line}" for line in inner[1:]]
        return lines

    def table(self, element: Any) -> list[str]:
        """A table; one that only arranges the page is read as the blocks in its cells."""
        rows = list(_rows(element))
        if not rows:
            return self.of(element)
        caption = [block for c in element if c.tag == "caption" for block in self.of(c)]
        if _arranges(rows):
            return caption + [block for row in rows for c in row for block in self.of(c)]
        grid = _grid([[(self._cell(c), c) for c in row] for row in rows])
        if not grid:
            return caption
        width = len(grid[0])
        # Markdown's tables have a header; where a page's has none, its first row is no other than the rest.
        if labelled := _labelled(rows):
            grid = [[_around(line[0], "**"), *line[1:]] for line in grid]
        if labelled or (not any(c.tag == "th" for row in rows for c in row) and (len(grid) < 2 or headless(grid))):
            grid.insert(0, [""] * width)
        lines = ["| " + " | ".join(cells) + " |" for cells in grid]
        lines.insert(1, "|" + " --- |" * width)
        return [*caption, "\n".join(lines)]

    def _cell(self, element: Any) -> str:
        return cell(" ".join(unframed(block) for block in self.of(element)))


def unframed(block: str) -> str:
    """What a block says in a cell: a table inside loses its frame, code its fence."""
    if block.startswith("```"):
        return block.strip("`")
    if not block.startswith("| "):
        return block
    rows = [line for line in block.split("\n") if line.startswith("| ") and not set(line) <= set("| -")]
    return " ".join(" ".join(re.split(r"(?<!\\)\|", row.strip("| "))) for row in rows).replace("\\|", "|")


def _grid(rows: list[list[tuple[str, Any]]]) -> list[list[str]]:
    """Rows of equal width; a cell that spans rows or columns is repeated in each place it covers."""
    below: dict[int, tuple[int, str]] = {}
    grid: list[list[str]] = []
    for row in rows:
        line: list[str] = []
        waiting = list(row)
        own = False
        while waiting or any(c >= len(line) for c in below):
            column = len(line)
            if column in below:
                left, text = below.pop(column)
                if left > 1:
                    below[column] = (left - 1, text)
                line.append(text)
            elif waiting:
                text, element = waiting.pop(0)
                down, across = _whole(element.get("rowspan"), 1), _whole(element.get("colspan"), 1)
                own = own or down < 2
                for i in range(max(1, min(across, 200))):
                    line.append(text)
                    if down > 1:
                        below[column + i] = (min(down, 2000) - 1, text)
            else:
                line.append("")
            if len(line) > 2000:
                break
        # A row of nothing but cells that reach down says again what the rows below it say.
        if any(line) and (own or not row or len(rows) == 1):
            grid.append(line)
    width = max(map(len, grid), default=0)
    return [line + [""] * (width - len(line)) for line in grid]


def _rows(table: Any) -> Iterator[list[Any]]:
    """The cells of each row, nested tables left to their cell."""
    for child in _flat(table, ("thead", "tbody", "tfoot")):
        if child.tag == "tr":
            yield [c for c in child if c.tag in ("td", "th")]


def _flat(element: Any, through: tuple[str, ...]) -> Iterator[Any]:
    for child in element:
        if child.tag in through:
            yield from _flat(child, through)
        else:
            yield child


def _labelled(rows: list[list[Any]]) -> bool:
    """Whether each row, the first too, begins with its own header cell and has values behind it."""
    full = [row for row in rows if len(row) > 1]
    return bool(full) and all(row[0].tag == "th" and row[1].tag == "td" for row in full)


def _arranges(rows: list[list[Any]]) -> bool:
    """Whether a table only lays out the page: cells with headings, or one row of texts, and no header cells."""
    cells = [c for row in rows for c in row]
    if len(cells) == 1:
        return True
    if any(c.tag == "th" for c in cells) or len(cells) > 12:
        return False
    if len(rows) == 1 and any(_holds_blocks(c) or len(content(c)) > CELL for c in cells):
        return True
    return sum(1 for c in cells if c.find(".//h1") is not None or c.find(".//h2") is not None) > 0 and len(cells) < 5


def _holds_blocks(element: Any) -> bool:
    return any(isinstance(e.tag, str) and e.tag in BLOCKS for e in element.iterdescendants())


def _is_list(block: str) -> bool:
    return bool(re.match(r"(?:-|\d+\.) ", block))


def _tidy(text: str) -> str:
    """A paragraph: runs of blanks made one, line breaks kept, none around."""
    lines = [" ".join(line.split(" ")).strip() for line in text.split("\n")]
    return re.sub(r" {2,}", " ", "\n".join(line for line in lines if line))


def _around(inner: str, mark: str) -> str:
    """Marks close to the words, blanks outside them."""
    words = inner.strip()
    if not words:
        return inner
    if "\n" in words or words.startswith(mark):
        return inner
    lead, trail = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
    return f"{lead}{mark}{words}{mark}{trail}"


def _link(inner: str, href: str) -> str:
    words, href = " ".join(inner.split()), (href or "").strip()
    if not words or not href or href.startswith(("#", "javascript:", "data:")) or re.search(r"[\s<>]", href):
        return inner
    if href.count("(") != href.count(")"):
        href = href.replace("(", "%28").replace(")", "%29")
    if words == href or f"mailto:{words}" == href or words.startswith("!["):
        return inner
    lead, trail = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
    if words.startswith("#"):
        level, _, title = words.partition(" ")
        return f"{level} [{title}]({href})"
    return f"{lead}[{words}]({href}){trail}"


def _whole(text: str | None, default: int) -> int:
    try:
        return int(text or default)
    except ValueError:
        return default
