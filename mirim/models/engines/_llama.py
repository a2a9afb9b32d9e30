"""llama.cpp's C interface, as far as scoring needs it: tokens, logits of every position, a reused prefix.

xllamacpp binds llama.cpp's server only, which neither tokenises nor gives the probability of a chosen
token. The library inside its wheel exports llama.h, so ctypes calls it. Parameter structs are read from
llama.cpp's own defaults and their layout is checked against known values: another layout is refused.
"""

from __future__ import annotations

import ctypes as c
import struct
import threading
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.models.engines import _threads

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

_BATCH = 512
#: Offsets of 32-bit fields in llama_context_params, and the defaults that prove the layout.
_DEFAULTS = {0: 512, 4: 2048, 8: 512, 12: 1, 52: -1, 104: 1, 108: 1}
_FLASH, _TYPE_K, _TYPE_V = 52, 104, 108
#: Keys and values in float32 and plain attention: llama.cpp's flash attention rounds to float16 on the way, which costs
#: a thousand times more than all else (logits 2e-3 instead of 4e-6 from torch).
EXACT = {_FLASH: 0, _TYPE_K: 0, _TYPE_V: 0}
#: As llama.cpp does by itself, in float16, and with keys in eight bits; to compare with.
HALVES = {_FLASH: -1, _TYPE_K: 1, _TYPE_V: 1}
EIGHTS = {_FLASH: -1, _TYPE_K: 8, _TYPE_V: 1}
#: Offset of the flag in llama_model_params that loads the vocabulary without weights, and bytes that prove the layout.
_VOCABULARY, _MODEL_DEFAULTS = 72, {16: 255, 24: 255, 28: 1, 72: 0, 73: 0, 74: 1}
#: Tokens of the prompt and single tokens after it, by which the number of threads is tried.
_TRIED, _STEPS = 32, 4
#: Positions that the first context holds; it grows when a longer text comes.
_ROOM = 512


class _Params(c.Structure):
    """A parameter struct passed through by value; larger than any version's, so that it always fits."""

    _fields_ = (("raw", c.c_ubyte * 512),)


class _Batch(c.Structure):
    _fields_ = (
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.POINTER(c.c_float)),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    )


_LOG = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)
_silent = _LOG(lambda *_: None)


@cache
def library() -> Any:
    """The shared library with its signatures declared and its log silenced."""
    path = need("xllamacpp.xllamacpp", "serve").__file__
    lib = c.CDLL(path)
    p, i = c.c_void_p, c.c_int32
    signatures: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "llama_backend_init": (None, ()),
        "llama_log_set": (None, (_LOG, p)),
        "llama_model_default_params": (_Params, ()),
        "llama_context_default_params": (_Params, ()),
        "llama_model_load_from_file": (p, (c.c_char_p, _Params)),
        "llama_init_from_model": (p, (p, _Params)),
        "llama_free": (None, (p,)),
        "llama_model_free": (None, (p,)),
        "llama_model_get_vocab": (p, (p,)),
        "llama_model_n_ctx_train": (i, (p,)),
        "llama_vocab_n_tokens": (i, (p,)),
        "llama_vocab_get_add_bos": (c.c_bool, (p,)),
        "llama_vocab_is_eog": (c.c_bool, (p, i)),
        "llama_vocab_bos": (i, (p,)),
        "llama_vocab_eos": (i, (p,)),
        "llama_vocab_get_text": (c.c_char_p, (p, i)),
        "llama_tokenize": (i, (p, c.c_char_p, i, c.POINTER(i), i, c.c_bool, c.c_bool)),
        "llama_token_to_piece": (i, (p, i, c.c_char_p, i, i, c.c_bool)),
        "llama_set_n_threads": (None, (p, i, i)),
        "llama_get_memory": (p, (p,)),
        "llama_memory_seq_rm": (c.c_bool, (p, i, i, i)),
        "llama_decode": (i, (p, _Batch)),
        "llama_get_logits_ith": (c.POINTER(c.c_float), (p, i)),
    }
    try:
        for name, (result, arguments) in signatures.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise MirimError(
            f"this build of xllamacpp does not export {error}; type: pip install 'mirim[serve]'"
        ) from error
    raw = bytes(lib.llama_context_default_params().raw)
    if any(struct.unpack_from("<i", raw, at)[0] != value for at, value in _DEFAULTS.items()):
        raise MirimError("this version of xllamacpp has another layout than ours; type: pip install 'mirim[serve]'")
    model = bytes(lib.llama_model_default_params().raw)
    if any(model[at] != value for at, value in _MODEL_DEFAULTS.items()):
        raise MirimError("this version of xllamacpp has another layout than ours; type: pip install 'mirim[serve]'")
    lib.llama_log_set(_silent, None)
    lib.llama_backend_init()
    return lib


