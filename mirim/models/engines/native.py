"""Small Llama-like models on mirim's own core (`native/`): the fastest there is for them on ordinary processors.

One thread of the core computes the prompts and answers of all requests together; Python only hands texts in and out.
Answers do not depend on the number of threads, on what else is computed, on drafts or on what was kept of earlier
prompts: the same bits, tested.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Delta, Engine, Message, Sampling, TokenLogprob
from mirim.models import decode, gguf_check
from mirim.models.engines import _threads
from mirim.models.engines._keep import Prefixes
from mirim.models.engines._llama import Vocabulary
from mirim.models.engines._local import check_json, cores, tool_calls

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

#: Architectures of llama.cpp whose graph the core computes, and whether their rope rotates neighbours.
_ARCHITECTURES = {"llama": True, "granite": True, "qwen2": False, "qwen3": False}
#: ggml's numbers of the types that the core holds without loss: f32, f16, q4_0, q8_0, bf16.
_F32, _HELD = 0, (0, 1, 2, 8, 30)
#: `general.file_type` of files that nothing was rounded away in: f32, f16, bf16.
_FLOATS = (0, 1, 32)
#: What figures of a wrong kind or size lead to.
_BROKEN = (RuntimeError, ValueError, TypeError, KeyError, OverflowError, ZeroDivisionError)
_LARGEST = 1_500_000_000
#: Bytes of keys and values that are kept for prompts that begin alike, and tokens proposed at once.
_SPARE, _DRAFT = 64 << 20, 16
_LAYER = {
    *(f"{n}.weight" for n in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "attn_q_norm", "attn_k_norm")),
    *(f"{n}.weight" for n in ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")),
    *(f"{n}.bias" for n in ("attn_q", "attn_k", "attn_v", "attn_output")),
}
_TOP = {"token_embd.weight", "output.weight", "output_norm.weight", "rope_freqs.weight"}


def open(
    ref: str,
    *,
    context: int = 0,
    threads: int = 0,
    parallel: int = 1,
    name: str = "",
    kernels: str = "",
    draft: int = _DRAFT,
    spare: int = _SPARE,
    adapters: Sequence[str] = (),
    **_: Any,
) -> Engine:
    """Load the GGUF file at `ref`.

    parallel   requests computed at the same time, each with `context` tokens of its own
    kernels    instruction set: avx512, avx2, neon or portable; '' takes the best of this processor
    draft      most tokens that are proposed at once from what was there before; 0 proposes none
    spare      bytes of keys and values kept after their request, for others that begin alike

    UsageError for a file that the core does not compute; `unsupported` says why beforehand.
    """
    path = Path(ref)
    header = gguf_check.check(path)
    why = unsupported(header) or ("it does not apply adapters" if adapters else "")
    if why:
        raise UsageError(f"mirim's own core does not run {path}: {why}; use --engine llama_cpp")
    return Native(path, header, context, threads, parallel, name, kernels, draft, spare)


def unsupported(header: gguf_check.Header) -> str:
    """Why the core does not run a model, '' if it does."""
    try:
        from mirim import _core  # noqa: F401
    except ImportError:
        return "the core was not built when mirim was installed (is there a C++ compiler?)"
    try:
        return _unsupported(header)
    except _BROKEN as error:
        return f"its figures are broken ({error})"


def _unsupported(header: gguf_check.Header) -> str:
    keys, kind = header.keys, header.architecture
    if kind not in _ARCHITECTURES:
        return f"its architecture {kind} is none of {', '.join(_ARCHITECTURES)}"
    for tensor in header.tensors:
        part = tensor.split(".", 2)[2] if tensor.startswith("blk.") and tensor.count(".") > 1 else ""
        if tensor not in _TOP and part not in _LAYER:
            return f"it has a tensor {tensor}"
    size = sum(math.prod(shape) for _, shape in header.tensors.values())
    if size > _LARGEST:
        return f"it has {size / 1e9:.1f} billion parameters; llama.cpp is as fast from one billion on"
    heads = keys.get(f"{kind}.attention.head_count")
    if not isinstance(heads, int) or not isinstance(keys.get(f"{kind}.attention.head_count_kv", heads), int):
        return "its layers differ in their heads"
    if _head_dim(header) % 16 or _head_dim(header) > 256:
        return f"its heads have {_head_dim(header)} values, not a multiple of 16"
    inter = keys.get(f"{kind}.feed_forward_length")
    if not isinstance(inter, int) or inter % 16:
        return f"its feed_forward_length is {inter}, not a multiple of 16"
    if keys.get(f"{kind}.rope.scaling.type", "none") not in ("none", "linear", "yarn"):
        return f"its rope scaling is {keys[f'{kind}.rope.scaling.type']}"
    return ""


class Native(Prefixes):
    """See `mirim.core.types.Engine` and `Local`; `complete`, `counts` and `last` are this engine's own."""

    def __init__(
        self,
        path: Path,
        header: gguf_check.Header,
        context: int,
        threads: int,
        parallel: int,
        name: str,
        kernels: str,
        draft: int,
        spare: int,
    ) -> None:
        from mirim import _core

        super().__init__(path, header, context, name)
        if kernels and kernels not in _core.kernels():
            raise UsageError(f'kernels "{kernels}": this processor has {", ".join(_core.kernels())}')
        self.parallel = max(1, parallel)
        self.threads = threads or cores()
        self._draft = draft
        self._lock = threading.Lock()
        self._guide: Any = None
        #: Counts of the last answer that ended: prompt and written tokens, steps, proposed and accepted ones.
        self.last: dict[str, int] = {}
        self.words = Vocabulary(path)
        try:
            self._figures = _config(header, path)
            self._core = _core.Core(self._figures, kernels)
            self._fill()
            self._core.open(context=self.context, slots=self.parallel, spare=spare, few=self.threads, many=self.threads)
        except _BROKEN as error:
            raise UsageError(f"mirim's own core cannot run {path}: {error}; use --engine llama_cpp") from error
        if not threads:
            self._choose_threads()

    def _fill(self) -> None:
        """Weights from the mapped file into the core's layout, one tensor after the other."""
        import numpy as np

        raw = np.memmap(self.path, np.uint8, "r")
        for tensor, (kind, shape) in self._header.tensors.items():
            if tensor == "rope_freqs.weight":
                continue
            start, size = self._header.places[tensor]
            data, again = raw[start : start + size], False
            vector = len(shape) == 1
            if kind not in _HELD or (vector and kind != _F32):
                # K-quants and their like: eight bits again, from the numbers they stand for.
                data, kind, again = _floats(data, kind, shape).reshape(-1).view(np.uint8), _F32, not vector
            rows, columns = (1, shape[0]) if vector else (shape[1], shape[0])
            self._core.add(tensor, kind, again, np.ascontiguousarray(data), rows, columns)

    def _choose_threads(self) -> None:
        numbers = _threads.candidates(self.threads)
        if len(numbers) == 1 or self.context < 96:
            return
        many = _threads.fastest(numbers, lambda n: self._core.trial(64, 0, n))

        def write(number: int) -> None:
            for _ in range(4):
                self._core.trial(1, 64, number)

        few = _threads.fastest(numbers, write)
        self._core.set_threads(few=few, many=many)

    # -- generation ---------------------------------------------------------------------------------

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        adapter: int | None = None,
    ) -> Iterator[Delta]:
        """Stream the continuation. Closing the iterator cancels the work within a token.

        UsageError before any work when the prompt does not fit the context.
        """
        if adapter is not None:
            raise UsageError(f"there is no adapter {adapter}; none are loaded")
        ids = self._prompt(prompt, tools, sampling)
        matcher = self._matcher(schema) if schema is not None else None
        stream = self._stream(ids, sampling, bool(tools), matcher)
        return stream if isinstance(prompt, str) else decode.without(stream, self.lead)

    def complete(self, prompt: str | Sequence[Message], sampling: Sampling) -> Any:
        """The whole continuation at once, with the id of every token."""
        from mirim.models.engines.llama_cpp import Completion

        ids = self._prompt(prompt, (), sampling)
        deltas = list(self._stream(ids, sampling, False, None))
        tokens = tuple(t for d in deltas for t in d.token_ids)
        return Completion("".join(d.text for d in deltas), tokens, len(ids), deltas[-1].finish_reason)

    def _stream(self, ids: list[int], sampling: Sampling, tools: bool, matcher: Any) -> Iterator[Delta]:
        most = min(sampling.max_tokens, self.context - len(ids))
        if most <= 0:
            yield Delta("", finish_reason="length", prompt_tokens=len(ids))
            return
        request = self._open.write(
            ids,
            most,
            temperature=max(sampling.temperature, 0.0),
            top_k=max(sampling.top_k, 0),
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repeat_penalty=sampling.repeat_penalty,
            seed=sampling.seed & 0xFFFFFFFFFFFFFFFF,
            ends=self._end_tokens,
            logprobs=-1 if sampling.logprobs is None else sampling.logprobs,
            masked=matcher is not None,
            draft=self._draft,
        )
        text = decode.Text(sampling.stop, self.words.piece)
        said, reason = "", ""
        try:
            while not reason:
                # Not for ever, so that Ctrl-C is heard.
                tokens, reason, asked = request.next(seconds=0.2)
                for token, logprob, likely in tokens:
                    if matcher is not None and not matcher.consume_token(token):
                        raise MirimError(f"the schema's grammar refused its own token {token}: {matcher.get_error()}")
                    one = None if sampling.logprobs is None else self._logprob(token, logprob, likely)
                    delta = text.add(token, one)
                    if delta is not None:
                        said += delta.text
                        yield delta
                    if text.stopped:
                        reason = "stop"
                        break
                if asked and not reason:
                    if matcher.is_stopped():
                        reason = "stop"
                    else:
                        request.allow(self._mask(matcher))
        finally:
            request.cancel()
        if reason == "cancelled":
            raise MirimError(f"{self.name} was closed while it wrote")
        if reason.startswith("!"):
            raise MirimError(f"mirim's own core stopped: {reason[1:]}; try --engine llama_cpp")
        self.last = {
            "prompt_tokens": len(ids),
            "completion_tokens": text.count,
            "cached_tokens": request.cached,
            "steps": request.steps,
            "proposed": request.proposed,
            "accepted": request.accepted,
        }
        last = text.end(reason, prompt_tokens=len(ids), completion_tokens=text.count, cached_tokens=request.cached)
        said += last.text
        if matcher is not None and reason == "stop":
            check_json(said, "mirim's core", whole=True)
        calls = tool_calls(said) if tools else ()
        if calls:
            last = Delta(
                last.text,
                last.token_ids,
                "tool_calls",
                last.prompt_tokens,
                calls,
                last.completion_tokens,
                last.cached_tokens,
                last.logprobs,
            )
        yield last

    @cached_property
    def _end_tokens(self) -> list[int]:
        return [t for t in range(self.words.vocabulary) if self._ends(t)]

    def _logprob(self, token: int, value: float, likely: Sequence[tuple[int, float]] = ()) -> TokenLogprob:
        piece = self.words.piece(token) or self.words.text(token)
        top = tuple(self._logprob(t, v) for t, v in likely)
        return TokenLogprob(piece.decode("utf-8", "replace"), value, token, tuple(piece), top)

    # -- schemas ------------------------------------------------------------------------------------

    def _matcher(self, schema: dict[str, Any]) -> Any:
        """Which tokens a JSON schema allows next (llguidance, https://github.com/guidance-ai/llguidance)."""
        from mirim.core.extras import need

        guidance = need("llguidance", "serve")
        with self._lock:
            if self._guide is None:
                self._guide = guidance.LLTokenizer(guidance.TokenizerWrapper(_Words(self)), eos_token=self._end_tokens)
        # Blanks between the parts are fixed: a small model could write them until its tokens are used up.
        compact = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        try:
            grammar = guidance.LLMatcher.grammar_from_json_schema({**schema, "x-guidance": compact})
            matcher = guidance.LLMatcher(self._guide, grammar)
        except ValueError as error:
            raise UsageError(
                f"this JSON schema cannot be held to: {str(error).splitlines()[0]}; simplify it"
            ) from error
        if matcher.is_error():
            why = (matcher.get_error() or "").strip().splitlines() or ["unknown"]
            raise UsageError(f"this JSON schema cannot be held to: {why[0]}; simplify it")
        return matcher

    def _mask(self, matcher: Any) -> Any:
        import numpy as np

        return np.frombuffer(matcher.compute_bitmask(), np.uint8)

    # -- scores and vectors ---------------------------------------------------------------------------

    def logits(self, ids: Sequence[int], first: int = 0) -> Any:
        self._check_length(len(ids))
        return self._open.logits(list(ids), first)

    def score_tokens(self, ids: Sequence[int], first: int = 1) -> list[float]:
        if len(ids) <= first:
            return []
        self._check_length(len(ids))
        return list(self._open.scores(list(ids), first))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One normalised vector a text: the mean over its tokens of the last layer's output."""
        rows = []
        for text in texts:
            ids = self.encode(text)
            self._check_length(len(ids))
            if not ids:
                raise UsageError("a text without tokens has no vector; write something")
            values = self._open.mean(ids)
            length = math.sqrt(sum(v * v for v in values)) or 1.0
            rows.append([v / length for v in values])
        return rows

    def counts(self) -> dict[str, int]:
        """What was computed since the model was opened: steps, tokens, proposals; bytes of weights and cache."""
        return dict(self._open.counts())

    @property
    def _open(self) -> Any:
        if self._core is None:
            raise MirimError(f"{self.path} was closed; open it again")
        return self._core

    def close(self) -> None:
        with self._lock:
            if self._core is not None:
                self._core.close()
                self._core = None


