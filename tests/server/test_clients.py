"""What clients of many kinds send and look for: OpenAI's own in Python and JavaScript, and what is built on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from server_fakes import HI, TOOLS, Scripted, chat, events, house

from mirim.core.errors import UsageError
from mirim.core.types import Delta
from mirim.server.app import build


@pytest.mark.parametrize(
    ("path", "change", "param", "says"),
    [
        ("chat/completions", {"store": True}, "store", "must be false, got true"),
        ("chat/completions", {"presence_penalty": 1}, "presence_penalty", "must be 0, got 1"),
        ("chat/completions", {"messages": [{"role": "user", "content": None}]}, "messages[0].content", "got null"),
        (
            "chat/completions",
            {"response_format": {"type": "xml"}},
            "response_format.type",
            "'text', 'json_object', 'json",
        ),
        (
            "chat/completions",
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "is required",
        ),
        ("chat/completions", {"tool_choice": "all"}, "tool_choice", "one of 'none', 'auto', 'required', got 'all'"),
        ("responses", {"input": [{"type": "item_reference", "id": "a"}]}, "input[0].type", "'function_call_output'"),
        (
            "responses",
            {"input": [{"type": "function_call", "call_id": "a", "name": "b"}]},
            "input[0].arguments",
            "required",
        ),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].type",
            "im",
        ),
        ("responses", {"input": [{"role": "user", "content": "a", "foo": 1}]}, "input[0].foo", "not a parameter"),
    ],
)
def test_a_refusal_names_the_place_that_is_wrong(
    client: Any, path: str, change: dict[str, Any], param: str, says: str
) -> None:
    start = {"model": "bare"} | ({"messages": HI} if path == "chat/completions" else {})
    error = client(house()).post(f"/v1/{path}", json={**start, **change}).json()["error"]
    assert error["param"] == param, error
    assert says in error["message"]


def test_answers_that_a_client_has_read_come_back_as_it_holds_them(client: Any) -> None:
    """OpenAI's `parse` helpers keep what they read in the message, which their callers append to the conversation."""
    http, read = client(house()), {"city": "Belém"}
    call = {"name": "weather", "arguments": json.dumps(read), "parsed_arguments": read}
    history = [
        {"role": "assistant", "content": "{}", "parsed": {}},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": call}]},
    ]
    assert chat(http, messages=[*HI, *history, *HI]).status_code == 200
    items = [
        {"role": "assistant", "content": [{"type": "output_text", "text": "{}", "parsed": {}}]},
        {"type": "function_call", "call_id": "c", **call},
    ]
    assert http.post("/v1/responses", json={"model": "bare", "input": [*HI, *items, *HI]}).status_code == 200


def test_what_a_function_gave_may_come_in_parts(client: Any) -> None:
    engine = Scripted()
    parts = [{"type": "input_text", "text": "20 "}, {"type": "input_text", "text": "degrees"}]
    items = [
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": parts},
    ]
    row = client(house(engine)).post("/v1/responses", json={"model": "bare", "input": [*HI, *items]}).json()
    assert row["status"] == "completed", row
    said = engine.calls[0]["prompt"][-1]
    assert (said.content, said.tool_call_id) == ("20 degrees", "c")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": "w " * 101}, "input"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"not": {}}}}}, "text.format.schema"),
        ({"tools": [{"type": "function", "name": "f", "parameters": {"type": "array"}}]}, "tools[0].parameters"),
        ({"model": "clinic", "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"model": "clinic", "input": [{"role": "assistant", "content": "x"}]}, "input"),
        ({"stream_options": {}, "stream": False}, "stream_options"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_responses_name_parameters_as_they_were_sent(
    client: Any, change: dict[str, Any], param: str, stream: bool
) -> None:
    reply = client(house()).post("/v1/responses", json={"model": "bare", "input": "hi", "stream": stream, **change})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param), error
    assert "messages" not in error["message"]
    assert "response_format" not in error["message"]


@pytest.mark.parametrize(
    "why",
    [
        "this JSON schema cannot be held to: minimum is greater than maximum; simplify it",
        "llama.cpp cannot hold a model to this JSON schema (it wrote 'No'); simplify it",
    ],
)
def test_a_schema_that_the_grammar_refuses_is_named(client: Any, why: str) -> None:
    http = client(house(Scripted([UsageError(why)])))
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "integer"}}}
    error = chat(http, response_format=form).json()["error"]
    assert (error["param"], error["code"]) == ("response_format", "invalid_schema")
    for more in ({}, {"response_format": form}):
        error = chat(http, tools=TOOLS, tool_choice="required", **more).json()["error"]
        assert (error["param"], error["code"]) == ("tools", "invalid_schema")


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_client_that_wants_one_call_at_a_time_gets_one(client: Any, choice: str) -> None:
    """Endpoints behind this server may make several."""
    calls = tuple({"id": i, "type": "function", "function": {"name": "news", "arguments": "{}"}} for i in "ab")

    class Endpoint(Scripted):
        def generate(self, prompt: Any, sampling: Any, **_: Any) -> Iterator[Delta]:
            yield Delta("", (), "tool_calls", 1, calls)

    http = client(house(Endpoint()))
    for parallel, number in ((None, 2), (True, 2), (False, 1)):
        row = chat(http, tools=TOOLS, tool_choice=choice, parallel_tool_calls=parallel).json()["choices"][0]
        assert len(row["message"]["tool_calls"]) == number
        body = {"input": "hi", "tools": [{"type": "function", **TOOLS[0]["function"]}], "tool_choice": choice}
        body |= {"model": "bare", "parallel_tool_calls": parallel}
        assert len(http.post("/v1/responses", json=body).json()["output"]) == number


