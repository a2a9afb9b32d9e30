"""Read: a question and passages → the answer in the model's words, or none.

A model of some ten million parameters finds the answer in one sentence far better than among eight: in a whole passage
it gives the right kind of thing from the wrong sentence. So those that learned mirim's refusal read each sentence, and
each with the one before it, by itself, and answer from the one in which they refuse least. Comparing separate texts by
the probability that each answers at all is Clark & Gardner's (2018, "Simple and Effective Multi-Paragraph Reading
Comprehension"). Such a model finds the answering sentence about as often as counting the question's words in each does,
and not the same ones, so both count. Whether a passage answers at all it knows better from the whole of it: one that is
refused whole is not read.

What it answers is what its answers agree on: some are drawn from each of the likeliest sentences and from the whole,
and the one that has most words in common with the others is given (minimum Bayes risk; Kumar & Byrne 2004). The one
likeliest answer of so small a model is right less often.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mirim.core.types import Engine, Message, Passage, Sampling
from mirim.documents.sentences import sentences
from mirim.documents.words import stems, tokens
from mirim.examples.tasks.answer import REFUSAL, declined, messages
from mirim.examples.template import CHATML

#: Tokens of an answer at most; those that people ask of a passage are a few words long.
TOKENS = 64
#: Log-odds that two sentences are behind one: they hold more that could be taken for an answer.
PAIRED = 1.5
#: Log-odds that all of a question's words are worth in what is read; a part of them is worth that part.
WORDS = 4.0
#: Sentences that are answered from; answers drawn from each beside its likeliest, and what that one is worth of all;
#: what the whole passage's are worth beside all the sentences'.
HEARD, DRAWN, LIKELIEST, WHOLE = 3, 6, 0.3, 0.3
#: A sentence whose answers would be worth less is not answered from.
LEAST = 0.02


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


class _Heard(NamedTuple):
    """What is answered from, and what its answers are worth."""

    window: _Window
    prompt: tuple[Message, ...]
    worth: float


def reads_sentences(engine: Engine) -> bool:
    """Whether the model is one that mirim made from scratch, which speaks its template and learned its refusal."""
    return getattr(engine, "template", "") == CHATML


def read(
    engine: Engine, question: str, passages: Sequence[Passage], language: str = "en", *, answered: bool = False
) -> Reading | None:
    """What the answers from the likeliest sentences of `passages`, and from the passage of the first, agree on; ''
    where each passage is refused. None where not one sentence fits the model's context with the question.

    answered    the passages are known to answer, so nothing is refused

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
    answering = {} if answered else dict(zip(wholes, odds(list(wholes.values())), strict=True))
    asks = set(stems(question, language, content=True))

    def likely(i: int) -> float:
        window = kept[i][0]
        held = asks.intersection(stems(window.passage.text[window.start : window.end], language))
        return told[i] + WORDS * len(held) / max(len(asks), 1) - window.behind

    fitted = sum(not w.behind for w, _ in kept) == sum(not w.behind for w in every)
    chances = [likely(i) for i in range(len(kept))]
    ranked = sorted(range(len(kept)), key=chances.__getitem__, reverse=True)
    open_to = [i for i in ranked if answering.get(kept[i][0].number, 0.0) >= 0][:HEARD]
    if not open_to:
        return _reading("", kept[ranked[0]][0], fitted)
    worth = [math.exp(chances[i] - chances[open_to[0]]) for i in open_to]
    heard = [_Heard(*kept[i], w / sum(worth)) for i, w in zip(open_to, worth, strict=True) if w >= LEAST * sum(worth)]
    first = heard[0].window
    whole = wholes.get(first.number)
    # A passage may be no more than one of its sentences.
    if whole and all(whole != one.prompt for one in heard):
        heard.append(_Heard(first._replace(start=0, end=len(first.passage.text)), whole, WHOLE))
    text, window = _agreed(engine, heard, () if answered else (heard[0].prompt, whole))
    return _reading(text, window, fitted)


def _reading(text: str, window: _Window, whole: bool) -> Reading:
    return Reading(text, window.passage, window.start, window.end, whole)


def _agreed(
    engine: Engine, heard: Sequence[_Heard], may_refuse: Collection[tuple[Message, ...] | None]
) -> tuple[str, _Window]:
    """The answer that has most in common with all, and from where most of it came; '' where all of the prompts that
    `may_refuse` do, or all refuse."""
    likeliest = [_written(engine, one.prompt) for one in heard]
    first = heard[0].window
    if may_refuse and not any(text for one, text in zip(heard, likeliest, strict=True) if one.prompt in may_refuse):
        return "", first
    votes: dict[str, dict[_Window, float]] = defaultdict(lambda: defaultdict(float))
    for one, text in zip(heard, likeliest, strict=True):
        if text:
            votes[text][one.window] += one.worth * LIKELIEST
        drawn = [text for seed in range(DRAWN) if (text := _written(engine, one.prompt, seed))]
        for text in drawn:
            votes[text][one.window] += one.worth * (1 - LIKELIEST) / len(drawn)
    worth = {text: sum(given.values()) for text, given in votes.items()}
    words = {text: Counter(tokens(text)) for text in worth}

    def common(text: str) -> float:
        return sum(vote * _alike(words[text], words[other]) for other, vote in worth.items())

    best = max(worth, key=common, default="")
    return best, max(votes[best], key=votes[best].__getitem__, default=first)


def _alike(one: Counter[str], other: Counter[str]) -> float:
    """F1 of the words that two answers share; 1 for two without any."""
    every = one.total() + other.total()
    return 2 * (one & other).total() / every if every else 1.0


def _written(engine: Engine, prompt: tuple[Message, ...], seed: int | None = None) -> str:
    """The model's likeliest answer, or one that is drawn with a seed; '' where it refuses."""
    drawn = Sampling(max_tokens=TOKENS) if seed is None else Sampling(max_tokens=TOKENS, temperature=1.0, seed=seed)
    text = "".join(delta.text for delta in engine.generate(prompt, drawn)).strip()
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
