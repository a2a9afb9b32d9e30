"""OpenAI's interface: shapes, streams, tools, JSON, and the assistant's own field."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from server_fakes import HI, TEXT, TOOLS, Scripted, chat, events, house

from mirim.core.errors import MirimError
from mirim.core.types import Passage
from mirim.models.pointing import Pointed
from mirim.models.slots import USUAL
from mirim.server.wire import BODY


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


# -- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "nope"}, 404, "model_not_found", "model"),
        ({"model": "../../etc/passwd"}, 404, "model_not_found", "model"),
        ({"model": "{{7*7}}"}, 404, "model_not_found", "model"),
        ({"messages": [{"role": "user", "content": "w " * 101}]}, 400, "context_length_exceeded", "messages"),
        ({"frobnicate": 1}, 400, "unknown_parameter", "frobnicate"),
        ({"temperature": 3}, 400, "invalid_value", "temperature"),
        ({"temperature": True}, 400, "invalid_value", "temperature"),
        ({"presence_penalty": 0.5}, 400, "invalid_value", "presence_penalty"),
        ({"logit_bias": {"1": 2}}, 400, "unknown_parameter", "logit_bias.1"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, 400, "missing_required_parameter", "messages[0].content"),
        ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, 400, None, "max_tokens"),
        ({"n": 99}, 400, "invalid_value", "n"),
        ({"tool_choice": "required"}, 400, None, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, 400, None, "tool_choice"),
        ({"top_logprobs": 2}, 400, None, "top_logprobs"),
        ({"stream": False, "stream_options": {"include_usage": True}}, 400, None, "stream_options"),
        ({"store": True}, 400, "invalid_value", "store"),
        ({"mirim": {"policy": "quote"}}, 400, "unsupported_parameter", "mirim.policy"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"multipleOf": 2}}}},
            400,
            "invalid_schema",
            "response_format.json_schema.schema",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals(client: Any, change: dict[str, Any], status: int, code: str | None, param: str, stream: bool) -> None:
    reply = chat(client(house()), **{"stream": stream, **change})
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param), error


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/models", "/v1/models"),
        ("/api/embeddings", "/v1/embeddings"),
        ("/api/tags", ""),
        ("/v1/messages", ""),
    ],
)
def test_an_address_that_is_not_there_is_told_from_one_that_was_meant(client: Any, path: str, meant: str) -> None:
    reply = client(house()).post(path, json={})
    message = reply.json()["error"]["message"]
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert message.startswith(f"there is nothing at {path}{f', but at {meant}' if meant else ''};")
    assert "ends in /v1" in message
    assert "/openapi.json" in message


def test_a_method_that_is_not_allowed_is_told_from_those_that_are(client: Any) -> None:
    reply = client(house()).get("/v1/chat/completions")
    assert reply.json()["error"]["message"] == "GET is not allowed at /v1/chat/completions; it takes POST"


def test_a_page_and_a_name_that_are_refused_are_told_what_can_be_done(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    http = client(house(hosts=("testserver",)))
    ask = {"Access-Control-Request-Method": "POST"}
    for _ in range(2):
        told = http.options("/v1/chat/completions", headers={"Origin": "https://chat.example", **ask}).json()["error"]
        assert told["code"] == "cors_closed"
        assert told["message"].endswith("can allow them: --cors-origin https://chat.example")
    # A browser keeps that from the page: it stands in the log, once, and for a few alone.
    assert [row.getMessage() for row in caplog.records] == [told["message"]]
    for number in range(50):
        http.get("/v1/models", headers={"Origin": f"https://{number}.example"})
    assert len(caplog.records) < 10
    nameless = http.get("/v1/models", headers={"Origin": "null"}).json()["error"]["message"]
    assert nameless.startswith("a page without an address")
    wrong = http.get("/v1/models", headers={"Host": "host.docker.internal:8080"}).json()["error"]
    assert wrong["code"] == "wrong_host"
    assert '"host.docker.internal:8080"; ask it as 127.0.0.1 or localhost' in wrong["message"]
    assert "--host 0.0.0.0" in wrong["message"]


def test_a_model_that_is_not_there_is_told_from_those_that_are(client: Any) -> None:
    message = chat(client(house()), model="gpt").json()["error"]["message"]
    assert message == "The model `gpt` does not exist; name one that /v1/models lists: bare, tuned, clinic"


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_what_a_request_is_called_by_its_sender_changes_nothing(client: Any, path: str) -> None:
    marks = {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "metadata": {"case": "7"}}
    said = {"messages": HI} if "chat" in path else {"input": "Hi"}
    for model in ("bare", "clinic"):
        reply = client(house()).post(f"/v1/{path}", json={"model": model, **said, **marks})
        assert reply.status_code == 200, reply.text
    wrong = client(house()).post(f"/v1/{path}", json={"model": "bare", **said, "metadata": {"case": 7}})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "metadata.case")


def test_a_message_without_a_type_may_have_a_null_that_only_others_take(client: Any) -> None:
    said = {"role": "user", "content": "Hi", "id": None, "status": None}
    reply = client(house()).post("/v1/responses", json={"model": "bare", "input": [said]})
    assert reply.status_code == 200, reply.text


def test_a_response_may_be_asked_to_include_what_none_ever_has(client: Any) -> None:
    body = {"model": "bare", "input": "Hi", "include": ["reasoning.encrypted_content", "file_search_call.results"]}
    assert client(house()).post("/v1/responses", json=body).json()["status"] == "completed"
    wanted = {**body, "include": ["message.output_text.logprobs"]}
    error = client(house()).post("/v1/responses", json=wanted).json()["error"]
    assert (error["param"], error["code"]) == ("include[0]", "invalid_value")


def test_a_format_that_lists_properties_takes_no_others_unless_it_says_so(client: Any) -> None:
    listed = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    open_to_more = {**listed, "additionalProperties": True}
    for schema, told in ((listed, False), (open_to_more, True)):
        engine = Scripted(['{"a": 1}'])
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        assert chat(client(house(engine)), response_format=form).status_code == 200
        assert engine.calls[0]["schema"]["additionalProperties"] is told


def test_every_error_says_what_openai_s_do(client: Any) -> None:
    http = client(house(Scripted([MirimError("broken")]), hosts=("testserver",), body_seconds=5.0))
    json_type = {"content-type": "application/json"}
    replies = {
        400: http.post("/v1/chat/completions", content=b"{", headers=json_type),
        404: http.get("/v1/nothing"),
        405: http.put("/v1/models"),
        415: http.post("/v1/completions", content=b"{}", headers={"content-type": "text/plain"}),
        413: http.post("/v1/completions", content=b"x" * (BODY + 1), headers=json_type),
        421: http.get("/health", headers={"host": "elsewhere"}),
        403: http.get("/health", headers={"origin": "https://elsewhere.example"}),
        500: chat(http),
        429: chat(client(house(queue=0, patience=0.0)), n=16),
        401: client(house(keys=Unknown(), demand_keys=True)).get("/v1/models"),  # type: ignore[arg-type]
    }
    for status, reply in replies.items():
        assert reply.status_code == status, reply.text
        error = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"]
        assert error["code"]


class Unknown:
    """Keys, none of which is known."""

    def find(self, text: str) -> None:
        return None


def test_image_parts_are_refused_by_name(client: Any) -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:"}}]
    error = chat(client(house()), messages=[{"role": "user", "content": content}]).json()["error"]
    assert error["param"].startswith("messages[0].content")


def test_too_long_says_both_numbers(client: Any) -> None:
    error = chat(client(house()), messages=[{"role": "user", "content": "w " * 150}]).json()["error"]
    assert "150" in error["message"]
    assert "100" in error["message"]


def test_null_means_left_out(client: Any) -> None:
    assert chat(client(house()), stop=None, tools=None, seed=None, user=None).status_code == 200


def test_one_crash_harms_nobody_else(client: Any) -> None:
    with client(house(Scripted([RuntimeError("secret detail"), "fine"]))) as http:
        broken = chat(http)
        assert broken.status_code == 500
        assert "secret detail" not in broken.text
        assert chat(http).json()["choices"][0]["message"]["content"] == "fine"
    assert chat(client(house(Scripted([MirimError("out of memory")])))).json()["error"]["code"] == "engine_failed"


# -- tools and JSON --------------------------------------------------------------------------------------------

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