class Vocabulary:
    """A GGUF file's tokens, without its weights."""

    def __init__(self, path: Path) -> None:
        """The file must have passed `gguf_check.check`."""
        self._lib = library()
        self._path = path
        words = self._load(words_only=True)
        # Freed with the object, not when an engine is closed: a stream may still be turning tokens into text.
        weakref.finalize(self, self._lib.llama_model_free, words)
        self._vocab = self._lib.llama_model_get_vocab(words)
        self.vocabulary: int = self._lib.llama_vocab_n_tokens(self._vocab)
        self.adds_bos: bool = self._lib.llama_vocab_get_add_bos(self._vocab)
        self.bos: int = self._lib.llama_vocab_bos(self._vocab)

    def _load(self, words_only: bool = False) -> int:
        params = self._lib.llama_model_default_params()
        params.raw[_VOCABULARY] = words_only
        model = self._lib.llama_model_load_from_file(str(self._path).encode(), params)
        if not model:
            raise UsageError(f"{self._path} cannot be loaded by llama.cpp; make it again with: mirim export")
        return int(model)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids; special tokens written in the text are recognised, BOS is added when `special` and due."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        while True:
            ids = (c.c_int32 * size)()
            count = self._lib.llama_tokenize(self._vocab, data, len(data), ids, size, special, True)
            if count >= 0:
                return list(ids[:count])
            size = -count

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; nothing for a control token."""
        size = 64
        while True:
            buffer = c.create_string_buffer(size)
            count = self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def text(self, token: int) -> bytes:
        """A token as the vocabulary writes it, control tokens too."""
        value = self._lib.llama_vocab_get_text(self._vocab, token)
        return bytes(value or b"")

    def ends(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))


class Scorer(Vocabulary):
    """One model, one sequence. Positions already computed for a common prefix are kept between calls."""

    def __init__(self, path: Path, context: int, threads: int) -> None:
        """`context` 0 takes the model's own. The file must have passed `gguf_check.check`."""
        super().__init__(path)
        self._lock = threading.Lock()
        # The weights at once: a file that cannot be loaded is refused here.
        self._model: int | None = self._load()
        self._context: int | None = None
        self._closed = False
        self._room = 0
        self.trained: int = self._lib.llama_model_n_ctx_train(self._model)
        self.context = context or self.trained
        #: How keys and values are kept; to be set before anything is scored.
        self.cache = EXACT
        #: For single tokens, and for many at once.
        self._threads = (threads, threads)
        self._kept: list[int] = []

    def rest(self) -> None:
        """Give the weights back while nothing was scored yet; the next score loads them again."""
        with self._lock:
            if self._model and not self._context:
                self._lib.llama_model_free(self._model)
                self._model = None

    def choose_threads(self, cores: int) -> tuple[int, int]:
        """Threads that are fastest here and now, for single tokens and for many at once; scoring takes them over."""
        numbers = _threads.candidates(cores)
        if len(numbers) == 1 or self.context < _TRIED + _STEPS:
            return (cores, cores)
        with self._lock:
            self._grow(_TRIED + _STEPS)
            memory = self._lib.llama_get_memory(self._context)

            def read(number: int) -> None:
                self._lib.llama_set_n_threads(self._context, number, number)
                self._lib.llama_memory_seq_rm(memory, 0, 0, -1)
                self._decode([0] * _TRIED, 0, _TRIED - 1)

            def write(number: int) -> None:
                self._lib.llama_set_n_threads(self._context, number, number)
                self._lib.llama_memory_seq_rm(memory, 0, _TRIED, -1)
                for at in range(_TRIED, _TRIED + _STEPS):
                    self._decode([0], at, at)

            many = _threads.fastest(numbers, read)
            self._threads = (_threads.fastest(numbers, write), many)
            self._lib.llama_free(self._context)
            self._context, self._room = None, 0
            return self._threads

    def close(self) -> None:
        with self._lock:
            if self._context:
                self._lib.llama_free(self._context)
            if self._model:
                self._lib.llama_model_free(self._model)
            self._context = self._model = None
            self._closed = True

    def logits(self, ids: Sequence[int], start: int = 0) -> Array:
        """Logits (len(ids) - start, vocabulary) after each token from position `start` on.

        UsageError when the tokens do not fit the context. What precedes `start` and equals the last
        call's tokens is not computed again.
        """
        import numpy as np

        if len(ids) > self.context:
            raise UsageError(f"{len(ids)} tokens do not fit the model's context of {self.context}")
        with self._lock:
            if not self._context or len(ids) > self._room:
                self._grow(len(ids))
            same = 0
            while same < min(start, len(self._kept)) and self._kept[same] == ids[same]:
                same += 1
            memory = self._lib.llama_get_memory(self._context)
            if not self._lib.llama_memory_seq_rm(memory, 0, same, -1):
                raise MirimError("llama.cpp could not drop positions from its cache")
            self._kept = list(ids[:same])
            out = np.empty((len(ids) - start, self.vocabulary), np.float32)
            for at in range(same, len(ids), _BATCH):
                part = ids[at : at + _BATCH]
                self._decode(part, at, start)
                for n in range(max(at, start), at + len(part)):
                    row = self._lib.llama_get_logits_ith(self._context, n - at)
                    out[n - start] = np.ctypeslib.as_array(row, (self.vocabulary,))
                self._kept += part
            return out

    def _decode(self, part: Sequence[int], at: int, start: int) -> None:
        count = len(part)
        zero = (c.c_int32 * 1)(0)
        batch = _Batch(
            count,
            (c.c_int32 * count)(*part),
            None,
            (c.c_int32 * count)(*range(at, at + count)),
            (c.c_int32 * count)(*[1] * count),
            (c.POINTER(c.c_int32) * count)(*[c.cast(zero, c.POINTER(c.c_int32))] * count),
            (c.c_int8 * count)(*[at + n >= start for n in range(count)]),
        )
        code = self._lib.llama_decode(self._context, batch)
        if code:
            self._kept = []
            raise MirimError(f"llama.cpp failed to compute {count} tokens (code {code}); is there enough memory?")

    def _grow(self, length: int) -> None:
        """A context for at least `length` positions: its cache is allocated whole, so it is no larger than needed."""
        if self._closed:
            raise MirimError(f"{self._path} was closed; open it again")
        if not self._model:
            self._model = self._load()
        if self._context:
            self._lib.llama_free(self._context)
            self._context = None
        self._kept = []
        room = self._room or _ROOM
        while room < length:
            room *= 2
        self._room = min(room, self.context)
        self._context = self._open()

    def _open(self) -> int:
        params = self._lib.llama_context_default_params()
        values = {0: self._room, 4: _BATCH, 8: _BATCH, 12: 1}
        for at, value in values.items():
            struct.pack_into("<i", params.raw, at, value)
        for at, value in self.cache.items():
            struct.pack_into("<i", params.raw, at, value)
        context = self._lib.llama_init_from_model(self._model, params)
        if not context:
            raise MirimError(f"llama.cpp could not make a context of {self._room} tokens; is there enough memory?")
        self._lib.llama_set_n_threads(context, *self._threads)
        return int(context)
