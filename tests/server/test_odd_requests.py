"""What real clients send beside what they mean: nulls, odd numbers, long texts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from server_fakes import HI, Scripted, chat, house
from waiting import until

from mirim.server.completions import echoed
from mirim.server.scheduler import Stop, stream


def test_null_means_left_out_wherever_clients_write_it(client: Any) -> None:
    """Clients of many servers send their whole class of parameters, and what they hold of a message."""
    engine = Scripted()
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}, "index": None}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": None}], "name": None},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": None, "function_call": None},
        {"role": "tool", "content": "20", "tool_call_id": "c", "thinking_blocks": None},
    ]
    schema = {"type": "object", "properties": {"sky": {"enum": ["blue", None], "default": None}}}
    tool = {"type": "function", "cache_control": None, "function": {"name": "weather", "parameters": schema}}
    body = {"model": "bare", "messages": messages, "tools": [tool], "functions": None, "verbosity": None}
    body |= {"stream_options": {"include_usage": None}, "stream": True, "mirim": {"policy": None}}
    body |= {"response_format": {"type": "text", "json_schema": None}}
    http = client(house(engine))
    assert http.post("/v1/chat/completions", json=body).status_code == 200
    # A null of the caller's own schema is a value.
    assert engine.calls[0]["tools"][0]["function"]["parameters"] == schema
    form = {"format": {"type": "text", "strict": None}, "verbosity": None}
    body = {"model": "bare", "input": [{"role": "user", "content": "hi", "call_id": None}], "text": form}
    assert http.post("/v1/responses", json={**body, "reasoning": None, "prompt": None}).status_code == 200
    for wrong in ({"model": None}, {"stop": [None]}, {"messages": [None]}):
        assert chat(http, **wrong).status_code == 400, wrong


class Counting(Scripted):
    """Notes what it is given to read, and knows some tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.vocabulary, self.read, self.looped = self, 10, 0, False

    def piece(self, token: int) -> bytes:
        try:
            self.looped = bool(asyncio.get_running_loop())
        except RuntimeError:
            self.read += 1
        return b"a "

    def encode(self, text: str) -> list[int]:
        return []

    def generate(self, prompt: Any, *words: Any, **options: Any) -> Any:
        self.read += 1
        return super().generate(prompt, *words, **options)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.read += 1
        return super().embed(texts)

    def logits(self, ids: Sequence[int]) -> Any:
        import numpy as np

        return np.zeros((len(ids), self.vocabulary), np.float32)


LONG = "How long must I fast? " * 2_000


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"model": "bare", "messages": [{"role": "user", "content": LONG}]}, "messages"),
        ("chat/completions", {"model": "clinic", "messages": [{"role": "user", "content": LONG[:24_000]}]}, "messages"),
        ("responses", {"model": "bare", "instructions": LONG, "input": "hi"}, "input"),
        ("completions", {"model": "bare", "prompt": ["hi", LONG]}, "prompt"),
        ("completions", {"model": "bare", "prompt": [1] * 1_000}, "prompt"),
        ("embeddings", {"model": "bare", "input": ["hi", LONG]}, "input"),
    ],
)
def test_what_is_surely_too_long_is_refused_unread(client: Any, path: str, body: dict[str, Any], param: str) -> None:
    """Reading megabytes as tokens takes a place of the engine for minutes, and goes on when the client has left."""
    engine = Counting()
    where = house(engine)
    reply = client(where).post(f"/v1/{path}", json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, "context_length_exceeded"), error
    assert engine.read == 0
    assert not where.room.models["clinic"].assistant.asked


def test_token_ids_are_not_spelt_on_the_loop_that_all_answers_need(client: Any) -> None:
    engine = Counting()
    reply = client(house(engine)).post("/v1/completions", json={"model": "bare", "prompt": [[1, 2]] * 3})
    assert reply.status_code == 200, reply.text
    assert engine.read == 3 * 2 + 3
    assert not engine.looped


def test_the_scoring_of_a_prompt_ends_when_its_client_has_left() -> None:
    """Otherwise it holds one of the engine's places, half a minute for a long prompt on a busy machine."""
    engine = Counting()
    engine.encode = lambda text: [1] * 50 if text else []  # type: ignore[method-assign]
    seen: list[int] = []

    def slow(token: int) -> bytes:
        seen.append(token)
        time.sleep(0.02)
        return b"a"

    engine.piece = slow  # type: ignore[method-assign]
    every = house(engine)
    lane = every.room.engines["bare"].lane
    served = every.room.models["bare"]

    async def leave() -> bool:
        scored = stream(lane, "me", Stop(60.0), lambda: echoed(served, "a long prompt", 0, False))
        await anext(scored)
        await scored.aclose()  # type: ignore[attr-defined]
        return await asyncio.to_thread(until, lambda: not lane.busy)

    assert asyncio.run(leave())
    assert len(seen) < 25


def test_a_number_of_too_many_digits_is_told_in_plain_words(client: Any) -> None:
    body = b'{"model": "bare", "seed": ' + b"9" * 5_000 + b"}"
    reply = client(house()).post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].endswith("a number has too many digits")


@pytest.mark.parametrize(
    ("route", "more", "param", "says"),
    [
        ("chat/completions", {"messages": HI, "functions": []}, "functions", "it is tools now"),
        ("chat/completions", {"messages": HI, "function_call": "auto"}, "function_call", "it is tool_choice now"),
        ("responses", {"input": "hi", "functions": []}, "functions", "it is tools now"),
        ("completions", {"prompt": "hi", "functions": []}, "functions", "leave it out"),
        (
            "embeddings",
            {"input": [[1, 2]]},
            "input[0]",
            "numbers of tokens mean other words to another model",
        ),
        ("embeddings", {"input": [1, 2]}, "input[0]", "check_embedding_ctx_length=False"),
    ],
)
def test_a_refusal_says_what_to_send_instead(client: Any, route: str, more: Any, param: str, says: str) -> None:
    reply = client(house(Scripted())).post(f"/v1/{route}", json={"model": "bare", **more})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert says in reply.json()["error"]["message"]
    empty = client(house(Scripted())).post("/v1/embeddings", json={"model": "bare", "input": [""]}).json()
    assert "tokens" not in empty["error"]["message"]
