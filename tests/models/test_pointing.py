"""Spans from logits: the likeliest places of an answer, what they are worth, and whether there is one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Message, Passage
from mirim.models.pointing import LONGEST, SPANS, learned, pointed

TEXT = "Ana sold it in 1931."
PLACES = [(0, 3), (3, 8), (8, 11), (11, 14), (14, 19), (19, 20)]


def _told(**rows: tuple[float, ...]) -> Any:
    return np.array([rows["first"], rows["last"]], np.float32).T


def test_the_likeliest_spans_and_their_shares() -> None:
    told = _told(first=(0, 0, 0, 2, 5, 0, 0), last=(0, 0, 0, 0, 6, 1, 0))
    found = pointed(told, PLACES, TEXT.encode())
    assert list(found.spans)[:2] == ["1931", "in 1931"]
    assert sum(found.spans.values()) == pytest.approx(1)
    assert found.spans["in 1931"] / found.spans["1931"] == pytest.approx(math.exp(-3), rel=1e-5)
    assert "1931. Ana" not in found.spans
    assert len(found.spans) <= SPANS
    # All of the spans against none: with that many the sum is over nearly all there are.
    spans = [told[a, 0] + told[b, 1] for a in range(6) for b in range(a, 6)]
    kept = sorted(spans, reverse=True)[:SPANS]
    assert found.odds == pytest.approx(math.log(sum(map(math.exp, kept))) - (told[6, 0] + told[6, 1]), abs=1e-5)


def test_nothing_there_has_odds_below_zero() -> None:
    told = _told(first=(0, 0, 0, 0, 0, 0, 9), last=(0, 0, 0, 0, 0, 0, 9))
    assert pointed(told, PLACES, TEXT.encode()).odds < -10


def test_spans_are_no_longer_than_answers_are() -> None:
    count = LONGEST + 10
    text = " ".join("w" for _ in range(count))
    told = np.zeros((count + 1, 2), np.float32)
    told[0, 0] = told[count - 1, 1] = 20
    found = pointed(told, [(2 * n, 2 * n + 1) for n in range(count)], text.encode())
    assert max(len(said.split()) for said in found.spans) <= LONGEST


def test_text_is_cut_between_bytes_without_harm() -> None:
    # A letter of two bytes whose tokens are its halves; a text of blanks has no answer at all.
    text = "é".encode()
    told = np.zeros((3, 2), np.float32)
    told[0, 0] = told[1, 1] = 5
    assert max(pointed(told, [(0, 1), (1, 2)], text).spans.items(), key=lambda pair: pair[1])[0] == "é"
    assert pointed(np.zeros((2, 2), np.float32), [(0, 1)], b" ") == (-math.inf, {})


class _Engine:
    """Has a byte a token, and states that tell where the text's digits are."""

    whole, lead = 64, ""

    def chat(self, messages: Sequence[Message]) -> str:
        return f"<{messages[0].content}>"

    def spelt(self, prompt: Sequence[Message]) -> tuple[list[int], list[bytes]]:
        made = self.chat(prompt).encode()
        return list(made), [bytes([one]) for one in made]

    def states(self, texts: Sequence[Sequence[int]], adapter: int | None = None) -> list[Any]:
        assert adapter == 3
        return [np.array([[float(chr(t).isdigit()), 0.0, 1.0] for t in ids], np.float32) for ids in texts]


def test_spans_are_those_of_the_text_and_not_of_title_or_question(tmp_path: Any) -> None:
    from safetensors.numpy import save_file

    from mirim.models.pointing import Pointer

    weight = np.array([[4, 0, 0], [4, 0, 0]], np.float32)
    save_file({"weight": weight, "bias": np.zeros(2, np.float32)}, tmp_path / "head.safetensors")
    pointer = Pointer(tmp_path, _Engine(), 3, 3)
    passages = [Passage("", "", 0, 0, "1 é 2", text, None, "en") for text in ("é 7, 8", "1", "x" * 80)]
    found = pointer.point([("Why 5?", passage) for passage in passages])
    assert found[2] is None
    assert found[0] is not None
    assert set(list(found[0].spans)[:3]) == {"7", "8", "7, 8"}
    assert found[1] is not None
    assert found[1].spans == {"1": 1.0}
    assert pointer.begun((Message("user", "a"),), "Ana") == "<a>Ana"
    with pytest.raises(UsageError, match="holds nothing to point with, no read or tools"):
        learned(tmp_path)
    (tmp_path / "tools").mkdir()
    assert learned(tmp_path) == {"tools": tmp_path / "tools"}
