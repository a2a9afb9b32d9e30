"""The parts of a Word document as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.archive import Archive
from mirim.documents.draft import Refused
from mirim.documents.formula import latex
from mirim.documents.markdown import cell, headless
from mirim.documents.markup import CELL
from mirim.documents.office import attribute, kind, main_part, metadata, relations, title, whole
from mirim.documents.runs import UP, join, merged
from mirim.documents.word_parts import Numbering, Styles

_SKIPPED = frozenset(
    "w:del w:moveFrom w:instrText w:delText w:fldData w:commentReference w:annotationRef w:rPr w:pPr w:tblPr w:tcPr "
    "w:trPr w:sectPr w:proofErr w:bookmarkStart w:bookmarkEnd w:commentRangeStart w:commentRangeEnd w:object".split()
)
_MARK_ORDER = (("w:b", "**"), ("w:i", "*"), ("w:strike", "~~"))


class Word:
    """Text, title and metadata of an opened .docx."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.notes: list[str] = []
        self.main = main_part(archive, "word/document.xml")
        folder = self.main.rpartition("/")[0]
        self.links = relations(archive, self.main)
        self.styles = Styles(archive.xml(f"{folder}/styles.xml"))
        self.numbering = Numbering(archive.xml(f"{folder}/numbering.xml"))
        self.notes_of = {kind_: _footnotes(archive.xml(f"{folder}/{kind_}s.xml")) for kind_ in ("footnote", "endnote")}
        self._cited: list[tuple[str, Any]] = []
        self._boxes: list[Any] = []

    def text(self) -> str:
        root = self.archive.xml(self.main)
        if root is None:
            raise Refused("is damaged: it holds no document part")
        body = next((c for c in root if kind(c) == "w:body"), root)
        self._shift = int(any(self._style(p) == "title" for p in body.iter() if kind(p) == "w:p"))
        blocks = list(self._blocks(body))
        for label, note in self._cited:
            words = " ".join(block for _, block in self._blocks(note))
            blocks.append(("p", f"[^{label}]: {' '.join(words.split())}"))
        return join(blocks)

    def title(self) -> str:
        return title(self.archive)

    def metadata(self) -> dict[str, str]:
        return metadata(self.archive)

    def _style(self, paragraph: Any) -> str:
        properties = _find(paragraph, "w:pPr")
        style = _find(properties, "w:pStyle") if properties is not None else None
        return self.styles.name(attribute(style, "val")) if style is not None else ""

    def _blocks(self, parent: Any) -> Iterator[tuple[str, str]]:
        """('h' | 'p' | 'li' | 'code' | 'table', Markdown) of what stands in a body, cell or text box."""
        for child in parent:
            tag = kind(child)
            if tag == "w:p":
                yield from self._paragraph(child)
            elif tag == "w:tbl" and _framed(child):
                # One row: a frame around text, or texts side by side, not a table.
                for inner in _cells(child):
                    yield from self._blocks(inner)
            elif tag == "w:tbl":
                table = self._table(child)
                if table:
                    yield "table", table
                boxes, self._boxes = self._boxes, []
                for box in boxes:
                    yield from self._blocks(box)
            elif tag == "m:oMathPara":
                yield "p", f"$${latex(child)}$$"
            elif tag not in _SKIPPED and len(child):
                yield from self._blocks(child)

    def _paragraph(self, p: Any) -> Iterator[tuple[str, str]]:
        properties = _find(p, "w:pPr")
        text, code = self._runs(p)
        name = self._style(p)
        level = self.styles.level(properties)
        label, depth, bullet = self.numbering.label(self.styles.numbered(properties))
        if not text:
            pass
        elif level:
            title = re.sub(r"\*\*|(?<!\\)__", "", " ".join(text.split()))
            number = f"{label.rstrip('.')} " if label and not bullet else ""
            yield "h", f"{'#' * min(6, level + self._shift * (name != 'title'))} {number}{title}"
        elif code or self.styles.is_code(name):
            yield "code", "\n".join(line.rstrip() for line in self._plain(p).split("\n"))
        elif label:
            body = "\n".join("    " * (depth + 1) + line if i else line for i, line in enumerate(text.split("\n")))
            mark = "-" if bullet else label if re.fullmatch(r"\d+\.", label) else f"- {label}"
            yield "li", f"{'    ' * depth}{mark} {body}"
        elif re.match(r"- \[[ x]\] ", text):
            yield "li", text
        else:
            yield "p", text
        boxes, self._boxes = self._boxes, []
        for box in boxes:
            yield from self._blocks(box)

    def _plain(self, p: Any) -> str:
        return "".join(
            {"w:t": e.text or "", "w:br": "\n", "w:cr": "\n", "w:tab": "\t"}.get(kind(e), "") for e in p.iter()
        )

    def _runs(self, p: Any) -> tuple[str, bool]:
        """A paragraph's text with marks, and whether it is all in a typewriter face and looks like code."""
        pieces: list[tuple[str, tuple[str, ...]]] = []
        faces: list[bool] = []
        for text, marks, typewriter in self._pieces(p, ""):
            if text.strip():
                faces.append(typewriter)
            pieces.append((text, marks))
        text = merged(pieces)
        code = bool(faces) and all(faces) and bool(re.search(r"[;={}()\[\]<>]", text))
        return text, code

    def _pieces(self, parent: Any, link: str) -> Iterator[tuple[str, tuple[str, ...], bool]]:
        for child in parent:
            tag = kind(child)
            if tag in _SKIPPED or (tag == "w:r" and self._hidden(child)):
                continue
            if tag == "w:r":
                marks = self._marks(child) + ((link,) if link else ())
                typewriter = self.styles.typewriter(_find(child, "w:rPr"))
                for text in self._run(child):
                    yield UP * self._up(child) + text, marks, typewriter
            elif tag == "w:hyperlink":
                target = self.links.get(attribute(child, "id"), "")
                yield from self._pieces(child, target if re.match(r"(https?|mailto|tel):", target) else link)
            elif tag == "m:oMath":
                yield f" ${latex(child)}$ ", (), False
            elif tag == "m:oMathPara":
                yield f"\n$${latex(child)}$$\n", (), False
            elif tag == "w:sdt":
                checked = next((e for e in child.iter() if kind(e) == "w14:checked"), None)
                if checked is not None:
                    yield f"- [{'x' if attribute(checked, 'val') in ('1', 'true') else ' '}] ", (), False
                else:
                    yield from self._pieces(child, link)
            elif tag == "mc:AlternateContent":
                yield from self._pieces(_choice(child), link)
            elif tag == "w:txbxContent":
                self._boxes.append(child)
            elif len(child):
                yield from self._pieces(child, link)

    def _up(self, run: Any) -> bool:
        properties = _find(run, "w:rPr")
        aligned = None if properties is None else _find(properties, "w:vertAlign")
        return aligned is not None and attribute(aligned, "val") == "superscript"

    def _hidden(self, run: Any) -> bool:
        vanish = _find(_find(run, "w:rPr"), "w:vanish")
        return vanish is not None and attribute(vanish, "val") not in ("0", "false", "off")

    def _marks(self, run: Any) -> tuple[str, ...]:
        properties = _find(run, "w:rPr")
        if properties is None:
            return ()
        on = {kind(e) for e in properties if attribute(e, "val") not in ("0", "false", "none", "off")}
        return tuple(mark for name, mark in _MARK_ORDER if name in on)

    def _run(self, run: Any) -> Iterator[str]:
        for e in run:
            tag = kind(e)
            if tag == "w:t":
                yield e.text or ""
            elif tag == "w:tab":
                yield " "
            elif tag in ("w:br", "w:cr"):
                yield "\n" if attribute(e, "type") not in ("page", "column") else " "
            elif tag == "w:noBreakHyphen":
                yield "-"
            elif tag == "w:sym":
                yield _symbol(attribute(e, "char"))
            elif tag in ("w:footnoteReference", "w:endnoteReference"):
                yield self._note(tag[2:-9], attribute(e, "id"))
            elif tag in ("w:drawing", "w:pict", "mc:AlternateContent"):
                holder = _choice(e) if tag == "mc:AlternateContent" else e
                self._boxes += _outermost(holder)

    def _note(self, family: str, id: str) -> str:
        note = self.notes_of.get(family, {}).get(id)
        if note is None:
            return ""
        label = str(len(self._cited) + 1)
        self._cited.append((label, note))
        return f"[^{label}]"

    def _table(self, table: Any) -> str:
        rows: list[list[str]] = []
        above: dict[int, str] = {}
        for row in _through(table, "w:tr"):
            line: list[str] = []
            for c in _through(row, "w:tc"):
                properties = _find(c, "w:tcPr")
                span = _find(properties, "w:gridSpan") if properties is not None else None
                merge = _find(properties, "w:vMerge") if properties is not None else None
                across = whole(attribute(span, "val"), 1) if span is not None else 1
                text = cell(join(list(self._blocks(c))).replace("\n\n", "  "))
                if merge is not None and attribute(merge, "val") != "restart":
                    text = text or above.get(len(line), "")
                for _ in range(max(1, min(across, 100))):
                    above[len(line)] = text
                    line.append(text)
            rows.append(line)
        rows = [row for row in rows if any(row)]
        if not rows:
            return ""
        width = max(map(len, rows))
        if len(rows) == 1 or headless(rows):
            rows.insert(0, [])
        lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
        lines.insert(1, "|" + " --- |" * width)
        return "\n".join(lines)


