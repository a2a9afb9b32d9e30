"""From a question to the sentences that may answer it, each with the context that gives it meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mirim.core.types import Passage
from mirim.documents.search import Hit
from mirim.documents.sentences import sentences

_MARKS = re.compile(r"^\s{0,3}(?:#{1,6}\s+|>\s?|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+)+|\*\*|__|`|\\(?=[\W_])")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
_RULE = re.compile(r"^[\s|:\-=_*+]*$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence, list item or table row of a passage.

    start, end  offsets in the document
    lead        the heading path and the question or label right above it, which it may be answering
    rank        0-based rank of its passage in the search results; `score` is that passage's search score
    place       0-based place of the sentence in its passage
    """

    passage: Passage
    start: int
    end: int
    text: str
    lead: str
    rank: int
    score: float
    place: int


def candidates(hits: Iterable[Hit]) -> list[Candidate]:
    """Every sentence of the hit passages that can stand as an answer, in rank order, none twice."""
    found: list[Candidate] = []
    seen: set[tuple[str, int]] = set()
    for rank, hit in enumerate(hits):
        passage, lead, place = hit.passage, "", 0
        for start, end in sentences(passage.text, passage.language):
            text = passage.text[start:end]
            key = (passage.document, passage.start + start)
            if _RULE.match(text):
                continue
            if _leads(text):
                # A heading, a question of an FAQ or a label such as "Fasting:" speaks for what follows.
                lead = plain(text)
                if not text.rstrip().endswith(("?", ":")) or place == 0:
                    place = 0
                continue
            if key not in seen:
                seen.add(key)
                context = f"{passage.heading} {lead}" if lead and lead not in passage.heading else passage.heading
                found.append(
                    Candidate(
                        passage, passage.start + start, passage.start + end, text, context, rank, hit.score, place
                    )
                )
            place += 1
    return found


def _leads(text: str) -> bool:
    line = text.strip()
    if line.startswith("#"):
        return True
    bare = plain(line)
    return bare.endswith("?") or (bare.endswith(":") and len(bare) < 80)


def plain(text: str) -> str:
    """A sentence without its Markdown marks: what a person reads. Table cells are joined by ' | '."""
    line = _LINK.sub(r"\1", " ".join(text.split()))
    if line.startswith("|"):
        cells = [c.strip() for c in line.strip("|").split("|")]
        line = " | ".join(c for c in cells if c)
    return _MARKS.sub("", line).strip()
