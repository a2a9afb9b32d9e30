"""The text of an OpenDocument file as Markdown: headings, lists with their numbers, tables, notes, text boxes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.archive import Archive
from mirim.documents.draft import Refused
from mirim.documents.markdown import cell, headless, table
from mirim.documents.markup import unframed
from mirim.documents.office import attribute, child, kind, whole
from mirim.documents.runs import UP, join, merged
from mirim.documents.word_parts import number

#: What was deleted, what is said about the text, and what a program made of its headings.
_SKIPPED = frozenset(
    "text:tracked-changes office:annotation text:table-of-content text:alphabetical-index text:illustration-index "
    "text:table-index text:sequence-decls office:forms text:bibliography text:user-index text:object-index".split()
)
_FORMS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman", "1": "decimal"}
#: Repeated cells of a row, and columns a cell reaches into, at most.
_ACROSS = 100

Block = tuple[str, str]


class OpenText:
    """The content of an opened .odt or .odp."""

    def __init__(self, archive: Archive) -> None:
        self.notes: list[str] = []
        self._root = archive.xml("content.xml")
        body = child(self._root, "office:body")
        if body is None:
            raise Refused("is damaged: it holds no content.xml with a body")
        self.body = next((e for e in body if kind(e)), body)
        self._styles: dict[str, Any] = {}
        self._lists: dict[str, Any] = {}
        for root in (archive.xml("styles.xml"), self._root):
            for e in root.iter() if root is not None else ():
                if kind(e) == "style:style":
                    self._styles[attribute(e, "name")] = e
                elif kind(e) == "text:list-style":
                    self._lists[attribute(e, "name")] = e
        self._cited: list[Any] = []
        self._boxes: list[Any] = []
        self._counts: dict[str, dict[int, int]] = {}
        self._lost = 0
        self._shift = int(any(self._named(p) == "title" for p in self.body.iter() if kind(p) == "text:p"))

    def text(self) -> str:
        blocks = list(self.blocks(self.body))
        for label, note in enumerate(self._cited, 1):
            words = " ".join(text for _, text in self.blocks(child(note, "text:note-body")))
            blocks.append(("p", f"[^{label}]: {' '.join(words.split())}"))
        self.tell()
        return join(blocks)

    def tell(self) -> None:
        """Note what was not read."""
        if self._lost:
            self.notes.append(f"charts and pictures that were not read: {self._lost}")

    def blocks(self, parent: Any, depth: int = 0) -> Iterator[Block]:
        """('h' | 'p' | 'li' | 'table', Markdown) of what stands in a body, section, cell or text box."""
        for e in parent if parent is not None else ():
            tag = kind(e)
            if tag in _SKIPPED or attribute(e, "display") == "none":
                continue
            if tag in ("text:h", "text:p"):
                yield from self._paragraph(e, tag)
            elif tag == "text:list":
                yield from self._list(e, 0, "")
            elif tag == "table:table":
                if text := self._table(e):
                    yield "table", text
            elif tag == "draw:frame":
                yield from self.frame(e)
            elif tag and len(e):
                yield from self.blocks(e)
            boxes, self._boxes = self._boxes, []
            for box in boxes:
                yield from self.frame(box)

    def frame(self, frame: Any) -> Iterator[Block]:
        """What stands in a frame: a text box or a table; pictures and charts are counted."""
        inner = [e for e in frame if kind(e) in ("draw:text-box", "table:table")]
        if inner:
            yield from self.blocks(inner)
        else:
            self._lost += any(kind(e) in ("draw:image", "draw:object", "draw:object-ole") for e in frame)

    def unseen(self, page: Any) -> bool:
        """Whether a slide is hidden."""
        style = self._styles.get(attribute(page, "style-name"))
        return attribute(child(style, "style:drawing-page-properties"), "visibility") == "hidden"

    def _line(self, name: str) -> Iterator[Any]:
        """A style and those it is based on."""
        for _ in range(12):
            style = self._styles.get(name)
            if style is None:
                return
            yield style
            name = attribute(style, "parent-style-name")

    def _named(self, p: Any) -> str:
        """The name of a paragraph's own kind: 'title', 'subtitle', 'heading', 'quotations'."""
        name = attribute(p, "style-name")
        # What is set by hand makes a style of its own, based on the one that was chosen.
        by_hand = next((style for style in self._line(name) if _automatic(style)), None)
        return (name if by_hand is None else attribute(by_hand, "parent-style-name")).lower()

    def _paragraph(self, p: Any, tag: str) -> Iterator[Block]:
        text = self.words(p)
        if not text:
            return
        name = self._named(p)
        if tag == "text:h" or name == "title":
            level = 1 if name == "title" else min(6, max(1, whole(attribute(p, "outline-level"), 1)) + self._shift)
            yield "h", f"{'#' * level} {' '.join(text.replace('**', '').split())}"
        else:
            yield "p", text

    def words(self, element: Any) -> str:
        return merged(self._runs(element, ()))

    def _runs(self, element: Any, marks: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Runs of a paragraph; blanks in the file stand for one, those that count have an element of their own."""
        yield re.sub(r"\s+", " ", element.text or ""), marks
        for e in element:
            tag = kind(e)
            if tag == "text:s" or tag == "text:tab":
                yield " ", marks
            elif tag == "text:line-break":
                yield "\n", ()
            elif tag == "text:note":
                self._cited.append(e)
                yield f"[^{len(self._cited)}]", ()
            elif tag == "draw:frame":
                self._boxes.append(e)
            elif tag == "text:a":
                link = attribute(e, "href")
                yield from self._runs(e, (*marks, link) if re.match(r"(https?|mailto|tel):", link) else marks)
            elif tag == "text:span":
                more, up, hidden = self._look(attribute(e, "style-name"))
                if not hidden:
                    inner = list(self._runs(e, tuple(dict.fromkeys((*marks, *more)))))
                    yield from ((UP + text if up and text else text, found) for text, found in inner)
            elif tag and tag not in _SKIPPED and attribute(e, "is-hidden") != "true":
                yield from self._runs(e, marks)
            yield re.sub(r"\s+", " ", e.tail or ""), marks

    def _look(self, name: str) -> tuple[tuple[str, ...], bool, bool]:
        """(marks, whether above the line, whether hidden) of a character style."""
        found: dict[str, str] = {}
        for style in self._line(name):
            properties = child(style, "style:text-properties")
            for key, value in properties.items() if properties is not None else ():
                found.setdefault(key.rpartition("}")[2], value)
        marks = ["**"] * (found.get("font-weight") in ("bold", "700", "800", "900"))
        marks += ["*"] * (found.get("font-style") in ("italic", "oblique"))
        marks += ["~~"] * (found.get("text-line-through-style", "none") != "none")
        return tuple(marks), found.get("text-position", "").startswith("super"), found.get("display") == "none"

    def _list(self, element: Any, depth: int, style: str) -> Iterator[Block]:
        style = attribute(element, "style-name") or style
        counts = self._counts.setdefault(style, {})
        goes_on = attribute(element, "continue-numbering") == "true" or attribute(element, "continue-list")
        if depth == 0 and not goes_on:
            counts.clear()
        bullet, form, after = self._level(style, depth)
        for item in element:
            if kind(item) not in ("text:list-item", "text:list-header"):
                continue
            first = True
            for e in item:
                tag = kind(e)
                if tag == "text:list":
                    yield from self._list(e, min(depth + 1, 8), style)
                elif tag == "text:h":
                    # Chapters that are numbered stand in lists.
                    yield from self._paragraph(e, tag)
                elif tag == "text:p" and (text := self.words(e)):
                    body = text.replace("\n", "\n" + "    " * (depth + 1))
                    if first and kind(item) == "text:list-item":
                        if not bullet:
                            counts[depth] = counts.get(depth, whole(attribute(item, "start-value"), after) - 1) + 1
                            for deeper in [d for d in counts if d > depth]:
                                del counts[deeper]
                        label = "-" if bullet else f"{number(counts[depth], form)}."
                        mark = label if re.fullmatch(r"-|\d+\.", label) else f"- {label}"
                        yield "li", f"{'    ' * depth}{mark} {body}"
                    else:
                        yield "li", f"{'    ' * (depth + 1)}{body}"
                    first = False
                elif tag and tag != "text:p":
                    yield from self.blocks([e])

    def _level(self, style: str, depth: int) -> tuple[bool, str, int]:
        """(whether a bullet, the form of the number, the first one) of a list's level."""
        definition = self._lists.get(style)
        for level in definition if definition is not None else ():
            if attribute(level, "level") == str(depth + 1):
                form = _FORMS.get(attribute(level, "num-format"), "")
                numbered = kind(level) == "text:list-level-style-number" and bool(form)
                return not numbered, form, whole(attribute(level, "start-value"), 1)
        return True, "", 1

    def _table(self, element: Any) -> str:
        rows: list[list[str]] = []
        waiting: dict[int, tuple[int, str]] = {}
        for tr in _through(element, "table:table-row"):
            row: list[str] = []
            for c in _through(tr, "table:table-cell", "table:covered-table-cell"):
                column = len(row)
                times = max(1, min(whole(attribute(c, "number-columns-repeated"), 1), _ACROSS))
                if kind(c) == "table:covered-table-cell":
                    for at in range(column, column + times):
                        left, text = waiting.get(at, (0, ""))
                        waiting[at] = (left - 1, text)
                        row.append(text if left > 0 else "")
                    continue
                blocks = [(what, unframed(text)) for what, text in self.blocks(c)]
                # Programs for slides make a list of each cell.
                text = cell(join(blocks) if len(blocks) > 1 else "".join(t.removeprefix("- ") for _, t in blocks))
                across, down = (whole(attribute(c, f"number-{way}-spanned"), 1) for way in ("columns", "rows"))
                for at in range(column, column + min(across, _ACROSS)):
                    # The covered cells that follow are in the file too, also those of this row.
                    waiting[at] = (down - (at == column), text)
                row += [text] * times
            rows += [row] * max(1, min(whole(attribute(tr, "number-rows-repeated"), 1), _ACROSS))
        rows = [row for row in rows if any(row)]
        if rows and (len(rows) == 1 or headless(rows)):
            rows.insert(0, [])
        width = max((i + 1 for row in rows for i, text in enumerate(row) if text), default=0)
        return table([[text.replace("\\|", "|") for text in row[:width]] for row in rows]).rstrip("\n")


def _automatic(style: Any) -> bool:
    parent = style.getparent()
    return parent is not None and kind(parent) == "office:automatic-styles"


def _through(element: Any, *names: str) -> Iterator[Any]:
    """Children of these names, looking into groups of rows and of header rows."""
    for e in element:
        tag = kind(e)
        if tag in names:
            yield e
        elif tag in ("table:table-header-rows", "table:table-rows", "table:table-row-group"):
            yield from _through(e, *names)
