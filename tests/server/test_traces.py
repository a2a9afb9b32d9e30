"""Spans: what they hold, what they never hold, and that nothing is needed where nobody asked for them."""

from __future__ import annotations

import http.server
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server_fakes import Scripted, house

from mirim.server import traces as room

ASK = {"model": "bare", "messages": [{"role": "user", "content": "a secret question"}]}


@pytest.fixture(autouse=True)
def _nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*room._ASKING, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(room, "note", said.append)
    return said


@pytest.fixture
def memory() -> Iterator[tuple[room.Traces, Any]]:
    pytest.importorskip("opentelemetry.sdk", reason="pip install 'mirim[otel]' brings it")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = room.Traces(provider, own=True)
    yield made, exporter
    made.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_span_says_route_model_tokens_and_wait(memory: Any, client: Callable[..., Any], stream: bool) -> None:
    traces, exporter = memory
    engine = Scripted(["an answer of five words"])
    with client(house(engine, traces=traces)) as http_client:
        reply = http_client.post("/v1/chat/completions", json=ASK | {"stream": stream})
    assert reply.status_code == 200
    (span,) = exporter.get_finished_spans()
    told = dict(span.attributes)
    assert span.name == "POST /v1/chat/completions"
    assert span.kind.name == "SERVER"
    assert told.pop("mirim.request.id") == reply.headers["x-request-id"]
    assert 0 <= told.pop("mirim.queue_seconds") < 5
    assert told.pop("mirim.first_token_seconds") > 0
    assert told == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.request.model": "bare",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
    }
    assert span.end_time > span.start_time


def test_no_text_of_question_or_answer_is_in_a_span(memory: Any, client: Callable[..., Any]) -> None:
    traces, exporter = memory
    with client(house(Scripted(["the hidden answer"]), traces=traces)) as http_client:
        http_client.post("/v1/chat/completions", json=ASK)
        http_client.post("/v1/chat/completions", json=ASK | {"model": "secret"})
        http_client.post("/v1/chat/completions", content=b'{"secret', headers={"content-type": "application/json"})
    whole = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert whole.count('"POST /v1/chat/completions"') == 3
    assert not [word for word in ("secret", "hidden", "testclient") if word in whole]


def test_errors_and_the_callers_trace(memory: Any, client: Callable[..., Any]) -> None:
    traces, exporter = memory
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    with client(house(Scripted([RuntimeError("lost")]), traces=traces)) as http_client:
        assert http_client.post("/v1/chat/completions", json=ASK, headers=headers).status_code == 500
        assert http_client.post("/v1/chat/completions", json=ASK | {"bees": 1}).status_code == 400
    broken, refused = exporter.get_finished_spans()
    assert format(broken.context.trace_id, "032x") == trace
    assert format(broken.parent.span_id, "016x") == "b7ad6b7169203331"
    assert broken.status.status_code.name == "ERROR"
    assert broken.attributes["http.response.status_code"] == 500
    assert refused.parent is None
    assert refused.status.status_code.name == "UNSET"
    assert refused.attributes["error.type"] == "unknown_parameter"


def test_waiting_is_told(memory: Any, client: Callable[..., Any]) -> None:
    traces, exporter = memory

    class Slow(Scripted):
        """The first answer takes until another one has waited for it."""

        def generate(self, *words: Any, **more: Any) -> Any:
            until = time.monotonic() + 30
            while not self.calls and not lane.waiting and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.2)
            yield from super().generate(*words, **more)

    engine = Slow()
    engine.parallel = 1
    ours = house(engine, traces=traces)
    lane = ours.room.models["bare"].lane
    with client(ours) as http_client:
        users = [
            threading.Thread(target=http_client.post, args=("/v1/chat/completions",), kwargs={"json": ASK})
            for _ in range(2)
        ]
        for user in users:
            user.start()
        for user in users:
            user.join()
    quick, late = sorted(span.attributes["mirim.queue_seconds"] for span in exporter.get_finished_spans())
    assert quick < 0.2 <= late


def test_open_routes_have_no_spans(memory: Any, client: Callable[..., Any]) -> None:
    traces, exporter = memory
    with client(house(traces=traces)) as http_client:
        assert http_client.get("/health").status_code == 200
        assert http_client.get("/nothing").status_code == 404
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    "words",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}],
)
def test_nobody_asked(words: dict[str, str], monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> None:
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    assert room.traces() is None
    assert notes == []


def test_what_is_missing_is_said_and_the_server_goes_on(monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert room.traces() is None
    assert "pip install 'mirim[otel]'" in notes[0]


def test_an_unknown_exporter_is_said(monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> None:
    pytest.importorskip("opentelemetry.sdk")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    assert room.traces() is None
    assert '"pigeon" is not installed' in notes[0]


@pytest.mark.slow
def test_a_collector_gets_the_spans_of_the_command(server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'mirim[otel]' brings it")
    got: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    one = server("--model", "echo")
    ask = urllib.request.Request(
        f"{one.url}/v1/chat/completions",
        json.dumps(ASK | {"model": "echo"}).encode(),
        {"content-type": "application/json"},
    )
    urllib.request.urlopen(ask, timeout=20).close()
    assert one.stop()[0] == 0
    collector.shutdown()
    ((path, body),) = got
    assert path == "/v1/traces"
    assert b"POST /v1/chat/completions" in body
    assert b"mirim.queue_seconds" in body
    assert b"secret question" not in body
