"""Log-probabilities of whole texts, however long, each read on its own from the start token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Engine

#: Longest window: a context of hundreds of thousands of tokens would need as many rows of logits at once.
WINDOW = 2048


def log_probabilities(engine: Engine, texts: Sequence[str]) -> list[list[float]]:
    """Natural-log probability of each token of each text.

    A text is read after the model's start token, and all of its tokens count. A model without one leaves the
    first token of each text without a probability. A text longer than the context is read in windows that
    overlap by half, and each token counts once, in the window where most stands before it; so is one of
    more than WINDOW tokens. A text of one token with nothing before it has no probabilities.
    UsageError when the engine gives no probabilities, MirimError where these are no numbers.
    """
    if not hasattr(engine, "encode") or not hasattr(engine, "score_tokens"):
        rows = engine.score("", texts)
    else:
        start, (front, behind) = start_tokens(engine), _around(engine)
        rows = []
        for text in texts:
            ids = list(engine.encode(text))
            # Only what the tokenizer itself put there is taken off again.
            rows.append(list(_windows(engine, ids[front : len(ids) - behind], start)))
    for text, row in zip(texts, rows, strict=True):
        if not all(map(math.isfinite, row)):
            raise MirimError(
                f"{engine.name} gives {text[:60]!r} probabilities that are no numbers: its weights are damaged, or the "
                "training that made them diverged; take another checkpoint"
            )
    return rows


def start_tokens(engine: Engine) -> list[int]:
    """The token that texts begin with: what the tokenizer puts there, else its BOS, else the one that the model's
    configuration names. Empty when there is none of these."""
    if _around(engine)[0]:
        return list(engine.encode(""))[:1]  # type: ignore[attr-defined]
    token = engine.start_token if hasattr(engine, "start_token") else _of_transformers(engine)
    return [] if token is None else [token]


def _of_transformers(engine: Engine) -> int | None:
    """The start token of an engine that holds a tokenizer and a model of transformers."""
    own = getattr(getattr(engine, "tokenizer", None), "bos_token_id", None)
    if own is not None:
        return int(own)
    config: Any = getattr(getattr(engine, "model", None), "config", None)
    named = getattr(config, "bos_token_id", None)
    # Some configurations name a token that their vocabulary does not have.
    return named if isinstance(named, int) and 0 <= named < getattr(config, "vocab_size", 0) else None


def _around(engine: Engine) -> tuple[int, int]:
    """How many tokens the tokenizer puts before every text, and how many behind it: none or one each."""
    encode = engine.encode  # type: ignore[attr-defined]
    bare, one = list(encode("")), list(encode("a"))
    front = int(bool(bare) and one[:1] == bare[:1])
    return front, int(len(bare) > front and one[-1] == bare[-1])


def _windows(engine: Engine, body: list[int], start: list[int]) -> Iterator[float]:
    score = engine.score_tokens  # type: ignore[attr-defined]
    room = min(engine.context, WINDOW) - len(start)
    if room < 2:
        raise UsageError(f"a context of {engine.context} tokens is too short to score texts")
    yield from score([*start, *body[:room]])
    at = room
    while at < len(body):
        end = min(at + room // 2, len(body))
        yield from score([*start, *body[end - room : end]])[at - end :]
        at = end
