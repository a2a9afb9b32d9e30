"""OpenAI's interface: shapes, streams, the assistant's own field, and the other routes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from server_fakes import HI, TEXT, TOOLS, Scripted, chat, events, house


def test_a_plain_answer(client: Any) -> None:
    row = chat(client(house())).json()
    assert row["object"] == "chat.completion"
    assert row["choices"][0]["message"]["content"] == "Hello there, friend."
    assert row["choices"][0]["finish_reason"] == "stop"
    assert row["usage"]["completion_tokens"] == 3
    assert row["usage"]["total_tokens"] == row["usage"]["prompt_tokens"] + 3
    assert row["usage"]["prompt_tokens_details"]["cached_tokens"] == 1


def test_a_stream_is_the_same_answer(client: Any) -> None:
    rows = events(chat(client(house()), stream=True, stream_options={"include_usage": True}))
    assert "".join(r["choices"][0]["delta"].get("content", "") for r in rows if r["choices"]) == "Hello there, friend."
    assert rows[0]["choices"][0]["delta"]["role"] == "assistant"
    assert rows[-2]["choices"][0]["finish_reason"] == "stop"
    assert rows[-1]["choices"] == []
    assert rows[-1]["usage"]["completion_tokens"] == 3
    assert all(r["usage"] is None for r in rows[:-1])
    assert len({r["id"] for r in rows}) == 1


def test_several_choices_have_seeds_of_their_own(client: Any) -> None:
    engine = Scripted()
    row = chat(client(house(engine)), n=3, seed=5).json()
    assert [c["index"] for c in row["choices"]] == [0, 1, 2]
    assert sorted(c["sampling"].seed for c in engine.calls) == [5, 6, 7]
    rows = events(chat(client(house()), n=2, stream=True))
    assert {r["choices"][0]["index"] for r in rows} == {0, 1}


def test_parameters_reach_the_engine(client: Any) -> None:
    engine = Scripted()
    chat(client(house(engine)), temperature=0.3, top_p=0.5, stop=["x", "y"], max_completion_tokens=2, seed=9, top_k=4)
    sampling = engine.calls[0]["sampling"]
    assert (sampling.temperature, sampling.top_p, sampling.stop, sampling.max_tokens) == (0.3, 0.5, ("x", "y"), 2)
    assert (sampling.seed, sampling.top_k) == (9, 4)


def test_logprobs(client: Any) -> None:
    row = chat(client(house()), logprobs=True, top_logprobs=1).json()
    content = row["choices"][0]["logprobs"]["content"]
    assert [t["token"] for t in content] == ["Hello", " there,", " friend."]
    assert content[0]["top_logprobs"][0]["logprob"] == -0.5
    rows = events(chat(client(house()), logprobs=True, stream=True))
    assert sum(len(r["choices"][0]["logprobs"]["content"]) for r in rows if r["choices"][0]["logprobs"]) == 3


def test_content_parts_and_developer_messages(client: Any) -> None:
    engine = Scripted()
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}]
    assert chat(client(house(engine)), messages=messages).status_code == 200
    assert [(m.role, m.content) for m in engine.calls[0]["prompt"]] == [("system", "be brief"), ("user", "ab")]


# -- the assistant ---------------------------------------------------------------------------------------------


def test_the_assistant_cites(client: Any) -> None:
    reply = chat(
        client(house()), model="clinic", messages=[{"role": "user", "content": "Must I fast?"}], temperature=0.7
    )
    message = reply.json()["choices"][0]["message"]
    extra = message["mirim"]
    assert not extra["abstained"]
    assert extra["confidence"] == 0.91
    citation = extra["citations"][0]
    assert TEXT[citation["start"] : citation["end"]] == citation["text"] == message["content"]


def test_the_assistant_streams_and_ends_with_its_sources(client: Any) -> None:
    rows = events(chat(client(house()), model="clinic", messages=[{"role": "user", "content": "fast?"}], stream=True))
    assert len(rows) > 4
    assert rows[-1]["mirim"] == rows[-1]["choices"][0]["delta"]["mirim"]
    assert rows[-1]["mirim"]["citations"]


def test_the_assistant_admits_that_it_does_not_know(client: Any) -> None:
    message = chat(client(house()), model="clinic").json()["choices"][0]["message"]
    assert message["mirim"]["abstained"] is True
    assert message["mirim"]["citations"] == []


def test_the_assistant_gets_the_conversation_and_the_policy(client: Any) -> None:
    home = house()
    messages = [{"role": "user", "content": "fast?"}, {"role": "assistant", "content": "yes"}, *HI]
    chat(client(home), model="clinic", messages=messages, mirim={"policy": "grounded"})
    question, history, policy = home.room.models["clinic"].assistant.asked[0]
    assert (question, [m.content for m in history], policy) == ("hi", ["fast?", "yes"], "grounded")


def test_the_assistant_keeps_to_max_tokens_and_stop(client: Any) -> None:
    ask = {"model": "clinic", "messages": [{"role": "user", "content": "fast?"}]}
    choice = chat(client(house()), **ask, max_tokens=3).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Fast for eight", "length")
    assert chat(client(house()), **ask, stop=" eight").json()["choices"][0]["message"]["content"] == "Fast for"


@pytest.mark.parametrize("extra", [{"tools": TOOLS}, {"response_format": {"type": "json_object"}}, {"logprobs": True}])
def test_what_the_assistant_cannot_do_is_refused(client: Any, extra: dict[str, Any]) -> None:
    error = chat(client(house()), model="clinic", **extra).json()["error"]
    assert error["code"] == "unsupported_parameter"
    assert error["param"] in extra


def test_an_assistant_is_asked_for_text(client: Any) -> None:
    assert chat(client(house()), model="clinic", response_format={"type": "text"}).status_code == 200


# -- the other routes --------------------------------------------------------------------------------------------


def test_completions(client: Any) -> None:
    http = client(house())
    body = {"model": "bare", "prompt": ["one", "two"], "max_tokens": 2}
    row = http.post("/v1/completions", json=body).json()
    assert [c["text"] for c in row["choices"]] == ["Hello there,"] * 2
    assert row["choices"][0]["finish_reason"] == "length"
    row = http.post("/v1/completions", json={**body, "prompt": "one", "echo": True}).json()
    assert row["choices"][0]["text"] == "oneHello there,"
    rows = events(http.post("/v1/completions", json={**body, "prompt": "one", "stream": True, "logprobs": 1}))
    assert "".join(r["choices"][0]["text"] for r in rows) == "Hello there,"


def test_an_adapter_is_chosen_by_name(client: Any) -> None:
    engine = Scripted()
    chat(client(house(engine)), model="tuned")
    chat(client(house(engine)), model="bare")
    assert [c["adapter"] for c in engine.calls] == [0, None]
    # Its prompts would be scored by the base: that is said, not done.
    body = {"model": "tuned", "prompt": "one", "echo": True, "logprobs": 1}
    reply = client(house(engine)).post("/v1/completions", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "echo")


def test_embeddings(client: Any) -> None:
    import base64
    import struct

    http = client(house())
    row = http.post("/v1/embeddings", json={"model": "bare", "input": ["a", "abc"]}).json()
    assert [d["embedding"] for d in row["data"]] == [[0.5, 1.0], [0.5, 3.0]]
    packed = http.post("/v1/embeddings", json={"model": "bare", "input": "a", "encoding_format": "base64"}).json()
    assert struct.unpack("<2f", base64.b64decode(packed["data"][0]["embedding"])) == (0.5, 1.0)
    assert http.post("/v1/embeddings", json={"model": "bare", "input": "a", "dimensions": 3}).status_code == 400


def test_embeddings_end_when_the_time_is_up(client: Any) -> None:
    class Slow(Scripted):
        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            time.sleep(0.1 * len(texts))
            return super().embed(texts)

    home = house(Slow())
    home.deadline = 0.25
    began = time.monotonic()
    reply = client(home).post("/v1/embeddings", json={"model": "bare", "input": ["a"] * 200})
    assert (reply.status_code, reply.json()["error"]["code"]) == (408, "deadline_exceeded")
    assert time.monotonic() - began < 10


def test_models(client: Any) -> None:
    http = client(house())
    rows = http.get("/v1/models").json()["data"]
    assert [r["id"] for r in rows] == ["clinic", "bare", "tuned"]
    assert http.get("/v1/models/bare").json()["id"] == "bare"
    assert http.get("/v1/models/..%2F..%2Fetc%2Fpasswd").status_code == 404


def test_responses(client: Any) -> None:
    http = client(house(Scripted(["Hello there."])))
    row = http.post("/v1/responses", json={"model": "bare", "input": "hi", "instructions": "be kind"}).json()
    assert row["status"] == "completed"
    assert row["output"][0]["content"][0]["text"] == "Hello there."
    stream = http.post("/v1/responses", json={"model": "bare", "input": "hi", "stream": True}).text
    kinds = [json.loads(line[6:])["type"] for line in stream.split("\n") if line.startswith("data: ")]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    error = http.post("/v1/responses", json={"model": "bare", "input": "x", "previous_response_id": "r"}).json()[
        "error"
    ]
    assert error["param"] == "previous_response_id"


def test_operations(client: Any) -> None:
    home = house()
    http = client(home)
    chat(http)
    assert http.get("/health").json()["status"] == "ok"
    assert http.get("/ready").status_code == 200
    text = http.get("/metrics").text
    assert 'mirim_requests_total{model="bare",route="/v1/chat/completions",status="200"} 1' in text
    assert 'mirim_tokens_total{kind="completion",model="bare"} 3' in text
    status = http.get("/mirim/status").json()
    assert status["load"]["requests"] == 1
    assert status["lanes"][0]["slots"] == 2
    home.draining = True
    assert http.get("/ready").status_code == 503
    assert http.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_whole_numbers_written_with_a_point(client: Any) -> None:
    engine = Scripted()
    assert chat(client(house(engine)), max_tokens=2.0, seed=3.0, top_k=1.0, n=1.0).status_code == 200
    assert engine.calls[0]["sampling"].max_tokens == 2
    reply = client(house()).post("/v1/completions", json={"model": "bare", "prompt": [7.0]})
    assert reply.status_code == 400


def test_a_clock_that_is_set_back_leaves_the_time_since_the_start(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    http = client(house())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 864000)
    assert http.get("/mirim/status").json()["load"]["uptime_seconds"] >= 0
    (line,) = (x for x in http.get("/metrics").text.splitlines() if x.startswith("mirim_uptime_seconds "))
    assert float(line.split()[1]) >= 0
