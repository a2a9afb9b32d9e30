"""Connections that say nothing, and as many as a process has files for."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from mirim.server.connections import KEPT

HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FILES = KEPT + 40


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server with few files, whose patience is a second."""
    code = (
        "import sys, uvicorn, mirim.cli as c\n"
        "real = uvicorn.Config\n"
        "uvicorn.Config = lambda *a, **k: real(*a, **{**k, 'timeout_keep_alive': 1})\n"
        f"c.main(['serve', '--model', 'echo', '--port', '0', '--json', '--audit', {str(tmp_path / 'audit.jsonl')!r}])\n"
    )
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))  # noqa: E731
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=log, text=True, preexec_fn=few)
    assert running.stdout is not None
    yield int(json.loads(running.stdout.readline())["address"].rpartition(":")[2])
    running.terminate()
    assert running.wait(30) == 0
    assert (tmp_path / "log").read_text() == "stopped; running answers were ended first\n"


def _gone(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_who_says_nothing_keeps_nobody_out(port: int) -> None:
    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
        except OSError:
            return False

    quiet = [socket.create_connection(("127.0.0.1", port)) for _ in range(FILES)]
    for one in quiet[::2]:
        try:
            one.sendall(HEAD)
        except OSError:
            assert _gone(one)
    assert until(answers)
    assert until(lambda: all(_gone(one) for one in quiet))
    for one in quiet:
        one.close()


def test_a_head_that_trickles_in_is_late_and_a_slow_body_is_not(port: int) -> None:
    slow, body = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    text = b'{"model": "echo", "messages": [{"role": "user", "content": "hi"}]}'
    size = b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text)
    body.sendall(HEAD.replace(b"GET /health", b"POST /v1/chat/completions") + size + text[:9])

    def late() -> bool:
        try:
            slow.sendall(b"a")
        except OSError:
            return True
        return _gone(slow)

    assert until(late)
    body.sendall(text[9:])
    with body.makefile("rb") as answer:
        assert b" 200 " in answer.readline()
