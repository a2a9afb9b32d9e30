"""Follow-up questions: what they may mean after a conversation."""

from __future__ import annotations

import pytest

from mirim.assist.courtesy import courtesy
from mirim.assist.phrases import unknown
from mirim.assist.standalone import goes_on, readings
from mirim.core.types import Message

TALK = (
    Message("user", "Does the garage repair bicycles?"),
    Message("assistant", "It does, from Monday to Friday, at the back door."),
)


@pytest.mark.parametrize("question", ["why?", "and why is that?", "How much is it?"])
def test_what_names_nothing_is_read_with_the_topic(question: str) -> None:
    (reading,) = readings(question, TALK, "en")
    assert "bicycles" in reading
    assert reading.startswith(question.rstrip("?"))


@pytest.mark.parametrize("question", ["until when open on Tuesdays?", "and scooters?", "Does it cost a deposit?"])
def test_what_names_something_may_lean_and_is_read_both_ways(question: str) -> None:
    alone, carried = readings(question, TALK, "en")
    assert alone == question
    assert "garage" in carried


@pytest.mark.parametrize(
    "question", ["And on Sundays?", "what about scooters", "is it free?", "pra quais serve então?", "e o de pressão?"]
)
def test_what_says_that_it_follows_goes_on(question: str) -> None:
    assert goes_on(question)


@pytest.mark.parametrize("question", ["Who won the cup?", "Quem ganhou a copa?", "Android phones?", "Orange juice?"])
def test_what_does_not_say_so_may_be_about_something_else(question: str) -> None:
    assert not goes_on(question)


@pytest.mark.parametrize(
    "said", ["thanks", "Thank you very much!", "ok", "hello", "Muito obrigado!", "oi, bom dia", "No."]
)
def test_a_courtesy_is_no_topic(said: str) -> None:
    assert courtesy(said)
    for reply in ("You are welcome.", unknown("en", "the counter")):
        history = (*TALK, Message("user", said), Message("assistant", reply))
        assert readings("and scooters?", history, "en") == readings("and scooters?", TALK, "en")


def test_a_courtesy_with_a_question_is_one() -> None:
    assert not courtesy("Thanks, and on Sundays?")
    assert not courtesy("tarde?")


@pytest.mark.parametrize("language", ["en", "pt"])
def test_what_was_refused_is_no_topic(language: str) -> None:
    refused = (
        Message("user", "What is the capital of France?"),
        Message("assistant", unknown(language, "the counter")),
    )
    assert readings("and scooters?", refused, "en") == ["and scooters?"]
    assert readings("and scooters?", (*TALK, *refused), "en") == readings("and scooters?", TALK, "en")


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
