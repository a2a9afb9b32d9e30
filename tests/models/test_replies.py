"""What is read from the answer to what was asked back, and what from the request before it."""

from __future__ import annotations

from typing import Any

import pytest

from mirim.models.arguments import Request, alone
from mirim.models.pointing import Pointed
from mirim.models.slots import fill
from tests.models.pointed import TODAY, Pointer

TEXT = {"type": "string"}


def _told(first: str, reply: str, asked: list[str], places: dict[str, Any], **pointed: Pointed) -> dict[str, Any]:
    """What each parameter may be given; nothing where it is left out."""
    function = {"name": "f", "parameters": {"properties": places, "required": list(places)}}
    ((found, missing),) = fill(Pointer(**pointed), f"{first}\n{reply}", [function], TODAY, reply, asked)  # type: ignore[arg-type]
    given = {name: place.get("enum") for name, place in found["parameters"]["properties"].items()}
    return {name: "asked for" if name in missing else value for name, value in given.items()}


def test_what_was_asked_for_stands_in_the_answer_and_the_rest_before_it() -> None:
    first, reply = "I get off at Botafogo", "from Pavuna"
    wrong = {
        "start": Pointed(2.0, {"Botafogo": 0.9, "Pavuna": 0.1}),
        "end": Pointed(2.0, {"Pavuna": 0.9, "Botafogo": 0.1}),
    }
    places = {"start": TEXT, "end": TEXT}
    assert _told(first, reply, ["start"], places, **wrong) == {"start": ["Pavuna"], "end": ["Botafogo"]}
    assert _told(first, reply, ["end"], places, **wrong) == {"start": ["Botafogo"], "end": ["Pavuna"]}
    # In the words of its description, and beside its name where two are described alike.
    described = {"start": {**TEXT, "description": "Station. Its name."}, "end": TEXT}
    assert _told(first, reply, ["Station"], described, **wrong)["start"] == ["Pavuna"]
    assert _told(first, reply, ["start: Station"], described, **wrong)["start"] == ["Pavuna"]
    # A value that is as good as sure may be mended with the answer.
    sure = {"start": Pointed(9.0, {"Botafogo": 1e-4, "Pavuna": 1.0})}
    assert _told(first, reply, ["day"], {"start": TEXT}, **sure) == {"start": ["Pavuna"]}


def test_a_value_that_is_listed_stands_in_the_answer_too() -> None:
    size = {"type": "string", "enum": ["small", "large"]}
    pointed = {"size": Pointed(2.0, {"small": 0.9, "large": 0.1})}
    assert _told("A small town's pizza", "large", ["size (small, large)"], {"size": size}, **pointed) == {
        "size": ["large"]
    }


def test_a_short_answer_to_what_was_asked_for_alone_is_its_value() -> None:
    missed = {"toy": Pointed(2.0, {"red": 1.0})}
    assert _told("Something red", "a scooter", ["toy"], {"toy": TEXT}, **missed) == {"toy": ["a scooter"]}
    assert _told("Something red", "Em Évora, por favor.", ["toy"], {"toy": TEXT}, **missed) == {"toy": ["Évora"]}
    assert _told("For 3 of us", "7", ["toy"], {"toy": {"type": "integer"}}, toy=Pointed(2.0, {"3": 1.0})) == {
        "toy": [7]
    }
    # Where another place in it is pointed at, more than one was asked for, it says a lot, or nothing is told in it.
    inside = {"toy": Pointed(2.0, {"red": 0.9, "scooter": 0.1})}
    assert _told("Something red", "a blue scooter", ["toy"], {"toy": TEXT}, **inside) == {"toy": ["scooter"]}
    assert _told("Something red", "a scooter", ["toy", "day"], {"toy": TEXT}, **missed) == {"toy": ["red"]}
    long = "oh I am not sure what that may be"
    assert _told("Something red", long, ["toy"], {"toy": TEXT}, **missed) == {"toy": ["red"]}
    untold = {"toy": Pointed(-1.0, {"red": 1.0})}
    assert _told("Something red", "tell me a joke", ["toy"], {"toy": TEXT}, **untold) == {"toy": "asked for"}
    assert _told("Something red", "...", ["toy"], {"toy": TEXT}, **missed) == {"toy": ["red"]}


def test_a_turn_ends_a_sentence_whatever_letter_the_next_begins_with() -> None:
    pointed = {"film": Pointed(2.0, {"The Cartographer.": 1.0})}
    assert _told("We want The Cartographer.", "in Antwerp", ["city"], {"film": TEXT}, **pointed) == {
        "film": ["The Cartographer"]
    }


def test_more_may_be_said_in_the_answer_than_was_asked_for() -> None:
    function = {
        "name": "f",
        "parameters": {"properties": {"city": TEXT, "guests": {"type": "integer"}}, "required": ["city"]},
    }
    pointer = Pointer(city=Pointed(3.0, {"Lisbon": 1.0}), guests=Pointed(3.0, {"3": 1.0}))
    ((found, _),) = fill(pointer, "A hotel\nLisbon, for 3", [function], TODAY, "Lisbon, for 3", ["city"])  # type: ignore[arg-type]
    assert {name: place["enum"] for name, place in found["parameters"]["properties"].items()} == {
        "city": ["Lisbon"],
        "guests": [3],
    }


@pytest.mark.parametrize(
    ("reply", "language", "value"),
    [
        ("Em Évora.", "pt", "Évora"),
        ("ao Recife, por favor", "pt", "Recife"),
        ("Sim, Lisboa", "pt", "Lisboa"),
        ("Hi! Lisbon", "en", "Lisbon"),
        ("Oi Fibra", "pt", "Oi Fibra"),
        # "no" is a preposition in Portuguese alone.
        ("no onions", "en", "no onions"),
        ("No sugar please", "en", "No sugar"),
        ("no Porto", "pt", "Porto"),
        # What tells nothing.
        ("I don't know", "en", ""),
        ("não sei", "pt", ""),
        ("tanto faz!", "pt", ""),
        ("never mind", "en", ""),
    ],
)
def test_an_answer_without_what_stands_around_it(reply: str, language: str, value: str) -> None:
    assert alone(Request(f"A trip\n{reply}", language, TODAY, reply, ["city"])) == value


def test_what_two_words_say_is_not_one_value() -> None:
    pointed = {"city": Pointed(2.0, {"Lisboa": 1.0})}
    assert _told("A trip", "Maria, Lisboa", ["city", "name"], {"city": TEXT}, **pointed) == {"city": ["Lisboa"]}
