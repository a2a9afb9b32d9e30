"""What tests of the server skip for, and wait for."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import pytest


def built() -> None:
    """Skip where mirim's own core was not built. It is not loaded here: a build may write it over meanwhile."""
    if importlib.util.find_spec("mirim._core") is None:
        pytest.skip("mirim's own core was not built")


def until(done: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
