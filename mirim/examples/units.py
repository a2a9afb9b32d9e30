"""The sentences of a passage as answering sees them: without Markdown marks, with what stands above each.

Synthesis, training and answering must show the model the same thing, so this is the only place that decides
what the text and the lead of a sentence are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mirim.core.types import Passage, Span
from mirim.documents.passages import cells
from mirim.documents.sentences import sentences

#: What opens a line (a quotation's mark is "more than" before a number), and what stands around words: "2**3" has none.
_OPENING = re.compile(r"^\s{0,3}(?:#{1,6}\s+|>\s?(?!\s*\d)|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+)+")
_MARKS = re.compile(r"(?<!\w)(?:\*\*|__)|(?:\*\*|__)(?!\w)|`|\\(?=[\W_])")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
_RULE = re.compile(r"^[\s|:\-=_*+>]*$")
_ITEM = re.compile(r"[ \t>]*(?:[-*+•]|(?P<step>\d{1,3}[.)]))[ \t]")
#: What opens the later lines of a quoted paragraph.
_QUOTED = re.compile(r"\n[ \t]*(?:>[ \t]?)+")


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, list item or table row that can stand as an answer.

    start, end  offsets in the document; `raw` is the text there, `text` the same without Markdown marks
    lead        the heading path and the question or label right above it, which it may be answering
    place       0-based place below its heading or question
    header      cells of the header of the table that it is a row of
    opens       where its question or label starts when it is the first below one, else `start`
    """

    passage: Passage
    start: int
    end: int
    raw: str
    text: str
    lead: str
    place: int
    header: tuple[str, ...]
    opens: int

    @property
    def span(self) -> Span:
        return Span(self.passage.document, self.start, self.end)

    @property
    def alone(self) -> str:
        """What it says by itself: of a table's row the cells with the header's."""
        return _row(cells(self.raw), self.header) if self.raw.lstrip().startswith("|") else self.text


def units(passage: Passage) -> list[Unit]:
    """The units of a passage in order. Headings, questions, labels and table headers lead the next ones."""
    found: list[Unit] = []
    lead, place, opens = "", 0, -1
    for start, end, raw, header in _parts(passage):
        text = plain(raw)
        if leads(raw, text):
            # A heading, a question of an FAQ or a label such as "Fasting:" speaks for what follows.
            lead = text
            if not raw.rstrip().endswith(("?", ":")) or place == 0:
                place = 0
            opens = start
            continue
        context = f"{passage.heading} {lead}" if lead and lead not in passage.heading else passage.heading
        low = passage.start + start
        first = passage.start + opens if opens >= 0 else low
        found.append(Unit(passage, low, passage.start + end, raw, text, context, place, header, first))
        place, opens = place + 1, -1
    return found


def _parts(passage: Passage) -> Iterator[tuple[int, int, str, tuple[str, ...]]]:
    """Sentences, items and rows in order; table headers and rules apart, each row with its header's cells."""
    spans = sentences(passage.text, passage.language)
    raws = [passage.text[a:b] for a, b in spans]
    header: tuple[str, ...] = tuple(cells(passage.header)) if passage.header else ()
    for i, ((start, end), raw) in enumerate(zip(spans, raws, strict=True)):
        if _RULE.match(raw):
            continue
        if not raw.lstrip().startswith("|"):
            header = ()
        elif i + 1 < len(raws) and "|" in raws[i + 1] and _RULE.match(raws[i + 1]):
            header = tuple(cells(raw))
            continue
        yield start, end, raw, header


def readable(passage: Passage, start: int, end: int) -> str:
    """What a person reads of a passage between two offsets of the document: every word, no Markdown.

    Sentences make paragraphs; list items and table rows get lines of their own, steps with their numbers, a row's cells
    with the header's.
    """
    text = ""
    for a, b, raw, header in _parts(passage):
        if passage.start + a < start or passage.start + b > end:
            continue
        row, item = raw.lstrip().startswith("|"), _ITEM.match(raw)
        line = _row(cells(raw), header) if row else plain(raw)
        if not line:
            continue
        line = line if line.endswith((".", "!", "?", ":", ";", ",")) else line + "."
        # Which step it is says something; which sign a list has does not.
        mark = f"{item['step']} " if item and item["step"] else "- " if row or item else ""
        own = bool(mark) or leads(raw)
        apart = "\n" if own or text.endswith("\0") else " "
        text = text.rstrip("\0") + (apart if text else "") + mark + line
        text += "\0" if own else ""
    return text.rstrip("\0")


def _row(values: list[str], header: tuple[str, ...]) -> str:
    """A table row in words: 'Lagoa: Saturday 8:00 to 13:00; Sunday closed'."""
    values = [_unmarked(value) for value in values]
    if len(values) == 2 and all(values) and not any(header):
        return f"{values[0].rstrip(':')}: {values[1]}"
    if len(values) != len(header):
        return " | ".join(value for value in values if value)
    # A first cell in words names its row; a number by itself says nothing.
    first = values[0] if any(map(str.isalpha, values[0])) else _named(header[0], values[0])
    # What a row has no value for is said, for it may be what was asked; not of totals and the like, which have but one.
    none = "–" if 2 * values.count("") < len(values) else ""
    rest = (_named(name, value, none) for name, value in zip(header[1:], values[1:], strict=True))
    return "; ".join(filter(None, (first, *rest)))


def _named(name: str, value: str, none: str = "") -> str:
    """A cell's value behind what its column is called, `none` where it is empty."""
    return f"{name}: {value or none}" if name and (value or none) else value


def leads(raw: str, bare: str = "") -> bool:
    """Whether a sentence speaks for what follows it rather than for itself; `bare` is its plain text, if known."""
    if raw.lstrip().startswith("#"):
        return True
    bare = bare or plain(raw)
    return bare.endswith("?") or (bare.endswith(":") and len(bare) < 80)


def plain(raw: str) -> str:
    """A sentence without its Markdown marks: what a person reads. Table cells are joined by ' | '."""
    line = _LINK.sub(r"\1", " ".join(_QUOTED.sub(" ", raw).split()))
    if line.startswith("|"):
        return _unmarked(" | ".join(cell for cell in cells(line) if cell))
    return _unmarked(_OPENING.sub("", line))


def _unmarked(text: str) -> str:
    """A text, or a table's cell, in which "> 126" and "- 18" are values, without the marks around its words."""
    return _MARKS.sub("", _LINK.sub(r"\1", text)).strip()
