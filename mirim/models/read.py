"""Read: a question and passages → the answer in the model's words, or none.

A model of some ten million parameters finds the answer in one sentence far better than among eight: in a whole passage
it gives the right kind of thing from the wrong sentence. So those that learned mirim's refusal read each sentence, and
each with the one before it, by itself, and answer from the one in which they refuse least. Comparing separate texts by
the probability that each answers at all is Clark & Gardner's (2018, "Simple and Effective Multi-Paragraph Reading
Comprehension"). Such a model finds the answering sentence about as often as counting the question's words in each does,
and not the same ones, so both count. Whether a passage answers at all it knows better from the whole of it: one that is
refused whole is not read.

What it answers is chosen among many: some answers are drawn from each of the likeliest sentences and from the whole,
and `answers` says which of them is given. The one likeliest answer of so small a model is right less often. A model
that learned to point at answers (`pointing`) points at them in the same texts: some more answers begin with the word
that is pointed at, and what is pointed at speaks for those that say the like.

Whether a Portuguese passage answers is asked of search's encoder too where that is installed (`reader`), which was made
of far more Portuguese than the bundled model; in English the model knows better alone.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from mirim.core.types import Engine, Message, Passage, Sampling
from mirim.documents.sentences import sentences
from mirim.documents.words import stems
from mirim.examples.tasks.answer import REFUSAL, declined, messages
from mirim.examples.template import CHATML
from mirim.models.answers import choose
from mirim.models.pointing import Pointer

#: Tokens of an answer at most; those that people ask of a passage are a few words long.
TOKENS = 64
#: Sentences, and pairs of them, that are scored at most: of a longer text those that have most of the question's words,
#: rare ones above all. An article has half as many.
SCORED = 256
#: Log-odds that two sentences are behind one: they hold more that could be taken for an answer.
PAIRED = 1.5
#: Log-odds that all of a question's words are worth in what is read; a part of them is worth that part.
WORDS = 4.0
#: Sentences that are answered from; answers drawn from each beside its likeliest, and what that one is worth of all;
#: what the whole passage's are worth beside all the sentences'.
HEARD, DRAWN, LIKELIEST, WHOLE = 3, 12, 0.3, 1.0
#: A sentence whose answers would be worth less is not answered from.
LEAST = 0.02
#: Of what is pointed at, the share of the whole passage; and what a sentence's odds of being pointed at count for.
POINTED_WHOLE, POINTED_ODDS = 0.5, 0.5
#: Answers that begin with what is pointed at.
BEGUN = 3
#: Log-odds of a passage that it answers at all, below which it is refused: one in twenty to one in twelve that do. A
#: model that was tuned has a bound of its own (`refusing`).
ANSWERS = 0.3
#: Language → what the encoder's log-odds that a passage answers count for beside those of a model without such a bound
#: of its own; and below which sum it is refused. Fitted on questions that the published figures do not hold.
SEEN, SEEN_ANSWERS = {"pt": 0.8}, -0.8


@dataclass(frozen=True, slots=True)
class Reading:
    """`text`: the answer, '' where it is refused. `start:end`: the characters of `passage` that it was read from.
    `whole`: every sentence fitted the model's context."""

    text: str
    passage: Passage
    start: int
    end: int
    whole: bool


class Window(NamedTuple):
    """What is read at once. `number`: of the passage among those read; `behind`: see PAIRED."""

    number: int
    passage: Passage
    start: int
    end: int
    behind: float

    @property
    def all(self) -> bool:
        """Whether it is the whole passage."""
        return (self.start, self.end) == (0, len(self.passage.text))


class _Heard(NamedTuple):
    """What is answered from, and what its answers are worth."""

    window: Window
    prompt: tuple[Message, ...]
    worth: float


class _Asked(NamedTuple):
    """An answer to be written: drawn where there is a seed, and with this word at its beginning."""

    prompt: tuple[Message, ...]
    seed: int | None = None
    begins: str = ""


class Considered(NamedTuple):
    """`given`: the answers to choose from, and how much of each one's worth comes from where; none where nothing
    answers. `first`: the likeliest place; `whole`: see `Reading`. `spans`: what is pointed at, with shares that sum to
    1; none by a model that did not learn to."""

    given: Mapping[str, Mapping[Window, float]]
    first: Window
    whole: bool
    spans: Mapping[str, float]


def reads_sentences(engine: Engine) -> bool:
    """Whether the model is one that mirim made from scratch, which speaks its template and learned its refusal."""
    return getattr(engine, "template", "") == CHATML


def read(
    engine: Engine,
    question: str,
    passages: Sequence[Passage],
    language: str = "en",
    *,
    answered: bool = False,
    judged: bool = False,
) -> Reading | None:
    """The best of what `consider` finds; '' where each passage is refused. None where not one sentence fits the model's
    context with the question.

    answered    the passages are known to answer, so nothing is refused
    judged      search found them, so that its encoder has said already how likely they answer

    UsageError when the engine gives no probabilities.
    """
    found = consider(engine, question, passages, language, answered=answered, judged=judged)
    if found is None:
        return None
    text, window = "", found.first
    if found.given:
        worth = {answer: sum(shares.values()) for answer, shares in found.given.items()}
        text = choose(question, [p.text for p in passages], worth, language, found.spans)
        window = _place(found.given[text])
    return Reading(text, window.passage, window.start, window.end, found.whole)


