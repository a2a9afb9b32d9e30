"""From the lines of PDF pages to Markdown: what is a heading, a paragraph, a list, a table, a running header."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from mirim.documents.markdown import cell, headless, table
from mirim.documents.passages import cells
from mirim.documents.pdf_lines import Line, Page, Ruled

_NUMBER = re.compile(
    r"\W*(?:page|p[áa]gina|p[áa]g\.?|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:of|de|/|\|)\s*\d{1,4})?\W*$", re.I
)
_BULLET = re.compile(r"[•●▪◦‣⁃∙■□◆○*\uf0b7\uf0a7·–-]\s+(?=\S)")
_ITEM = re.compile(r"(?:\(?\d{1,2}[.)]|\(?[a-z][.)])\s+(?=\S)")
_CAPTION = re.compile(r"(?:fig(?:ure|ura|\.)|tab(?:le|ela|\.)|quadro|gr[áa]fico|chart)\s*\d", re.IGNORECASE)
_FIGURE = re.compile(r"\d")
#: Of the body's size, from which on type is a heading's; units that the edges of one table on two pages may differ by.
_LARGE, _EDGE = 1.12, 3
_ENDS = re.compile(r"[.!?:;。！？]['\"”’)\]]*$")


@dataclass(frozen=True, slots=True)
class _Look:
    """What the document looks like: size and font of its body, heading level of each larger size, its bookmarks."""

    body: float
    font: str
    levels: dict[float, int]
    outline: dict[str, int]
    words: Counter[str]


def layout(pages: list[Page], outline: dict[str, int]) -> list[str]:
    """The Markdown of each page."""
    pages = _without_running(pages, _body(pages)[0])
    _continued(pages)
    body, font = _body(pages)
    words = Counter(w.lower() for lines, _, _ in pages for line in lines for w in re.findall(r"[\w-]+", line.text))
    look = _Look(body, font, _levels(pages, body), outline, words)
    texts: list[str] = []
    for page in pages:
        texts.append(_headed(texts[-1], _page(page, look)) if texts else _page(page, look))
    return texts


def _body(pages: list[Page]) -> tuple[float, str]:
    """The size and the font in which most letters are set."""
    sizes: Counter[float] = Counter()
    fonts: Counter[str] = Counter()
    for lines, _, _ in pages:
        for line in lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
            fonts[line.font] += len(line.text)
    if not sizes:
        return 10.0, ""
    return max(sizes, key=lambda s: (sizes[s], -s)), max(fonts, key=lambda f: (fonts[f], f))


def _levels(pages: list[Page], body: float) -> dict[float, int]:
    """Heading level of each size clearly above the body's, the largest being 1."""
    sizes: Counter[float] = Counter()
    for lines, _, _ in pages:
        for line in lines:
            if line.size > _LARGE * body and re.search(r"[^\W\d_]{2}", line.text):
                sizes[round(line.size)] += 1
    ranked = sorted(sizes, reverse=True)
    return {size: min(4, rank + 1) for rank, size in enumerate(ranked)}


def _continued(pages: list[Page]) -> None:
    """Give each ruled table that goes on at the top of a page the header that it has on the page before; what stands
    first in it there would pass for one."""
    for (above, before, _), (below, after, _) in pairwise(pages):
        first = next((t for t in before if above and _inside(above[-1], t)), None)
        second = next((t for t in after if below and _inside(below[0], t)), None)
        if first is None or second is None or len(first.rows[0]) != len(second.rows[0]):
            continue
        same = all(abs(first.box[side] - second.box[side]) < _EDGE for side in (0, 2))
        if same and first.rows[0] != second.rows[0] and not headless(first.rows):
            second.rows.insert(0, first.rows[0])


