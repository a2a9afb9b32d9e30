"""Where in a text the answer to a question stands, told by the model that writes answers, its tokens all seeing each
other.

In a decoder the words of a passage know nothing of the question behind them. Without its causal mask, and with a
low-rank change that has learned to do without (BehnamGhader et al. 2024, LLM2Vec), two rows of numbers tell where an
answer begins and where it ends (Seo et al. 2017, BiDAF); the prompt's last token stands for an answer that is not
there. `mirim.training.pointing` learns both; they lie beside the model's weights, in the folder `FOLDER`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mirim.core.errors import UsageError
from mirim.core.types import Message, Passage
from mirim.examples.tasks.answer import messages
from mirim.models.weights import open_weights

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

#: Beside a model's weights, and in it a folder for each task: the change, and the numbers on top (`HEAD`.safetensors).
FOLDER, ADAPTER, HEAD = "pointing", "adapter.gguf", "head"
#: Answers in passages, and what requests say for the parameters of functions.
TASKS = ("read", "tools")
#: Questions whose answers are kept for when they are asked again.
KEPT = 256
#: Places of an answer that are told, and tokens of one at most, if nothing else is said.
SPANS, LONGEST = 20, 30


def learned(folder: Path) -> dict[str, Path]:
    """Where `folder` holds what was learned for each task. UsageError when it holds nothing of this kind."""
    found = {task: folder / task for task in TASKS if (folder / task).is_dir()}
    if not found:
        raise UsageError(f"{folder} holds nothing to point with, no {' or '.join(TASKS)}; train it again")
    return found


class Pointed(NamedTuple):
    """`odds`: log-odds that the text answers. `spans`: the likeliest answers in it, with shares that sum to 1."""

    odds: float
    spans: dict[str, float]


class Seeing(Protocol):
    """An engine that computes texts whose tokens all see each other; see `mirim.models.engines.native`."""

    @property
    def whole(self) -> int: ...

    @property
    def lead(self) -> str: ...

    def chat(self, messages: Sequence[Message]) -> str: ...

    def spelt(self, prompt: Sequence[Message]) -> tuple[list[int], list[bytes]]: ...

    def states(self, texts: Sequence[Sequence[int]], adapter: int | None = None) -> list[Any]: ...


class Pointer:
    """`engine` with what `folder` holds, which it has loaded as its adapter number `adapter`."""

    def __init__(self, folder: Path, engine: Seeing, adapter: int, size: int) -> None:
        """`size`: numbers of a token's state. UsageError for a folder that does not hold what belongs there."""
        held = open_weights(folder, HEAD)
        shapes = {name: held.shape(name) for name in held.names()}
        if shapes != {"weight": (2, size), "bias": (2,)}:
            raise UsageError(
                f"{folder} holds {shapes} to point with, not a weight of [2, {size}] and a bias of [2]; is it of "
                "another model?"
            )
        self._engine, self._adapter = engine, adapter
        self._weight, self._bias = held.read("weight"), held.read("bias")
        self._told: dict[tuple[str, Passage, int], Pointed | None] = {}

    def point(self, asked: Sequence[tuple[str, Passage]], longest: int = LONGEST) -> list[Pointed | None]:
        """What each passage by itself has for an answer to the question beside it, of at most `longest` tokens; None
        for one that is too long to be seen whole."""
        told = self._told if len(self._told) <= KEPT else {}
        if new := [one for one in dict.fromkeys(asked) if (*one, longest) not in told]:
            # The same is asked when a function is chosen and when it is filled in. Another thread may look at this too.
            told = told | {(*one, longest): found for one, found in zip(new, self._point(new, longest), strict=True)}
            self._told = told
        return [told[*one, longest] for one in asked]

    def _point(self, asked: Sequence[tuple[str, Passage]], longest: int) -> list[Pointed | None]:
        spelt = [self._placed(question, passage) for question, passage in asked]
        fit = [n for n, (ids, places) in enumerate(spelt) if places and len(ids) <= self._engine.whole]
        found: list[Pointed | None] = [None] * len(asked)
        states = self._engine.states([spelt[n][0] for n in fit], self._adapter)
        for n, rows in zip(fit, states, strict=True):
            places = spelt[n][1]
            told = rows[[*(i for i, _, _ in places), len(rows) - 1]] @ self._weight.T + self._bias
            found[n] = pointed(told, [(start, end) for _, start, end in places], asked[n][1].text.encode(), longest)
        return found

    def begun(self, prompt: Sequence[Message], word: str) -> str:
        """The conversation as raw text, the answer to which begins with `word`."""
        return f"{self._engine.chat(prompt)}{self._engine.lead}{word}"

    def _placed(self, question: str, passage: Passage) -> tuple[list[int], list[tuple[int, int, int]]]:
        """The prompt's token ids, and (index, start, end) of those that stand for bytes of the passage's text."""
        prompt = messages(question, [passage], passage.language)
        ids, pieces = self._engine.spelt(prompt)
        begin = b"".join(pieces).find(prompt[0].content.encode())
        if begin < 0:  # a template that changes what it is given
            return ids, []
        begin += len(f"{passage.heading}\n".encode())
        end = begin + len(passage.text.encode())
        places, at = [], 0
        for index, piece in enumerate(pieces):
            start, at = at, at + len(piece)
            if at > begin and start < end:
                places.append((index, max(start, begin) - begin, min(at, end) - begin))
        return ids, places


def pointed(told: Array, places: Sequence[tuple[int, int]], text: bytes, longest: int = LONGEST) -> Pointed:
    """`told` (T + 1, 2): logits that an answer of at most `longest` tokens begins and ends at each of the T tokens of a
    text, which stand at `places` in it, and at none of them."""
    import numpy as np

    told = told.astype(np.float64) - np.logaddexp.reduce(told.astype(np.float64), axis=0)
    both = told[:-1, None, 0] + told[None, :-1, 1]  # (T, T)
    every = np.ones_like(both, dtype=bool)
    both[~np.triu(every) | np.triu(every, longest)] = -np.inf
    spans: dict[str, float] = {}
    for place in np.argsort(-both, axis=None, kind="stable")[:SPANS]:
        first, last = divmod(int(place), len(places))
        said = text[places[first][0] : places[last][1]].decode("utf-8", "ignore").strip()
        if said and said not in spans and both[first, last] > -np.inf:
            spans[said] = float(both[first, last])
    likeliest = max(spans.values(), default=-np.inf)
    shares = {said: float(np.exp(value - likeliest)) for said, value in spans.items()}
    total = sum(shares.values())
    odds = likeliest + np.log(total) - told[-1].sum() if spans else -np.inf
    return Pointed(float(odds), {said: share / total for said, share in shares.items()})
