"""`mirim serve` as a process: its contracts, real clients, disconnects, shutdown."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

pytestmark = pytest.mark.slow


def run(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mirim", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as reply:
        return json.load(reply)


def status(server: Any) -> Any:
    return get(f"{server.url}/mirim/status")


def test_one_line_when_ready_and_a_clean_end(server: Callable[..., Any]) -> None:
    one = server("--model", "echo")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", one.url)
    assert get(f"{one.url}/ready")["models"] == ["echo"]
    code, rest, error = one.stop()
    assert code == 0
    assert rest == ""
    assert "Traceback" not in error


def test_with_json_stdout_is_one_object(server: Callable[..., Any]) -> None:
    one = server("--model", "echo", "--json")
    assert json.loads(one.line)["models"] == ["echo"]
    code, rest, _ = one.stop()
    assert (code, rest) == (0, "")


def test_a_port_in_use_is_one_clear_message() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--model", "echo", "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_addresses_demand_a_key(host: str, tmp_path: Path) -> None:
    done = run("serve", "--model", "echo", "--host", host, "--port", "0")
    assert done.returncode == 2
    assert "mirim keys new" in done.stderr


def test_no_address_is_not_every_address() -> None:
    done = run("serve", "--model", "echo", "--host", "", "--port", "0")
    assert done.returncode == 2
    assert "0.0.0.0" in done.stderr


def test_a_second_signal_ends_it_at_once_and_says_so(server: Callable[..., Any]) -> None:
    running = server("--model", "echo")
    for _ in range(2):
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    _, errors = running.process.communicate(timeout=20)
    assert running.process.returncode == 0
    assert errors.strip() == "stopped at once; what was still running was cut off"


def test_a_second_signal_cuts_running_requests_off_without_a_trace(server: Callable[..., Any]) -> None:
    running = server("--model", "echo")
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as half:
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9"
        half.sendall(f"{head}\r\n\r\n{{".encode())
        time.sleep(0.5)
        for _ in range(2):
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        _, errors = running.process.communicate(timeout=20)
    assert running.process.returncode == 0
    assert errors.strip() == "stopped at once; what was still running was cut off"


def test_with_a_key_other_addresses_are_served(server: Callable[..., Any]) -> None:
    made = run("keys", "new", "--json", "--name", "test")
    key = json.loads(made.stdout)["key"]
    one = server("--model", "echo", "--host", "0.0.0.0")
    port = one.url.rpartition(":")[2]
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"http://127.0.0.1:{port}/v1/models")
    assert refused.value.code == 401
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as reply:
        assert json.load(reply)["data"][0]["id"] == "echo"


@pytest.mark.parametrize(
    "words",
    [
        ("--model", "no/such/model.gguf"),
        ("--model", "echo", "--model", "echo"),
        ("--model", "echo", "--adapter", "x"),
        ("--model", "echo", "--adapter", "x=nothing.gguf"),
        ("--model", "echo", "--parallel", "0"),
        ("--model", "echo", "--threads", "-1"),
        ("--model", "echo", "--tls-cert", "a.pem"),
        ("--model", "echo", "--cors-origin", "*"),
        ("--model", "echo", "--engine", "warp"),
        ("--model", "echo", "--host", "no such host"),
        (),
    ],
)
def test_bad_words_are_usage_errors(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("serve", *words, "--port", "0")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_openai_sdk(server: Callable[..., Any], toy: Path) -> None:
    openai = pytest.importorskip("openai")
    one = server("--model", str(toy), "--ctx", "512")
    client = openai.OpenAI(base_url=f"{one.url}/v1", api_key="none", max_retries=0)
    assert [m.id for m in client.models.list()] == ["tiny"]
    ask: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "good morning"}]}
    first = client.chat.completions.create(**ask, max_tokens=8, temperature=0)
    again = client.chat.completions.create(**ask, max_tokens=8, temperature=0)
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.usage.completion_tokens == 8

    pieces = list(
        client.chat.completions.create(
            **ask, max_tokens=8, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text == first.choices[0].message.content
    assert pieces[-1].usage.completion_tokens == 8

    seen = {client.chat.completions.create(**ask, max_tokens=8, seed=s).choices[0].message.content for s in (1, 1, 1)}
    assert len(seen) == 1
    assert len({c.message.content for c in client.chat.completions.create(**ask, max_tokens=8, n=4).choices}) > 1

    shown = client.chat.completions.create(**ask, max_tokens=4, logprobs=True, top_logprobs=3, temperature=0)
    assert all(len(t.top_logprobs) == 3 and t.logprob <= 0 for t in shown.choices[0].logprobs.content)

    tools = [{"type": "function", "function": {"name": n, "parameters": _city()}} for n in ("a", "b")]
    for limit in (1, 5, 40):
        for choice in ("required", {"type": "function", "function": {"name": "b"}}):
            done = client.chat.completions.create(**ask, tools=tools, tool_choice=choice, max_tokens=limit)
            (call,) = done.choices[0].message.tool_calls
            assert call.function.name in ("a", "b") if choice == "required" else call.function.name == "b"
            row = json.loads(call.function.arguments)
            assert isinstance(row["city"], str)
            assert row["unit"] in ("C", "F")

    for limit in (1, 7, 60):
        form = {"type": "json_schema", "json_schema": {"name": "p", "schema": _city(), "strict": True}}
        row = json.loads(
            client.chat.completions.create(**ask, response_format=form, max_tokens=limit).choices[0].message.content
        )
        assert row["unit"] in ("C", "F")
        done = client.chat.completions.create(**ask, response_format={"type": "json_object"}, max_tokens=limit)
        assert isinstance(json.loads(done.choices[0].message.content), dict)
        done = client.chat.completions.create(**ask, tools=tools, response_format=form, max_tokens=limit)
        message = done.choices[0].message
        row = json.loads(message.tool_calls[0].function.arguments if message.tool_calls else message.content)
        assert row["unit"] in ("C", "F")

    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "good " * 2000}])
    assert long.value.code == "context_length_exceeded"
    assert "512" in str(long.value)
    with pytest.raises(openai.NotFoundError) as lost:
        client.chat.completions.create(model="other", messages=ask["messages"])
    assert lost.value.code == "model_not_found"

    scored = client.completions.create(model="tiny", prompt="The nurse opened", echo=True, logprobs=1, max_tokens=1)
    values = scored.choices[0].logprobs
    assert len(values.tokens) == len(values.token_logprobs) == len(values.text_offset)
    assert values.token_logprobs[0] is None
    assert all(v < 0 for v in values.token_logprobs[1:])

    assert len(client.embeddings.create(model="tiny", input=["a", "b"]).data[0].embedding) > 8
    answer = client.responses.create(model="tiny", input="hello", max_output_tokens=5, temperature=0)
    assert answer.status in ("completed", "incomplete")
    assert answer.output_text
    with client.responses.stream(model="tiny", input="hello", max_output_tokens=5) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")


def _city() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(("number", "expected"), [(0, (1, 1)), (3, (3, 3))])
def test_the_number_of_threads_reaches_the_engine(
    number: int, expected: tuple[int, int], toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.models.engines import llama_cpp
    from mirim.server.serve import serve

    tried: list[int] = []
    opened: list[Any] = []
    whole = llama_cpp._serve

    def choose(self: Any, cores: int) -> tuple[int, int]:
        tried.append(cores)
        return 1, 1

    def start(path: Path, context: int, threads: tuple[int, int], *rest: Any, **more: Any) -> Any:
        opened.append(threads)
        return whole(path, context, threads, *rest, **more)

    monkeypatch.setattr(llama_cpp.Scorer, "choose_threads", choose)
    monkeypatch.setattr(llama_cpp, "_serve", start)
    monkeypatch.setattr("mirim.server.serve._run", lambda *_: None)
    serve(model=(str(toy),), engine="llama_cpp", port=0, threads=number)
    assert opened == [expected]
    assert bool(tried) == (number == 0)


def test_logprobs_of_an_echo_are_those_of_the_engine(server: Callable[..., Any], toy: Path) -> None:
    from mirim.models.engine import open_engine

    text, rest = "The nurse opened the door", " and said good morning"
    engine = open_engine(toy)
    expected = sum(engine.score(text, [rest])[0])
    engine.close()
    one = server("--model", str(toy))
    body = {"model": "tiny", "prompt": text + rest, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    request = urllib.request.Request(
        f"{one.url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        shown = json.load(reply)["choices"][0]["logprobs"]
    start = next(n for n, at in enumerate(shown["text_offset"]) if at >= len(text))
    assert sum(shown["token_logprobs"][start:-1]) == pytest.approx(expected, abs=1e-3)


def test_a_prompt_of_token_ids_is_read_as_these(server: Callable[..., Any], toy: Path) -> None:
    from mirim.models.engine import open_engine

    engine = open_engine(toy)
    text = "The nurse opened the door"
    ids = engine.encode(text)
    # The same text in single characters: no text would be read as these.
    spelt = [*engine.encode(""), *(engine.words.encode(c, special=False)[-1] for c in text)]
    highest = engine.words.vocabulary - 1
    engine.close()
    one = server("--model", str(toy))

    def ask(**body: Any) -> Any:
        ask = {"model": "tiny", "max_tokens": 4, "temperature": 0, "echo": True, "logprobs": 0} | body
        request = urllib.request.Request(
            f"{one.url}/v1/completions", json.dumps(ask).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    said, by_ids, apart = (ask(prompt=prompt) for prompt in (text, ids, spelt))
    assert said["choices"][0]["text"] == by_ids["choices"][0]["text"]
    assert by_ids["usage"]["prompt_tokens"] == len(ids)
    assert apart["usage"]["prompt_tokens"] == len(spelt) > len(ids)
    assert apart["choices"][0]["text"].startswith(text)
    both = ask(prompt=[ids, spelt])["choices"]
    assert [c["text"] for c in both] == [said["choices"][0]["text"], apart["choices"][0]["text"]]
    assert ask(prompt=[highest])["usage"]["prompt_tokens"] == 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(prompt=[highest + 1])
    assert f"token {highest + 1}; the model has {highest + 1}" in json.load(refused.value)["error"]["message"]


def test_a_client_that_leaves_frees_its_place(server: Callable[..., Any], toy: Path) -> None:
    one = server("--model", str(toy), "--parallel", "1")
    port = int(one.url.rpartition(":")[2])
    for stream in (True, False):
        ask = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": 900}
        body = json.dumps(ask | {"response_format": {"type": "json_object"}}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", port)) as wire:
            wire.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if stream:
                wire.recv(100)
            else:
                assert until(lambda: status(one)["lanes"][0]["running"] == 1)
        assert until(lambda: status(one)["lanes"][0]["running"] == 0, 20)


def test_running_answers_end_before_the_server_does(server: Callable[..., Any], toy: Path) -> None:
    one = server("--model", str(toy))
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 600, "stream": True}
    request = urllib.request.Request(
        f"{one.url}/v1/chat/completions", json.dumps(ask).encode(), {"content-type": "application/json"}
    )
    said: list[bytes] = []
    begun = threading.Event()

    def listen() -> None:
        with urllib.request.urlopen(request, timeout=60) as reply:
            for line in reply:
                said.append(line)
                begun.set()

    thread = threading.Thread(target=listen)
    thread.start()
    assert begun.wait(20)
    one.process.send_signal(signal.SIGTERM)
    thread.join(60)
    assert said[-2].strip() == b"data: [DONE]"
    assert one.process.wait(20) == 0


def test_a_new_version_is_taken_in_without_a_stop(server: Callable[..., Any], toy: Path, tmp_path: Path) -> None:
    import os
    import shutil

    target = tmp_path / "tiny.gguf"
    shutil.copy(toy, target)
    one = server("--model", str(target))
    before = get(f"{one.url}/v1/models/tiny")["created"]
    shutil.copy(toy, tmp_path / "new")
    os.utime(tmp_path / "new", (before + 100, before + 100))
    os.replace(tmp_path / "new", target)
    one.process.send_signal(signal.SIGHUP)
    assert until(lambda: get(f"{one.url}/v1/models/tiny")["created"] == before + 100, 30)
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3, "temperature": 0}
    request = urllib.request.Request(
        f"{one.url}/v1/chat/completions", json.dumps(ask).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        assert json.load(reply)["usage"]["completion_tokens"] == 3


def test_replies_are_not_held_back_by_nagle(server: Callable[..., Any]) -> None:
    import http.client
    import time

    one = server("--model", "echo")
    wire = http.client.HTTPConnection("127.0.0.1", int(one.url.rpartition(":")[2]))
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        wire.request("GET", "/health")
        wire.getresponse().read()
        seconds.append(time.perf_counter() - started)
    assert sorted(seconds)[5] < 0.035
