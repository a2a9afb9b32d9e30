"""How many threads? Asked of the model and the machine as they are now, by a short test.

One thread a core is right for large models on an idle machine. Small models spend their time at barriers, and a core
that another process uses makes every barrier wait for it: there, fewer threads are faster, sometimes ten times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

#: Seconds that a test may take; a model so slow that one run takes longer is large enough for all cores.
_PATIENCE = 0.15


def candidates(cores: int) -> list[int]:
    """All cores, half of them, one: the most first."""
    return sorted({cores, max(1, cores // 2), 1}, reverse=True)


def fastest(numbers: Sequence[int], work: Callable[[int], None], clock: Callable[[], float] = time.perf_counter) -> int:
    """The number whose `work` is quickest by the median of up to five runs, `numbers[0]` where `work` is long.

    They run in turns, so that a moment's disturbance does not fall on one alone. A number that is not a twentieth
    faster than a smaller one loses to it: threads that do not help take cores from others.
    """
    began = clock()
    work(numbers[0])  # reads the weights from disk, starts threads
    if len(numbers) == 1 or clock() - began > _PATIENCE:
        return numbers[0]
    taken: dict[int, list[float]] = {number: [] for number in numbers}
    for _ in range(5):
        for number in numbers:
            started = clock()
            work(number)
            taken[number].append(clock() - started)
        if clock() - began > _PATIENCE:
            break
    middle = {number: statistics.median(times) for number, times in taken.items()}
    chosen = min(numbers)
    for number in sorted(numbers):
        if middle[number] < 0.95 * middle[chosen]:
            chosen = number
    return chosen