def _place(told: Mapping[Window, float]) -> Window:
    """Where an answer stands: in the passage that gave most of its worth, in a sentence rather than in the whole."""
    passages: dict[int, float] = defaultdict(float)
    for window, worth in told.items():
        passages[window.number] += worth
    number = max(passages, key=passages.__getitem__)
    return max((w for w in told if w.number == number), key=lambda w: (not w.all, told[w]))


def consider(
    engine: Engine,
    question: str,
    passages: Sequence[Passage],
    language: str = "en",
    *,
    answered: bool = False,
    judged: bool = False,
) -> Considered | None:
    """What the likeliest sentences of `passages`, and the passage of the first, answer; see `read`."""

    def prompts(texts: Sequence[Passage]) -> list[tuple[Message, ...]]:
        return [messages(question, [text], language) for text in texts]

    def fits(prompt: tuple[Message, ...]) -> bool:
        return not engine.context or engine.count(prompt) + TOKENS <= engine.context

    asks = set(stems(question, language, content=True))
    every = _scored([w for number, p in enumerate(passages) for w in _windows(number, p, language)], asks, language)
    asked = prompts([replace(w.passage, text=w.passage.text[w.start : w.end]) for w in every])
    kept = [(w, prompt) for w, prompt in zip(every, asked, strict=True) if fits(prompt)]
    if not kept:
        return None
    told = odds(engine, [prompt for _, prompt in kept], language)
    wholes = {n: prompt for n, prompt in enumerate(prompts(passages)) if fits(prompt)}
    own: float | None = getattr(engine, "answers_from", None)
    bound = ANSWERS if own is None else own
    # How far each passage is above what is refused.
    above: dict[int, float] = {}
    if not answered:
        found = odds(engine, list(wholes.values()), language)
        above = {number: one - bound for number, one in zip(wholes, found, strict=True)}
        if own is None and not judged and (seen := _seen(question, [passages[number] for number in wholes], language)):
            above = {
                number: one + SEEN[language] * more - SEEN_ANSWERS
                for number, one, more in zip(wholes, found, seen, strict=True)
            }

    def likely(i: int) -> float:
        window = kept[i][0]
        held = asks.intersection(stems(window.passage.text[window.start : window.end], language))
        return told[i] + WORDS * len(held) / max(len(asks), 1) - window.behind

    def answers(i: int) -> bool:
        # Of a passage that is too long each sentence speaks for itself.
        return answered or above.get(kept[i][0].number, told[i] - bound) >= 0

    chances = [likely(i) for i in range(len(kept))]
    ranked = sorted(range(len(kept)), key=chances.__getitem__, reverse=True)
    open_to = [i for i in ranked if answers(i)][:HEARD]
    fitted = sum(not w.behind for w, _ in kept) == sum(not w.behind for w in every)
    first = kept[(open_to or ranked)[0]][0]
    if not open_to:
        return Considered({}, first, fitted, {})
    worth = [math.exp(chances[i] - chances[open_to[0]]) for i in open_to]
    heard = [_Heard(*kept[i], w / sum(worth)) for i, w in zip(open_to, worth, strict=True) if w >= LEAST * sum(worth)]
    spans = _spans(_pointer(engine), question, first.passage, heard)
    whole = wholes.get(first.number)
    # A passage may be no more than one of its sentences.
    if whole and all(whole != one.prompt for one in heard):
        heard.append(_Heard(first._replace(start=0, end=len(first.passage.text)), whole, WHOLE))
    return Considered(_given(engine, heard, _begun(heard, spans)), first, fitted, spans)


def _seen(question: str, passages: Sequence[Passage], language: str) -> list[float]:
    """Of each passage the encoder's log-odds that one of its sentences answers; none where it is not asked."""
    from mirim.models import reader

    if language not in SEEN or not reader.available():
        return []
    spans = [sentences(p.text, language) for p in passages]
    texts = [
        reader.Text(p.heading, [("", p.text[start:end]) for start, end in own])
        for p, own in zip(passages, spans, strict=True)
    ]
    return [max(one, default=0.0) for one in reader.read(question, texts)]


