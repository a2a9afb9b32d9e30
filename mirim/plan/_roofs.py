"""What this machine can do at best: memory bandwidth and matrix product, with a given number of threads.

Run as a program (`python -m mirim.plan._roofs THREADS`), because BLAS fixes its threads when it is loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mirim.core.errors import MirimError
from mirim.core.extras import need

#: Bytes of each of two arrays: together larger than the last cache of nearly all machines.
_BYTES = 2**27
_SECONDS = 0.6


def roofs(threads: int) -> dict[str, float]:
    """Measured in a fresh process: {'bandwidth_gb_s', 'matmul_gflops'} with that many threads."""
    need("numpy", "serve")
    number = str(threads)
    limits = {name: number for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-m", __name__, number], capture_output=True, text=True, env={**os.environ, **limits}
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MirimError(f"this machine's bandwidth could not be measured ({why}); 0.3 GB of memory must be free")
    return dict(json.loads(done.stdout))


def bandwidth(threads: int) -> float:
    """Bytes a second, the better of reading two streams (dot product) and copying one onto another (STREAM's copy,
    McCalpin 1995, read and written bytes counted once each). Best of several passes, `threads` slices at a time."""
    import numpy as np

    one, other = (np.ones(_BYTES // 4, np.float32) for _ in range(2))
    parts = list(zip(np.array_split(one, threads), np.array_split(other, threads), strict=True))
    return max(_best(partial(_together, work, parts), 2 * _BYTES) for work in (np.dot, np.copyto))


def matmul() -> float:
    """Floating-point operations a second of a float32 product of two 1,024 x 1,024 matrices, best of several."""
    import numpy as np

    a = np.ones((1024, 1024), np.float32)
    a @ a
    return _best(lambda: a @ a, 2 * 1024**3)


def _together(work: Callable[[Any, Any], Any], parts: list[tuple[Any, Any]]) -> None:
    threads = [threading.Thread(target=work, args=pair) for pair in parts[1:]]
    for thread in threads:
        thread.start()
    work(*parts[0])
    for thread in threads:
        thread.join()


def _best(work: Callable[[], Any], amount: float) -> float:
    """Highest rate of `amount` a call within a share of a second, of at least four calls."""
    rates: list[float] = []
    until = time.perf_counter() + _SECONDS
    while len(rates) < 4 or time.perf_counter() < until:
        started = time.perf_counter()
        work()
        rates.append(amount / (time.perf_counter() - started))
    return max(rates)


if __name__ == "__main__":
    print(json.dumps({"bandwidth_gb_s": bandwidth(int(sys.argv[1])) / 1e9, "matmul_gflops": matmul() / 1e9}))
