"""How well labels are told that few examples teach, beside the labels' names: banking77.

    python bench/labels.py ../shared/data/banking77

Of its training part 5, 10 and 30 texts of each label, three draws of each, and all; told are the texts of its test
part, with the encoder and by words alone.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from mirim.models import heads

SHOTS, DRAWS = (5, 10, 30), 3


def drawn(some: heads.Labelled, shots: int, seed: int) -> list[int]:
    """Places of so many texts of each label."""
    rng, found = random.Random(seed), []
    for name in some.names:
        own = [n for n, label in enumerate(some.labels) if label == name]
        found += rng.sample(own, min(shots, len(own)))
    return found


def right(
    some: heads.Labelled, vectors: np.ndarray, places: list[int], test: heads.Labelled, told: np.ndarray
) -> float:
    head = heads.layer(some.some(places), vectors[places])
    best = head.logits(test.texts, told).argmax(1)
    return float(np.mean([head.labels[n] == label for n, label in zip(best, test.labels, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    some, test = (heads.read(given.folder / f"{part}.csv") for part in ("train", "test"))
    vectors, told = heads.vectors(some.texts), heads.vectors(test.texts)
    for name, of, at in (("encoder and words", vectors, told), ("words alone", vectors[:, :0], told[:, :0])):
        for shots in SHOTS:
            draws = [right(some, of, drawn(some, shots, seed), test, at) for seed in range(DRAWS)]
            print(
                f"{name}, {shots} of each: {np.mean(draws):.3f} ({', '.join(f'{one:.3f}' for one in draws)})",
                flush=True,
            )
        print(
            f"{name}, all {len(some.texts)}: {right(some, of, list(range(len(some.texts))), test, at):.3f}", flush=True
        )


if __name__ == "__main__":
    main()
