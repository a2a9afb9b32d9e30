"""How often a streamed answer is sent: no word waits for the next one, and what is ready goes together."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server_fakes import Scripted, house

from mirim.core.types import Delta
from mirim.server.app import build

WORDS = ("one", " two", " three", " four")
ASK = {
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "count"}],
        "stream_options": {"include_usage": True},
    },
    "/v1/completions": {"prompt": "count", "echo": True, "stream_options": {"include_usage": True}},
    "/v1/responses": {"input": "count"},
}
ENDS = {
    "/v1/chat/completions": b"data: [DONE]\n\n",
    "/v1/completions": b"data: [DONE]\n\n",
    "/v1/responses": b"response.completed",
}


class Stepped(Scripted):
    """Says its next word when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [threading.Event() for _ in WORDS]

    def generate(self, prompt: Any, sampling: Any, **_: Any) -> Iterator[Delta]:
        for word, step in zip(WORDS, self.steps, strict=True):
            assert step.wait(10)
            yield Delta(word)
        yield Delta("", (), "stop", 1, (), len(WORDS))


def asked(engine: Any, path: str, seen: Callable[[bytes], None]) -> list[dict[str, Any]]:
    """All messages of a streamed answer as the application sends them; `seen` is told of each body."""
    body = json.dumps({"model": "bare", "stream": True, **ASK[path]}).encode()
    parts = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        done = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            seen(message.get("body", b""))

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http", "root_path": ""}
        async with asyncio.timeout(20):
            await build(house(engine))(scope, receive, send)  # type: ignore[arg-type]
        done.set()

    asyncio.run(main())
    return sent


@pytest.mark.parametrize("path", ASK)
def test_each_word_is_sent_before_the_next_is_made(path: str) -> None:
    engine, heard = Stepped(), [0]

    def seen(body: bytes) -> None:
        """The next word may be said when this one has arrived; a word held back would wait for ever."""
        while heard[0] < len(WORDS) and WORDS[heard[0]].strip().encode() in body:
            heard[0] += 1
            if heard[0] < len(WORDS):
                engine.steps[heard[0]].set()

    engine.steps[0].set()
    sent = asked(engine, path, seen)
    assert heard == [len(WORDS)]
    # The head, one for each word, and the end unless it was ready with the last word.
    assert len(sent) - 1 - len(WORDS) in (0, 1)
    assert [m["type"] for m in sent].count("http.response.start") == 1
    assert ENDS[path] in sent[-1]["body"]
    assert [m.get("more_body", False) for m in sent[1:]] == [True] * (len(sent) - 2) + [False]


@pytest.mark.parametrize("path", ASK)
def test_a_whole_answer_that_is_ready_is_few_sends(path: str) -> None:
    engine = Scripted(["word"])
    sent = asked(engine, path, lambda _: None)
    # The thread may be caught between the word and the end; never more than that.
    assert len(sent) <= 3
    assert ENDS[path] in sent[-1]["body"]


def test_an_error_in_the_middle_ends_the_stream() -> None:
    class Broken(Scripted):
        def generate(self, prompt: Any, sampling: Any, **_: Any) -> Iterator[Delta]:
            yield Delta("one")
            raise RuntimeError("lost")

    sent = asked(Broken(), "/v1/chat/completions", lambda _: None)
    body = b"".join(m.get("body", b"") for m in sent)
    assert b"one" in body
    assert b'"code":"internal"' in body.replace(b'": "', b'":"')
    assert b"[DONE]" not in body
    assert not sent[-1].get("more_body", False)