def _headed(before: str, text: str) -> str:
    """A page's text, whose first table gets the header of the last one on the page before where it begins with a row of
    that: with figures in each column of figures below a header without."""
    above = before.rpartition("\n\n")[2].splitlines()
    block, apart, rest = text.partition("\n\n")
    rows = block.splitlines()
    if len(above) < 4 or len(rows) < 2 or not (above[1].startswith("| ---") and rows[1].startswith("| ---")):
        return text
    header, first, body = cells(above[0]), cells(rows[0]), [cells(row) for row in above[2:]]
    told = [i for i, name in enumerate(header) if not _FIGURE.search(name) and all(_FIGURE.search(r[i]) for r in body)]
    if not told or len(header) != len(first) or not all(_FIGURE.search(first[i]) for i in told):
        return text
    return "\n".join([*above[:2], rows[0], *rows[2:]]) + apart + rest


def _without_running(pages: list[Page], body: float) -> list[Page]:
    """Pages without the lines that come back at the same edge of many of them, and without page numbers. A line in
    larger type than the body's whose numbers count something else than pages is a heading."""
    seen: Counter[tuple[bool, str]] = Counter()
    numbers: defaultdict[tuple[bool, str], list[list[int]]] = defaultdict(list)
    edges: list[list[tuple[Line, tuple[bool, str]]]] = []
    for number, (lines, _, height) in enumerate(pages):
        edge = []
        if height:
            for line in lines:
                top = line.y > 0.88 * height
                if top or line.y < 0.11 * height:
                    place = f" at {round(line.y / 3)}" if len(pages) == 2 else ""
                    edge.append((line, (top, re.sub(r"\d+", "#", line.text.lower()) + place)))
        edges.append(edge)
        seen.update({key for _, key in edge})
        for line, key in edge:
            numbers[key].append([number, *(int(own[-9:]) for own in re.findall(r"\d+", line.text))])
    often = max(2, len(pages) * 0.3)
    kept: list[Page] = []
    for (lines, tables, height), edge in zip(pages, edges, strict=True):
        drop = {
            id(line)
            for line, key in edge
            if seen[key] >= often and (line.size <= _LARGE * body or not _counting(numbers[key]))
        }
        # A page's number is its lowest or its highest line.
        for line in (min(lines, key=lambda k: k.y), max(lines, key=lambda k: k.y)) if lines and height else ():
            if _NUMBER.match(line.text) and len(line.text) < 20 and not 0.17 * height < line.y < 0.88 * height:
                drop.add(id(line))
        kept.append(([line for line in lines if id(line) not in drop], tables, height))
    # Forms filled in from one template differ in their numbers only: what says all there is, is no header.
    return kept if any(lines or tables for lines, tables, _ in kept) else pages


def _counting(found: list[list[int]]) -> bool:
    """Whether the first or the last number of a line, which stands behind that of its page, goes up by one from page to
    page while the pages' own do not: chapters, that is, and not pages."""
    columns = list(zip(*found, strict=True))
    pages = {after - before for before, after in pairwise(columns[0])}
    return pages != {1} and any({b - a for a, b in pairwise(own)} == {1} for own in (columns[1:2] + columns[-1:]))


def _page(page: Page, look: _Look) -> str:
    lines, tables, _ = page
    blocks: list[str] = []
    leading = _leading(lines)
    i = 0
    done: set[int] = set()
    while i < len(lines):
        line = lines[i]
        ruled = next((t for t in tables if _inside(line, t)), None)
        if ruled is not None:
            if id(ruled) not in done:
                done.add(id(ruled))
                blocks.append(table(ruled.rows).rstrip("\n"))
            i += 1
            continue
        end = _aligned(lines, i, tables)
        if end:
            blocks.append(_table(lines[i:end]))
            i = end
            continue
        level = _heading(lines, i, look, leading)
        if level:
            title, i = _gather_heading(lines, i, level, look, leading)
            blocks.append(f"{'#' * level} {title}")
            continue
        j = i + 1
        while j < len(lines) and _continues(lines, i, j, look, leading, tables):
            j += 1
        blocks.append(_paragraph(lines[i:j], look.words))
        i = j
    return _together(blocks)


def _together(blocks: list[str]) -> str:
    """Blocks parted by blank lines, the items of a list by none."""
    out = ""
    for before, block in zip(["", *blocks], blocks, strict=False):
        tight = bool(before) and all(re.match(r"(?:- |\d+\. )", b) for b in (before, block))
        out += ("\n" if tight else "\n\n") + block if out else block
    return out


