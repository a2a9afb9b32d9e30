"""Grounded: the model writes freely from the passages; what no passage supports is taken out and said so."""

from __future__ import annotations

from mirim.assist.pairing import numbered, paired
from mirim.assist.polarity import agree
from mirim.assist.policies import Draft, Task, cite
from mirim.assist.policies.free import compose
from mirim.assist.rank import Ranked
from mirim.documents.sentences import sentences
from mirim.documents.words import stems

#: Share of a sentence's content words that one cited sentence and its heading must hold.
SUPPORT = 0.6


def write(task: Task) -> Draft:
    """Each sentence of the model's text is kept only with the source sentence that supports it."""
    text, _ = compose(task)
    kept: list[str] = []
    removed: list[str] = []
    used: list[Ranked] = []
    for start, end in sentences(text, task.language):
        sentence = text[start:end].strip()
        source = _support(sentence, task)
        if source is None:
            removed.append(sentence)
        else:
            kept.append(sentence)
            if source not in used:
                used.append(source)
    return Draft(" ".join(kept), cite(used), tuple(removed))


def _support(sentence: str, task: Task) -> Ranked | None:
    """The candidate that holds most of the sentence's words, if it holds enough and every number, of the same things,
    and says no opposite."""
    claim = set(stems(sentence, task.language, content=True))
    if not claim:
        return None
    said = _numbers(sentence)
    best, found = 0.0, None
    for row in task.ranked:
        c = row.candidate
        if not said <= _numbers(f"{c.lead} {c.text}"):
            continue
        share = len(claim.intersection(stems(f"{c.lead} {c.text}", _language(row, task)))) / len(claim)
        if share > best:
            best, found = share, row
    if found is None or best < SUPPORT:
        return None
    c, spoken = found.candidate, _language(found, task)
    same = paired(sentence, task.language, c.text, spoken, c.header)
    return found if same and agree(sentence, task.language, c.lead, c.text, spoken) else None


def _language(row: Ranked, task: Task) -> str:
    return row.candidate.passage.language or task.language


def _numbers(text: str) -> set[str]:
    return {value for _, _, value in numbered(text)}
