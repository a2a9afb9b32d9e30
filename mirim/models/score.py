"""How surprised is a model by a text? Perplexity over windows that fit the context."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mirim.core.errors import UsageError

_WINDOW = 512


@dataclass(frozen=True, slots=True)
class Perplexity:
    """`value` = exp(-mean log-probability) over `tokens` tokens.

    left_out   tokens with nothing before them (the first of each window of a model without BOS)
    cut        whether `limit` ended the measurement before the texts did
    """

    value: float
    tokens: int
    left_out: int
    cut: bool


def perplexity(engine: Any, texts: Iterable[str], *, limit: int = 1 << 20, window: int = _WINDOW) -> Perplexity:
    """Perplexity of a local engine (one with `encode` and `score_tokens`) on texts.

    Each text is cut into windows of at most `window` tokens (or the context), scored on their own.
    UsageError when the engine gives no probabilities or the texts hold nothing to score.
    """
    if not hasattr(engine, "score_tokens"):
        raise UsageError(f"{engine.name} gives no probabilities of texts; perplexity needs a local model")
    total, count, left, cut = 0.0, 0, 0, False
    for text in texts:
        if count >= limit:
            cut = True
            break
        for ids, lead in _windows(engine, text, min(window, engine.context)):
            values = engine.score_tokens(ids)
            left += 1 - lead if ids else 0
            total += sum(values)
            count += len(values)
    if not count:
        raise UsageError("the held-out text holds no two tokens in a row; give more text")
    mean = -total / count
    return Perplexity(math.exp(mean) if mean < 700 else math.inf, count, left, cut)


def _windows(engine: Any, text: str, size: int) -> Iterable[tuple[Sequence[int], int]]:
    """(ids, 1 when they begin with the model's own BOS) for each window of a text."""
    ids = engine.encode(text)
    bare = engine.encode("")
    lead = bare if bare and ids[: len(bare)] == bare else []
    body = ids[len(lead) :]
    step = max(1, size - len(lead))
    for start in range(0, len(body), step):
        yield [*lead, *body[start : start + step]], int(bool(lead))
