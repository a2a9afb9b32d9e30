"""From which odds of an answer on a tuned model gives one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mirim.core.bundle import Bundle
from mirim.core.types import Message
from mirim.models import refusing
from mirim.models.engine import open_engine
from mirim.models.read import ANSWERS, read
from tests.models.test_read import TEXT, Reader, _passage
from tests.models.toys import model


class Sure(Reader):
    """Refuses a question the less, the later it stands among those that are asked."""

    context = 10_000

    def __init__(self) -> None:
        super().__init__({})
        self.place = {one.question: n for n, one in enumerate(refusing.questions())}

    def score(self, prompt: Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        self.shown.append(prompt[-1].content)
        odds = next(n for question, n in self.place.items() if prompt[-1].content.endswith(f"? {question}")) / 100
        return [[-math.log1p(math.exp(odds))]]


def test_the_questions_are_of_both_languages_with_answers_that_stand_there_and_without() -> None:
    every = refusing.questions()
    for language in ("en", "pt"):
        some = [one for one in every if one.passage.language == language]
        assert len(some) > 150
        assert 0.25 < sum(not one.answer for one in some) / len(some) < 0.4
    assert all(one.answer in one.passage.text and one.passage.heading and one.question.strip() for one in every)
    assert len({one.question for one in every}) == len(every)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_bound_refuses_its_share_of_the_questions_that_have_an_answer(share: float) -> None:
    engine = Sure()
    found = refusing.bound(engine, share)  # type: ignore[arg-type]
    answered = [n for n, one in enumerate(refusing.questions()) if one.answer]
    assert found == pytest.approx(answered[round(share * len(answered))] / 100)
    assert len(engine.shown) == len(answered)
    first = refusing.questions()[0].passage
    assert f"{first.heading}\n{first.text}" in engine.shown[0]


def test_where_too_few_fit_nothing_is_told() -> None:
    engine = Sure()
    engine.context = 300
    assert refusing.bound(engine) is None  # type: ignore[arg-type]


def test_a_model_with_a_bound_of_its_own_refuses_by_it() -> None:
    class Whole(Reader):
        """Refuses the whole passage: odds of some -4.6."""

        def score(self, prompt: Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
            whole = "built" in prompt[-1].content and "burnt" in prompt[-1].content
            return [[-0.01]] if whole else super().score(prompt, candidates)

    engine = Whole({"sold": -5.0})

    def said() -> str:
        found = read(engine, "When did she sell it?", [_passage()], "en")  # type: ignore[arg-type]
        assert found is not None
        return found.text

    assert said() == ""
    engine.answers_from = -5.0  # type: ignore[attr-defined]
    assert said() == "1931"
    assert TEXT.count("1931") == 1
    assert ANSWERS > -5.0


def test_the_bound_stands_in_the_bundle(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    bundle = Bundle(path=folder, name="model").save()

    def bound() -> Any:
        engine: Any = open_engine(folder)
        try:
            return getattr(engine, "answers_from", None)
        finally:
            engine.close()

    assert bound() is None
    bundle.save(reading={"answers": -2.5})
    assert bound() == -2.5
    bundle.save(reading={"answers": "much"})  # what nobody wrote is not taken for a bound
    assert bound() is None
    (folder / "bundle.json").write_text("[1]")  # the model runs without it
    assert bound() is None
