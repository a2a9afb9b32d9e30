"""Which of some labels a text has, told by what the labels' names mean.

The encoder that finds passages (`mirim.models.meaning`) reads the text and each name, by itself and with what the
labels are labels of. A text seldom lies next to the name of what it is about, for it tells a case of it:
`bench/fit_labels.py` fitted a low-rank change of both vectors on lists of labels written for this. `mirim.models.heads`
learns labels from texts that have them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from mirim.core.errors import UsageError
from mirim.documents.words import parted
from mirim.models import meaning

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

#: Labels at most, and characters of one.
MOST, LONGEST = 1000, 200
_WEIGHTS = "labels.npz"


@dataclass(frozen=True, slots=True)
class Names:
    """Labels by their names: `moved` and `plain` vectors (K, H) of them, and the weights that both were made with."""

    labels: tuple[str, ...]
    moved: Floats
    plain: Floats
    weights: Mapping[str, Floats]

    def logits(self, texts: Sequence[str]) -> Floats:
        """(N, K): higher for what a text rather has."""
        x, (moved, plain) = meaning.vectors(texts, meaning.QUERY), self.weights["numbers"]
        made: Floats = moved * (_moved(x, self.weights, 0) @ self.moved.T) + plain * (x @ self.plain.T)
        return made

    def shares(self, texts: Sequence[str]) -> Floats:
        """(N, K): how likely each label is, 1 in all for each text."""
        made: Floats = softmax(self.logits(texts))
        return made


def names(labels: Sequence[str], kind: str = "", weights: Mapping[str, Floats] | None = None) -> Names:
    """Labels to choose from; `kind` says in a few words what they are labels of.

    UsageError for labels that are too few, too many, too long or the same, and where the encoder is not installed.
    """
    import numpy as np

    shown = checked(labels)
    held = weights or _weights()
    said = [spoken(label, " ".join(kind.split())) for label in shown]
    every = np.stack([_vector(text) for pair in said for text in pair]).reshape(len(shown), 2, -1).mean(1)
    return Names(tuple(labels), _moved(every, held, 1), every, held)


def spoken(label: str, kind: str) -> tuple[str, str]:
    """A label as words, by itself and with what it is a label of."""
    words = parted(label)
    return words, f"{kind}: {words}" if kind else words


def checked(labels: Sequence[str]) -> list[str]:
    """The labels with single blanks; UsageError when these are none to choose from."""
    shown = [" ".join(label.split()) for label in labels]
    if not 2 <= len(shown) <= MOST:
        raise UsageError(f"{len(shown)} label{'s' * (len(shown) != 1)}; give 2 to {MOST} to choose from")
    for n, label in enumerate(shown):
        if not 0 < len(label) <= LONGEST:
            raise UsageError(f'the label "{label[:60]}" has {len(label)} characters; write 1 to {LONGEST}')
        if label in shown[:n]:
            raise UsageError(f'the label "{label}" stands there twice; give each once')
    return shown


def softmax(logits: Any) -> Any:
    """(N, K)"""
    import numpy as np

    every = np.exp(logits - logits.max(axis=1, keepdims=True))
    return every / every.sum(axis=1, keepdims=True)


def _moved(x: Floats, weights: Mapping[str, Floats], which: int) -> Floats:
    """Vectors of texts (0) or labels (1) where their names and cases are near each other, each of length 1."""
    import numpy as np

    x = x - weights["middles"][which]
    x = x + x @ weights["down"][which].T @ weights["up"][which].T
    made: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    return made


@lru_cache(maxsize=4096)
def _vector(text: str) -> Floats:
    made: Floats = meaning.vectors([text])[0]
    return made


@cache
def _weights() -> Mapping[str, Floats]:
    """middles (2, H), down (2, R, H) and up (2, H, R), of texts and of labels; numbers (2,): what moved and plain
    vectors count."""
    import numpy as np

    with resources.files("mirim.models").joinpath(_WEIGHTS).open("rb") as stream, np.load(stream) as held:
        return {part: held[part].astype(np.float32) for part in held.files}