def _spans(pointer: Pointer | None, question: str, passage: Passage, heard: Sequence[_Heard]) -> dict[str, float]:
    """What the model points at, in the whole `passage` and in the sentences that are heard."""
    if pointer is None:
        return {}
    texts = [replace(w.passage, text=w.passage.text[w.start : w.end]) for w in (one.window for one in heard)]
    whole, *every = pointer.point([(question, text) for text in (passage, *texts)])
    seen = [(one.worth, found) for one, found in zip(heard, every, strict=True) if found and found.spans]
    most = max((found.odds for _, found in seen), default=0.0)
    parts = [(worth * math.exp(POINTED_ODDS * (found.odds - most)), found) for worth, found in seen]
    total = sum(share for share, _ in parts)
    parts = [(share / total * (1 - POINTED_WHOLE), found) for share, found in parts]
    parts += [(POINTED_WHOLE, whole)] if whole else []
    shares: dict[str, float] = defaultdict(float)
    for share, found in parts:
        for text, part in found.spans.items():
            shares[text] += share * part
    total = sum(shares.values())
    return {text: share / total for text, share in shares.items()}


def _pointer(engine: Engine) -> Pointer | None:
    found: Pointer | None = getattr(engine, "pointers", {}).get("read")
    return found


def _begun(heard: Sequence[_Heard], spans: Mapping[str, float]) -> list[tuple[_Heard, str]]:
    """The words that what is pointed at begins with most likely, and where it was read."""
    words: dict[str, float] = defaultdict(float)
    places: dict[str, _Heard] = {}
    for text, share in sorted(spans.items(), key=lambda pair: -pair[1]):
        word = text.split()[0]
        home = next((one for one in heard if text in one.window.passage.text[one.window.start : one.window.end]), None)
        if home is not None:
            places.setdefault(word, home)
            words[word] += share
    return [(places[word], word) for word in sorted(words, key=words.__getitem__, reverse=True)[:BEGUN]]


def _given(
    engine: Engine, heard: Sequence[_Heard], begun: Sequence[tuple[_Heard, str]]
) -> dict[str, dict[Window, float]]:
    """The likeliest answers, those that are drawn, and those that begin with a given word, which are worth nothing by
    themselves; refusals left out."""
    asked = [_Asked(one.prompt, seed) for one in heard for seed in (None, *range(DRAWN))]
    said = iter(_written(engine, asked + [_Asked(one.prompt, begins=word) for one, word in begun]))
    given: dict[str, dict[Window, float]] = defaultdict(lambda: defaultdict(float))
    for one in heard:
        if text := next(said):
            given[text][one.window] += one.worth * LIKELIEST
        drawn = list(filter(None, (next(said) for _ in range(DRAWN))))
        for text in drawn:
            given[text][one.window] += one.worth * (1 - LIKELIEST) / len(drawn)
    for (one, _), text in zip(begun, said, strict=True):
        if text:
            given[text][one.window] += 0.0
    return given


def _written(engine: Engine, asked: Sequence[_Asked]) -> list[str]:
    """The model's likeliest answer to each prompt, or one that is drawn where there is a seed; '' where it refuses."""

    pointer = _pointer(engine)

    def write(one: _Asked) -> str:
        sampling = Sampling(max_tokens=TOKENS)
        if one.seed is not None:
            sampling = replace(sampling, temperature=1.0, seed=one.seed)
        prompt = pointer.begun(one.prompt, one.begins) if pointer and one.begins else one.prompt
        text = (one.begins + "".join(delta.text for delta in engine.generate(prompt, sampling))).strip()
        return "" if declined(text) else text

    parallel = getattr(engine, "parallel", 1)
    if parallel == 1:
        return [write(one) for one in asked]
    with ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(write, asked))


def _windows(number: int, passage: Passage, language: str) -> list[Window]:
    """Each sentence, and each with the one before it."""
    spans = sentences(passage.text, language)
    made = []
    for i, (start, end) in enumerate(spans):
        made.append(Window(number, passage, start, end, 0.0))
        if i:
            made.append(Window(number, passage, spans[i - 1][0], end, PAIRED))
    return made


def _scored(every: list[Window], asks: set[str], language: str) -> list[Window]:
    """At most `SCORED` of the windows, in order, by what they have of the words `asks`."""
    if len(every) <= SCORED:
        return every
    held = [asks.intersection(stems(w.passage.text[w.start : w.end], language)) for w in every]
    seen = Counter(word for words in held for word in words)
    worth = [
        sum(math.log(len(every) / seen[word]) for word in words) - 1e-6 * w.behind
        for w, words in zip(every, held, strict=True)
    ]
    best = sorted(range(len(every)), key=worth.__getitem__, reverse=True)[:SCORED]
    return [every[i] for i in sorted(best)]


def odds(engine: Engine, prompts: Sequence[tuple[Message, ...]], language: str = "en") -> list[float]:
    """Log-odds that each is answered, and not refused. UsageError when the engine gives no probabilities."""
    refused = REFUSAL.get(language, REFUSAL["en"])
    many = getattr(engine, "score_many", None)
    rows = many(prompts, [[refused]] * len(prompts)) if many else [engine.score(p, [refused]) for p in prompts]
    return [_odds(sum(row[0])) for row in rows]


def _odds(refused: float) -> float:
    """Of answering, from the log-probability of refusing."""
    return math.log(-math.expm1(min(refused, -1e-9))) - refused
