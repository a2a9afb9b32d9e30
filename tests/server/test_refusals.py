"""What is not answered: each error with its status, its code, and what to do instead."""

from __future__ import annotations

from typing import Any

import pytest
from server_fakes import HI, TOOLS, Scripted, chat, house

from mirim.core.errors import MirimError
from mirim.server.wire import BODY


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
