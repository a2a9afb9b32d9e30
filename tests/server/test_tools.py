"""Calls of functions and JSON in a format, made under a grammar and closed where they are cut off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_fakes import HI, TOOLS, Scripted, chat, events, house

from mirim.core.types import Passage
from mirim.models.pointing import Pointed
from mirim.models.slots import USUAL

CALL = '{"name": "news", "arguments": {"city": "Belém"}}'


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "news"}}])
def test_a_call_that_must_be_made(client: Any, choice: Any) -> None:
    engine = Scripted([CALL])
    row = chat(client(house(engine)), tools=TOOLS, tool_choice=choice).json()["choices"][0]
    (call,) = row["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("news", {"city": "Belém"})
    assert row["message"]["content"] is None
    names = [o["properties"]["name"]["const"] for o in engine.calls[0]["schema"]["anyOf"]]
    assert names == (["weather", "news"] if choice == "required" else ["news"])


def test_a_call_holds_what_the_request_says_where_the_model_points_at_it(client: Any) -> None:
    class Pointer:
        def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed]:
            said.extend(passage.text for _, passage in asked)
            return [Pointed(3.0, {"Belém": 0.9, "in": 0.1}) for _ in asked]

    said: list[str] = []
    engine = Scripted([CALL])
    engine.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "News in Belém?"}]

    def held(messages: list[dict[str, Any]], choice: Any = "required", **more: Any) -> list[Any]:
        answer = chat(client(house(engine)), messages=messages, tools=TOOLS, tool_choice=choice, **more)
        assert answer.status_code == 200
        schema = engine.calls[-1]["call"] if more else engine.calls[-1]["schema"]
        return [place["properties"]["city"].get("enum") for place in schema["$defs"].values()]

    assert held(asked) == [["Belém"]]
    assert set(said) == {"News in Belém?"}
    # What is listed for the model stays as it was asked for.
    assert engine.calls[-1]["tools"] == tuple(TOOLS)
    assert held(asked, {"type": "function", "function": {"name": "news"}}) == [["Belém"]]
    assert held(asked, "auto", response_format={"type": "json_object"}) == [["Belém"]]
    # More than can be asked for in passing is not; of several functions that may be any is left.
    city = {f"city{n}": {"type": "string"} for n in range(61)}
    many = {"type": "function", "function": {"name": "news", "parameters": {"type": "object", "properties": city}}}
    other = Scripted(['{"name": "news", "arguments": {}}'])
    other.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
    said.clear()
    chat(client(house(other)), messages=asked, tools=[many], tool_choice="required")
    assert not said
    # Until the first call is made, all that the user says may be meant.
    later = [*asked, {"role": "assistant", "content": "Which part?"}, {"role": "user", "content": "The north."}]
    assert held(later) == [["Belém"]]
    assert set(said) == {"News in Belém?\nThe north."}
    # After it what its answer says may be meant too, which is not looked at.
    call = {"id": "1", "type": "function", "function": {"name": "news", "arguments": "{}"}}
    told = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Porto: rain"},
    ]
    assert held([*asked, *told, {"role": "user", "content": "And there?"}]) == [None] * 2


@pytest.mark.parametrize(
    ("request_", "says"), [("Ponha a mesa.", "Nenhuma destas"), ("Lay the table.", "None of these")]
)
def test_a_call_of_what_does_not_serve_the_request_is_not_made(client: Any, request_: str, says: str) -> None:
    class Pointer:
        def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed]:
            # What the functions need is said as it usually is, so that their names tell.
            return [Pointed(odds.get(question, USUAL), {"a": 1.0}) for question, _ in asked]

    asked = [{"role": "user", "content": request_}]
    odds = {"weather": -2.6, "news": -2.6}
    script = ['Well. <tool_call>{"name": "ne', CALL]
    engine = Scripted(script)
    engine.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
    row = chat(client(house(engine)), messages=asked, tools=TOOLS).json()["choices"][0]
    assert row["message"]["content"].startswith(f"Well. {says}")
    assert row["finish_reason"] == "stop"
    assert not row["message"].get("tool_calls")
    # The likeliest of those that may is called; where a call must be made, the likeliest of all.
    for choice, least in (("auto", -2.4), ("required", -2.4), ("required", -2.59)):
        odds["news"] = least
        engine = Scripted(script if choice == "auto" else [CALL])
        engine.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
        row = chat(client(house(engine)), messages=asked, tools=TOOLS, tool_choice=choice).json()["choices"][0]
        assert row["finish_reason"] == "tool_calls"
        assert [o["properties"]["name"]["const"] for o in engine.calls[-1]["schema"]["anyOf"]] == ["news"]


def test_a_call_of_what_surely_serves_the_request_is_made_at_once(client: Any) -> None:
    class Pointer:
        def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed]:
            return [Pointed(odds.get(question, 0.0), {"Belém": 1.0}) for question, _ in asked]

    odds = {"weather": 2.9, "news": 3.1}
    for least, made in ((3.1, True), (2.9, False)):
        odds["news"] = least
        engine = Scripted([CALL if made else "I cannot say."])
        engine.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
        row = chat(client(house(engine)), tools=TOOLS).json()
        assert len(engine.calls) == 1
        assert bool(row["choices"][0]["message"].get("tool_calls")) is made
        assert (engine.calls[0]["schema"] is not None) is made
    # In a stream too.
    odds["news"] = 3.1
    engine = Scripted([CALL])
    engine.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
    rows = events(chat(client(house(engine)), tools=TOOLS, stream=True))
    assert [c["function"]["name"] for r in rows for c in r["choices"][0]["delta"].get("tool_calls", ())] == ["news"]
    assert [o["properties"]["name"]["const"] for o in engine.calls[-1]["schema"]["anyOf"]] == ["news"]


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_call_that_is_cut_off_is_closed(client: Any, cut: int) -> None:
    row = chat(client(house(Scripted([CALL]))), tools=TOOLS, tool_choice="required", max_tokens=cut).json()
    arguments = json.loads(row["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    assert isinstance(arguments["city"], str)


def test_a_call_the_model_chooses_to_make_is_made_under_a_grammar(client: Any) -> None:
    engine = Scripted(['Let me look. <tool_call>{"name": "ne', CALL])
    rows = events(chat(client(house(engine)), tools=TOOLS, stream=True))
    text = "".join(r["choices"][0]["delta"].get("content") or "" for r in rows)
    calls = [c for r in rows for c in r["choices"][0]["delta"].get("tool_calls", ())]
    assert text == "Let me look."
    assert calls[0]["function"]["name"] == "news"
    assert rows[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert engine.calls[1]["schema"]["anyOf"]


def test_a_bare_object_is_a_call_only_when_it_names_a_tool(client: Any) -> None:
    row = chat(client(house(Scripted([CALL]))), tools=TOOLS).json()["choices"][0]
    assert row["message"]["tool_calls"][0]["function"]["name"] == "news"
    other = '{"name": "rain", "arguments": {}}'
    row = chat(client(house(Scripted([other]))), tools=TOOLS).json()["choices"][0]
    assert row["message"]["content"] == other


def test_tools_and_choice_none_is_text(client: Any) -> None:
    engine = Scripted(["just text"])
    row = chat(client(house(engine)), tools=TOOLS, tool_choice="none").json()["choices"][0]
    assert row["message"]["content"] == "just text"
    assert engine.calls[0]["tools"] == ()


def test_tool_results_come_back(client: Any) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "news", "arguments": "{}"}}
    messages = [*HI, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": "1", "content": "none today"})
    engine = Scripted()
    assert chat(client(house(engine)), messages=messages, tools=TOOLS).status_code == 200
    assert [m.role for m in engine.calls[0]["prompt"]] == ["user", "assistant", "tool"]
    assert engine.calls[0]["prompt"][2].to_json()["tool_call_id"] == "1"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 3, 9])
def test_json_is_whole_however_short(client: Any, stream: bool, cut: int) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x y"]}},
        "required": ["a", "b"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "t", "schema": schema}}
    http = client(house(Scripted(['{"a": 12, "b": "x y"}'])))
    reply = chat(http, response_format=form, max_tokens=cut, stream=stream)
    if stream:
        text = "".join(r["choices"][0]["delta"].get("content", "") for r in events(reply))
    else:
        text = reply.json()["choices"][0]["message"]["content"]
    row = json.loads(text)
    assert row["b"] == "x y"
    assert isinstance(row["a"], int)
