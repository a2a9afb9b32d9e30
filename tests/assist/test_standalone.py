"""Follow-up questions: what they may mean after a conversation."""

from __future__ import annotations

import pytest

from mirim.assist.standalone import readings
from mirim.core.types import Message

TALK = (
    Message("user", "Does the garage repair bicycles?"),
    Message("assistant", "It does, from Monday to Friday, at the back door."),
)


@pytest.mark.parametrize("question", ["and scooters?", "why?", "Does it cost much?"])
def test_what_leans_is_read_with_the_topic(question: str) -> None:
    (reading,) = readings(question, TALK, "en")
    assert "bicycles" in reading
    assert reading.startswith(question.rstrip("?"))


def test_what_may_lean_is_read_both_ways() -> None:
    alone, carried = readings("until when open on Tuesdays?", TALK, "en")
    assert alone == "until when open on Tuesdays?"
    assert "garage" in carried


@pytest.mark.parametrize(
    ("question", "history"),
    [("How much does a new tyre for a mountain bike cost?", TALK), ("and scooters?", ()), ("until when open?", ())],
)
def test_what_stands_alone_is_read_as_it_is(question: str, history: tuple[Message, ...]) -> None:
    assert readings(question, history, "en") == [question]


def test_a_chain_keeps_its_subject() -> None:
    history = (*TALK, Message("user", "and on Sundays?"), Message("assistant", "No."))
    (reading,) = readings("why?", history, "en")
    assert "bicycles" in reading
    assert "sundays" in reading.lower()
