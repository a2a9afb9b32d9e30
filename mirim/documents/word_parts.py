"""What a Word document says apart from its text: styles, and the numbering of lists and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mirim.documents.office import attribute, child, kind, whole

_TYPEWRITER = re.compile(r"courier|consolas|mono|menlo|typewriter|fixed", re.IGNORECASE)
#: The last number that is written in letters.
_COUNTED = 3999
_CODE = re.compile(r"(?:source ?code|code|code ?block|html preformatted|preformatted(?: text)?|macro text|listing)$")


class Styles:
    """Paragraph and character styles by id, inheritance followed."""

    def __init__(self, root: Any) -> None:
        self._by_id: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        for style in root if root is not None else ():
            if kind(style) == "w:style":
                id = attribute(style, "styleId")
                self._by_id[id] = style
                self._names[id] = attribute(child(style, "w:name"), "val").lower()

    def name(self, id: str) -> str:
        """Lower-case English name, such as 'heading 1', whatever the language of the program."""
        return self._names.get(id, id.lower())

    def _line(self, id: str) -> Iterator[Any]:
        """A style and those it is based on."""
        for _ in range(12):
            style = self._by_id.get(id)
            if style is None:
                return
            yield style
            id = attribute(child(style, "w:basedOn"), "val")

    def level(self, properties: Any) -> int:
        """Heading level 1-6 of a paragraph with these properties, 0 for ordinary text."""
        own = attribute(child(properties, "w:outlineLvl"), "val")
        if own.isdigit():
            return int(own) + 1 if int(own) < 9 else 0
        id = attribute(child(properties, "w:pStyle"), "val")
        if not id:
            return 0
        if self.name(id) == "title":
            return 1
        for style in self._line(id) if id in self._by_id else ():
            found = re.fullmatch(r"heading ([1-9])", self._names[attribute(style, "styleId")])
            if found:
                return min(6, int(found.group(1)))
            outline = attribute(child(child(style, "w:pPr"), "w:outlineLvl"), "val")
            if outline.isdigit():
                return min(6, int(outline) + 1) if int(outline) < 9 else 0
        found = re.fullmatch(r"(?:heading|t[ií]tulo|titre|überschrift) ?([1-9])", id.lower())
        return min(6, int(found.group(1))) if found else 0

    def numbered(self, properties: Any) -> tuple[str, int] | None:
        """(numbering id, level) of a paragraph, from itself or its style."""
        own = child(properties, "w:numPr")
        level = attribute(child(own, "w:ilvl"), "val")
        number = attribute(child(own, "w:numId"), "val")
        if own is not None and number:
            return None if number == "0" else (number, whole(level))
        for style in self._line(attribute(child(properties, "w:pStyle"), "val")):
            numbering = child(child(style, "w:pPr"), "w:numPr")
            number = attribute(child(numbering, "w:numId"), "val")
            if number:
                depth = level or attribute(child(numbering, "w:ilvl"), "val")
                return None if number == "0" else (number, whole(depth))
        return None

    def is_code(self, name: str) -> bool:
        return bool(_CODE.match(name))

    def typewriter(self, properties: Any) -> bool:
        """Whether a run with these properties is set in a typewriter face."""
        fonts = child(properties, "w:rFonts")
        if fonts is None:
            style = attribute(child(properties, "w:rStyle"), "val")
            fonts = next(
                (f for s in self._line(style) if (f := child(child(s, "w:rPr"), "w:rFonts")) is not None), None
            )
        return bool(_TYPEWRITER.search(attribute(fonts, "ascii") or attribute(fonts, "hAnsi")))


class Numbering:
    """List definitions and the counters of the lists met so far."""

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._shared: dict[str, str] = {}
        abstract: dict[str, dict[int, tuple[str, str, int]]] = {}
        for element in root if root is not None else ():
            if kind(element) == "w:abstractNum":
                abstract[attribute(element, "abstractNumId")] = _levels(element)
        for element in root if root is not None else ():
            if kind(element) == "w:num":
                base = attribute(child(element, "w:abstractNumId"), "val")
                levels = dict(abstract.get(base, {}))
                restarts = False
                for override in element:
                    if kind(override) == "w:lvlOverride":
                        depth = whole(attribute(override, "ilvl"))
                        levels |= _levels(override)
                        start = attribute(child(override, "w:startOverride"), "val")
                        if start.isdigit() and depth in levels:
                            levels[depth] = (*levels[depth][:2], int(start))
                            restarts = True
                id = attribute(element, "numId")
                self._levels[id] = levels
                # Lists over one definition go on counting together unless one says where it starts.
                self._shared[id] = id if restarts else f"abstract {base}"

    def label(self, place: tuple[str, int] | None) -> tuple[str, int, bool]:
        """(label, depth, whether it is a bullet) of the next item there; ('', 0, False) outside lists."""
        if place is None or place[0] not in self._levels:
            return "", 0, False
        id, depth = place[0], min(max(place[1], 0), 8)
        levels = self._levels[id]
        form, text, start = levels.get(depth, ("bullet", "", 1))
        if form == "bullet" or (form == "none" and not text):
            return "-", depth, True
        counts = self._counts.setdefault(self._shared[id], {})
        counts[depth] = counts.get(depth, start - 1) + 1
        for deeper in [d for d in counts if d > depth]:
            del counts[deeper]

        def fill(match: re.Match[str]) -> str:
            level = int(match.group(1)) - 1
            shape = levels.get(level, ("decimal", "", 1))
            return number(counts.get(level, shape[2]), shape[0])

        label = re.sub(r"%([1-9])", fill, text) or number(counts[depth], form) + "."
        return label, depth, False


def _levels(element: Any) -> dict[int, tuple[str, str, int]]:
    found = {}
    for level in element:
        if kind(level) == "w:lvl":
            start = attribute(child(level, "w:start"), "val")
            found[whole(attribute(level, "ilvl"))] = (
                attribute(child(level, "w:numFmt"), "val") or "decimal",
                attribute(child(level, "w:lvlText"), "val"),
                int(start) if start.isdigit() else 1,
            )
    return found


def number(value: int, form: str) -> str:
    """The label of an item in a list: 3, "c", "iii" or "03"; in letters only as far as people count."""
    if value > _COUNTED:
        return str(value)
    if form in ("lowerLetter", "upperLetter"):
        letters = chr(ord("a") + (value - 1) % 26) * ((value - 1) // 26 + 1)
        return letters.upper() if form == "upperLetter" else letters
    if form in ("lowerRoman", "upperRoman"):
        roman, left = "", value
        for size, sign in zip(
            (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
            ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"),
            strict=True,
        ):
            roman += sign * (left // size)
            left %= size
        return roman.upper() if form == "upperRoman" else roman
    return f"{value:02d}" if form == "decimalZero" else str(value)
