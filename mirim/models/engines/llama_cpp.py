"""GGUF models on llama.cpp, inside this process: continuous batching, prefix cache, grammars, streaming.

Generation runs on xllamacpp's server object, which keeps `parallel` slots busy from any number of threads.
Tokens and scores come from the same library's C interface (`_llama`), which is opened when first needed.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.types import Delta, Engine, Message, Sampling, TokenLogprob
from mirim.models import decode, gguf_check, lora
from mirim.models.engines._grammar import check_json, compact, either, grammar
from mirim.models.engines._llama import Scorer
from mirim.models.engines._local import Local, cores, log_softmax, tool_calls


def open(
    ref: str,
    *,
    context: int = 0,
    threads: int = 0,
    parallel: int = 1,
    adapters: Sequence[str] = (),
    name: str = "",
) -> Engine:
    """Load the GGUF file at `ref`.

    parallel   requests computed at the same time, each with `context` tokens of its own
    adapters   LoRA adapters, GGUF files or PEFT folders, applied per request through `generate(..., adapter=number)`
    """
    return LlamaCpp(Path(ref), context, threads, parallel, adapters, name)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole generation with the ids of its tokens."""

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: str


class LlamaCpp(Local):
    """See `mirim.core.types.Engine` and `Local`; `complete` is this engine's own."""

    #: `Sampling.logprobs` is kept to.
    logprobs = True

    def __init__(
        self, path: Path, context: int, threads: int, parallel: int, adapters: Sequence[str], name: str
    ) -> None:
        super().__init__(path, gguf_check.check(path), context, name)
        self.threads = threads or cores()
        self._chosen = (threads, threads) if threads else None
        self.parallel = max(1, parallel)
        self.words = self.scorer = Scorer(path, self.context, self.threads)
        self._adapters = tuple(str(lora.read(lora.as_gguf(a, self._header), self._header).path) for a in adapters)
        self.adapters = len(self._adapters)
        self._server: Any = None
        self._embedder: Any = None
        self._lock = threading.Lock()

    # -- generation ---------------------------------------------------------------------------------

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
        adapter: int | None = None,
    ) -> Iterator[Delta]:
        """Stream the continuation. Closing the iterator cancels the work within a token.

        UsageError before any work when the prompt does not fit the context.
        """
        ids = self._prompt(prompt, tools, sampling)
        request = self._request(ids, sampling, adapter) | _held(schema, call)
        request |= {"stream": True, "stream_options": {"include_usage": True}}
        stream = self._stream(request, len(ids), bool(tools), schema is not None, call is not None)
        return stream if isinstance(prompt, str) else decode.without(stream, self.lead)

    def complete(self, prompt: str | Sequence[Message], sampling: Sampling) -> Completion:
        """The whole continuation at once, with the id of every token."""
        ids = self._prompt(prompt, (), sampling)
        # The server keeps back the ids of tokens that end inside a character, so this decodes by itself.
        deltas = list(
            decode.stream(
                ids,
                sampling,
                context=self.context,
                logits=lambda seen: self.logits(seen, len(seen) - 1)[0],
                piece=self.scorer.piece,
                ends=self._ends,
            )
        )
        tokens = tuple(t for d in deltas for t in d.token_ids)
        return Completion("".join(d.text for d in deltas), tokens, len(ids), deltas[-1].finish_reason)

    def _stream(self, request: dict[str, Any], used: int, tools: bool, held: bool, call: bool) -> Iterator[Delta]:
        if request["n_predict"] == 0:
            yield Delta("", finish_reason="length", prompt_tokens=used)
            return
        server = self._serving()
        pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        closed = threading.Event()

        def receive(piece: Any) -> bool:
            pieces.put(piece)
            return closed.is_set()

        def work() -> None:
            try:
                server.handle_completions(request, receive)
            except BaseException as error:
                pieces.put(error)
            pieces.put(None)

        # The server calls back from the thread that asked; a thread of its own lets the caller pull.
        thread = threading.Thread(target=work, name="mirim-generate", daemon=True)
        thread.start()
        reason, said = "", ""
        usage: dict[str, Any] = {}
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise MirimError(f"llama.cpp stopped: {piece}") from piece
                for row in piece if isinstance(piece, list) else [piece]:
                    _raise(row)
                    usage = row.get("usage") or usage
                    for choice in row["choices"][:1]:
                        reason = choice["finish_reason"] or reason
                        logprobs = _logprobs(choice.get("logprobs"))
                        if choice["text"] or logprobs:
                            said += choice["text"]
                            if held:
                                check_json(said, "llama.cpp", whole=False, call=call)
                            yield Delta(_clean(choice["text"]), logprobs=logprobs)
        finally:
            closed.set()
            thread.join(timeout=30)
        if not reason:
            raise MirimError("llama.cpp ended a generation without saying why; run it again")
        if held and reason == "stop":
            # The server does not tell a stop string, which cuts JSON like max_tokens does, from an end.
            check_json(said, "llama.cpp", whole=not request["stop"], call=call)
        calls = tool_calls(said) if tools else ()
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        yield Delta(
            "",
            finish_reason="tool_calls" if calls else reason,
            prompt_tokens=used,
            tool_calls=calls,
            completion_tokens=usage.get("completion_tokens", 0),
            cached_tokens=cached,
        )

    def _request(self, ids: list[int], sampling: Sampling, adapter: int | None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "prompt": ids,
            # What is left of the context bounds the answer, so that it ends with 'length' and never shifts.
            "n_predict": min(sampling.max_tokens, self.context - len(ids)),
            "temperature": max(sampling.temperature, 0.0),
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repeat_penalty,
            "seed": sampling.seed & 0x7FFFFFFF,
            "stop": [s for s in sampling.stop if s],
            "cache_prompt": True,
        }
        if sampling.logprobs is not None:
            request["logprobs"] = max(1, sampling.logprobs)
        if adapter is not None:
            if not 0 <= adapter < len(self._adapters):
                raise UsageError(f"there is no adapter {adapter}; {len(self._adapters)} are loaded")
            request["lora"] = [{"id": n, "scale": float(n == adapter)} for n in range(len(self._adapters))]
        elif self._adapters:
            request["lora"] = [{"id": n, "scale": 0.0} for n in range(len(self._adapters))]
        return request

    def _serving(self) -> Any:
        with self._lock:
            if self._server is None:
                threads = self._tuned()
                self._server = _serve(self.path, self.context, threads, self.parallel, self._adapters, self._plain)
                # The server holds the weights now; a second copy waits until something is to be scored.
                self.scorer.rest()
            return self._server

    def _tuned(self) -> tuple[int, int]:
        """Threads for single tokens and for many at once: what was asked for, or what is fastest here, tried once."""
        if self._chosen is None:
            self._chosen = self.scorer.choose_threads(self.threads)
        return self._chosen

    @property
    def _plain(self) -> bool:
        """Whether the weights are float32, and the cache should be too."""
        return int(self._header.keys.get("general.file_type", 1)) == 0

    # -- scores and vectors ------------------------------------------------------------------------------

    def logits(self, ids: Sequence[int], first: int = 0) -> Any:
        self._check_length(len(ids))
        with self._lock:
            self._tuned()
        return self.scorer.logits(ids, first)

    def score_tokens(self, ids: Sequence[int], first: int = 1) -> list[float]:
        if len(ids) <= first:
            return []
        rows = log_softmax(self.logits(ids[:-1], first - 1))
        return [float(rows[n, token]) for n, token in enumerate(ids[first:])]

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One normalised vector a text: the last layer's output, the mean over its tokens or its last token's."""
        if not texts:
            return []
        rows = [self.encode(text) for text in texts]
        for ids in rows:
            self._check_length(len(ids))
        with self._lock:
            if self._embedder is None:
                threads = (self.threads, self.threads)
                self._embedder = _serve(self.path, self.context, threads, 1, (), self._plain, self.pooling)
        row = self._embedder.handle_embeddings({"input": rows})
        _raise(row)
        return [list(map(float, r["embedding"])) for r in sorted(row["data"], key=lambda r: r["index"])]

    def close(self) -> None:
        with self._lock:
            self._server = self._embedder = None
            self.scorer.close()


def _serve(
    path: Path,
    context: int,
    threads: tuple[int, int],
    parallel: int,
    adapters: Sequence[str],
    plain: bool,
    pooling: str = "",
) -> Any:
    """A server object; it listens on a loopback port, which only a key made here and kept nowhere would open."""
    x = need("xllamacpp", "serve")
    params = x.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context * parallel
    params.n_parallel = parallel
    params.n_batch, params.n_ubatch = 2048, 512
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.fit_params = False
    params.ctx_shift = False
    params.verbosity = -1
    params.enable_chat_template = False
    params.use_jinja = False
    params.ui = False
    params.endpoint_slots = False
    params.api_keys = [secrets.token_hex(32)]
    params.cors_origins = ""
    params.n_ctx_checkpoints = 0
    params.cache_ram_mib = 0
    if plain:
        params.cache_type_k = params.cache_type_v = x.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapters:
        params.lora_adapters = [x.CommonAdapterLoraInfo(str(a), 1.0) for a in adapters]
    if pooling:
        params.embedding = True
        params.pooling_type = getattr(x.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
        params.embd_normalize = 2
    try:
        return x.Server(params)
    except RuntimeError as error:
        raise MirimError(f"{path} could not be opened by llama.cpp with a context of {params.n_ctx} tokens") from error


def _held(schema: dict[str, Any] | None, call: dict[str, Any] | None) -> dict[str, Any]:
    """What a request says of the text's form; UsageError when no grammar can be made of it."""
    if schema is None:
        return {}
    grammar(schema, call)
    if call is None:
        return {"json_schema": compact(schema)}
    return {"grammar": f"%llguidance {{}}\n{either(schema, call)}"}


def _raise(row: Any) -> None:
    if isinstance(row, dict) and "error" in row:
        error = row["error"]
        message = error.get("message", error) if isinstance(error, dict) else error
        code = error.get("code") if isinstance(error, dict) else 500
        raise (UsageError if code == 400 else MirimError)(f"llama.cpp: {message}")


def _clean(text: str) -> str:
    """Text that can be encoded: a model may write bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _logprobs(row: Any) -> tuple[TokenLogprob, ...]:
    content = (row or {}).get("content") or ()
    return tuple(_token(t, tuple(_token(a) for a in t.get("top_logprobs") or ())) for t in content)


def _token(row: dict[str, Any], top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    return TokenLogprob(_clean(row["token"]), row["logprob"], row["id"], tuple(row["bytes"]), top)
