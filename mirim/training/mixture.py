"""Rows of several kinds as one sequence, each kind with its share of a pass's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirim.training.packing import Row, Rows

Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows with their lengths in tokens, how often a pass takes each beside the others of its kind, and the share of
    the whole's tokens that they are."""

    rows: Sequence[Row]
    lengths: Numbers
    weights: Numbers
    share: float


class Mixture(Rows):
    """The rows of all parts, one part after the other. A pass takes each row of the last part `weight` times, and of
    the others as much as gives every part its share of the pass's tokens."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = [part for part in parts if part.share > 0]
        tokens = [float((part.lengths * part.weights).sum()) for part in self.parts]
        whole = tokens[-1] / self.parts[-1].share
        self.lengths = np.concatenate([part.lengths for part in self.parts])
        self.weights = np.concatenate(
            [p.weights * (p.share * whole / held) for p, held in zip(self.parts, tokens, strict=True)]
        )
        self._ends = np.cumsum([len(part.rows) for part in self.parts])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def weight(self) -> float:
        """Tokens that one pass takes, by weight."""
        return float((self.lengths * self.weights).sum())

    def row(self, index: int) -> Row:
        which = int(np.searchsorted(self._ends, index, side="right"))
        return self.parts[which].rows[index - int(self._ends[which - 1] if which else 0)]
