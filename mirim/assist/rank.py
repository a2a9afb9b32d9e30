"""Two small logistic models over the features: which sentence answers, and whether the best one does.

Their default weights were fitted on questions that people wrote (see docs/answering.md and
bench/fit_ranker.py); a project's own calibration adjusts how far they, and its model's judgement, are trusted.
There are two sets of weights: for words alone, and for words beside what passages mean, three features more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from mirim.assist.candidates import Candidate
from mirim.assist.features import NAMES

#: How near the sentence lies to the question, how far its passage's tokens answer to it, and whether the sentence
#: answers as it is read together with the question (mirim.assist.reading): -1 to 1, and `UNREAD` where it was not.
MEANING = ("near", "match", "read")
UNREAD = -1.0
#: The features of a sentence, and of a whole result, by words alone and with what passages mean.
RANK_NAMES = {"words": NAMES, "meaning": (*NAMES, *MEANING)}
TRUST_NAMES = {
    "words": (*NAMES, "ranker", "margin", "search_score"),
    # Words say little of whether customers' questions are answered, and mislead: these ask in words of their own.
    "meaning": ("nearest", "best_match", "best_read", "margin"),
}
#: Trust where what is found is in another language than the question. Its tokens all lie far, beyond the bounds of
#: `match`, so how far a passage answers counts beyond them. Fitted by bench/organisations_across.py, for the same
#: threshold: as much of what would be wrong is refused there.
ACROSS_NAMES = ("best_fit", "best_read", "margin")
ACROSS = {"best_fit": 0.78, "best_read": 1.008, "margin": 1.74, "bias": -0.817}


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its features and the ranker's log-odds that it holds the answer.

    `verdict` is the model's log-odds for it, 0 where the model was not asked; `fit` how far its passage's tokens
    answer, 0 without vectors; `foreign` whether it is in another language than the question; `older` whether a newer
    sentence says the same (mirim.assist.newest); `told` the log-odds that it is right where amounts told that, and not
    its features (mirim.assist.extremes).
    """

    candidate: Candidate
    features: tuple[float, ...]
    score: float
    verdict: float = 0.0
    fit: float = 0.0
    foreign: bool = False
    older: bool = False
    told: float = -math.inf

    @property
    def apart(self) -> bool:
        """Whether it says nothing of its neighbours: a table's row, or the item of a list that was told by amounts."""
        return bool(self.candidate.header) or self.told > -math.inf


@cache
def weights() -> dict[str, dict[str, Any]]:
    """The fitted weights: {'words': {'ranker': {name: weight, 'bias': …}, 'trust': {…}}, 'meaning': {…}}, and, where
    there is meaning, the 'threshold': trust's log-odds below which most of what would be wrong lies."""
    text = resources.files("mirim.assist").joinpath("weights.json").read_text("utf-8")
    loaded: dict[str, dict[str, Any]] = json.loads(text)
    return loaded


def ranker(features: Sequence[float]) -> float:
    """Log-odds that a candidate with these features holds the answer."""
    kind = _kind(features)
    return _linear(weights()[kind]["ranker"], RANK_NAMES[kind], features)


def trust_features(ranked: Sequence[Ranked]) -> list[float]:
    """Features of a whole result: those of the best sentence and how far it stands out; with what passages mean, how
    near the nearest sentence is, how far the best passage answers, whether any sentence does that was read, and how far
    the best sentence stands out."""
    best, margin = ranked[0], _margin(ranked)
    if _kind(best.features) == "meaning":
        return [*(max(r.features[len(NAMES) + i] for r in ranked) for i in range(len(MEANING))), margin]
    return [*best.features, math.tanh(best.score / 4), margin, best.candidate.score]


def across_features(ranked: Sequence[Ranked]) -> list[float]:
    """Features of a whole result in another language than the question's, see `ACROSS`."""
    return [max(r.fit for r in ranked), max(r.features[-1] for r in ranked), _margin(ranked)]


def trust(ranked: Sequence[Ranked]) -> float:
    """Log-odds that the best sentence is right, before a project's own calibration."""
    kind = _kind(ranked[0].features)
    if kind == "meaning" and ranked[0].foreign:
        trusted = _linear(ACROSS, ACROSS_NAMES, across_features(ranked))
    else:
        trusted = _linear(weights()[kind]["trust"], TRUST_NAMES[kind], trust_features(ranked))
    return max(trusted, ranked[0].told)


def reach(ranked: Sequence[Ranked]) -> float:
    """Search score of the best passage, 0 to 1: whether the documents speak of this at all."""
    return max(r.candidate.score for r in ranked)


def _margin(ranked: Sequence[Ranked]) -> float:
    """How far the best sentence stands out from the best of another passage, -1 to 1; what it replaced is no rival."""
    best = ranked[0]
    others = (r.score for r in ranked if r.candidate.passage.id != best.candidate.passage.id and not r.older)
    elsewhere = next(others, best.score - 4)
    return math.tanh((best.score - elsewhere) / 4)


def _kind(features: Sequence[float]) -> str:
    return "meaning" if len(features) > len(NAMES) else "words"


def _linear(model: Mapping[str, float], names: Sequence[str], values: Sequence[float]) -> float:
    return model["bias"] + sum(model[n] * v for n, v in zip(names, values, strict=True))


def probability(log_odds: float) -> float:
    """Logistic function, safe at both ends."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, log_odds))))
