"""Which of several functions a request is for, told by what their descriptions mean.

A model that points at a function's name learned from functions of the same field that seldom stand beside each other:
"Has order 7741 been delivered?" pointed at what cancels orders as much as at what looks them up. The encoder that finds
passages (`mirim.models.meaning`) reads what each function does and what it takes. A function that changes something is
not what a question asks for, in whatever words it is described: "Did Rex get his discharge?" is not for what discharges
him. What acts is told by a linear layer on its vectors (`bench/fit_purposes.py`). Without the encoder nothing is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from mirim.documents.words import fold, parted

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

#: Nats that the cosine of a request and a function adds, above the usual one, to the odds that the function serves it;
#: what it counts for among several, where the request is the same; and what being likelier to act than not takes from
#: both where the request asks, for each nat of these log-odds and at most: the surest pointing is at some 9.
NEAR, MIDDLE, AMONG, ACTS, MOST = 30.0, 0.81, 130.0, 15.0, 15.0
#: Characters of a description, and of the end of what is said, that are read; and functions' texts that are kept for
#: when they are asked again.
READ, KEPT = 400, 1024
_WEIGHTS = "purposes.npz"
#: Questions that ask for an act, and how questions begin whose mark was left out.
_POLITE = re.compile(
    r"\W*(?:\w+\W+){0,2}?(?:(?:can|could|would|will) you|(?:(?:você|voce|vc|c[êe]) )?(?:pode|podes|poderia|consegue)"
    r"|(?:d[áa]|dava|daria|tem como|seria poss[íi]vel)\b(?! (?:para|pra) saber)|can i ask you|may i ask you"
    r"|would it be possible to)\b|\W*(?:shall (?:i|we)|que tal)\b",
    re.IGNORECASE,
)
_BEGINS = re.compile(
    r"\W*(?:who|whose|what|when|where|which|why|how|has|is|are|was|were|does|did|quem|qua(?:l|is)|quando"
    r"|quant[oa]s?|onde|cad[êe]|como|o que|por que|ser[áa])\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.?!\n]*[^\W_][^.?!\n]*[.?!]*(?:(?<=\w\.)[^\W_][^.?!\n]*[.?!]*)*")
_THANKS = re.compile(r"\W*(?:please|thanks?|thank you|por favor|obrigad[oa])\b[^.?!\n]{0,20}[.?!]*", re.IGNORECASE)


def asks(words: str) -> bool:
    """Whether what somebody says ends in a question, thanks aside, that asks for no act: "Can you cancel it?" does."""
    said = [one for one in _SENTENCE.findall(words[-READ:]) if not _THANKS.fullmatch(one.strip())]
    if not said or _POLITE.match(said[-1]):
        return False
    return said[-1].rstrip().endswith("?") or bool(_BEGINS.match(said[-1]))


class Purpose(NamedTuple):
    """Nats that what a function is for adds to the odds that it serves a request, and that it is the one of several;
    and what is taken from both because it acts where the request asks."""

    near: float = 0.0
    among: float = 0.0
    acts: float = 0.0


def purposes(request: str, functions: Sequence[Mapping[str, Any]], words: str) -> list[Purpose]:
    """Those of each function for a request; `words`: those of it that tell whether it is a question. Of nothing without
    the encoder."""
    from mirim.models import meaning

    if not functions or not meaning.available():
        return [Purpose()] * len(functions)
    vector, question, found = meaning.query(request).vector, asks(words), []
    for function in functions:
        # What a function does by itself, and with what it takes: "to whom" and "on which day" tell apart, too.
        does, whole = _vectors(texts(function))
        near = float(vector @ (does + whole)) / 2 - MIDDLE
        barred = question and not _ordered(words, function)
        acts = min(max(ACTS * acting(function), 0.0), MOST) if barred else 0.0
        found.append(Purpose(NEAR * near, AMONG * near, acts))
    return found


def _ordered(words: str, function: Mapping[str, Any]) -> bool:
    """Whether what is said begins with the verb that the function's description begins with, as orders do and questions
    whether something has happened do not: "Cancela o pedido pra mim?" of "Cancela um pedido.", or "Cancelar um pedido."
    """
    said = [one for one in _SENTENCE.findall(words[-READ:]) if not _THANKS.fullmatch(one.strip())]
    first, does = (
        fold(text).split()[:1] for text in (said[-1] if said else "", str(function.get("description") or ""))
    )
    return bool(first and does) and first[0] in (does[0], does[0].removesuffix("s"), does[0].removesuffix("r"))


def acting(function: Mapping[str, Any]) -> float:
    """Log-odds that a function changes something, and does not only tell something."""
    weights = _weights()
    return float(_vectors(texts(function)).ravel() @ weights[:-1] + weights[-1])


def texts(function: Mapping[str, Any]) -> tuple[str, str]:
    """What a function does; and that with what it is called and what it takes."""
    name, does = parted(str(function["name"])), str(function.get("description") or "").strip()[:READ]
    takes = (function.get("parameters") or {}).get("properties")
    takes = ", ".join(map(parted, takes)) if isinstance(takes, Mapping) else ""
    return does or name, f"{name}: {does} {takes}"[: 2 * READ]


@lru_cache(maxsize=KEPT)
def _vectors(texts: tuple[str, ...]) -> Floats:
    from mirim.models import meaning

    return meaning.vectors(texts)


@cache
def _weights() -> Floats:
    """(2 H + 1,): of a function's two vectors, the bias last"""
    import numpy as np

    with resources.files("mirim.models").joinpath(_WEIGHTS).open("rb") as stream, np.load(stream) as held:
        return np.asarray(held["acts"], np.float32)
