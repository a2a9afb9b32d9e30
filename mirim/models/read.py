"""Read: a question and passages → the answer in the model's words, or none.

A model of some ten million parameters finds the answer in one sentence far better than among eight: in a whole passage
it gives the right kind of thing from the wrong sentence. So those that learned mirim's refusal read each sentence, and
each with the one before it, by itself, and answer from the one in which they refuse least. Comparing separate texts by
the probability that each answers at all is Clark & Gardner's (2018, "Simple and Effective Multi-Paragraph Reading
Comprehension").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mirim.core.types import Engine, Passage, Sampling
from mirim.documents.sentences import sentences
from mirim.examples.tasks.answer import REFUSAL, declined, messages
from mirim.examples.template import CHATML

#: Tokens of an answer at most; those that people ask of a passage are a few words long.
TOKENS = 64
#: Log-odds that two sentences are behind one: they hold more that could be taken for an answer.
PAIRED = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """`text`: the answer, '' where it is refused. `start:end`: the characters of `passage` that it was read from.
    `odds`: log-odds (nats) that these answer. `whole`: every sentence fitted the model's context."""

    text: str
    passage: Passage
    start: int
    end: int
    odds: float
    whole: bool


class _Window(NamedTuple):
    passage: Passage
    start: int
    end: int
    behind: float


def reads_sentences(engine: Engine) -> bool:
    """Whether the model is one that mirim made from scratch, which speaks its template and learned its refusal."""
    return getattr(engine, "template", "") == CHATML


def read(engine: Engine, question: str, passages: Sequence[Passage], language: str = "en") -> Reading | None:
    """The answer from the sentences of `passages` that answer most likely. None where not one of them fits the model's
    context with the question.

    UsageError when the engine gives no probabilities.
    """
    refused = REFUSAL.get(language, REFUSAL["en"])
    windows, prompts, whole = [], [], True
    for window in (w for p in passages for w in _windows(p, language)):
        shown = replace(window.passage, text=window.passage.text[window.start : window.end])
        prompt = messages(question, [shown], language)
        if not engine.context or engine.count(prompt) + TOKENS <= engine.context:
            windows.append(window)
            prompts.append(prompt)
        elif not window.behind:
            whole = False
    if not windows:
        return None
    many = getattr(engine, "score_many", None)
    rows = many(prompts, [[refused]] * len(prompts)) if many else [engine.score(p, [refused]) for p in prompts]
    odds = [_odds(sum(row[0])) for row in rows]
    best = max(range(len(windows)), key=lambda i: odds[i] - windows[i].behind)
    text = "".join(delta.text for delta in engine.generate(prompts[best], Sampling(max_tokens=TOKENS))).strip()
    passage, start, end, _ = windows[best]
    return Reading("" if declined(text) else text, passage, start, end, odds[best], whole)


def _windows(passage: Passage, language: str) -> list[_Window]:
    """Each sentence, and each with the one before it."""
    spans = sentences(passage.text, language)
    made = []
    for i, (start, end) in enumerate(spans):
        made.append(_Window(passage, start, end, 0.0))
        if i:
            made.append(_Window(passage, spans[i - 1][0], end, PAIRED))
    return made


def _odds(refused: float) -> float:
    """Of answering, from the log-probability of refusing."""
    return math.log(-math.expm1(min(refused, -1e-9))) - refused