def test_log_probabilities_are_refused_where_the_engine_gives_none(client: Any) -> None:
    class Plain(Scripted):
        logprobs = False

    http = client(house(Plain()))
    for path, change in (("chat/completions", {"messages": HI, "logprobs": True}), ("completions", {"prompt": "a"})):
        error = http.post(f"/v1/{path}", json={"model": "bare", "logprobs": 1, **change}).json()["error"]
        assert (error["param"], error["code"]) == ("logprobs", "unsupported_parameter")


def test_a_response_says_by_its_ids_what_it_is_and_where_it_was_cut(client: Any) -> None:
    http = client(house(Scripted(["one two three"])))
    row = http.post("/v1/responses", json={"model": "bare", "input": "hi", "max_output_tokens": 2}).json()
    assert (row["id"][:5], row["output"][0]["id"][:4]) == ("resp_", "msg_")
    assert (row["status"], row["output"][0]["status"]) == ("incomplete", "incomplete")
    call = '{"name": "weather", "arguments": {"city": "Bonn"}}'
    tool = {"type": "function", **TOOLS[0]["function"]}
    body = {"model": "bare", "input": "hi", "tools": [tool], "tool_choice": "required"}
    item = client(house(Scripted([call]))).post("/v1/responses", json=body).json()["output"][0]
    assert (item["id"][:3], item["call_id"][:5], item["status"]) == ("fc_", "call_", "completed")


@pytest.mark.parametrize("stream", [False, True])
def test_json_that_nests_without_end_is_closed_like_json_that_is_cut(client: Any, stream: bool) -> None:
    http = client(house(Scripted(['{"a\\"[": ' + "[" * 3000])))
    reply = chat(http, response_format={"type": "json_object"}, stream=stream)
    assert reply.status_code == 200, reply.text
    if stream:
        rows = events(reply)
        text = "".join(r["choices"][0]["delta"].get("content", "") for r in rows)
        assert rows[-1]["choices"][0]["finish_reason"] == "length"
    else:
        choice = reply.json()["choices"][0]
        text = choice["message"]["content"]
        assert choice["finish_reason"] == "length"
        assert reply.json()["usage"]["prompt_tokens"] == 1
    assert list(json.loads(text)) == ['a"[']
    tool = {"type": "function", "function": {"name": "deep", "parameters": {"type": "object"}}}
    http = client(house(Scripted(['{"name": "deep", "arguments": {"a": ' + "[" * 3000])))
    call = chat(http, tools=[tool], tool_choice="required").json()["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"])


def test_a_client_that_leaves_while_it_sends_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    home = house()
    parts: list[dict[str, Any]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b'{"mod', "more_body": True},
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return parts.pop() if len(parts) > 1 else parts[0]

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"500")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": headers}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http", "root_path": ""}
    asyncio.run(build(home)(scope, receive, send))  # type: ignore[arg-type]
    assert not sent
    assert not caplog.records
    (labels,) = home.metrics.counters["mirim_requests_total"]
    assert dict(labels)["status"] == "499"


def test_responses_take_an_empty_list_of_what_to_include(client: Any) -> None:
    """OpenAI's agents always send one."""
    http = client(house())
    assert http.post("/v1/responses", json={"model": "bare", "input": "hi", "include": []}).status_code == 200
    wanted = ["message.output_text.logprobs"]
    error = http.post("/v1/responses", json={"model": "bare", "input": "hi", "include": wanted}).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "include[0]")
