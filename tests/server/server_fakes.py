"""Engines and an assistant that do what a test tells them to, and how they are asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mirim.core.types import Answer, Citation, Delta, Message, Sampling, TokenLogprob
from mirim.server.door import House
from mirim.server.room import Room, Running, Served
from mirim.server.scheduler import Lane

HI = [{"role": "user", "content": "hi"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("weather", "news")
]
TEXT = "# Fasting\n\nFast for eight hours 🐝 before the blood test. Water is allowed.\n"


class Scripted:
    """Says what `script` gives for each call, word by word; remembers what it was asked."""

    name, context, template, parallel, logprobs = "scripted", 100, "{{ tools }}", 2, True

    def __init__(self, script: list[Any] | None = None, delay: float = 0.0) -> None:
        self.script, self.delay = script or ["Hello there, friend."], delay
        self.calls: list[dict[str, Any]] = []
        self.closed = 0
        self.running = self.most = 0
        self._lock = threading.Lock()

    def generate(
        self,
        prompt: Any,
        sampling: Sampling,
        *,
        tools: Any = (),
        schema: Any = None,
        call: Any = None,
        adapter: int | None = None,
    ) -> Iterator[Delta]:
        from mirim.core.errors import UsageError

        with self._lock:
            said = self.script[min(len(self.calls), len(self.script) - 1)]
            asked = {"prompt": prompt, "sampling": sampling, "tools": tools, "schema": schema, "call": call}
            self.calls.append({**asked, "adapter": adapter})
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            used = self.count(prompt)
            if used > self.context:
                raise UsageError(
                    f"the prompt has {used} tokens, the context of scripted holds {self.context}; shorten it"
                )
            if isinstance(said, BaseException):
                raise said
            words = [w if n == 0 else f" {w}" for n, w in enumerate(said.split(" "))]
            for word in words[: sampling.max_tokens]:
                time.sleep(self.delay)
                probability = (TokenLogprob(word, -0.5, 7, top=(TokenLogprob(word, -0.5, 7),)),)
                yield Delta(word, logprobs=probability if sampling.logprobs is not None else ())
            cut = len(words) > sampling.max_tokens
            made = min(len(words), sampling.max_tokens)
            yield Delta("", (), "length" if cut else "stop", used, (), made, 1)
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            with self._lock:
                self.running -= 1

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[0.5, float(len(t))] for t in texts]

    def count(self, prompt: Any) -> int:
        text = prompt if isinstance(prompt, str) else " ".join(m.content for m in prompt)
        return len(text.split())

    def close(self) -> None:
        pass


class Index:
    """One document with one passage."""

    def documents(self) -> list[tuple[str, str, str]]:
        return [("fasting.md", "exams/fasting.md", "Fasting")]

    def passages(self, document: str) -> list[Any]:
        from mirim.core.types import Passage

        return [Passage(document, "exams/fasting.md", 11, len(TEXT), "Fasting", TEXT[11:])]

    def close(self) -> None:
        pass


class Assistant:
    """Knows about fasting and nothing else."""

    index = Index()

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Message, ...], str | None]] = []
        self.prepared = 0

    def prepare(self) -> None:
        self.prepared += 1

    def close(self) -> None:
        self.index.close()

    def answer(self, question: str, history: Sequence[Message] = (), policy: Any = None) -> Answer:
        self.asked.append((question, tuple(history), policy))
        if "fast" not in question.lower():
            return Answer("I do not know.", True, 0.1, policy or "quote", (), "clinic", 0.01)
        start = TEXT.index("Fast for")
        end = TEXT.index(" Water")
        cited = Citation("fasting.md", "exams/fasting.md", None, start, end, TEXT[start:end])
        return Answer(TEXT[start:end], False, 0.91, policy or "quote", (cited,), "clinic", 0.01)


def house(engine: Any = None, *, queue: int = 64, patience: float = 30.0, **options: Any) -> House:
    """A house with the bare model `bare`, its adapter `tuned` and the assistant `clinic`."""
    engine = engine or Scripted()
    lane = Lane(engine.parallel, queue, patience)
    models = {
        "bare": Served("bare", "model", engine, lane, created=1),
        "tuned": Served("tuned", "adapter", engine, lane, 0, created=1),
        "clinic": Served("clinic", "assistant", engine, lane, assistant=Assistant(), created=1),
    }
    return House(Room(models, {"bare": Running(engine, lane, 1)}), **options)


def fixture_document(root: Path) -> None:
    """The cited document as a project stores it."""
    from mirim.core.types import Document
    from mirim.documents import store

    store.save(root, Document("fasting.md", "exams/fasting.md", "text/markdown", "Fasting", TEXT))


def chat(client: Any, **body: Any) -> Any:
    return client.post("/v1/chat/completions", json={"model": "bare", "messages": HI, **body})


def events(reply: Any) -> list[dict[str, Any]]:
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in reply.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
