"""The hf engine beside the core: text that no tokenizer takes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from mirim.models.engines.hf import HuggingFace

HALVES = "a \ud800 b \udfff"


def test_half_of_a_surrogate_pair_is_a_question_mark() -> None:
    engine = object.__new__(HuggingFace)
    # As strict as the tokenizers library, and without it.
    engine.tokenizer = lambda text: {"input_ids": list(text.encode())}
    assert engine.encode(HALVES) == list(b"a ? b ?")


@pytest.mark.slow
def test_the_core_takes_it_for_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    sys.path.insert(0, str(Path(__file__).parent))
    import toys

    from mirim.models.engine import open_engine

    folder = toys.model(tmp_path / "m")
    with contextlib.closing(open_engine(folder, engine="native")) as ours:
        with contextlib.closing(open_engine(folder, engine="hf")) as theirs:
            assert theirs.encode(HALVES) == ours.encode(HALVES)
