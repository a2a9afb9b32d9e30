"""Several calls in one turn: of values that a request counts up, and of functions asked for one after another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_fakes import Scripted, chat, events, house

from mirim.core.types import Passage
from mirim.models.pointing import Pointed


def _function(name: str, **places: str) -> dict[str, Any]:
    properties = {place: {"type": kind} for place, kind in places.items()}
    parameters = {"type": "object", "properties": properties, "required": list(places)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TIDES, FERRY = _function("tides", beach="string"), _function("ferry", island="string")
#: What each place is given where a request says it, and the words by which a request is for each function.
SAID = {"beach": ("Areia", "Forte", "Mel"), "island": ("Cobras",)}
FOR = {"tides": ("tide", "maré"), "ferry": ("boat", "barco")}


class Points:
    """At the first of what is said for a place; sure that a function serves that has its word in the request."""

    def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed]:
        return [self._one(question.split(":")[0], passage.text) for question, passage in asked]

    def _one(self, question: str, text: str) -> Pointed:
        if question in FOR:
            return Pointed(4.0 if any(word in text.lower() for word in FOR[question]) else -6.0, {text: 1.0})
        said = [one for one in SAID[question] if one in text]
        return Pointed(5.0, {said[0]: 1.0}) if said else Pointed(-5.0, {text: 1.0})


def _engine(*calls: tuple[str, str, str]) -> Scripted:
    engine = Scripted([json.dumps({"name": name, "arguments": {place: said}}) for name, place, said in calls])
    engine.pointers = {"tools": Points()}  # type: ignore[attr-defined]
    return engine


def _made(message: dict[str, Any]) -> list[tuple[str, Any]]:
    called = [call["function"] for call in message.get("tool_calls") or ()]
    return [(one["name"], json.loads(one["arguments"])) for one in called]


AREIA, FORTE, COBRAS = ("tides", "beach", "Areia"), ("tides", "beach", "Forte"), ("ferry", "island", "Cobras")


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        ("Tides at Areia and at Forte", [AREIA, FORTE]),
        ("Maré em Areia e no Forte?", [AREIA, FORTE]),
        ("Tell me the tide at Areia and find a boat to Cobras.", [AREIA, COBRAS]),
        ("Como está a maré em Areia? E veja um barco para Cobras.", [AREIA, COBRAS]),
        # A value alone is nothing to do.
        ("the tide at Areia and boat Cobras", [AREIA, COBRAS]),
        ("tide Areia and the Cobras", [AREIA]),
        # What lacks something, or is of nothing that can be called, is no request by itself.
        ("The tide at Areia and a boat, please.", [AREIA]),
        ("The tide at Areia and nothing else, please.", [AREIA]),
    ],
)
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_each_is_called(client: Any, choice: str, asked: str, calls: list[tuple[str, str, str]]) -> None:
    body = {"messages": [{"role": "user", "content": asked}], "tools": [TIDES, FERRY], "tool_choice": choice}
    engine = _engine(*calls)
    row = chat(client(house(engine)), **body).json()
    assert _made(row["choices"][0]["message"]) == [(name, {place: said}) for name, place, said in calls]
    assert row["choices"][0]["finish_reason"] == "tool_calls"
    # Each was held to what its part of the request says.
    schemas = [call["schema"]["$defs"]["arguments0"]["properties"] for call in engine.calls]
    assert [schema[place]["enum"] for schema, (_, place, _) in zip(schemas, calls, strict=True)] == [
        [said] for _, _, said in calls
    ]
    rows = events(chat(client(house(_engine(*calls))), **body, stream=True))
    parts = [c for r in rows for c in r["choices"][0]["delta"].get("tool_calls", ())]
    assert sorted({c["index"] for c in parts}) == list(range(len(calls)))


def test_one_is_called_where_there_may_be_one_only(client: Any) -> None:
    asked = [{"role": "user", "content": "Tides at Areia and at Forte"}]
    body = {"tools": [TIDES, FERRY], "parallel_tool_calls": False}
    message = chat(client(house(_engine(AREIA))), messages=asked, **body).json()["choices"][0]["message"]
    assert _made(message) == [("tides", {"beach": "Areia"})]
    # The other one when the first has its answer; and then no more.
    for made, wanted in ((1, [("tides", {"beach": "Forte"})]), (2, [])):
        calls = [_call(number, place) for number, place in enumerate(("Areia", "Forte")[:made])]
        turns = [turn for call in calls for turn in _turns(call)]
        row = chat(client(house(_engine(FORTE))), messages=[*asked, *turns], **body).json()
        assert _made(row["choices"][0]["message"]) == wanted


def _call(number: int, place: str) -> dict[str, Any]:
    return {
        "id": f"c{number}",
        "type": "function",
        "function": {"name": "tides", "arguments": json.dumps({"beach": place})},
    }


def _turns(call: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "low"},
    ]


def test_lists_are_given_whole(client: Any) -> None:
    lists = _function("tides", beach="string")
    lists["function"]["parameters"]["properties"]["beach"] = {"type": "array", "items": {"type": "string"}}
    engine = Scripted(['{"name": "tides", "arguments": {"beach": ["Areia", "Forte"]}}'])
    engine.pointers = {"tools": Points()}  # type: ignore[attr-defined]
    asked = [{"role": "user", "content": "Tides at Areia and at Forte"}]
    assert len(_made(chat(client(house(engine)), messages=asked, tools=[lists]).json()["choices"][0]["message"])) == 1
