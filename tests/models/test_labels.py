"""Labels by what their names mean: how they are read, what moves them, and what is no list of labels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mirim.core.errors import UsageError
from mirim.models import labels as module
from mirim.models import meaning
from mirim.models.labels import LONGEST, MOST, checked, names, softmax, spoken

SIZE = 16


def _vectors(texts: Sequence[str], prefix: str = "passage: ") -> Any:
    """As if each word had a direction, and questions one of their own."""
    made = np.zeros((len(texts), SIZE), np.float32)
    for row, text in zip(made, texts, strict=True):
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % SIZE] += 1
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def _held(**changed: Any) -> dict[str, Any]:
    zeros = {"middles": np.zeros((2, SIZE)), "down": np.zeros((2, 3, SIZE)), "up": np.zeros((2, SIZE, 3))}
    return {**zeros, "numbers": np.array([10.0, 0.0])} | changed


@pytest.fixture
def _words_for_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "vectors", _vectors)
    module._vector.cache_clear()


@pytest.mark.usefixtures("_words_for_meaning")
def test_the_label_that_lies_nearest_is_the_likeliest() -> None:
    found = names(["tap", "door"], weights=_held()).shares(["tap drips", "door lock"])
    assert found.shape == (2, 2)
    assert found.sum(1) == pytest.approx([1, 1])
    assert (found.argmax(1) == [0, 1]).all()


@pytest.mark.usefixtures("_words_for_meaning")
def test_what_was_fitted_moves_texts_towards_their_labels() -> None:
    drips, tap = _vectors(["drips"])[0], _vectors(["tap"])[0]
    down, up = np.zeros((2, 3, SIZE)), np.zeros((2, SIZE, 3))
    down[0, 0], up[0, :, 0] = drips, 3 * tap
    unmoved, moved = (names(["door", "tap"], weights=held) for held in (_held(), _held(down=down, up=up)))
    assert unmoved.logits(["drips"])[0] == pytest.approx([0, 0], abs=1e-6)
    assert moved.logits(["drips"])[0][1] > 9
    both = names(["door", "tap"], weights=_held(down=down, up=up, numbers=np.array([0.0, 10.0])))
    assert both.logits(["drips"])[0] == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.usefixtures("_words_for_meaning")
def test_codes_are_read_as_words_with_what_they_are_codes_of() -> None:
    assert spoken("tap_repair", "") == ("tap repair", "tap repair")
    assert spoken("lockBroken", "trade") == ("lock broken", "trade: lock broken")
    found = names(["tap_repair", "door_repair"], "which  trade", _held())
    assert found.labels == ("tap_repair", "door_repair")
    wanted = (_vectors(["tap repair"]) + _vectors(["which trade: tap repair"])) / 2
    assert found.plain[0] == pytest.approx(wanted[0])


def test_the_encoder_tells_cases_from_what_they_are_cases_of() -> None:
    if not meaning.available():
        pytest.skip("the extra meaning is not installed")
    module._vector.cache_clear()
    trades = ["plumber", "electrician", "locksmith", "gardener"]
    told = names(trades, "which trade").shares(
        ["The sink is blocked and the water does not run off.", "A tomada da cozinha dá faísca quando ligo a chaleira."]
    )
    assert told.argmax(1).tolist() == [0, 1]


def test_the_weights_that_travel_along_fit_together() -> None:
    held = module._weights()
    rank, size = held["down"].shape[1:]
    assert (held["middles"].shape, held["up"].shape, held["numbers"].shape) == ((2, size), (2, size, rank), (2,))
    assert all(np.isfinite(one).all() for one in held.values())


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["tap"], "1 label; give 2"),
        ([f"label {n}" for n in range(MOST + 1)], f"{MOST + 1} labels; give 2"),
        (["tap", " "], 'the label "" has 0 characters'),
        (["tap", "x" * (LONGEST + 1)], f"has {LONGEST + 1} characters"),
        (["tap", "door", "tap "], '"tap" stands there twice'),
    ],
)
def test_what_is_no_list_of_labels_is_refused(labels: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked(labels)


def test_shares_of_large_logits_are_no_infinities() -> None:
    assert softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]])) == pytest.approx(np.array([[1, 0], [0.5, 0.5]]))
