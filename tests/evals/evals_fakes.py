"""An engine whose probabilities are known: each character is a token."""

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.types import Delta, Message, Sampling
from mirim.examples.template import CHATML

BOS = 0


class Letters:
    """After the start token or another letter, a letter seen before in the window costs 1 nat, a new one 3."""

    name = "letters"
    template = "a template"

    def __init__(self, context: int = 64, start: bool = True, answers: dict[str, str] | None = None) -> None:
        self.context, self.start, self.answers = context, start, answers or {}
        self.scored: list[int] = []
        self.prompts: list[str] = []

    def encode(self, text: str) -> list[int]:
        return [BOS] * self.start + [ord(c) for c in text]

    def score_tokens(self, ids: Sequence[int]) -> list[float]:
        if len(ids) > self.context:
            raise UsageError(f"{len(ids)} tokens, the context holds {self.context}")
        self.scored.append(len(ids))
        return [-1.0 if t in ids[:n] else -3.0 for n, t in enumerate(ids) if n]

    def generate(self, prompt: str | Sequence[Message], sampling: Sampling, **_: Any) -> Iterator[Delta]:
        # Only what mirim made from scratch, which reads sentences, is asked for more than its likeliest answer.
        assert sampling.temperature == 0 or self.template == CHATML
        text = prompt if isinstance(prompt, str) else prompt[-1].content
        self.prompts.append(text)
        said = next((a for q, a in self.answers.items() if q in text), "The text does not say.")
        for word in said.split(" "):
            yield Delta(word + " ")
        yield Delta("", finish_reason="stop")

    def score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        return [self.score_tokens(self.encode(c)) for c in candidates]

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[0.0] for _ in texts]

    def count(self, prompt: str | Sequence[Message]) -> int:
        return len(prompt if isinstance(prompt, str) else prompt[-1].content)

    def close(self) -> None:
        pass