def _cells(table: Any) -> list[Any]:
    return [c for row in _through(table, "w:tr") for c in _through(row, "w:tc")]


def _framed(table: Any) -> bool:
    """Whether a table of one row holds text: in one cell, in several paragraphs, or a long one."""
    cells = _cells(table)
    if sum(1 for _ in _through(table, "w:tr")) != 1:
        return False
    return len(cells) == 1 or any(len(_words(c)) > CELL or len([b for b in c if _words(b)]) > 1 for c in cells)


def _words(element: Any) -> str:
    return "".join(e.text or "" for e in element.iter() if kind(e) == "w:t").strip()


def _find(element: Any, name: str) -> Any:
    return None if element is None else next((c for c in element if kind(c) == name), None)


def _through(element: Any, name: str) -> Iterator[Any]:
    """Children of a name, looking into wrappers (content controls, insertions) but not into other content."""
    for child in element:
        tag = kind(child)
        if tag == name:
            yield child
        elif tag in ("w:sdt", "w:sdtContent", "w:ins", "w:customXml", "w:moveTo"):
            yield from _through(child, name)


def _choice(alternate: Any) -> Any:
    """What a modern program shows: the first choice that holds anything, otherwise the fallback."""
    for child in alternate:
        if any(kind(e) in ("w:t", "w:txbxContent") for e in child.iter()):
            return child
    return alternate[0] if len(alternate) else alternate


def _outermost(element: Any) -> list[Any]:
    found: list[Any] = []
    for child in element:
        if kind(child) == "w:txbxContent":
            found.append(child)
        elif kind(child) == "mc:AlternateContent":
            found += _outermost(_choice(child))
        else:
            found += _outermost(child)
    return found


def _symbol(code: str) -> str:
    """Symbol fonts live in the private use area; the common bullets and ticks have letters of their own."""
    known = {"F0B7": "•", "F0FC": "✓", "F0FB": "✗", "F0E0": "→", "F0A7": "▪", "F06C": "●", "F0FE": "☑", "F0A8": "☐"}
    return known.get(code.upper(), "")


def _footnotes(root: Any) -> dict[str, Any]:
    if root is None:
        return {}
    return {attribute(e, "id"): e for e in root if kind(e) in ("w:footnote", "w:endnote") and not attribute(e, "type")}
