"""Which of the answers that a small model gives to one question is right.

It draws the right one far more often than it prefers it. What tells it from the others is what they have in common with
it (minimum Bayes risk; Kumar & Byrne 2004), and what answers are like whatever the subject: one does not say the
question again, and stands in the text near the question's words. Such features are those of the logistic model that
SQuAD came with (Rajpurkar et al. 2016); here a weighted sum of them orders the answers to one question, with weights
that `bench/fit_answers.py` fitted on passages of `recipes/reading`: those for models that do not point at answers
("plain" in answers.json) when the whole passage counted 0.3 (`read.WHOLE`), the others as it counts now.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from mirim.documents.sentences import sentences
from mirim.documents.words import STOPWORDS, stem, stems, tokens

NAMES = (
    "agreed",  # F1 of its words with those of all answers, each by its worth; and the logarithm of that
    "agreed_log",
    "asked",  # share of its content words that the question has; all of them
    "all_asked",
    "length",  # logarithm of its number of words; and its square
    "length_squared",
    "opens",  # with a word that says nothing; ends with one
    "ends",
    "verbatim",  # stands in a text as it is; share of its words that do
    "words",
    "near",  # how near the question's words stand to it; those on its left; those on its right
    "before",
    "after",
    "sentence",  # share of the question's words in its sentence; no sentence has more
    "best_sentence",
)
#: Beside them, where the model points at answers too: the F1 of its words with what is pointed at, and the logarithm.
POINTED = ("pointed", "pointed_log")
#: F1 below which two that are unlike are as good as one another.
LEAST = 0.02
#: Places of an answer in the texts that are looked at.
PLACES = 8
#: Words within which what is near fades to a third.
REACH = 8
#: How far the scores are trusted when the answers are weighed by what they have in common once more.
SURE = 0.7


def choose(
    question: str,
    texts: Sequence[str],
    given: Mapping[str, float],
    language: str,
    spans: Mapping[str, float] | None = None,
) -> str:
    """The one of the answers `given` to a question about `texts`, each with its worth, that is expected to have most
    words in common with the right one. `spans`: what is pointed at in the texts, with shares that sum to 1."""
    rows = features(question, texts, given, language, spans)
    worth = expected(list(given), [score(row) for row in rows])
    return max(zip(worth, given, strict=True), key=lambda pair: pair[0])[1]


def expected(given: Sequence[str], scores: Sequence[float]) -> list[float]:
    """F1 of each answer's words with those of the right one, as far as the scores are to be trusted."""
    shares = [math.exp(SURE * (s - max(scores))) for s in scores]
    bags = [Counter(tokens(text)) for text in given]
    total = sum(shares)
    return [sum(share * _alike(one, bag) for share, bag in zip(shares, bags, strict=True)) / total for one in bags]


def score(features: Sequence[float]) -> float:
    """Log-odds of an answer with these features, beside another one to the same question."""
    weights = _weights(len(features) > len(NAMES))
    return sum(weight * value for weight, value in zip(weights, features, strict=True))


@cache
def _weights(pointed: bool) -> tuple[float, ...]:
    text = resources.files("mirim.models").joinpath("answers.json").read_text("utf-8")
    fitted: dict[str, float] = json.loads(text)["pointed" if pointed else "plain"]
    return tuple(fitted[name] for name in (NAMES + POINTED if pointed else NAMES))


def features(
    question: str,
    texts: Sequence[str],
    given: Mapping[str, float],
    language: str,
    spans: Mapping[str, float] | None = None,
) -> list[tuple[float, ...]]:
    """The NAMES of each answer in `given`, and POINTED where something is pointed at; shares are between 0 and 1."""
    held = _Texts(question, texts, language)
    said = {text: tokens(text) for text in given}
    bags = {text: Counter(words) for text, words in said.items()}
    total = sum(given.values()) or 1.0
    shown = [(Counter(tokens(text)), share) for text, share in (spans or {}).items()]
    rows = []
    for text, words in said.items():
        agreed = sum(worth * _alike(bags[text], bags[other]) for other, worth in given.items()) / total
        row = (agreed, math.log(agreed + LEAST), *held.of(words))
        if shown:
            seen = sum(share * _alike(bags[text], bag) for bag, share in shown)
            row = (*row, seen, math.log(seen + LEAST))
        rows.append(row)
    return rows