class _Words:
    """The vocabulary as llguidance wants it: bytes of each token, a mark before those that are no text."""

    def __init__(self, engine: Native) -> None:
        words = engine.words
        self.eos_token_id = engine._end_tokens[0] if engine._end_tokens else 0
        self.bos_token_id = None
        pieces = [words.piece(t) for t in range(words.vocabulary)]
        self.special_token_ids = [t for t, piece in enumerate(pieces) if not piece]
        self.tokens = [piece or b"\xff" + words.text(t) for t, piece in enumerate(pieces)]
        self._encode = engine.encode

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)


def _head_dim(header: gguf_check.Header) -> int:
    keys, kind = header.keys, header.architecture
    return int(
        keys.get(f"{kind}.attention.key_length")
        or keys[f"{kind}.embedding_length"] // keys[f"{kind}.attention.head_count"]
    )


def _config(header: gguf_check.Header, path: Path) -> dict[str, Any]:
    """GGUF's keys under transformers' names."""
    kind = header.architecture

    def key(name: str, default: Any) -> Any:
        return header.keys.get(f"{kind}.{name}", default)

    heads = key("attention.head_count", 0)
    frequencies, gain = _frequencies(header, path)
    multiplier = float(key("logit_scale", 0.0))
    return {
        "vocab_size": header.tensors["token_embd.weight"][1][1],
        "hidden_size": key("embedding_length", 0),
        "num_hidden_layers": key("block_count", 0),
        "num_attention_heads": heads,
        "num_key_value_heads": key("attention.head_count_kv", heads),
        "head_dim": _head_dim(header),
        "intermediate_size": key("feed_forward_length", 0),
        "max_position_embeddings": min(key("context_length", 0), 1 << 22),
        "rms_norm_eps": float(key("attention.layer_norm_rms_epsilon", 1e-5)),
        "interleaved": _ARCHITECTURES[kind],
        "frequencies": frequencies,
        "rope_gain": gain,
        "embedding_multiplier": float(key("embedding_scale", 0.0)) or 1.0,
        "residual_multiplier": float(key("residual_scale", 0.0)) or 1.0,
        "attention_multiplier": float(key("attention.scale", 0.0)),
        "logit_multiplier": 1.0 / multiplier if multiplier and kind == "granite" else 1.0,
        # A model in floats (of 32 or 16 bits) answers as transformers does in float32; others keep their keys and
        # values in half of that, as llama.cpp does.
        "half_cache": int(header.keys.get("general.file_type", 1)) not in _FLOATS,
    }


