"""Tensors of a checkpoint, read from safetensors without torch: one file or shards with an index.

Format: https://github.com/huggingface/safetensors (8 bytes length, JSON header, data). The header is
checked against the file before any tensor is read, so a truncated or lying file is a message, not a crash.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mirim.core.errors import UsageError
from mirim.core.files import explain, read_json

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

#: safetensors' name of a type → bytes an element. Others (int8, fp8) are quantised checkpoints.
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class Weights(Protocol):
    """Named tensors. `read` gives float32; `dtype` is the type they are stored in."""

    def names(self) -> list[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def dtype(self, name: str) -> str: ...

    def read(self, name: str) -> Array: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class Safetensors:
    """The tensors of one safetensors file, or of all shards that an index names."""

    def __init__(self, entries: dict[str, _Entry]) -> None:
        self._entries = entries
        self._maps: dict[Path, mmap.mmap] = {}

    def names(self) -> list[str]:
        return sorted(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entries[name].shape

    def dtype(self, name: str) -> str:
        return self._entries[name].dtype

    def read(self, name: str) -> Array:
        import numpy as np

        entry = self._entries[name]
        if entry.dtype not in SIZES:
            raise UsageError(
                f"{entry.path}: tensor {name} has type {entry.dtype}; only {', '.join(SIZES)} can be converted: "
                "use the checkpoint before quantisation"
            )
        count = (entry.end - entry.start) // SIZES[entry.dtype]
        if not count:
            return np.zeros(entry.shape, np.float32)
        data = self._map(entry.path)
        if entry.dtype == "BF16":
            bits = np.frombuffer(data, "<u2", count, entry.start)
            return (bits.astype(np.uint32) << 16).view(np.float32).reshape(entry.shape)
        kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[entry.dtype]
        return np.frombuffer(data, kind, count, entry.start).astype(np.float32).reshape(entry.shape)

    def files(self) -> list[Path]:
        """Those that the tensors lie in, in order."""
        return sorted({entry.path for entry in self._entries.values()})

    def _map(self, path: Path) -> mmap.mmap:
        if path not in self._maps:
            with path.open("rb") as stream:
                self._maps[path] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[path]


def open_weights(folder: Path, stem: str = "model") -> Safetensors:
    """The checkpoint in `folder`: `stem`.safetensors, or the shards of `stem`.safetensors.index.json.

    UsageError when there is none, when a file is broken, or when an index names what is not there.
    """
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.is_file():
        return Safetensors(dict(_header(single)))
    if index.is_file():
        table = read_json(index)
        table = table.get("weight_map") if isinstance(table, dict) else None
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise UsageError(f"{index} has no weight_map; download the checkpoint again")
        entries: dict[str, _Entry] = {}
        for name in sorted(set(table.values())):
            if not name or {*"/\\\0"} & {*name} or name.startswith("."):
                raise UsageError(f"{index} names a file outside its folder: {name!r}")
            # Where several shards hold a tensor, the index says whose counts.
            entries |= {t: e for t, e in _header(folder / name) if t not in entries or table.get(t) == name}
        missing = sorted(set(table) - set(entries))
        if missing:
            raise UsageError(f"{index} promises {missing[0]} and {len(missing) - 1} more that no shard holds")
        return Safetensors(entries)
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern))
    if pickles:
        raise UsageError(
            f"{folder} holds {pickles[0]}, a pickle, which may run code when opened; "
            "convert it to safetensors where you trust it (save_pretrained does)"
        )
    raise UsageError(f"{folder} holds no {single.name}; it is not a complete checkpoint: download or train it again")


def _header(path: Path) -> Iterator[tuple[str, _Entry]]:
    """Entries of one file, each proved to lie inside it and to hold what its shape says."""

    def broken(why: str) -> UsageError:
        return UsageError(f"{path} is not a sound safetensors file: {why}; download or write it again")

    try:
        total = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if total < 8 or not 2 <= length <= min(total - 8, 100_000_000):
                raise broken(f"its header claims {length} bytes of {total}")
            raw = stream.read(length)
    except OSError as error:
        raise explain(error, path) from error
    try:
        header = json.loads(raw)
        assert isinstance(header, dict)
    except (ValueError, AssertionError, RecursionError) as error:
        raise broken("its header is not a JSON object") from error
    spans: list[tuple[int, int, str]] = []
    for name, row in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (start, end) = row["dtype"], tuple(row["shape"]), row["data_offsets"]
            sound = isinstance(dtype, str) and all(type(n) is int and 0 <= n < 2**40 for n in (*shape, start, end))
        except (TypeError, KeyError, ValueError) as error:
            raise broken(f"the entry of tensor {name!r} is not readable") from error
        if not sound or not start <= end <= total - 8 - length:
            raise broken(f"tensor {name!r} lies outside the file, which may be truncated ({total} bytes)")
        size = SIZES.get(dtype)
        count = 1
        for n in shape:
            count *= n
        if size and count * size != end - start:
            raise broken(f"tensor {name!r} of shape {list(shape)} and type {dtype} does not fill {end - start} bytes")
        spans.append((start, end, name))
        yield name, _Entry(path, dtype, shape, 8 + length + start, 8 + length + end)
    spans.sort()
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            raise broken(f"tensors {name!r} and {other!r} overlap")