def _leading(lines: list[Line]) -> float:
    """The usual distance between the lines of a paragraph, in page units."""
    steps = [a.y - b.y for a, b in pairwise(lines) if 0.5 * a.size < a.y - b.y < 2.5 * a.size]
    return median(steps) if steps else 12.0


def _inside(line: Line, ruled: Ruled) -> bool:
    x0, bottom, x1, top = ruled.box
    middle = line.y + line.size / 2
    return bottom - 1 <= middle <= top + 1 and x0 - 2 <= (line.x0 + line.x1) / 2 <= x1 + 2


def _key(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()


def _heading(lines: list[Line], i: int, look: _Look, leading: float) -> int:
    """Heading level of a line, 0 for ordinary text."""
    line = lines[i]
    text = line.text
    if len(text) > 160 or not re.search(r"[^\W\d_]{2}", text) or len(line.parts) > 3:
        return 0
    marked = look.outline.get(_key(text))
    if marked and (line.bold or line.size > 1.02 * look.body or line.font != look.font):
        return min(6, marked)
    if line.size > _LARGE * look.body and round(line.size) in look.levels:
        return look.levels[round(line.size)] if not text.endswith((",", ";")) else 0
    if (
        _ENDS.search(text)
        or len(text) > 90
        or line.size < 0.9 * look.body
        or _BULLET.match(text)
        or _CAPTION.match(text)
    ):
        return 0
    # A line in another face that stands alone: space above, ordinary text below.
    above, below = (lines[i - 1] if i else None), (lines[i + 1] if i + 1 < len(lines) else None)
    if below is None or (below.bold and below.y > line.y) or len(line.parts) > 1:
        return 0
    apart = above is None or above.y - line.y > 1.3 * leading or above.y < line.y or (above.bold and line.bold)
    other = (line.bold and not below.bold) or (
        line.font != look.font and below.font == look.font and text[:1].isupper()
    )
    if not apart or not other:
        return 0
    numbered = re.match(r"\d+((?:\.\d+)*)\.?\s+\S", text)
    base = len(set(look.levels.values())) + 1
    return min(6, base + numbered.group(1).count(".")) if numbered else min(5, base)


def _gather_heading(lines: list[Line], i: int, level: int, look: _Look, leading: float) -> tuple[str, int]:
    """A heading that runs over lines of the same size, as one."""
    parts, size, j = [lines[i].text], lines[i].size, i + 1
    while j < len(lines) and len(parts) < 4:
        step = lines[j - 1].y - lines[j].y
        same = abs(lines[j].size - size) < 0.06 * size and 0 <= step < 1.5 * size and lines[j].bold == lines[i].bold
        if not same or _heading(lines, j, look, leading) != level or look.outline.get(_key(lines[j].text)):
            break
        parts.append(lines[j].text)
        j += 1
    return " ".join(parts), j


def _continues(lines: list[Line], start: int, j: int, look: _Look, leading: float, tables: list[Ruled]) -> bool:
    """Whether line j goes on the paragraph that began at `start`."""
    before, line = lines[j - 1], lines[j]
    if before.hyphen:
        return True
    if any(_inside(line, t) for t in tables) or _aligned(lines, j, tables):
        return False
    if _BULLET.match(line.text) or (
        _ITEM.match(line.text) and (_ENDS.search(before.text) or _ITEM.match(lines[start].text))
    ):
        return False
    if _heading(lines, j, look, leading):
        return False
    step = before.y - line.y
    if abs(step) < 0.5 * before.size:
        # The same row: a superscript, or the text after one.
        return True
    if step < 0 or step > 4 * leading:
        # A new column, or text in another place: it goes on only in the middle of a sentence.
        return not _ENDS.search(before.text) and line.text[:1].islower()
    if step > max(1.45 * leading, 1.7 * before.size):
        return False
    if abs(before.size - line.size) > 0.15 * look.body:
        return line.size < 0.8 * look.body and len(line.text) < 4
    listed = _BULLET.match(lines[start].text) or _ITEM.match(lines[start].text)
    if listed and _ENDS.search(before.text) and line.x0 < lines[start].x0 + 1:
        # Back at the margin of its mark: the item is over.
        return False
    right = max(one.x1 for one in lines[start:j])
    short = right - before.x1 > 0.25 * (right - min(one.x0 for one in lines[start:j])) and j - start > 1
    indented = line.x0 > before.x0 + 0.8 * before.size and not _BULLET.match(lines[start].text) and j - start > 1
    return not (_ENDS.search(before.text) and (short or indented))


def _paragraph(lines: list[Line], words: Counter[str]) -> str:
    text = ""
    for line in lines:
        text = _glue(text, line.text, words) if text else line.text
        if line.hyphen:
            text += "\u00ad"
    text = text.replace("\u00ad", "-")
    bullet = _BULLET.match(text)
    if bullet:
        return f"- {text[bullet.end() :]}"
    item = re.match(r"(\d{1,2})[.)]\s+", text)
    if item:
        return f"{item.group(1)}. {text[item.end() :]}"
    # What opens a line of Markdown by accident is kept as text.
    return re.sub(r"^(#{1,6}) ", r"\\\1 ", text)


def _glue(text: str, more: str, words: Counter[str]) -> str:
    """Join two lines; a hyphen between goes unless the word is written with it elsewhere."""
    if not text.endswith(("\u00ad", "-")) or text.endswith((" -", "--")):
        return f"{text} {more}"
    hard = text[-1] == "-"
    text = text[:-1]
    first = re.findall(r"\w+$", text)
    second = re.findall(r"^\w+", more)
    if not first or not second:
        return f"{text}-{more}"
    joined, hyphened = (first[0] + second[0]).lower(), f"{first[0]}-{second[0]}".lower()
    if words[joined] > words[hyphened]:
        return text + more
    if words[hyphened] or (hard and not more[:1].islower()) or second[0][:1].isupper() or first[0].isdigit():
        return f"{text}-{more}"
    # Both halves are words of this document and the whole is not: a compound, written with its hyphen.
    if words[first[0].lower()] > 1 and words[second[0].lower()] > 1 and len(first[0]) > 2 and len(second[0]) > 3:
        return f"{text}-{more}"
    return text + more


def _aligned(lines: list[Line], i: int, tables: list[Ruled]) -> int:
    """End of a table without ruled lines that begins at line i, 0 if none: rows whose pieces share columns."""
    first = lines[i]
    if len(first.parts) < 2:
        return 0
    columns = [(a, b) for a, b, _ in first.parts]
    j = i + 1
    while j < len(lines) and len(lines[j].parts) >= 2 and not any(_inside(lines[j], t) for t in tables):
        if not 0 < lines[j - 1].y - lines[j].y < 3.5 * first.size:
            break
        hits = sum(any(a < d and c < b for c, d in columns) for a, b, _ in lines[j].parts)
        if hits < min(2, len(lines[j].parts)):
            break
        columns = _merged(columns, [(a, b) for a, b, _ in lines[j].parts])
        j += 1
    rows = lines[i:j]
    if len(rows) < 3 or len(columns) < 2:
        return 0
    # Prose in two columns looks alike, but its pieces are long.
    lengths = [len(text) for line in rows for _, _, text in line.parts]
    return j if median(lengths) < 28 else 0


def _merged(columns: list[tuple[float, float]], more: list[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for a, b in sorted(columns + more):
        if out and a < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], b))
        else:
            out.append((a, b))
    return out


def _table(lines: list[Line]) -> str:
    columns: list[tuple[float, float]] = []
    for line in lines:
        columns = _merged(columns, [(a, b) for a, b, _ in line.parts])
    rows = []
    for line in lines:
        row = [""] * len(columns)
        for a, b, text in line.parts:
            place = next(i for i, (c, d) in enumerate(columns) if (a < d and c < b) or c <= a <= d)
            row[place] = f"{row[place]} {cell(text)}".strip()
        rows.append(row)
    return table(rows).rstrip("\n")
