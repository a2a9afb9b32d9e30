"""Quote: the answer is sentences of the documents, word for word. It cannot invent."""

from __future__ import annotations

from collections.abc import Sequence

from mirim.assist.features import NAMES
from mirim.assist.policies import Draft, Task, cite
from mirim.assist.rank import Ranked
from mirim.examples.units import plain

SENTENCES = 5
#: A further sentence is quoted when its log-odds are within this of the best one's.
MARGIN = 3.0
#: A question is about a whole section when the section's heading holds this share of the question.
SECTION = 0.75

_LEAD = NAMES.index("lead")


def write(task: Task) -> Draft:
    """What `choose` chooses; neighbours make one quotation, each in reading order."""
    citations = cite(choose(task.ranked, task.sentences or SENTENCES))
    return Draft(" ".join(_line(part) for c in citations for part in c.text.split("\n") if part.strip()), citations)


def choose(ranked: Sequence[Ranked], limit: int = SENTENCES) -> list[Ranked]:
    """The best sentence and others nearly as good; of a question that a heading answers, the section from its start."""
    best = ranked[0]
    home = best.candidate
    section = [
        r for r in ranked if r.candidate.passage.document == home.passage.document and r.candidate.lead == home.lead
    ]
    # What every sentence of a section has together with its heading is what the heading has.
    if min(r.features[_LEAD] for r in section) >= SECTION:
        chosen = sorted(section, key=lambda r: r.candidate.start)[:limit]
        # A long section may hold the best sentence beyond what fits: it is what was asked for.
        return chosen if best in chosen else [best, *chosen[: limit - 1]]
    return [r for r in ranked if r.score >= best.score - MARGIN][:limit]


def _line(text: str) -> str:
    line = plain(text)
    return line if line.endswith((".", "!", "?", ":", ";")) else line + "."
