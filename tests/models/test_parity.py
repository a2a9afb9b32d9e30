"""When an exported file is taken for the trained model."""

from __future__ import annotations

import math
from types import SimpleNamespace

from mirim.core.types import Delta
from mirim.models import parity


def _row(cosine: float = 1.0, answers: int = 20, differing: int = 0) -> dict:
    return {"logits": {"cosine": cosine}, "answers": answers, "answers_equal": 1 - differing / max(answers, 1)}


def test_f32_must_be_what_torch_runs() -> None:
    assert parity.strangeness(_row(0.9999999)) == []
    assert "cosine of 0.999000 with torch's" in parity.strangeness(_row(0.999))[0]
    assert len(parity.strangeness(_row(math.nan))) == 1
    # One answer may turn on a tie, and of many one in twenty.
    assert not any(parity.strangeness(_row(answers=n, differing=1)) for n in (1, 3, 20))
    assert not parity.strangeness(_row(answers=40, differing=2))
    assert "90.0% of 20 golden answers" in parity.strangeness(_row(differing=2))[0]
    assert not parity.strangeness(_row(answers=0))


def test_blanks_before_an_answer_make_no_difference() -> None:
    whole = SimpleNamespace(complete=lambda prompt, sampling: SimpleNamespace(text=" Yes"))
    streams = SimpleNamespace(generate=lambda prompt, sampling: iter([Delta("Ye"), Delta("s")]))
    assert parity.answer(whole, "?") == parity.answer(streams, "?") == "Yes"