def _frequencies(header: gguf_check.Header, path: Path) -> tuple[list[float], float]:
    """Angle per position of each rotated pair, and the gain of cosine and sine.

    Linear scaling (Chen et al. 2023), Llama 3.1's factors, YaRN (Peng et al. 2023, arXiv 2309.00071).
    """
    import numpy as np

    keys, kind = header.keys, header.architecture
    size = int(keys.get(f"{kind}.rope.dimension_count", _head_dim(header)))
    base = float(keys.get(f"{kind}.rope.freq_base", 10000.0))
    plain = 1.0 / base ** (np.arange(0, size, 2, dtype=np.float64) / size)
    if "rope_freqs.weight" in header.tensors:
        start, length = header.places["rope_freqs.weight"]
        raw = np.memmap(path, np.uint8, "r", start, (length,))
        factors = _floats(raw, *header.tensors["rope_freqs.weight"]).reshape(-1)
        if len(factors) < len(plain):
            raise UsageError(f"{path} has {len(factors)} frequency factors for {len(plain)} pairs; download it again")
        plain = plain / factors[: len(plain)]
    scaling = keys.get(f"{kind}.rope.scaling.type", "none")
    factor = float(keys.get(f"{kind}.rope.scaling.factor", 1.0)) or 1.0
    gain = 1.0
    if scaling == "linear":
        plain = plain / factor
    elif scaling == "yarn":
        original = int(keys.get(f"{kind}.rope.scaling.original_context_length", keys[f"{kind}.context_length"]))

        def pair(turns: float) -> float:
            """The pair that turns so many times within the original context."""
            return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

        fast = float(keys.get(f"{kind}.rope.scaling.yarn_beta_fast", 32.0))
        slow = float(keys.get(f"{kind}.rope.scaling.yarn_beta_slow", 1.0))
        low, high = max(0, math.floor(pair(fast))), min(size - 1, math.ceil(pair(slow)))
        kept = 1 - np.clip((np.arange(len(plain)) - low) / max(0.001, high - low), 0, 1)
        plain = plain / factor * (1 - kept) + plain * kept
        gain = float(keys.get(f"{kind}.rope.scaling.attn_factor", 1.0)) * (1 + 0.1 * math.log(factor))
    return [float(f) for f in plain.astype(np.float32)], gain


def _floats(data: Any, kind: int, shape: tuple[int, ...]) -> Array:
    """A tensor of any type as floats, (rows, columns)."""
    import gguf
    import numpy as np

    quantised = gguf.GGMLQuantizationType(kind)
    columns = shape[0]
    try:
        block, width = gguf.GGML_QUANT_SIZES[quantised]
        rows = np.asarray(data).reshape(-1, columns // block * width)
        values = gguf.quants.dequantize(rows, quantised)
    except (NotImplementedError, KeyError) as error:
        raise UsageError(f"weights of type {quantised.name} cannot be read; use --engine llama_cpp") from error
    return np.ascontiguousarray(values.reshape(-1, columns), np.float32)
