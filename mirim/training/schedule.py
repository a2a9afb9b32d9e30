"""Learning rate over steps."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "wsd", "constant", "linear"]


def factor(step: int, steps: int, kind: Schedule, warmup: float = 0.05, decay: float = 0.3) -> float:
    """Share of the peak learning rate at `step` (0-based) of `steps`.

    cosine   linear warm-up, then half a cosine to a tenth (Loshchilov and Hutter 2017)
    linear   linear warm-up, then straight to a tenth
    wsd      warm-up, stable, then linear decay to zero over the last `decay` of the steps (Hu et al. 2024)
    """
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    if kind == "constant":
        return 1.0
    if kind == "cosine":
        done = (step - rising) / max(1, steps - rising)
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))
    if kind == "linear":
        return 1.0 - 0.9 * (step - rising) / max(1, steps - rising)
    falling = max(1, round(steps * decay))
    return min(1.0, (steps - step) / falling)
