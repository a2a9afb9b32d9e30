"""Is this GGUF file sound? Asked before llama.cpp sees it, because llama.cpp may abort the process.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import explain

_LENGTH = struct.Struct("<Q").unpack_from
_STRING, _ARRAY = 8, 9
#: value type → struct code, and tensor type → (elements, bytes) a block
_VALUES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


#: Layers that a model may have.
_LAYERS = 2**12


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata (arrays left out of `keys`, their lengths in `lengths`) and tensors by name.

    places   of the tensors in the file: first byte and number of bytes
    layers   arrays of numbers that say something of every layer, as many as there may be layers
    """

    keys: dict[str, Any]
    lengths: dict[str, int]
    tensors: dict[str, tuple[int, tuple[int, ...]]]
    places: dict[str, tuple[int, int]]
    layers: dict[str, tuple[Any, ...]]

    @property
    def architecture(self) -> str:
        return str(self.keys.get("general.architecture", ""))


def check(path: Path) -> Header:
    """Read the whole header and prove that every tensor lies inside the file and that its figures fit its tensors;
    UsageError says what is wrong."""
    return _read(path, figures=True)


def check_tensors(path: Path) -> Header:
    """As `check`, for a file that need not be a model: what its figures mean is left to the caller."""
    return _read(path, figures=False)


def value(path: Path, key: str) -> Any:
    """The value of one key that is no array, None without it; the header is read no further than there.

    UsageError for a header that is broken before it.
    """
    with _reading(path) as reader:
        found = any(name == key for name in reader.pairs())
        return reader.keys.get(key) if found else None


def _read(path: Path, *, figures: bool) -> Header:
    with _reading(path) as reader:
        return reader.read(figures)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[_Reader]:
    try:
        total = path.stat().st_size
        if total < 24:
            raise _broken(path, f"it has {total} bytes")
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                raise _broken(path, f"it begins with {bytes(data[:4])!r}, not with GGUF")
            yield _Reader(path, data, total)
    except OSError as error:
        raise explain(error, path) from error


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is not a sound GGUF file: {why}; download it or export it again")


