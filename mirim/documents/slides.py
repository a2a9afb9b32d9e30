"""The slides of a presentation (Office Open XML) as Markdown, one text a slide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.archive import Archive
from mirim.documents.draft import Refused
from mirim.documents.formula import latex
from mirim.documents.markdown import cell, headless, table
from mirim.documents.office import attribute, child, kind, main_part, relations, whole
from mirim.documents.runs import UP, join, merged
from mirim.documents.word_parts import number

#: Places of a slide that say the same on every one.
_RUNNING = frozenset(("dt", "ftr", "hdr", "sldNum"))
_TITLES = frozenset(("title", "ctrTitle"))
#: Places whose paragraphs have bullets where nothing else is said.
_LISTS = frozenset(("body", "obj", ""))
_TEXT = ("a:r", "a:br", "a:fld")


class Slides:
    """Texts and notes of an opened .pptx."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.notes: list[str] = []
        self._main = main_part(archive, "ppt/presentation.xml")
        self._links: dict[str, str] = {}
        self._lost = dict.fromkeys(("charts", "pictures"), 0)

    def texts(self) -> list[tuple[str, str]]:
        """(what a slide shows, what its speaker notes say) of each slide; both '' where it is hidden."""
        root = self.archive.xml(self._main)
        if root is None:
            raise Refused("is damaged: it holds no presentation part")
        links = relations(self.archive, self._main)
        slides = child(root, "p:sldIdLst")
        found, hidden = list[tuple[str, str]](), list[int]()
        # The name without a prefix is the slide's number for the program, not the part's.
        parts = [links.get(_reference(e), "") for e in slides] if slides is not None else []
        for number_, part in enumerate(parts, 1):
            slide = self.archive.xml(part)
            if slide is None:
                self.notes.append(f"slide {number_} is missing from the file")
                found.append(("", ""))
            elif attribute(slide, "show") in ("0", "false"):
                hidden.append(number_)
                found.append(("", ""))
            else:
                found.append((self._slide(slide, part, number_), self._speaker(part)))
        if hidden:
            self.notes.append(left_out(hidden))
        self.notes += (f"{what} that were not read: {count}" for what, count in self._lost.items() if count)
        return found

    def _slide(self, slide: Any, part: str, number_: int) -> str:
        self._links = relations(self.archive, part)
        title, blocks = "", list[tuple[str, str]]()
        for shape in _shapes(child(child(slide, "p:cSld"), "p:spTree")):
            place = _place(shape)
            if place in _TITLES and not title:
                title = " ".join(" ".join(text for _, text in self._paragraphs(shape, "title")).split())
            elif place not in _RUNNING:
                blocks += self._blocks(shape, place)
        # Without one a slide would stand under the title of the slide before.
        heading = title.replace("**", "").strip() or f"Slide {number_}"
        return f"## {heading}\n\n{join(blocks)}" if blocks or title else ""

    def _speaker(self, part: str) -> str:
        notes = relations(self.archive, part, by_type=True).get("notesSlide", "")
        root = self.archive.xml(notes)
        if root is None:
            return ""
        self._links = relations(self.archive, notes)
        shapes = _shapes(child(child(root, "p:cSld"), "p:spTree"))
        return join([b for shape in shapes if _place(shape) == "body" for b in self._paragraphs(shape, "notes")])

    def _blocks(self, shape: Any, place: str | None) -> Iterator[tuple[str, str]]:
        tag = kind(shape)
        if tag == "p:pic":
            self._lost["pictures"] += 1
        elif tag == "p:graphicFrame":
            for e in shape.iter():
                if kind(e) == "a:tbl":
                    yield "table", self._table(e)
                elif isinstance(e.tag, str) and e.tag.endswith("}chart"):
                    self._lost["charts"] += 1
                elif isinstance(e.tag, str) and e.tag.endswith("}relIds"):
                    yield from self._drawn(self._links.get(attribute(e, "dm"), ""))
        else:
            yield from self._paragraphs(shape, place)

    def _drawn(self, part: str) -> Iterator[tuple[str, str]]:
        """The words of a drawn list or plan, one item a point."""
        root = self.archive.xml(part)
        for e in root.iter() if root is not None else ():
            if isinstance(e.tag, str) and e.tag.endswith("}pt"):
                words = (self._words(p) for p in e.iter() if kind(p) == "a:p")
                if text := " ".join(" ".join(words).split()):
                    yield "li", f"- {text}"

    def _paragraphs(self, shape: Any, place: str | None) -> Iterator[tuple[str, str]]:
        body = next((e for e in shape if kind(e) == "p:txBody"), None)
        paragraphs = [p for p in body if kind(p) == "a:p"] if body is not None else []
        texts = [self._words(p) for p in paragraphs]
        several = sum(map(bool, texts)) > 1
        counts: dict[int, int] = {}
        for p, text in zip(paragraphs, texts, strict=True):
            if not text:
                continue
            properties = child(p, "a:pPr")
            level = min(whole(attribute(properties, "lvl")), 8)
            counts = {depth: count for depth, count in counts.items() if depth <= level}
            automatic = child(properties, "a:buAutoNum")
            bullet = child(properties, "a:buChar") is not None or child(properties, "a:buBlip") is not None
            plain = child(properties, "a:buNone") is not None or attribute(properties, "marL") == "0"
            line = " ".join(text.split())
            if automatic is not None:
                counts[level] = counts.get(level, whole(attribute(automatic, "startAt"), 1) - 1) + 1
                yield "li", f"{'    ' * level}{_label(counts[level], attribute(automatic, 'type'))} {line}"
            elif bullet or (place in _LISTS and several and not plain):
                counts.pop(level, None)
                yield "li", f"{'    ' * level}- {line}"
            else:
                counts.clear()
                yield "p", text

    def _words(self, p: Any) -> str:
        """A paragraph's text with marks."""
        pieces: list[tuple[str, tuple[str, ...]]] = []
        for e in p:
            tag = kind(e)
            properties = child(e, "a:rPr")
            if tag == "a:br":
                pieces.append(("\n", ()))
            elif tag in _TEXT:
                text = next((t.text or "" for t in e if kind(t) == "a:t"), "")
                marks = [m for name, m in (("b", "**"), ("i", "*")) if attribute(properties, name) in ("1", "true")]
                marks += ["~~"] * (attribute(properties, "strike") in ("sngStrike", "dblStrike"))
                link = self._links.get(attribute(child(properties, "a:hlinkClick"), "id"), "")
                marks += [link] * bool(re.match(r"(https?|mailto|tel):", link))
                up = whole(attribute(properties, "baseline").rstrip("%")) > 0
                pieces.append((UP * up + text, tuple(marks)))
            else:
                pieces += ((f" ${latex(m)}$ ", ()) for m in e.iter() if kind(m) == "m:oMath")
        return merged(pieces)

    def _table(self, element: Any) -> str:
        rows: list[list[str]] = []
        for tr in element:
            if kind(tr) != "a:tr":
                continue
            row: list[str] = []
            for c in tr:
                if kind(c) != "a:tc":
                    continue
                if attribute(c, "hMerge") in ("1", "true") and row:
                    row.append(row[-1])
                elif attribute(c, "vMerge") in ("1", "true") and rows and len(row) < len(rows[-1]):
                    row.append(rows[-1][len(row)])
                else:
                    body = child(c, "a:txBody")
                    row.append(" ".join(self._words(p) for p in body if kind(p) == "a:p") if body is not None else "")
            rows.append(row)
        rows = [row for row in rows if any(map(cell, row))]
        if rows and (len(rows) == 1 or headless(rows)):
            rows.insert(0, [])
        return table(rows).rstrip("\n")


