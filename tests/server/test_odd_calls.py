"""Odd calls of models, and odd requests that cost time or answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from server_fakes import TOOLS, Scripted, chat, house

from mirim.server.review import refuse

NEWS = {"type": "function", "function": {"name": "news", "parameters": {"type": "object", "properties": {}}}}


def test_duplicates_in_a_schema_are_looked_at_once() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(30):
        schema = {"type": ["object", "object"], "properties": {"a": schema}, "required": ["a", "a"]}
    began = time.perf_counter()
    refuse(schema)
    assert time.perf_counter() - began < 5


def test_half_a_character_in_a_call_is_written_as_an_escape(client: Any) -> None:
    said = '{"name": "news", "arguments": {"city": "\\ud800"}}'
    row = chat(client(house(Scripted([said]))), messages=[{"role": "user", "content": "News?"}], tools=[NEWS]).json()
    (call,) = row["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"city": "\\ud800"}'
    assert json.loads(call["function"]["arguments"]) == {"city": "\ud800"}


@pytest.mark.parametrize(
    "said", ['{"name": ["x"], "arguments": {}}', '{"name": "news", "arguments": {"n": NaN}}', '{"arguments": {}}']
)
def test_what_is_no_call_is_text(client: Any, said: str) -> None:
    row = chat(client(house(Scripted([said]))), messages=[{"role": "user", "content": "News?"}], tools=[NEWS]).json()
    assert row["choices"][0]["message"]["content"] == said
    assert row["choices"][0]["finish_reason"] == "stop"


def test_a_call_that_must_be_made_and_is_none_is_told(client: Any) -> None:
    answer = chat(
        client(house(Scripted(["42 is the answer"]))),
        messages=[{"role": "user", "content": "News?"}],
        tools=[NEWS],
        tool_choice="required",
    )
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "schema_broken"


def test_a_seed_may_be_written_as_a_float(client: Any) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    assert chat(client(house(Scripted(["Hi"]))), messages=messages, seed=1e17).status_code == 200


def test_a_request_waits_for_its_own_choices(client: Any) -> None:
    every = house(Scripted(["Hi"] * 100))
    answer = client(every).post("/v1/completions", json={"model": "bare", "prompt": ["Hi"] * 100, "max_tokens": 2})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["choices"]) == 100


def test_a_call_that_is_cut_off_says_so(client: Any) -> None:
    engine = Scripted(["Well then, <tool_call>", '{"name": "weather", "arguments": {"city": "a b c d e f"}}'])
    row = chat(client(house(engine)), tools=TOOLS[:1], max_tokens=8).json()
    assert row["choices"][0]["finish_reason"] == "length"
    assert row["usage"]["completion_tokens"] == 8
    assert json.loads(row["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])["city"].startswith("a")
    row = chat(
        client(house(Scripted([engine.script[1]]))), tools=TOOLS[:1], tool_choice="required", max_tokens=30
    ).json()
    assert row["choices"][0]["finish_reason"] == "tool_calls"