#: Kinds of tokenizers: byte-level BPE and SentencePiece.
_TOKENIZERS = ("gpt2", "llama")
#: Architectures whose heads turn as a whole, which llama.cpp takes for granted.
_TURNED = ("gemma", "gemma3", "granite", "qwen2", "qwen3")


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap, total: int) -> None:
        self.path, self.data, self.total, self.at = path, data, total, 4
        self.words: set[bytes] = set()
        self.keys: dict[str, Any] = {}
        self.lengths: dict[str, int] = {}
        self.layers: dict[str, tuple[Any, ...]] = {}

    def pairs(self) -> Iterator[str]:
        """Each key once its value is read."""
        version = self.number("I")
        if version not in (2, 3):
            raise _broken(self.path, f"its version is {version}, 2 and 3 are known")
        self.tensors, pairs = self.number("Q"), self.number("Q")
        if self.tensors > 100_000 or pairs > 100_000:
            raise _broken(self.path, f"it claims {self.tensors} tensors and {pairs} keys")
        for _ in range(pairs):
            key = self.text("a key")
            if key in self.keys or key in self.lengths:
                raise _broken(self.path, f"key {key} stands there twice")
            kind = self.number("I")
            if kind == _ARRAY:
                self.lengths[key] = self.array(key)
            else:
                self.keys[key] = self.value(kind, key)
            yield key

    def read(self, figures: bool) -> Header:
        for _ in self.pairs():
            pass
        keys = self.keys
        self.whole()
        found: dict[str, tuple[int, tuple[int, ...]]] = {}
        spans = []
        for _ in range(self.tensors):
            name = self.text("a tensor's name")
            dims = self.number("I")
            if dims > 4 or name in found:
                raise _broken(self.path, f"tensor {name!r} is there twice or has {dims} dimensions")
            shape = tuple(self.number("Q") for _ in range(dims))
            kind = self.number("I")
            spans.append((name, self.number("Q"), self.size(name, shape, kind)))
            found[name] = (kind, shape)
        places = self.places(spans, keys.get("general.alignment", 32))
        header = Header(keys, self.lengths, found, places, self.layers)
        if figures:
            self.consistent(header)
        return header

    def whole(self) -> None:
        """A model may be cut into several files, of which llama.cpp takes the first one's name; mirim opens one."""
        count, number = self.keys.get("split.count"), self.keys.get("split.no")
        if isinstance(count, int) and isinstance(number, int) and count > 1:
            raise UsageError(
                f"{self.path} is part {number + 1} of {count} of a model; join them with "
                "llama-gguf-split --merge FIRST.gguf WHOLE.gguf, FIRST.gguf being part 1, and name the whole"
            )

    def places(self, spans: list[tuple[str, int, int]], alignment: Any) -> dict[str, tuple[int, int]]:
        if type(alignment) is not int or not 8 <= alignment <= 2**20 or alignment & (alignment - 1):
            raise _broken(self.path, f"its alignment is {alignment}")
        start = -(-self.at // alignment) * alignment
        expected = 0
        for name, offset, size in spans:
            # llama.cpp wants tensors in order without gaps other than padding.
            if offset != expected:
                raise _broken(self.path, f"tensor {name!r} begins at {offset}, not at {expected}")
            if start + offset + size > self.total:
                raise _broken(
                    self.path, f"tensor {name!r} ends at byte {start + offset + size} of {self.total}: it is cut off"
                )
            expected = -(-(offset + size) // alignment) * alignment
        return {name: (start + offset, size) for name, offset, size in spans}

    def size(self, name: str, shape: tuple[int, ...], kind: int) -> int:
        import gguf

        try:
            block, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        except (ValueError, KeyError) as error:
            raise _broken(self.path, f"tensor {name!r} has the unknown type {kind}") from error
        count = 1
        for n in shape:
            count *= n
            if not 0 < n < 2**40 or count >= 2**48:
                raise _broken(self.path, f"tensor {name!r} has shape {list(shape)}")
        if not shape or shape[0] % block:
            raise _broken(self.path, f"tensor {name!r} of shape {list(shape)} does not divide into blocks of {block}")
        return count // block * int(width)

    def consistent(self, header: Header) -> None:
        """The figures that llama.cpp sizes its buffers by must be there and must fit the tensors."""
        keys, name = header.keys, header.architecture
        if not name:
            raise _broken(self.path, "it names no general.architecture")
        if not header.tensors:
            raise _broken(self.path, "it holds a vocabulary only, no weights")
        tokens = header.lengths.get("tokenizer.ggml.tokens", 0)
        for array in ("scores", "token_type"):
            length = header.lengths.get(f"tokenizer.ggml.{array}", tokens)
            if length < tokens:
                raise _broken(self.path, f"it has {tokens} tokens but {length} values of {array}")
        if "token_embd.weight" not in header.tensors:
            raise _broken(self.path, "it has no token embedding; mirim opens language models only")
        shape = header.tensors["token_embd.weight"][1]
        rows = shape[1] if len(shape) == 2 else 0
        if tokens and tokens != rows:
            raise _broken(self.path, f"it has {tokens} tokens but {rows} rows of embeddings")
        limits = {
            "embedding_length": (1, 2**20),
            "block_count": (1, _LAYERS),
            "context_length": (1, 2**31 - 1),
            "attention.head_count": (1, 2**16),
        }
        for key, (low, high) in limits.items():
            value = keys.get(f"{name}.{key}")
            if key == "attention.head_count" and f"{name}.{key}" in header.lengths:
                # One for every layer.
                continue
            if not isinstance(value, int) or not low <= value <= high:
                raise _broken(self.path, f"{name}.{key} is {value}")
        for key in ("rope.dimension_count", "attention.key_length"):
            value = keys.get(f"{name}.{key}", 1)
            if not isinstance(value, int) or not 1 <= value <= 2**16:
                raise _broken(self.path, f"{name}.{key} is {value}")
        if shape[0] != keys[f"{name}.embedding_length"]:
            raise _broken(self.path, f"embedding_length is {keys[f'{name}.embedding_length']}, tensors have {shape[0]}")
        if keys.get("tokenizer.ggml.model", "gpt2") not in _TOKENIZERS:
            # llama.cpp ends the process over a vocabulary that is not of the kind that it says.
            raise UsageError(
                f"{self.path} has a tokenizer of the kind {keys['tokenizer.ggml.model']}; mirim opens "
                f"those of the kinds {' and '.join(_TOKENIZERS)}; take another model"
            )
        if keys.get("tokenizer.ggml.model") == "llama" and any(b"<0x%02X>" % n not in self.words for n in range(256)):
            raise _broken(self.path, "its SentencePiece vocabulary lacks byte tokens")
        blocks = {n.split(".")[1] for n in header.tensors if n.startswith("blk.")}
        if len(blocks) != keys[f"{name}.block_count"]:
            raise _broken(self.path, f"block_count is {keys[f'{name}.block_count']}, it holds {len(blocks)} blocks")
        self.heads(header)
        for role in ("bos", "eos", "unknown", "padding", "eot"):
            value = keys.get(f"tokenizer.ggml.{role}_token_id")
            if value is not None and (type(value) is not int or (tokens and value >= tokens and value != 2**32 - 1)):
                raise _broken(self.path, f"its {role} token is {value}, of {tokens}")

    def heads(self, header: Header) -> None:
        """Head counts and sizes against the shapes of the first block's q and k."""
        keys, name = header.keys, header.architecture
        heads = keys.get(f"{name}.attention.head_count")
        groups = keys.get(f"{name}.attention.head_count_kv", heads)
        query, key = header.tensors.get("blk.0.attn_q.weight"), header.tensors.get("blk.0.attn_k.weight")
        if not (isinstance(heads, int) and isinstance(groups, int) and query and key):
            return
        size = keys.get(f"{name}.attention.key_length", keys[f"{name}.embedding_length"] // heads)
        rope = keys.get(f"{name}.rope.dimension_count", size)
        fits = isinstance(size, int) and isinstance(rope, int) and 0 < rope <= size and not rope % 2
        if not fits or (name in _TURNED and rope != size):
            raise _broken(self.path, f"its heads have {size} values of which {rope} rotate")
        if not 0 < groups <= heads or heads % groups:
            raise _broken(self.path, f"it has {heads} heads in {groups} groups")
        if len(query[1]) != 2 or len(key[1]) != 2 or query[1][1] != heads * size or key[1][1] != groups * size:
            raise _broken(self.path, f"{heads} heads in {groups} groups of {size} do not fit its attention tensors")

    def value(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            return self.text(key)
        if kind not in _VALUES:
            raise _broken(self.path, f"{key} has the unknown type {kind}")
        return self.number(_VALUES[kind])

    def array(self, key: str) -> int:
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            # A vocabulary has a hundred thousand of them, and this is read before anybody is answered.
            words, data, total, at = key == "tokenizer.ggml.tokens", self.data, self.total, self.at
            for number in range(count):
                if at + 8 > total:
                    raise _broken(self.path, f"its header is cut off at byte {total}")
                start = at + 8
                at = start + _LENGTH(data, at)[0]
                if at > total:
                    raise _broken(self.path, f"{key} claims {at - start} bytes beyond its end")
                # llama.cpp names an empty token by its number, and aborts when two tokens are the same.
                if words:
                    self.words.add(data[start:at] or b"[EMPTY_%d]" % number)
            self.at = at
            if words and len(self.words) != count:
                raise _broken(self.path, f"{count - len(self.words)} of its {count} tokens stand there twice")
            # It reads them as C does, up to a zero.
            if words and b"\0" in b"".join(self.words) and len({w.partition(b"\0")[0] for w in self.words}) != count:
                raise _broken(self.path, "its tokens hold zero bytes, before which some are the same")
        elif kind in _VALUES and count <= _LAYERS and not key.startswith("tokenizer."):
            self.layers[key] = tuple(self.number(_VALUES[kind]) for _ in range(count))
        elif kind in _VALUES:
            self.skip(count * struct.calcsize("<" + _VALUES[kind]), key)
        else:
            raise _broken(self.path, f"{key} is an array of the unknown type {kind}")
        return int(count)

    def number(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        if self.at + size > self.total:
            raise _broken(self.path, f"its header is cut off at byte {self.total}")
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += size
        return value

    def text(self, what: str) -> str:
        length = self.number("Q")
        start = self.at
        self.skip(length, what)
        try:
            return self.data[start : self.at].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _broken(self.path, f"{what} is not UTF-8") from error

    def skip(self, length: int, what: str) -> None:
        if length > self.total - self.at:
            raise _broken(self.path, f"{what} claims {length} bytes beyond its end")
        self.at += length
