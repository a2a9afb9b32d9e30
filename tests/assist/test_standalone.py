"""Follow-up questions: said anew by a model that keeps to the conversation's words, else with the topic put behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mirim.assist.standalone import standalone
from mirim.core.types import Delta, Message, Sampling
from mirim.examples.tasks import rewrite

TALK = (
    Message("user", "Does the garage repair bicycles?"),
    Message("assistant", "It does, from Monday to Friday, at the back door."),
)


class Sayer:
    def __init__(self, text: str, context: int = 2048) -> None:
        self.text, self.context, self.prompts = text, context, list[Any]()

    def generate(self, prompt: Any, sampling: Sampling, **_: Any) -> Iterator[Delta]:
        self.prompts.append(prompt)
        yield Delta(self.text)
        yield Delta("", finish_reason="stop")

    def count(self, prompt: Any) -> int:
        return 100


def test_a_model_says_the_question_as_a_whole() -> None:
    sayer = Sayer("Does the garage repair scooters ?\n")
    said = standalone("and scooters?", TALK, "en", sayer)  # type: ignore[arg-type]
    assert said == "Does the garage repair scooters ?"
    assert sayer.prompts == [rewrite.messages(TALK, "and scooters?")]


@pytest.mark.parametrize(
    "text",
    [
        "Does the garage repair motorcycles?",  # brings in what was not there, and loses what was
        "Does the garage repair scooters and boats?",
        "Does the garage repair bicycles?",
        "The garage repairs scooters.",
        "And scooters?",
        "",
    ],
)
def test_words_that_were_not_there_are_not_taken(text: str) -> None:
    plain = standalone("and scooters?", TALK, "en")
    assert "bicycles" in plain
    assert standalone("and scooters?", TALK, "en", Sayer(text)) == plain  # type: ignore[arg-type]


def test_a_model_is_not_asked_about_what_stands_alone_or_what_it_cannot_read() -> None:
    question = "How much does a new tyre for a mountain bike cost?"
    sayer = Sayer("Does the garage repair bicycles?")
    assert standalone(question, TALK, "en", sayer) == question  # type: ignore[arg-type]
    assert standalone("and scooters?", (), "en", sayer) == "and scooters?"  # type: ignore[arg-type]
    small = Sayer("Does the garage repair scooters?", context=128)
    assert standalone("and scooters?", TALK, "en", small) == standalone("and scooters?", TALK, "en")  # type: ignore[arg-type]
    assert not sayer.prompts
    assert not small.prompts
