"""The sentences of a passage as answering sees them: without Markdown marks, with what stands above each.

Synthesis, training and answering must show the model the same thing, so this is the only place that decides
what the text and the lead of a sentence are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mirim.core.types import Passage, Span
from mirim.documents.sentences import sentences

_MARKS = re.compile(r"^\s{0,3}(?:#{1,6}\s+|>\s?|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+)+|\*\*|__|`|\\(?=[\W_])")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
_RULE = re.compile(r"^[\s|:\-=_*+]*$")


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, list item or table row that can stand as an answer.

    start, end  offsets in the document; `raw` is the text there, `text` the same without Markdown marks
    lead        the heading path and the question or label right above it, which it may be answering
    place       0-based place below its heading or question
    """

    passage: Passage
    start: int
    end: int
    raw: str
    text: str
    lead: str
    place: int

    @property
    def span(self) -> Span:
        return Span(self.passage.document, self.start, self.end)


def units(passage: Passage) -> list[Unit]:
    """The units of a passage in order. Headings, questions and labels are not units: they lead the next ones."""
    found: list[Unit] = []
    lead, place = "", 0
    for start, end in sentences(passage.text, passage.language):
        raw = passage.text[start:end]
        if _RULE.match(raw):
            continue
        text = plain(raw)
        if leads(raw):
            # A heading, a question of an FAQ or a label such as "Fasting:" speaks for what follows.
            lead = text
            if not raw.rstrip().endswith(("?", ":")) or place == 0:
                place = 0
            continue
        context = f"{passage.heading} {lead}" if lead and lead not in passage.heading else passage.heading
        found.append(Unit(passage, passage.start + start, passage.start + end, raw, text, context, place))
        place += 1
    return found


def leads(raw: str) -> bool:
    """Whether a sentence speaks for what follows it rather than for itself."""
    line = raw.strip()
    if line.startswith("#"):
        return True
    bare = plain(line)
    return bare.endswith("?") or (bare.endswith(":") and len(bare) < 80)


def plain(raw: str) -> str:
    """A sentence without its Markdown marks: what a person reads. Table cells are joined by ' | '."""
    line = _LINK.sub(r"\1", " ".join(raw.split()))
    if line.startswith("|"):
        cells = [c.strip() for c in line.strip("|").split("|")]
        line = " | ".join(c for c in cells if c)
    return _MARKS.sub("", line).strip()
