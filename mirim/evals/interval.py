"""How sure a figure is, and whether a difference is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["helped", "no evidence", "hurt"]
RESAMPLES = 10_000
#: Cases that must differ before anything is said: of five that all go one way half that many sides come up one time in
#: sixteen (sign test), of six one in thirty-two.
DIFFER = 6


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean with the percentile bootstrap (Efron 1979)."""
    import numpy as np

    data = np.asarray(values, dtype=float)
    if not len(data):
        return Interval(math.nan, math.nan, math.nan, 0)
    means = _means(data, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high), len(data))


def paired(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> tuple[Interval, Verdict]:
    """Difference of means over the same cases, resampled case by case; the verdict reads its interval, and says nothing
    where fewer than DIFFER cases differ, of which resampling knows too little."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} cases cannot be paired")
    difference = bootstrap([a - b for a, b in zip(ours, theirs, strict=True)], seed)
    if sum(a != b for a, b in zip(ours, theirs, strict=True)) < DIFFER:
        return difference, "no evidence"
    return difference, "helped" if difference.low > 0 else "hurt" if difference.high < 0 else "no evidence"


def wilson(successes: int, n: int) -> Interval:
    """A share with Wilson's score interval (1927), right for small samples and for shares near 0 or 1."""
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    z = 1.959964
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At its ends the interval is closed, whatever rounding makes of it.
    return Interval(
        p, max(0.0, middle - half) if successes else 0.0, min(1.0, middle + half) if successes < n else 1.0, n
    )


def _means(array: Any, seed: int) -> Any:
    """Means of RESAMPLES resamples of a one-dimensional array."""
    import numpy as np

    rng = np.random.default_rng(seed)
    # In slices: ten thousand resamples of ten thousand cases would not fit in a small memory.
    step = max(1, 4_000_000 // len(array))
    parts = [
        array[rng.integers(0, len(array), (min(step, RESAMPLES - i), len(array)))].mean(1)
        for i in range(0, RESAMPLES, step)
    ]
    return np.concatenate(parts)
