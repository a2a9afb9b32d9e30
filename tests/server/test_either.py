"""A JSON format together with functions: what comes out is one of the two, whole and valid, however it is cut."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_fakes import HI, TOOLS, Scripted, chat, events, house
from waiting import built

from mirim.core import plugins
from mirim.core.check import Misfit, check
from mirim.core.errors import UsageError
from mirim.core.types import Message, Sampling

WORDS = '{"city": "São João", "days": 12}'
CALL = '{"name": "news", "arguments": {"city": "Belém"}}'
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "stay", "schema": SCHEMA, "strict": True}}
ARGUMENTS: dict[str, Any] = TOOLS[0]["function"]["parameters"]  # type: ignore[assignment]


def told(client: Any, path: str, stream: bool, limit: int | None = None, form: Any = FORM, **more: Any) -> Any:
    """(text, calls as (name, arguments), how it ended) of one answer."""
    if path == "chat":
        body = {"tools": TOOLS, "response_format": form, "stream": stream, **more}
        reply = chat(client, **body, **({"max_tokens": limit} if limit else {}))
        assert reply.status_code == 200, reply.text
        if not stream:
            row = reply.json()["choices"][0]
            text, calls, reason = row["message"]["content"], row["message"].get("tool_calls", ()), row["finish_reason"]
        else:
            rows = [r["choices"][0] for r in events(reply)]
            text = "".join(r["delta"].get("content") or "" for r in rows)
            calls = [c for r in rows for c in r["delta"].get("tool_calls", ())]
            reason = rows[-1]["finish_reason"]
        return text or "", [(c["function"]["name"], c["function"]["arguments"]) for c in calls], reason
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]  # type: ignore[dict-item]
    text_form = {"type": "json_schema", **form["json_schema"]} if "json_schema" in form else form
    body = {"model": "bare", "input": HI, "tools": tools, "text": {"format": text_form}, "stream": stream, **more}
    reply = client.post("/v1/responses", json=body | ({"max_output_tokens": limit} if limit else {}))
    assert reply.status_code == 200, reply.text
    row = reply.json() if not stream else json.loads(reply.text.rstrip().rpartition("data: ")[2])["response"]
    text = "".join(part["text"] for item in row["output"] for part in item.get("content", ()))
    if stream:
        lines = [json.loads(line[6:]) for line in reply.text.split("\n") if line.startswith("data: ")]
        assert "".join(r["delta"] for r in lines if r["type"] == "response.output_text.delta") == text
    calls = [(item["name"], item["arguments"]) for item in row["output"] if item["type"] == "function_call"]
    return text, calls, row["status"]


def check_one(text: str, calls: list[tuple[str, str]], schema: Any = SCHEMA) -> str:
    """Which of the two it is; what it is must fit."""
    if calls:
        ((name, arguments),) = calls
        assert not text
        assert name in ("weather", "news")
        check(json.loads(arguments), ARGUMENTS)
        return "call"
    check(json.loads(text), schema)
    return "words"


@pytest.mark.parametrize("path", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_model_chooses_by_how_it_begins(client: Any, path: str, stream: bool) -> None:
    engine = Scripted([WORDS, f"<tool_call>{CALL}"])
    http = client(house(engine))
    assert told(http, path, stream)[:2] == (WORDS, [])
    text, calls, reason = told(http, path, stream)
    assert (text, [name for name, _ in calls], json.loads(calls[0][1])) == ("", ["news"], {"city": "Belém"})
    assert reason in ("tool_calls", "completed")
    asked = engine.calls[0]
    assert (asked["schema"], len(asked["call"]["anyOf"]), len(asked["tools"])) == (SCHEMA, 2, 2)


@pytest.mark.parametrize("form", [FORM, {"type": "json_object"}])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [WORDS, f"<tool_call>{CALL}", "<tool", "<tool_call>", ""])
def test_what_is_cut_is_closed(client: Any, form: Any, stream: bool, said: str) -> None:
    schema = SCHEMA if form is FORM else {"type": "object"}
    for cut in range(len(said) + 1):
        http = client(house(Scripted([said[:cut]])))
        text, calls, _ = told(http, "chat", stream, form=form)
        assert check_one(text, calls, schema) == ("call" if said[:cut].startswith("<") else "words")


def test_a_call_written_as_a_bare_object_is_json_like_any_other(client: Any) -> None:
    """Nothing tells it from an answer in the format."""
    http = client(house(Scripted([CALL])))
    text, calls, _ = told(http, "chat", False, form={"type": "json_object"})
    assert (text, calls) == (CALL, [])


def test_choices_that_force_or_forbid_a_call_are_what_they_were(client: Any) -> None:
    engine = Scripted([CALL])
    http = client(house(engine))
    for choice in ("required", {"type": "function", "function": {"name": "news"}}):
        assert told(http, "chat", False, tool_choice=choice)[1] == [("news", '{"city": "Belém"}')]
    assert told(client(house(Scripted([WORDS]))), "chat", False, tool_choice="none")[:2] == (WORDS, [])
    # The call, and the call between its marks.
    assert all(c["call"] == c["schema"] for c in engine.calls)


@pytest.mark.parametrize("said", [CALL, f"<tool_call>{CALL}</tool_call>", f"<tool_call>\n{CALL}\n</tool_call>"])
@pytest.mark.slow
def test_a_forced_call_comes_with_its_marks_or_without_however_it_is_cut(client: Any, said: str) -> None:
    whole = [("news", '{"city": "Belém"}')]
    assert told(client(house(Scripted([said]))), "chat", False, tool_choice="required")[1] == whole
    for cut in range(len(said)):
        text, calls, _ = told(client(house(Scripted([said[:cut]]))), "chat", False, tool_choice="required")
        assert check_one(text, calls) == "call"
        assert cut < said.index(CALL) + len(CALL) or calls == whole


def test_a_function_is_called_with_what_it_takes_and_nothing_else() -> None:
    from mirim.server.calls import call_schema, closed

    places = {"city": {"type": "string"}, "properties": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    made = closed({"type": "object", "properties": places, "default": {"properties": {"x": 1}}})
    assert made["additionalProperties"] is False
    assert made["default"] == {"properties": {"x": 1}}
    # A parameter may be called like a keyword.
    assert set(made["properties"]) == {"city", "properties"}
    assert made["properties"]["properties"]["additionalProperties"] is False
    for left in (
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": places, "additionalProperties": {"type": "string"}},
        {"properties": {"a": {}}, "allOf": [{"required": ["b"]}]},
    ):
        assert "additionalProperties" not in closed(left) or closed(left)["additionalProperties"] is not False
    (arguments,) = call_schema([{"function": {"name": "f", "parameters": {"properties": {"a": {}}}}}])["$defs"].values()
    assert arguments["additionalProperties"] is False
    # A function that lists none takes nothing; one that says less of its arguments may be given any.
    listed = [
        {},
        {"type": "object", "properties": {}},
        {"properties": {}, "additionalProperties": True},
        {"type": "object"},
    ]
    made = call_schema([{"function": {"name": f"f{n}", "parameters": each}} for n, each in enumerate(listed)])
    assert [place.get("additionalProperties") for place in made["$defs"].values()] == [False, False, True, None]


def test_a_function_whose_parameters_are_put_together_from_parts_can_be_called() -> None:
    from mirim.server.calls import closed

    to = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    file = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}
    both, sent = {"allOf": [to, text]}, {"to": "Ana", "text": "oi"}
    check(sent, closed(both))
    check(sent, closed({**to, "anyOf": [text, file]}))
    check(sent, closed({"allOf": [{"$ref": "#/$defs/far"}, text], "$defs": {"far": {"$ref": "#/$defs/to"}, "to": to}}))
    check(sent, closed({"type": "object", "properties": to["properties"], "required": ["to", "text"]}))
    check({"one": sent}, closed({"type": "object", "properties": {"one": both}}))
    # What stands by itself is closed all the same: one of several, a part that is the only one, what a part holds.
    for alone in ({"anyOf": [to, file]}, {"allOf": [{"$ref": "#/$defs/to"}], "$defs": {"to": to}}):
        check({"to": "Ana"}, closed(alone))
        with pytest.raises(Misfit):
            check(sent, closed(alone))
    deep = closed({"allOf": [{"properties": {"place": to}}, text]})
    assert deep["allOf"][0]["properties"]["place"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("why", "param", "code"),
    [
        (
            "this JSON schema cannot be held to: minimum (5) is greater than maximum",
            "response_format",
            "invalid_schema",
        ),
        ("this JSON schema of a call cannot be held to: minimum (5) is greater", "tools", "invalid_schema"),
        (
            "the hf engine cannot hold a model to a JSON schema; use llama_cpp",
            "response_format",
            "unsupported_parameter",
        ),
    ],
)
def test_an_engine_that_cannot_is_refused_by_name(client: Any, why: str, param: str, code: str) -> None:
    reply = chat(client(house(Scripted([UsageError(why)]))), tools=TOOLS, response_format=FORM)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code)


# -- on engines, with weights drawn at random -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=["native", "llama_cpp"])
def engine(toy: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "native":
        built()
    with contextlib.closing(plugins.load("models.engines", request.param).open(str(toy), parallel=2)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("path", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_random_weights_write_one_of_the_two(client: Any, engine: Any, path: str, stream: bool) -> None:
    http = client(house(engine))
    seen = set()
    for seed in range(16):
        # Responses take no seed.
        drawn = {"seed": seed} if path == "chat" else {}
        # From the first token on to longer than most answers need.
        limit = [1, 2, 3, 5, 8, 13, 40, 200][seed % 8]
        for form, schema in ((FORM, SCHEMA), ({"type": "json_object"}, {"type": "object"})):
            text, calls, _ = told(http, path, stream, limit, form, temperature=1.0, **drawn)
            seen.add(check_one(text, calls, schema))
    assert "words" in seen
    assert path == "responses" or seen == {"words", "call"}


@pytest.mark.slow
def test_stop_strings_and_several_choices(client: Any, engine: Any) -> None:
    http = client(house(engine))
    for seed, stop in enumerate(("<", "tool", '"', ":", "{", "a", "_call>")):
        text, calls, _ = told(http, "chat", False, 60, temperature=1.0, seed=seed, stop=[stop])
        check_one(text, calls)
    row = chat(http, tools=TOOLS, response_format=FORM, n=4, max_tokens=30, temperature=1.0, seed=3).json()
    for choice in row["choices"]:
        calls = [(c["function"]["name"], c["function"]["arguments"]) for c in choice["message"].get("tool_calls", ())]
        check_one(choice["message"]["content"] or "", calls)


@pytest.mark.slow
def test_an_engine_holds_to_what_was_begun(engine: Any) -> None:
    calls = {"anyOf": [{"type": "object", "properties": {"name": {"const": "f"}}, "required": ["name"]}]}
    begun = set()
    for seed in range(40):
        ask = (Message("user", "hi"),)
        deltas = list(engine.generate(ask, Sampling(120, 1.5, seed=seed), schema=SCHEMA, call=calls))
        text = "".join(d.text for d in deltas)
        begun.add(text[:11] if text[0] == "<" else text[0])
        if deltas[-1].finish_reason == "stop":
            row = json.loads(text.removeprefix("<tool_call>"))
            assert row["name"] == "f" if text[0] == "<" else set(row) == {"city", "days"}
    assert begun == {"<tool_call>", "{"}


@pytest.mark.slow
def test_schemas_that_no_grammar_can_be_made_of(client: Any, engine: Any) -> None:
    none = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 2}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": none}}
    tool = {"type": "function", "function": {"name": "f", "parameters": none}}
    http = client(house(engine))
    for body in ({"response_format": form, "tools": TOOLS}, {"response_format": FORM, "tools": [tool]}):
        reply = chat(http, **body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_schema"), reply.text