def _alike(one: Counter[str], other: Counter[str]) -> float:
    """F1 of the words that two answers share; 1 for two without any."""
    every = one.total() + other.total()
    return 2 * (one & other).total() / every if every else 1.0


class _Texts:
    """What is read, word by word, and where the question's words stand in it."""

    def __init__(self, question: str, texts: Sequence[str], language: str) -> None:
        self.language = language
        self.silent = STOPWORDS.get(language, frozenset())
        spoken = [tokens(text[a:b]) for text in texts for a, b in sentences(text, language)]
        self.words = [word for sentence in spoken for word in sentence]
        self.sentence = [number for number, sentence in enumerate(spoken) for _ in sentence]
        self.where: dict[str, list[int]] = defaultdict(list)
        places: dict[str, list[int]] = defaultdict(list)
        for at, word in enumerate(self.words):
            self.where[word].append(at)
            places[stem(word, language)].append(at)
        self.asked = set(stems(question, language))
        # A word that stands everywhere says little of where the answer is.
        weights = {s: 1 / (1 + math.log1p(len(places.get(s, ())))) for s in stems(question, language, content=True)}
        total = sum(weights.values()) or 1.0
        self.marks = [(weight / total, places[s]) for s, weight in weights.items() if s in places]
        self.shares = [0.0] * len(spoken)
        for weight, found in self.marks:
            for number in {self.sentence[at] for at in found}:
                self.shares[number] += weight
        self.most = max(self.shares, default=0.0)

    def of(self, said: Sequence[str]) -> tuple[float, ...]:
        """From 'asked' on, of an answer in these words."""
        repeated = [stem(word, self.language) in self.asked for word in said if word not in self.silent]
        count, length = max(len(said), 1), math.log(max(len(said), 1))
        spans = self._spans(said)
        shape = (
            sum(repeated) / max(len(repeated), 1),
            float(bool(repeated) and all(repeated)),
            length,
            length**2,
            float(bool(said) and said[0] in self.silent),
            float(bool(said) and said[-1] in self.silent),
            float(bool(spans)),
            sum(word in self.where for word in said) / count,
        )
        around = [self._around(*span) for span in (spans or self._loosely(said))[:PLACES]]
        # Where it stands oftener, the place that speaks most for it counts.
        return (*shape, *max(around, key=lambda a: a[0] + a[3], default=(0.0,) * 5))

    def _spans(self, said: Sequence[str]) -> list[tuple[int, int]]:
        """Where these words stand in this order."""
        count = len(said)
        starts = self.where.get(said[0], ()) if said else ()
        return [(at, at + count) for at in starts if self.words[at : at + count] == said]

    def _loosely(self, said: Sequence[str]) -> list[tuple[int, int]]:
        """The sentence that has most of these words, from the first of them to the last."""
        found: dict[int, list[int]] = defaultdict(list)
        for word in said:
            for at in self.where.get(word, ()) if word not in self.silent else ():
                found[self.sentence[at]].append(at)
        best = max(found.values(), key=len, default=None)
        return [(min(best), max(best) + 1)] if best else []

    def _around(self, start: int, end: int) -> tuple[float, ...]:
        """From 'near' on, of an answer that stands there."""
        near = before = after = 0.0
        for weight, places in self.marks:
            left = math.exp(-min((start - at for at in places if at < start), default=math.inf) / REACH)
            right = math.exp(-min((at - end + 1 for at in places if at >= end), default=math.inf) / REACH)
            near, before, after = near + weight * max(left, right), before + weight * left, after + weight * right
        share = self.shares[self.sentence[start]]
        return near, before, after, share, float(share >= self.most - 1e-9)
