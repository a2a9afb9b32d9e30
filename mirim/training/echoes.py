"""Echoes: rows in which the same tokens come again, so that a model learns to look back and copy.

A small model learns this late from text alone, where little comes again, and reads nothing from a passage before it
can (induction heads, Olsson et al. 2022, "In-context Learning and Induction Heads"). Here everything comes again.
"""

from __future__ import annotations

import numpy as np

from mirim.training.packing import Row, Rows
from mirim.training.shards import Shard

#: Share of rows whose tokens are drawn without any order, where nothing but looking back helps.
RANDOM = 0.3
#: Tokens of what is said first at least, and of a piece said again.
LEAST, PIECE = 16, (6, 40)


class Echoes(Rows):
    """One row of `context` tokens for each window of `text`: a stretch of it, then the same again until the row is
    full, whole with something else in between, or in pieces out of order. Row i depends on the seed and i alone."""

    def __init__(self, text: Shard, context: int, seed: int) -> None:
        self.text, self.context, self.seed = text, context, seed
        self.lengths = np.full(len(text), context)
        self.weights = text.weights

    def __len__(self) -> int:
        return len(self.text)

    def row(self, index: int) -> Row:
        rng = np.random.default_rng([self.seed, index])
        tokens, start = self.text.tokens, int(self.text.starts[index])
        length = int(rng.integers(LEAST, max(LEAST + 1, self.context // 2)))
        if rng.random() < RANDOM:
            # Each token about as often as any other, not as often as people use it.
            known = np.unique(tokens[rng.integers(0, len(tokens), 16 * length)])
            said = rng.choice(known, min(length, len(known)), replace=False)
        else:
            said = np.asarray(tokens[start : start + min(length, int(self.text.lengths[index]))])
        whole, room = rng.random() < 0.4, self.context - len(said)
        pieces = [said]
        while room > 0:
            if whole:
                other = int(rng.integers(0, len(tokens)))
                pieces += [np.asarray(tokens[other : other + int(rng.integers(0, LEAST))]), said]
                room -= len(pieces[-2]) + len(said)
            else:
                size = int(rng.integers(*PIECE))
                at = int(rng.integers(0, max(1, len(said) - size)))
                pieces.append(said[at : at + size])
                room -= len(pieces[-1])
        return Row(np.concatenate(pieces)[: self.context])