def left_out(hidden: list[int]) -> str:
    """The note on hidden slides."""
    which = ", ".join(map(str, hidden[:20]))
    return f"hidden slides were left out: {which}; to have them read, show them and save"


def _reference(element: Any) -> str:
    """The part an element names: the id in the namespace of references."""
    return next((v for k, v in element.attrib.items() if k.endswith("relationships}id")), "")


def _shapes(tree: Any) -> Iterator[Any]:
    """What stands on a slide, groups opened, in the order in which it is read aloud."""
    for shape in tree if tree is not None else ():
        tag = kind(shape)
        if tag == "p:grpSp":
            yield from _shapes(shape)
        elif tag == "mc:AlternateContent":
            yield from _shapes(shape[0] if len(shape) else ())
        elif tag in ("p:sp", "p:graphicFrame", "p:pic", "p:cxnSp"):
            yield shape


def _place(shape: Any) -> str | None:
    """The kind of place that a shape fills: '' for one of any kind, None for a shape that somebody drew."""
    place = next((e for e in shape.iter() if kind(e) == "p:ph"), None)
    return None if place is None else attribute(place, "type")


def _label(count: int, form: str) -> str:
    """The label of an item: '3.' for 'arabicPeriod', '- c)' for 'alphaLcParenR'."""
    shape = {"alphaLc": "lowerLetter", "alphaUc": "upperLetter", "romanLc": "lowerRoman", "romanUc": "upperRoman"}
    label = number(count, next((name for start, name in shape.items() if form.startswith(start)), "decimal"))
    return f"{label}." if label.isdigit() else f"- {label})" if "Paren" in form else f"- {label}."
