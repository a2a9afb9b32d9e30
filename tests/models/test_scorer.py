"""Scores through llama.cpp's C interface: a context that grows, weights that are given back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError

sys.path.insert(0, str(Path(__file__).parent))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("xllamacpp")
    import toys

    from mirim.models import convert

    folder = tmp_path_factory.mktemp("scorer")
    made = toys.model(folder / "m", "llama", max_position_embeddings=2048)
    convert.write(convert.read(made), folder / "m.gguf", "f32")
    return folder / "m.gguf"


def test_a_longer_text_grows_the_context_and_changes_no_score(path: Path) -> None:
    import numpy as np

    from mirim.models.engines._llama import Scorer

    ids = [3 + n * 7 % 400 for n in range(1500)]
    grown, fresh = Scorer(path, 2048, 1), Scorer(path, 2048, 1)
    short = grown.logits(ids[:100])
    assert grown._room == 512
    long = grown.logits(ids, 90)
    assert grown._room == 2048
    np.testing.assert_allclose(long[:10], short[90:], atol=1e-4)
    np.testing.assert_allclose(long, fresh.logits(ids, 90), atol=1e-4)
    # What was computed is kept in the larger context, too.
    np.testing.assert_allclose(grown.logits(ids[:1400], 1399), fresh.logits(ids[:1400], 1399), atol=1e-4)
    with pytest.raises(UsageError, match="2049"):
        grown.logits([3] * 2049)
    grown.close()
    fresh.close()


def test_a_model_with_a_context_that_is_no_power_of_two(path: Path) -> None:
    from mirim.models.engines._llama import Scorer

    scorer = Scorer(path, 700, 1)
    assert scorer.logits([3] * 700, 699).shape == (1, scorer.vocabulary)
    assert scorer._room == 700
    scorer.close()


def test_resting_gives_the_weights_back_until_they_are_needed(path: Path) -> None:
    from mirim.models.engines._llama import Scorer

    scorer = Scorer(path, 256, 1)
    before = scorer.encode("The nurse", special=True)
    scorer.rest()
    assert scorer._model is None
    assert scorer.encode("The nurse", special=True) == before
    rows = scorer.logits(before)
    assert rows.shape == (len(before), scorer.vocabulary)
    scorer.rest()  # in use now: kept
    assert (scorer.logits(before) == rows).all()
    scorer.close()
    with pytest.raises(MirimError, match="was closed"):
        scorer.logits(before)


def test_a_serving_engine_still_scores(path: Path) -> None:
    from mirim.core.types import Sampling
    from mirim.models.engines import llama_cpp

    engine = llama_cpp.open(str(path), threads=1)
    first = engine.score("The nurse", [" opened", " old"])
    engine.close()
    engine = llama_cpp.open(str(path), threads=1)
    list(engine.generate("The nurse", Sampling(max_tokens=2)))
    assert engine.scorer._model is None  # type: ignore[attr-defined]
    assert engine.score("The nurse", [" opened", " old"]) == first
    engine.close()
