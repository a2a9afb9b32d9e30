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


class Shard(Sequence[Row]):
    """Windows of at most `context` tokens over the documents of a folder that `write` made.

    A window begins with the token that the one before ended with, so that each token but the first is learned
    once a pass. `lengths` and `weights` are parallel to the rows.
    """

    def __init__(self, tokens: np.ndarray[Any, Any], starts: Ints, lengths: Ints, weights: np.ndarray[Any, Any]):
        self.tokens, self.starts, self.lengths, self.weights = tokens, starts, lengths, weights

    @classmethod
    def open(cls, folder: Path, context: int) -> Shard:
        row = read_json(folder / "shard.json")
        tokens = np.memmap(folder / "tokens.bin", dtype=row["dtype"], mode="r", shape=(row["tokens"],))
        ends, weights = np.load(folder / "ends.npy"), np.load(folder / "weights.npy")
        begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)
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


def held_out(rows: Shard, every: int = 50, most: int = 64) -> tuple[Shard, Shard]:
    """(to learn, held out): every fiftieth window, or 64 evenly over the corpus; none of a small one."""
    if len(rows) < 2 * every:
        return rows, rows.take(np.arange(0))
    held = np.arange(0, len(rows), max(every, -(-len(rows) // most)))
    return rows.take(np.setdiff1d(np.arange(len(rows)), held)), rows.take(held)
