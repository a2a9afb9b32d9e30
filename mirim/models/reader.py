"""Whether a passage answers a question, and which of its parts does: both are read together.

The encoder of `mirim.models.meaning`, its matrices changed by low-rank ones (LoRA, Hu et al. 2022), points at the first
and at the last token of what answers, or at a mark that stands for nothing (BERT on SQuAD 2.0, Devlin et al. 2019).
`bench/fit_reader.py` fitted both. Search brings passages that speak of a question; this tells those that answer it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from mirim.core.types import Passage
from mirim.examples.units import units
from mirim.models.encoder import Encoder
from mirim.models.meaning import CHARACTERS, available, both_ends, clean

#: Tokens of a question (its start and its end) and of a title that are read, and those that an answer has at most.
QUESTION, TITLE, LONGEST = 64, 24, 40
#: Beyond this a log-odds says no more than "sure".
LIMIT = 8.0
_WEIGHTS = "reader.npz"

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Text:
    """What is read with a question: a title, and parts, each with what leads to it and is not the answer itself."""

    title: str
    parts: Sequence[tuple[str, str]]


def text(passage: Passage) -> Text:
    """A passage as it is read: its heading, and its units with the question or label above each."""
    parts, last = [], passage.heading
    for unit in units(passage):
        lead = unit.lead.removeprefix(passage.heading).strip()
        parts.append((lead if unit.lead != last else "", unit.alone))
        last = unit.lead
    return Text(passage.heading, parts)


@dataclass(frozen=True, slots=True)
class _Window:
    """Parts of a text as the encoder reads them: which ones, and where the tokens of each stand."""

    ids: list[int]
    none: int
    places: list[tuple[int, int, int]]


def read(question: str, texts: Sequence[Text]) -> list[list[float]]:
    """Of each part of each text the log-odds that an answer stands in it, against that none does in what is read so.

    Each within ±LIMIT. A text longer than the encoder's context is read in windows of whole parts; of one part that is
    longer by itself, the rest is not read.
    """
    encoder, weight, bias = _opened()
    windows = [(number, w) for number, text in enumerate(texts) for w in _windows(encoder, question, text)]
    found = [[-LIMIT] * len(text.parts) for text in texts]
    if not windows:
        return found
    _, states = encoder.states([w.ids for _, w in windows], (encoder.layers,))
    for (number, window), state in zip(windows, states, strict=True):
        begins, ends = (state.reshape(len(window.ids), -1) @ weight.T + bias).T
        none = float(begins[window.none] + ends[window.none])
        for part, start, end in window.places:
            odds = _inside(begins[start:end], ends[start:end]) - none
            found[number][part] = max(found[number][part], min(LIMIT, odds))
    return found


def _inside(begins: Floats, ends: Floats) -> float:
    """The logarithm of the sum over all spans of at most LONGEST tokens."""
    scores = begins[:, None] + ends[None, :]
    gap = np.arange(len(ends))[None, :] - np.arange(len(begins))[:, None]
    kept = scores[(gap >= 0) & (gap < LONGEST)]
    return float(np.logaddexp.reduce(kept.astype(np.float64))) if len(kept) else -np.inf


def _windows(encoder: Encoder, question: str, text: Text) -> Iterator[_Window]:
    """A question, a mark that also stands for no answer, a title, and as many parts as there is room for, in turn."""
    half = QUESTION // 2
    asked = both_ends(_tokens(encoder, both_ends(question, half * CHARACTERS)), half)
    head = [*asked, encoder.end, encoder.end, *_tokens(encoder, text.title)[:TITLE], encoder.end]
    room = encoder.window - len(head)
    ids, places = list(head), list[tuple[int, int, int]]()
    for number, (lead, said) in enumerate(text.parts):
        led, own = _tokens(encoder, lead)[: room // 4], _tokens(encoder, said)
        if places and len(ids) + len(led) + len(own) > encoder.window:
            yield _Window(ids, len(asked), places)
            ids, places = list(head), []
        ids += led
        own = own[: encoder.window - len(ids)]
        places.append((number, len(ids), len(ids) + len(own)))
        ids += own
    if places:
        yield _Window(ids, len(asked), places)


def _tokens(encoder: Encoder, text: str) -> list[int]:
    return encoder.tokens(clean(text)) if text.strip() else []


@cache
def _opened() -> tuple[Encoder, Floats, Floats]:
    """The changed encoder, and the head's weights (2, H) and bias (2,)."""
    with resources.files("mirim.models").joinpath(_WEIGHTS).open("rb") as stream, np.load(stream) as held:
        whole = {name: held[name].astype(np.float32) for name in held.files}
    # In whole numbers, each row with a step of its own; of each matrix NAME.down (rank, in) and NAME.up (out, rank).
    wide = {n: v * whole[f"{n}.step"][:, None] if f"{n}.step" in whole else v for n, v in whole.items()}
    names = [name.removesuffix(".up") for name in wide if name.endswith(".up")]
    changes = {name: (wide[f"{name}.up"], wide[f"{name}.down"]) for name in names}
    return Encoder.open(changes), wide["head"], wide["bias"]


__all__ = ("LIMIT", "Text", "available", "read", "text")
