"""Decoding one sequence from logits: the same choice of tokens, text and stops whatever computes them."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mirim.core.errors import MirimError
from mirim.core.types import Delta, Sampling, TokenLogprob
from mirim.examples.template import before_words

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]


def stream(
    ids: Sequence[int],
    sampling: Sampling,
    *,
    context: int,
    logits: Callable[[list[int]], Array],
    piece: Callable[[int], bytes],
    ends: Callable[[int], bool],
) -> Iterator[Delta]:
    """Continue `ids` until a token that ends, a stop string, `max_tokens` or the end of the context.

    logits   (vocabulary,) after all the ids it is given; they grow by one at each call
    piece    the bytes of a token; text is given out in whole characters, broken UTF-8 becomes U+FFFD
    """
    import numpy as np

    seen = list(ids)
    random = np.random.default_rng(sampling.seed)
    text = Text(sampling.stop, piece)
    reason = "length"
    for _ in range(min(sampling.max_tokens, context - len(ids))):
        token = choose(logits(seen), sampling, seen, random)
        if ends(token):
            reason = "stop"
            break
        seen.append(token)
        text.add(token)
        if delta := text.ready():
            yield delta
        if text.stopped:
            reason = "stop"
            break
    yield text.end(reason, prompt_tokens=len(ids))


def without(deltas: Iterator[Delta], lead: str) -> Iterator[Delta]:
    """The stream without the blanks that a chat template puts before an answer, where the answer begins with them."""
    with contextlib.closing(deltas):  # type: ignore[type-var]
        left = lead
        for delta in deltas:
            text = delta.text
            while left and text:
                if text[0] != left[0]:
                    left = ""
                    break
                left, text = left[1:], text[1:]
            yield delta if text == delta.text else replace(delta, text=text)


def thought(template: str, bos_token: str, eos_token: str) -> str:
    """Words that the template writes before an assistant's own and does not ask for them with, such as Qwen 3's empty
    thought: an answer that is scored stands behind them. A model that writes one may think first."""
    between = before_words(template, bos_token, eos_token)
    return between if between.strip() else ""


class Text:
    """Text out of tokens, one after the other: whole characters only, and nothing of a stop string."""

    def __init__(self, stop: Sequence[str], piece: Callable[[int], bytes]) -> None:
        self.stopped = False
        self.count = 0
        self._stops = [s for s in stop if s]
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []

    def add(self, token: int, logprob: TokenLogprob | None = None) -> None:
        """Once a stop string is there, `stopped` is set."""
        self.count += 1
        self._tokens.append(token)
        if logprob is not None:
            self._logprobs.append(logprob)
        self._held += self._decoder.decode(self._piece(token))
        cut = min((at for s in self._stops if (at := self._held.find(s)) >= 0), default=-1)
        if cut >= 0:
            self._held, self.stopped = self._held[:cut], True

    def ready(self) -> Delta | None:
        """What can be given out of all that was added."""
        keep = _unsure(self._held, self._stops)
        if self.stopped or (len(self._held) == keep and not self._logprobs):
            return None
        give, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return self._delta(give)

    def end(self, reason: str, **counts: Any) -> Delta:
        """The last piece, with what was held back."""
        if not self.stopped:
            self._held += self._decoder.decode(b"", final=True)
        return self._delta(self._held, finish_reason=reason, **counts)

    def _delta(self, text: str, **more: Any) -> Delta:
        delta = Delta(text, tuple(self._tokens), logprobs=tuple(self._logprobs), **more)
        self._tokens, self._logprobs = [], []
        return delta


def choose(row: Array, sampling: Sampling, seen: Sequence[int], random: Any) -> int:
    """One token from logits (vocabulary,): the likeliest at temperature 0, otherwise drawn.

    Order: repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (Holtzman et al. 2020), min-p.
    MirimError for logits that are no numbers: the first of those would be chosen, over and over.
    """
    import numpy as np

    row = row.astype(np.float64)
    if not np.isfinite(row.max()):
        raise MirimError(
            "what the model computes are no numbers: its weights are damaged, or their training diverged; "
            "train it again, or download it again"
        )
    if sampling.repeat_penalty != 1.0 and seen:
        by = penalty(sampling)
        used = np.unique(np.asarray(seen))
        row[used] = np.where(row[used] > 0, row[used] / by, row[used] * by)
    if sampling.temperature <= 0:
        return int(row.argmax())
    order = np.argsort(-row, kind="stable")
    if sampling.top_k > 0:
        order = order[: sampling.top_k]
    weights = np.exp((row[order] - row[order[0]]) / sampling.temperature)
    weights /= weights.sum()
    if sampling.top_p < 1.0:
        count = int(np.searchsorted(np.cumsum(weights), sampling.top_p)) + 1
        order, weights = order[:count], weights[:count]
    if sampling.min_p > 0:
        keep = weights >= sampling.min_p * weights[0]
        order, weights = order[keep], weights[keep]
    steps = np.cumsum(weights)
    return int(order[int(np.searchsorted(steps, random.random() * steps[-1], side="right"))])


def penalty(sampling: Sampling) -> float:
    """What logits of tokens that were there are divided by, or times: never so small or large that they are no numbers
    afterwards."""
    return min(max(sampling.repeat_penalty, 1e-6), 1e6)


def _unsure(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop string."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest
