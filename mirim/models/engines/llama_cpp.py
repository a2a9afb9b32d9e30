"""GGUF models on llama.cpp, inside this process: continuous batching, prefix cache, grammars, streaming.

Generation runs on xllamacpp's server object, which keeps `parallel` slots busy from any number of threads.
Tokens and scores come from the same library's C interface (`_llama`), which is opened when first needed.
"""

from __future__ import annotations

import contextlib
import json
import os
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
from mirim.examples.template import render_chat
from mirim.models import decode, gguf_check
from mirim.models.engines._llama import Scorer
from mirim.models.tokenizer import ENDS

#: Longest context that is opened unasked: its cache is allocated whole.
_CONTEXT = 4096
#: How llguidance, which holds the model to a schema, is to space JSON: as json.dumps does.
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def open(
    ref: str,
    *,
    context: int = 0,
    threads: int = 0,
    parallel: int = 1,
    adapters: Sequence[str] = (),
    name: str = "",
    **_: Any,
) -> Engine:
    """Load the GGUF file at `ref`.

    parallel   requests computed at the same time, each with `context` tokens of its own
    adapters   LoRA adapters in GGUF, applied per request through `generate(..., adapter=number)`
    """
    return LlamaCpp(Path(ref), context, threads, parallel, adapters, name)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole generation with the ids of its tokens."""

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: str


class LlamaCpp:
    """See `mirim.core.types.Engine`; `score_many`, `logits`, `encode` and `complete` are this engine's own."""

    def __init__(
        self, path: Path, context: int, threads: int, parallel: int, adapters: Sequence[str], name: str
    ) -> None:
        self.path = path
        self.name = name or path.stem
        self._header = gguf_check.check(path)
        keys = self._header.keys
        trained = int(keys[f"{self._header.architecture}.context_length"])
        if context > trained:
            raise UsageError(f"{path}: a context of {context} tokens was asked for, the model was made for {trained}")
        self.context = context or min(trained, _CONTEXT)
        self.threads = threads or _cores()
        self._chosen = (threads, threads) if threads else None
        self.parallel = max(1, parallel)
        self.template = str(keys.get("tokenizer.chat_template", ""))
        self.scorer = Scorer(path, self.context, self.threads)
        self.bos = _decode(self._raw_piece(keys.get("tokenizer.ggml.bos_token_id")))
        self.eos = _decode(self._raw_piece(keys.get("tokenizer.ggml.eos_token_id")))
        self._adapters = tuple(adapters)
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
        adapter: int | None = None,
    ) -> Iterator[Delta]:
        """Stream the continuation. Closing the iterator cancels the work within a token.

        UsageError before any work when the prompt does not fit the context.
        """
        ids = self._prompt(prompt, tools, sampling)
        request = self._request(ids, sampling, schema, adapter)
        request |= {"stream": True, "stream_options": {"include_usage": True}}
        return self._stream(request, len(ids), bool(tools), schema is not None)

    def complete(self, prompt: str | Sequence[Message], sampling: Sampling) -> Completion:
        """The whole continuation at once, with the id of every token."""
        ids = self._prompt(prompt, (), sampling)
        # The server keeps back the ids of tokens that end inside a character, so this decodes by itself.
        deltas = list(
            decode.stream(
                ids,
                sampling,
                context=self.context,
                logits=lambda seen: self.scorer.logits(seen, len(seen) - 1)[0],
                piece=self.scorer.piece,
                ends=self._ends,
            )
        )
        tokens = tuple(t for d in deltas for t in d.token_ids)
        return Completion("".join(d.text for d in deltas), tokens, len(ids), deltas[-1].finish_reason)

    def _stream(self, request: dict[str, Any], used: int, tools: bool, held: bool) -> Iterator[Delta]:
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
                                _check_json(said, whole=False)
                            yield Delta(_clean(choice["text"]), logprobs=logprobs)
        finally:
            closed.set()
            thread.join(timeout=30)
        if not reason:
            raise MirimError("llama.cpp ended a generation without saying why; run it again")
        if held and reason == "stop":
            _check_json(said, whole=True)
        calls = _tool_calls(said) if tools else ()
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        yield Delta(
            "",
            finish_reason="tool_calls" if calls else reason,
            prompt_tokens=used,
            tool_calls=calls,
            completion_tokens=usage.get("completion_tokens", 0),
            cached_tokens=cached,
        )

    def _request(
        self, ids: list[int], sampling: Sampling, schema: dict[str, Any] | None, adapter: int | None
    ) -> dict[str, Any]:
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
        if schema is not None:
            # Blanks between the parts are fixed: a small model could write them until its tokens are used up.
            request["json_schema"] = {**schema, "x-guidance": _COMPACT}
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
                if self._chosen is None:
                    self._chosen = self.scorer.choose_threads(self.threads)
                self._server = _serve(self.path, self.context, self._chosen, self.parallel, self._adapters, self._plain)
                # The server holds the weights now; a second copy waits until something is to be scored.
                self.scorer.rest()
            return self._server

    @property
    def _plain(self) -> bool:
        """Whether the weights are float32, and the cache should be too."""
        return int(self._header.keys.get("general.file_type", 1)) == 0

    # -- scores and tokens ----------------------------------------------------------------------------

    def score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        """Natural-log probabilities of each candidate's tokens after the prompt.

        An empty prompt scores whole texts: the first token counts only for models that begin with BOS.
        """
        return self.score_many([prompt], [candidates])[0]

    def score_many(
        self, prompts: Sequence[str | Sequence[Message]], candidates: Sequence[Sequence[str]]
    ) -> list[list[list[float]]]:
        """`score` for several prompts, each with its own candidates; the computed prompt is shared among them."""
        return [self._score(p, c) for p, c in zip(prompts, candidates, strict=True)]

    def _score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        if isinstance(prompt, str) and not prompt:
            return [self.score_tokens(self.encode(c)) for c in candidates]
        head = self._encode(prompt)
        tails = [self._tail(c) for c in candidates]
        longest = len(head) + max((len(t) for t in tails), default=0)
        if longest > self.context:
            raise UsageError(
                f"the prompt and its longest candidate have {longest} tokens, the context holds {self.context}"
            )
        # The prompt's last row gives every candidate's first token; only longer candidates compute more.
        first = _log_softmax(self.scorer.logits(head, len(head) - 1))[0] if head else None
        out = []
        for tail in tails:
            values = [float(first[tail[0]])] if tail and first is not None else []
            if len(tail) > 1:
                rows = _log_softmax(self.scorer.logits([*head, *tail[:-1]], len(head)))
                values += [float(rows[n, token]) for n, token in enumerate(tail[1:])]
            out.append(values)
        return out

    def score_tokens(self, ids: Sequence[int]) -> list[float]:
        """Natural-log probability of each token after the first, which has nothing before it."""
        if len(ids) < 2:
            return []
        self._check_length(len(ids))
        rows = _log_softmax(self.scorer.logits(ids[:-1]))
        return [float(rows[n, token]) for n, token in enumerate(ids[1:])]

    def logits(self, ids: Sequence[int]) -> Any:
        """Logits (len(ids), vocabulary), float32."""
        self._check_length(len(ids))
        return self.scorer.logits(ids)

    def encode(self, text: str) -> list[int]:
        """Ids of raw text, with BOS where the model's tokenizer puts one."""
        return self.scorer.encode(text, special=True)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One normalised vector a text: the mean over its tokens of the last layer's output."""
        if not texts:
            return []
        for text in texts:
            self._check_length(len(self.encode(text)))
        with self._lock:
            if self._embedder is None:
                threads = (self.threads, self.threads)
                self._embedder = _serve(self.path, self.context, threads, 1, (), self._plain, embedding=True)
        row = self._embedder.handle_embeddings({"input": list(texts)})
        _raise(row)
        return [list(map(float, r["embedding"])) for r in sorted(row["data"], key=lambda r: r["index"])]

    def count(self, prompt: str | Sequence[Message]) -> int:
        return len(self._encode(prompt))

    def close(self) -> None:
        with self._lock:
            self._server = self._embedder = None
            self.scorer.close()

    # -- prompts --------------------------------------------------------------------------------------

    def chat(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> str:
        """The conversation as the model's template writes it; UsageError when it has no template."""
        if not self.template:
            raise UsageError(
                f"{self.name} has no chat template, so it cannot read a conversation; use raw text "
                "(mirim generate --raw), or put a chat_template.jinja beside its tokenizer and export again"
            )
        return render_chat(
            self.template, messages, add_generation_prompt=True, bos_token=self.bos, eos_token=self.eos, tools=tools
        )

    def _encode(self, prompt: str | Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> list[int]:
        if isinstance(prompt, str):
            return self.encode(prompt)
        # The template writes its own special tokens.
        return self.scorer.encode(self.chat(prompt, tools), special=False)

    def _prompt(
        self, prompt: str | Sequence[Message], tools: Sequence[dict[str, Any]], sampling: Sampling
    ) -> list[int]:
        ids = self._encode(prompt, tools)
        if not ids:
            raise UsageError(f"the prompt is empty, and {self.name} begins with no token of its own; write something")
        if len(ids) >= self.context and sampling.max_tokens:
            raise UsageError(
                f"the prompt has {len(ids)} tokens, the context of {self.name} holds {self.context}; "
                "shorten it, or open a longer context if the model has one"
            )
        return ids

    def _check_length(self, count: int) -> None:
        if count > self.context:
            raise UsageError(f"the text has {count} tokens, the context of {self.name} holds {self.context}")

    def _tail(self, text: str) -> list[int]:
        """Tokens of a continuation: no BOS, and no space that SentencePiece would put before a text."""
        if not self._header.keys.get("tokenizer.ggml.add_space_prefix", self._spm):
            return self.scorer.encode(text, special=False)
        lead = self.scorer.encode("\n", special=False)
        return self.scorer.encode("\n" + text, special=False)[len(lead) :]

    def _ends(self, token: int) -> bool:
        """What transformers would stop at, where the file says so; otherwise llama.cpp's idea of an end."""
        known = str(self._header.keys.get(ENDS, ""))
        return str(token) in known.split(",") if known else self.scorer.ends(token)

    @property
    def _spm(self) -> bool:
        return self._header.keys.get("tokenizer.ggml.model") == "llama"

    def _raw_piece(self, token: Any) -> bytes:
        return self.scorer.text(token) if isinstance(token, int) and token < self.scorer.vocabulary else b""


def _serve(
    path: Path,
    context: int,
    threads: tuple[int, int],
    parallel: int,
    adapters: Sequence[str],
    plain: bool,
    embedding: bool = False,
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
    if embedding:
        params.embedding = True
        params.pooling_type = x.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.embd_normalize = 2
    try:
        return x.Server(params)
    except RuntimeError as error:
        raise MirimError(f"{path} could not be opened by llama.cpp with a context of {params.n_ctx} tokens") from error


def _check_json(text: str, *, whole: bool) -> None:
    """llama.cpp writes freely, without a word, when it cannot compile a schema: notice it."""
    sound = not text.strip() or text.lstrip()[0] in '{["-0123456789tfn'
    if sound and whole:
        try:
            json.loads(text)
        except ValueError:
            sound = False
    if not sound:
        raise UsageError(f"llama.cpp cannot hold a model to this JSON schema (it wrote {text[:40]!r}); simplify it")


def _cores() -> int:
    """Physical cores this process may use: hyper-threads and other containers' cores only get in the way."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pairs = set()
    with contextlib.suppress(OSError):
        for folder in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
            pairs.add(((folder / "physical_package_id").read_text().strip(), (folder / "core_id").read_text().strip()))
    return max(1, min(allowed, len(pairs) or allowed))


def _log_softmax(rows: Any) -> Any:
    import numpy as np

    rows = rows.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


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


def _decode(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _tool_calls(text: str) -> tuple[dict[str, Any], ...]:
    """Calls that a model wrote as <tool_call>{...}</tool_call>; what is not valid JSON stays text."""
    calls: list[dict[str, Any]] = []
    for part in text.split("<tool_call>")[1:]:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(part.partition("</tool_call>")[0])
            arguments = row.get("arguments", row.get("parameters", {}))
            arguments = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            function = {"name": row["name"], "arguments": arguments}
            calls.append({"id": f"call_{len(calls)}", "type": "function", "function": function})
    return tuple(calls)
