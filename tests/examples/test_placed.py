"""What pointing learns from: where answers stand in passages, and values in requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.examples import placed

GOATS = {
    "task": "read",
    "lang": "en",
    "title": "Goats",
    "context": "The smallest goat had left. In the evening the goat came back with a blue ribbon.",
    "input": "Whose ribbon?",
    "output": "goat",
}


def _file(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def test_what_requests_say_for_parameters_can_be_pointed_at(tmp_path: Path) -> None:
    places = {"weight": {"type": "number"}, "to_city": {"type": "string", "description": "Where to."}}
    first = {"name": "price", "description": "What a parcel costs.", "parameters": {"properties": places}}
    second = {"name": "moon", "parameters": {}}
    calls = [
        ["2.5 kilos, how much?", {"weight": 2.5}],
        ["Two kilos to Évora?", {"weight": 2, "to_city": "Évora"}],
        ["A dozen grams?", {"weight": 0.012}],
    ]
    rows = [
        {"task": "tools", "lang": "en", "function": first, "calls": [*calls, ["Who invented parcels?", None]]},
        {"task": "tools", "lang": "pt", "function": second, "calls": [["A lua está cheia?", {}]]},
    ]
    made = list(placed.read(_file(tmp_path, *rows, GOATS)))
    told = [(one.question, [one.text[a:b] for a, b in one.places]) for one in made]
    assert told == [
        ("price", [calls[0][0]]),
        ("weight", ["2.5"]),
        ("to city: Where to.", []),
        ("price", [calls[1][0]]),
        ("weight", ["Two"]),
        ("to city: Where to.", ["Évora"]),
        ("price", [calls[2][0]]),
        # Said in words that are not its own: the whole request.
        ("weight", [calls[2][0]]),
        ("to city: Where to.", []),
        ("price", []),
        ("moon", ["A lua está cheia?"]),
        ("price", []),
        ("Whose ribbon?", ["goat", "goat"]),
    ]
    assert [one.task for one in made] == ["tools"] * 12 + ["read"]
    assert made[0].heading == "price: What a parcel costs."
    assert made[11].heading == made[0].heading
    with pytest.raises(UsageError, match="line 1 is no row of task tools"):
        list(placed.read(_file(tmp_path, {**rows[0], "calls": [["What?"]]})))


def test_of_a_conversation_what_is_said_until_the_first_call_can_be_pointed_at(tmp_path: Path) -> None:
    city = {"name": "city", "description": "Where.", "required": True}
    row = {
        "task": "tools",
        "lang": "en",
        "tools": [{"name": "Rain", "description": "Will it rain?", "parameters": [city, {"name": "day"}]}],
        "messages": [
            {"role": "user", "content": "Do I need a coat?"},
            {"role": "assistant", "content": "Where are you?"},
            {"role": "user", "content": "Évora, tomorrow."},
            {"role": "assistant", "call": {"name": "Rain", "arguments": {"city": "Évora"}}},
            {"role": "tool", "content": "[]"},
            {"role": "user", "content": "And in Beja?"},
            {"role": "assistant", "call": {"name": "Rain", "arguments": {"city": "Beja"}}},
        ],
    }
    silent = {**row, "messages": row["messages"][:3]}
    made = list(placed.read(_file(tmp_path, row, silent)))
    said = "Do I need a coat?\nÉvora, tomorrow."
    assert [(one.question, [one.text[a:b] for a, b in one.places]) for one in made if one.text == said] == [
        ("Rain", [said]),
        ("city: Where.", ["Évora"]),
        ("day", []),
    ]
    # Of the turn before, what is said only afterwards is not said.
    begun = [one for one in made if one.text != said]
    assert {one.text for one in begun} == {"Do I need a coat?"}
    assert [(one.question, [one.text[a:b] for a, b in one.places]) for one in begun] == [
        ("Rain", ["Do I need a coat?"]),
        ("city: Where.", []),
        ("day", []),
    ]


def test_of_a_request_that_more_is_said_after_only_what_stands_in_it_is_said(tmp_path: Path) -> None:
    given = {"to": "Beja", "people": "2", "class": "first", "day": "2026-03-12"}
    listed = {"name": "Ride", "parameters": [{"name": name} for name in (*given, "pets")]}
    turns = [
        {"role": "user", "content": "Hello!"},
        {"role": "user", "content": "A ticket to Beja please"},
        {"role": "user", "content": "We are 2"},
        {"role": "user", "content": "On 12 March 2026"},
        {"role": "assistant", "call": {"name": "Ride", "arguments": given}},
    ]
    other = {"name": "Sleep", "description": "A bed.", "parameters": []}
    bed = [{"role": "user", "content": "A bed"}, {"role": "assistant", "call": {"name": "Sleep", "arguments": {}}}]
    rows = [
        {"task": "tools", "lang": "en", "tools": [listed, other], "messages": turns},
        {"task": "tools", "lang": "en", "tools": [listed, other], "messages": bed},
    ]
    seen = set()
    for seed in range(20):
        made = list(placed.read(_file(tmp_path, *rows), seed=seed))
        whole = max(made, key=lambda one: len(one.text)).text
        told = {(one.text, one.question): [one.text[a:b] for a, b in one.places] for one in made}
        # What one conversation calls does not serve another.
        assert told["A bed", "Ride"] == []
        # Nobody knows where the class is said, so in the whole request it is said somewhere.
        assert told[whole, "class"] == [whole]
        (begun,) = {one.text for one in made} - {whole, "A bed"}
        seen.add(begun)
        assert begun != "Hello!"
        assert (begun, "class") not in told
        assert told[begun, "Ride"] == [begun]
        assert told[begun, "to"] == ["Beja"]
        assert told[begun, "people"] == (["2"] if "We are" in begun else [])
        assert told[begun, "day"] == told[begun, "pets"] == []
    assert len(seen) == 2


def test_a_function_of_which_only_calls_are_known_takes_what_they_were_given(tmp_path: Path) -> None:
    def row(said: str, name: str, **given: str) -> dict[str, Any]:
        call = json.dumps({"name": name, "arguments": given})
        return {"task": "classify", "lang": "en", "input": said, "output": name, "slots": given, "call": call}

    rows = [
        row("play Bola in the car", "play", song="Bola", room="car"),
        row("louder", "tune"),
        row("play Lua", "play", song="Lua"),
    ]
    made = [
        (one.text, one.question, [one.text[a:b] for a, b in one.places]) for one in placed.read(_file(tmp_path, *rows))
    ]
    assert made == [
        ("play Bola in the car", "play", ["play Bola in the car"]),
        ("play Bola in the car", "song", ["Bola"]),
        ("play Bola in the car", "room", ["car"]),
        ("louder", "tune", ["louder"]),
        ("play Lua", "play", ["play Lua"]),
        ("play Lua", "song", ["Lua"]),
        ("play Lua", "room", []),
    ]
    few = list(placed.read(_file(tmp_path, *rows), 1, 3))
    assert few == list(placed.read(_file(tmp_path, *rows), 1, 3))
    assert len({one.text for one in few}) == 1


def test_money_that_a_request_names_stands_where_it_is_named(tmp_path: Path) -> None:
    properties = {"source": {"type": "string"}, "target": {"type": "string"}, "language": {"type": "string"}}
    row = {
        "task": "tools",
        "lang": "en",
        "function": {"name": "rate", "parameters": {"properties": properties}},
        "calls": [["From dollars to yen, in Welsh", {"source": "USD", "target": "JPY", "language": "cy"}]],
    }
    told = {one.question: [one.text[a:b] for a, b in one.places] for one in placed.read(_file(tmp_path, row))}
    assert told == {"rate": [row["calls"][0][0]], "source": ["dollars"], "target": ["yen"], "language": ["Welsh"]}


def test_an_answer_stands_as_a_whole_word_where_it_does(tmp_path: Path) -> None:
    row = {**GOATS, "context": "Founded in 2010. It opens at 10.", "output": "10"}
    (one,) = placed.read(_file(tmp_path, row))
    assert one.places == ((29, 31),)
    (within,) = placed.read(_file(tmp_path, {**row, "output": "201"}))
    assert within.places == ((11, 14),)


def test_a_row_of_a_region_and_of_odd_shape(tmp_path: Path) -> None:
    (one,) = placed.read(_file(tmp_path, {**GOATS, "lang": "pt-BR"}))
    assert one.language == "pt"
    for odd, why in (({"asked": None}, '"asked" holds None'), ({"task": ["read"]}, '"task" is')):
        with pytest.raises(UsageError, match=why):
            list(placed.read(_file(tmp_path, {**GOATS, **odd})))
    with pytest.raises(UsageError, match="line 1 is no row of task None"):
        list(placed.read(_file(tmp_path, {"calls": [["What?"]]})))
