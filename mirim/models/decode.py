"""Decoding one sequence from logits: the same choice of tokens, text and stops whatever computes them."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mirim.core.types import Delta, Sampling

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
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    stops = [s for s in sampling.stop if s]
    held, made = "", []
    reason = "length"
    for _ in range(min(sampling.max_tokens, context - len(ids))):
        token = choose(logits(seen), sampling, seen, random)
        if ends(token):
            reason = "stop"
            break
        seen.append(token)
        made.append(token)
        held += decoder.decode(piece(token))
        cut = min((at for s in stops if (at := held.find(s)) >= 0), default=-1)
        if cut >= 0:
            held, reason = held[:cut], "stop"
            break
        keep = _unsure(held, stops)
        if len(held) > keep:
            yield Delta(held[: len(held) - keep], tuple(made))
            held, made = held[len(held) - keep :], []
    if reason == "length" or not stops:
        held += decoder.decode(b"", final=True)
    yield Delta(held, tuple(made), reason, len(ids))


def choose(row: Array, sampling: Sampling, seen: Sequence[int], random: Any) -> int:
    """One token from logits (vocabulary,): the likeliest at temperature 0, otherwise drawn.

    Order: repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (Holtzman et al. 2020), min-p.
    """
    import numpy as np

    row = row.astype(np.float64)
    if sampling.repeat_penalty != 1.0 and seen:
        used = np.unique(np.asarray(seen))
        row[used] = np.where(row[used] > 0, row[used] / sampling.repeat_penalty, row[used] * sampling.repeat_penalty)
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
    return int(order[int(np.searchsorted(np.cumsum(weights), random.random() * weights.sum(), side="right"))])


def _unsure(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop string."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest
