"""An engine for tests: it says what its reference tells it to, or the last message again.

`echo` repeats the prompt's last line; `echo:text` always answers `text`. One token is one word.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.types import Delta, Engine, Message, Sampling


def open(ref: str, *, context: int = 0, threads: int = 0) -> Engine:
    return Echo(ref.partition(":")[2], context or 4096)


class Echo:
    name = "echo"

    def __init__(self, script: str, context: int) -> None:
        self.script, self.context = script, context

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
    ) -> Iterator[Delta]:
        """The script, or the last line of the prompt, word by word.

        Bound by a schema it says nothing but its script: whoever closes cut JSON makes the least that fits of that.
        """
        said = self.script or ("" if schema is not None else _text(prompt).rpartition("\n")[2])
        return self._stream(_words(said), sampling, self._fit(prompt))

    def _stream(self, words: list[str], sampling: Sampling, used: int) -> Iterator[Delta]:
        reason, said = "stop", ""
        for number, word in enumerate(words):
            if number == sampling.max_tokens:
                reason = "length"
                break
            cut = min((at for s in sampling.stop if s and (at := (said + word).find(s)) >= 0), default=-1)
            if cut >= 0:
                yield Delta((said + word)[len(said) : cut])
                break
            said += word
            yield Delta(word, (_id(word),))
        yield Delta("", finish_reason=reason, prompt_tokens=used)

    def score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        """Words that the prompt holds are likely, others are not."""
        self._fit(prompt)
        known = {w.strip().lower() for w in _words(_text(prompt))}
        return [[-0.1 if w.strip().lower() in known else -5.0 for w in _words(c)] for c in candidates]

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Normalised counts of hashed words, 64 values a text."""
        rows = []
        for text in texts:
            row = [0.0] * 64
            for word in _words(text):
                row[_id(word.strip().lower()) % 64] += 1
            norm = math.sqrt(sum(v * v for v in row)) or 1.0
            rows.append([v / norm for v in row])
        return rows

    def count(self, prompt: str | Sequence[Message]) -> int:
        return len(_words(_text(prompt)))

    def close(self) -> None:
        pass

    def _fit(self, prompt: str | Sequence[Message]) -> int:
        used = self.count(prompt)
        if used > self.context:
            raise UsageError(f"the prompt has {used} tokens, the context of echo holds {self.context}; shorten it")
        return used


def _text(prompt: str | Sequence[Message]) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(m.content for m in prompt)


def _words(text: str) -> list[str]:
    """Words with the space before them, so that joining gives the text back."""
    out: list[str] = []
    for part in text.split(" "):
        out.append(part if not out else f" {part}")
    return [w for w in out if w]


def _id(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:2], "big")
