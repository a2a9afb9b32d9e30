"""A corpus as tokens on disk, written once and mapped into memory: rows of any number cost no memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from mirim.core import progress
from mirim.core.errors import UsageError
from mirim.core.files import explain, read_json, write_json
from mirim.training.corpus import Text
from mirim.training.packing import Row

Ints = np.ndarray[Any, np.dtype[np.int64]]
Array = np.ndarray[Any, Any]

#: Stretches of text that are held out, one token of so many of a smaller text, and the tokens of each.
HELD, EVERY, STRETCH = 64, 50, (64, 512)


class Shard(Sequence[Row]):
    """Windows of at most `context` tokens over the documents of a folder that `write` made.

    A window begins with the token that the one before ended with, so that each token but the first is learned
    once a pass. `lengths` and `weights` are parallel to the rows.
    """

    def __init__(self, tokens: Array, starts: Ints, lengths: Ints, weights: Array):
        self.tokens, self.starts, self.lengths, self.weights = tokens, starts, lengths, weights

    @classmethod
    def open(cls, folder: Path, context: int) -> Shard:
        """All of the text."""
        return cls._windows(*_documents(folder), context)

    @classmethod
    def split(cls, folder: Path, context: int) -> tuple[Shard, Shard]:
        """(to learn, held out): stretches evenly over the text, the same whatever the context, for a later stage may
        have a longer one; none of a small text."""
        tokens, begins, ends, weights = _documents(folder)
        long = int(np.clip(len(tokens) // (HELD * EVERY), *STRETCH))
        count = min(HELD, len(tokens) // (EVERY * long))
        if count < 2:
            whole = cls._windows(tokens, begins, ends, weights, context)
            return whole, whole.take(np.arange(0))
        spots = (2 * np.arange(count) + 1) * len(tokens) // (2 * count)
        # Each within its document; so one of many tokens, or all there is, is in two or three parts after it.
        of = np.searchsorted(ends, spots, "right")
        starts = np.maximum(begins[of], np.minimum(spots, ends[of] - long))
        stops = np.minimum(starts + long, ends[of])
        begun, ended = np.sort(np.concatenate([begins, stops])), np.sort(np.concatenate([ends, starts]))
        begun, ended = begun[ended > begun + 1], ended[ended > begun + 1]
        learned = weights[np.searchsorted(ends, begun, "right")]
        return (
            cls._windows(tokens, begun, ended, learned, context),
            cls._windows(tokens, starts, stops, weights[of], context),
        )

    @classmethod
    def _windows(cls, tokens: Array, begins: Ints, ends: Ints, weights: Array, context: int) -> Shard:
        # A window covers context - 1 predictions; the last one of a document may be short.
        windows = np.maximum(1, -(-(ends - begins - 1) // (context - 1)))
        which = np.repeat(np.arange(len(ends)), windows)
        within = np.arange(len(which)) - np.repeat(np.cumsum(windows) - windows, windows)
        starts = begins[which] + within * (context - 1)
        lengths = np.minimum(context, ends[which] - starts)
        return cls(tokens, starts, lengths, weights[which])

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Shard: ...

    def __getitem__(self, index: int | slice) -> Row | Shard:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        start = int(self.starts[index])
        return Row(self.tokens[start : start + int(self.lengths[index])])

    def take(self, indices: Ints) -> Shard:
        """The shard of some of its windows."""
        return Shard(self.tokens, self.starts[indices], self.lengths[indices], self.weights[indices])

    @property
    def weight(self) -> float:
        """Tokens that one pass takes, by weight."""
        return float((self.lengths * self.weights).sum())


def write(folder: Path, texts: Iterable[Text], tokenizer: Any, total: int | None = None) -> None:
    """Tokenise `texts` into `folder`: tokens.bin, the end and weight of each document; shard.json comes last.

    Each document stands between two end-of-text tokens: a text is predicted from the first on, and so is its end.
    Marks of chat that stand in a text are text here, not turns. MirimError when the disk is full.
    """
    if (folder / "shard.json").is_file():
        return
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    encode = tokenizer.backend_tokenizer
    # Not every public vocabulary has a token to begin with.
    end = tokenizer.convert_tokens_to_ids(tokenizer.bos_token or tokenizer.eos_token)
    ends: list[int] = []
    weights: list[float] = []
    count, stream = 0, iter(texts)
    # Encoding in batches uses every core and holds only these texts.
    former, encode.encode_special_tokens = encode.encode_special_tokens, True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "tokens.bin").open("wb") as out, progress.bar("tokenise", total) as bar:
            while group := list(islice(stream, 256)):
                for one, text in zip(
                    encode.encode_batch([t.text for t in group], add_special_tokens=False), group, strict=True
                ):
                    ids = np.asarray([end, *one.ids, end], dtype=kind)
                    ids.tofile(out)
                    count += len(ids)
                    ends.append(count)
                    weights.append(text.weight)
                bar.advance(len(group), note=f"{count:,} tokens")
        if not ends:
            raise UsageError("there is no text to train on: every document is empty")
        np.save(folder / "ends.npy", np.asarray(ends, dtype=np.int64))
        np.save(folder / "weights.npy", np.asarray(weights))
    except OSError as error:
        raise explain(error, folder) from error
    finally:
        encode.encode_special_tokens = former
    write_json(folder / "shard.json", {"tokens": count, "documents": len(ends), "dtype": np.dtype(kind).name})


def _documents(folder: Path) -> tuple[Array, Ints, Ints, Array]:
    """Tokens; where each document begins and ends among them, and its weight."""
    row = read_json(folder / "shard.json")
    tokens = np.memmap(folder / "tokens.bin", dtype=row["dtype"], mode="r", shape=(row["tokens"],))
    ends, weights = np.load(folder / "ends.npy"), np.load(folder / "weights.npy")
    return tokens, np.concatenate([[0], ends[:-1]]).astype(np.int64), ends, weights
