"""Read: a question and passages → the answer in the model's words, or none.

A model of some ten million parameters finds the answer in one sentence far better than among eight: in a whole passage
it gives the right kind of thing from the wrong sentence. So those that learned mirim's refusal read each sentence, and
each with the one before it, by itself, and answer from the one in which they refuse least. Comparing separate texts by
the probability that each answers at all is Clark & Gardner's (2018, "Simple and Effective Multi-Paragraph Reading
Comprehension"). Such a model finds the answering sentence about as often as counting the question's words in each does,
and not the same ones, so both count. Whether a passage answers at all it knows better from the whole of it: one that is
refused whole is not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mirim.core.types import Engine, Message, Passage, Sampling
from mirim.documents.sentences import sentences
from mirim.documents.words import stems
from mirim.examples.tasks.answer import REFUSAL, declined, messages
from mirim.examples.template import CHATML

#: Tokens of an answer at most; those that people ask of a passage are a few words long.
TOKENS = 64
#: Log-odds that two sentences are behind one: they hold more that could be taken for an answer.
PAIRED = 1.5
#: Log-odds that all of a question's words are worth in what is read; a part of them is worth that part.
WORDS = 4.0


@dataclass(frozen=True, slots=True)
class Reading:
    """`text`: the answer, '' where it is refused. `start:end`: the characters of `passage` that it was read from.
    `whole`: every sentence fitted the model's context."""

    text: str
    passage: Passage
    start: int
    end: int
    whole: bool


class _Window(NamedTuple):
    """`number`: of the passage among those read."""

    number: int
    passage: Passage
    start: int
    end: int
    behind: float


def reads_sentences(engine: Engine) -> bool:
    """Whether the model is one that mirim made from scratch, which speaks its template and learned its refusal."""
    return getattr(engine, "template", "") == CHATML


def read(engine: Engine, question: str, passages: Sequence[Passage], language: str = "en") -> Reading | None:
    """The answer from the sentences of `passages` that answer most likely, or from their whole passage where they do
    not; '' where each passage is refused. None where not one sentence fits the model's context with the question.

    UsageError when the engine gives no probabilities.
    """
    refused = REFUSAL.get(language, REFUSAL["en"])

    def prompts(texts: Sequence[Passage]) -> list[tuple[Message, ...]]:
        return [messages(question, [text], language) for text in texts]

    def odds(asked: Sequence[tuple[Message, ...]]) -> list[float]:
        many = getattr(engine, "score_many", None)
        rows = many(asked, [[refused]] * len(asked)) if many else [engine.score(p, [refused]) for p in asked]
        return [_odds(sum(row[0])) for row in rows]

    def fits(prompt: tuple[Message, ...]) -> bool:
        return not engine.context or engine.count(prompt) + TOKENS <= engine.context

    every = [w for number, p in enumerate(passages) for w in _windows(number, p, language)]
    asked = prompts([replace(w.passage, text=w.passage.text[w.start : w.end]) for w in every])
    kept = [(w, prompt) for w, prompt in zip(every, asked, strict=True) if fits(prompt)]
    if not kept:
        return None
    told = odds([prompt for _, prompt in kept])
    wholes = {n: prompt for n, prompt in enumerate(prompts(passages)) if fits(prompt)}
    answering = dict(zip(wholes, odds(list(wholes.values())), strict=True))
    open_to = [i for i, (w, _) in enumerate(kept) if answering.get(w.number, 0.0) >= 0]
    asks = set(stems(question, language, content=True))

    def likely(i: int) -> float:
        window = kept[i][0]
        held = asks.intersection(stems(window.passage.text[window.start : window.end], language))
        return told[i] + WORDS * len(held) / max(len(asks), 1) - window.behind

    best = max(open_to or range(len(kept)), key=likely)
    window, prompt = kept[best]
    text = ""
    if open_to:
        text = _written(engine, prompt)
        whole = wholes.get(window.number, prompt)
        if not text and whole != prompt:
            # Its sentences say too little each, but it was not refused.
            text, window = _written(engine, whole), window._replace(start=0, end=len(window.passage.text))
    fitted = sum(not w.behind for w, _ in kept) == sum(not w.behind for w in every)
    return Reading(text, window.passage, window.start, window.end, fitted)


def _written(engine: Engine, prompt: tuple[Message, ...]) -> str:
    """What the model answers, '' where it refuses."""
    text = "".join(delta.text for delta in engine.generate(prompt, Sampling(max_tokens=TOKENS))).strip()
    return "" if declined(text) else text


def _windows(number: int, passage: Passage, language: str) -> list[_Window]:
    """Each sentence, and each with the one before it."""
    spans = sentences(passage.text, language)
    made = []
    for i, (start, end) in enumerate(spans):
        made.append(_Window(number, passage, start, end, 0.0))
        if i:
            made.append(_Window(number, passage, spans[i - 1][0], end, PAIRED))
    return made


def _odds(refused: float) -> float:
    """Of answering, from the log-probability of refusing."""
    return math.log(-math.expm1(min(refused, -1e-9))) - refused
