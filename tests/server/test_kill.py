"""The server is killed while it answers, and started again: on the same port, within seconds, unharmed."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import built, until

pytestmark = pytest.mark.slow
USERS = 8


def ask(port: int, tokens: int, stream: bool) -> tuple[int, bytes]:
    """Status and body; OSError or HTTPException when the connection breaks, as it must with a dead server."""
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "good morning"}], "max_tokens": tokens}
        body["temperature"] = 0  # a toy with random weights may draw the end at once
        body |= {"stream": stream, "response_format": {"type": "json_object"}} if stream else {}
        wire.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        reply = wire.getresponse()
        return reply.status, reply.read()
    finally:
        wire.close()


@pytest.mark.parametrize("engine", ["llama_cpp", "native"])
def test_killed_in_mid_load_it_serves_again_at_once(
    engine: str, server: Callable[..., Any], toy: Path, tmp_path: Path
) -> None:
    if engine == "native":
        built()
    log = tmp_path / "audit.jsonl"
    words = ("--model", str(toy), "--engine", engine, "--threads", "1", "--parallel", "4", "--audit", str(log))
    first = server(*words)
    port = int(first.url.rpartition(":")[2])
    whole = [0]
    broken: list[str] = []

    def user() -> None:
        while True:
            try:
                status, body = ask(port, 900, True)
            except (OSError, http.client.HTTPException) as error:
                broken.append(type(error).__name__)
                return
            assert status == 200
            assert body.endswith(b"data: [DONE]\n\n")
            whole[0] += 1

    users = [threading.Thread(target=user, daemon=True) for _ in range(USERS)]
    for one in users:
        one.start()
    assert until(lambda: whole[0] > 0, 30)
    first.process.kill()
    assert first.process.wait(10) == -9
    for one in users:
        one.join(20)
    # Nobody waits for ever, and nobody takes a torn answer for a whole one.
    assert len(broken) == USERS

    started = time.perf_counter()
    second = server(*words, "--port", str(port))
    ready = time.perf_counter() - started
    status, body = ask(port, 4, False)
    answered = time.perf_counter() - started
    print(f"{engine}: ready {ready:.2f} s and first answer {answered:.2f} s after the start")
    assert int(second.url.rpartition(":")[2]) == port
    assert status == 200
    assert json.loads(body)["usage"]["completion_tokens"] > 0
    assert answered < 15  # 3 s is the goal on a quiet machine; tests run on busy ones
    code, _, error = second.stop()
    assert code == 0
    assert "Traceback" not in error
    # The audit log of both lives is whole.
    assert {json.loads(line)["status"] for line in log.read_text().splitlines()} == {200}


def test_killed_in_mid_load_its_core_has_its_cache_again(server: Callable[..., Any], toy: Path, tmp_path: Path) -> None:
    """Keys and values of the system prompt lie on disk, and are there before the first request."""
    built()
    warm = tmp_path / "warm.json"
    words = ("--model", str(toy), "--engine", "native", "--threads", "1", "--parallel", "4", "--warm", str(warm))
    rules = "You are the voice of a clinic. Be brief, be kind, and never guess a dose. " * 6
    folder = tmp_path / "warm.json.kv" / "tiny"

    def chat(port: int, word: str, tokens: int) -> dict[str, Any]:
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            messages = [{"role": "system", "content": rules}, {"role": "user", "content": word}]
            body = {"model": "tiny", "messages": messages, "max_tokens": tokens, "temperature": 0}
            wire.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            reply = wire.getresponse()
            assert reply.status == 200
            return dict(json.loads(reply.read()))
        finally:
            wire.close()

    def user(number: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                chat(port, f"what about number {number}?", 200)

    first = server(*words)
    port = int(first.url.rpartition(":")[2])
    computed = chat(port, "and now?", 12)
    users = [threading.Thread(target=user, args=(n,), daemon=True) for n in range(USERS)]
    for one in users:
        one.start()
    assert until(lambda: any(folder.glob("*.kv")) if folder.exists() else False, 30)
    first.process.kill()
    first.process.wait(10)
    for one in users:
        one.join(20)

    started = time.perf_counter()
    second = server(*words, "--port", str(port))
    reply = chat(port, "and now?", 12)
    took = time.perf_counter() - started
    print(f"first answer from the kept prefix {took:.2f} s after the start")
    used = reply["usage"]
    assert used["prompt_tokens_details"]["cached_tokens"] > 0.8 * used["prompt_tokens"]
    assert reply["choices"][0]["message"] == computed["choices"][0]["message"]
    assert took < 15  # 3 s is the goal on a quiet machine; tests run on busy ones
    _, _, error = second.stop()
    assert "taken back in" in error
    assert "Traceback" not in error

    # A broken file is left aside with one line, and the prompt is computed again.
    for file in folder.glob("*.kv"):
        file.write_bytes(file.read_bytes()[:-100])
    third = server(*words, "--port", str(port))
    assert chat(port, "and now?", 12)["choices"][0]["message"] == computed["choices"][0]["message"]
    _, _, error = third.stop()
    lines = [line for line in error.splitlines() if "not used" in line]
    assert len(lines) == 1
    assert "torn" in lines[0]
    # What was used often came back to the disk, whole.
    assert not any(folder.glob("*.new"))
