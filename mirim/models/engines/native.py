"""Small Llama-like models on mirim's own core (`native/`): the fastest there is for them on ordinary processors.

One thread of the core computes the prompts and answers of all requests together; Python only hands texts in and out.
Answers do not depend on the number of threads, on what else is computed, on drafts or on what was kept of earlier
prompts: the same bits, tested.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, Unfit, UsageError
from mirim.core.progress import note
from mirim.core.types import Delta, Engine, Message, Sampling, TokenLogprob
from mirim.models import decode, gguf_check, lora
from mirim.models.engines import _graph, _threads
from mirim.models.engines._grammar import Guide, check_json
from mirim.models.engines._keep import Prefixes
from mirim.models.engines._llama import Vocabulary
from mirim.models.engines._local import cores, tool_calls
from mirim.models.engines._widen import Tensor, widen
from mirim.models.pointing import ADAPTER, Pointer, learned

#: What figures of a wrong kind or size lead to.
_BROKEN = (RuntimeError, ValueError, TypeError, KeyError, OverflowError, ZeroDivisionError)
#: Bytes of keys and values that are held for prompts that begin alike, and tokens proposed at once.
SPARE, _DRAFT = 48 << 20, 16


def open(
    ref: str,
    *,
    context: int = 0,
    threads: int = 0,
    parallel: int = 16,
    name: str = "",
    kernels: str = "",
    draft: int = _DRAFT,
    spare: int = SPARE,
    adapters: Sequence[str] = (),
    pointing: str = "",
) -> Engine:
    """Load the GGUF file at `ref`.

    parallel   requests computed at the same time, each with `context` tokens of its own; memory is taken as they grow
    kernels    instruction set: avx512, avx2, neon or portable; '' takes the best of this processor
    draft      most tokens that are proposed at once from what was there before; 0 proposes none
    spare      bytes of keys and values up to which those of ended requests are kept, for others that begin alike
    adapters   LoRA adapters, GGUF files or PEFT folders, applied per request through `generate(..., adapter=number)`
    pointing   folder of what the model learned to point with (`mirim.models.pointing`)

    UsageError for a file that the core does not compute; `unsupported` says why beforehand.
    """
    path = Path(ref)
    header = gguf_check.check(path)
    why = unsupported(header, adapters)
    if why:
        raise UsageError(f"mirim's own core does not run {path}: {why}; use --engine llama_cpp")
    return Native(path, header, context, threads, parallel, name, kernels, draft, spare, adapters, pointing)


def unsupported(header: gguf_check.Header, adapters: Sequence[str] = ()) -> str:
    """Why the core does not run a model with these adapters, '' if it does. UsageError for a broken adapter."""
    try:
        from mirim import _core  # noqa: F401
    except ImportError:
        return "the core was not built when mirim was installed (is there a C++ compiler?)"
    try:
        why = _graph.unsupported(header)
        for one in adapters if not why else ():
            why = why or _graph.unsupported_adapter(lora.read(lora.as_gguf(one, header), header), header)
        return why
    except _BROKEN as error:
        return f"its figures are broken ({error})"


class Native(Prefixes):
    """See `mirim.core.types.Engine` and `Local`; `complete`, `counts` and `last` are this engine's own."""

    #: `Sampling.logprobs` is kept to.
    logprobs = True

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
        adapters: Sequence[str],
        pointing: str,
    ) -> None:
        from mirim import _core

        super().__init__(path, header, context, name)
        if kernels and kernels not in _core.kernels():
            raise UsageError(f'kernels "{kernels}": this processor has {", ".join(_core.kernels())}')
        self.parallel = max(1, parallel)
        self.threads = threads or cores()
        self._draft = draft
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._guide: Guide | None = None
        #: Counts of the last answer that ended: prompt and written tokens, steps, proposed and accepted ones.
        self.last: dict[str, int] = {}
        self.words = Vocabulary(path)
        try:
            self._figures = _graph.config(header, path)
            self._core = _core.Core(self._figures, kernels)
            self._fill()
            self.adapters = len(adapters)
            for one in adapters:
                self._adapt(lora.read(lora.as_gguf(one, header), header))
            # The last, so that those that were asked for keep their numbers.
            folders = learned(Path(pointing)) if pointing else {}
            for folder in folders.values():
                self._adapt(lora.read(folder / ADAPTER, header))
            self._core.open(context=self.context, slots=self.parallel, spare=spare, few=self.threads, many=self.threads)
        except _BROKEN as error:
            raise Unfit(f"mirim's own core cannot run {path}: {error}; use --engine llama_cpp") from error
        #: What tells where something stands in a text, by its task, of what the model learned to.
        self.pointers: dict[str, Pointer] = {}
        for number, (task, folder) in enumerate(folders.items() if self.whole else (), start=self.adapters):
            self.pointers[task] = Pointer(folder, self, number, self._figures["hidden_size"])
        if not threads:
            self._choose_threads()

    def _fill(self) -> None:
        """Weights from the mapped file into the core's layout, one tensor after the other."""
        import numpy as np

        raw, rounded = np.memmap(self.path, np.uint8, "r"), set[int]()
        for tensor, (kind, shape) in self._header.tensors.items():
            if tensor == "rope_freqs.weight":
                continue
            start, size = self._header.places[tensor]
            data, again = raw[start : start + size], False
            vector = len(shape) == 1
            if kind not in _graph.HELD or (vector and kind != _graph.F32):
                # K-quants and their like: eight bits again, from the numbers they stand for.
                rounded |= set() if vector else {kind}
                data, kind, again = _graph.floats(data, kind, shape).reshape(-1).view(np.uint8), _graph.F32, not vector
            rows, columns = (1, shape[0]) if vector else (shape[1], shape[0])
            held = widen(tensor, Tensor(data, kind, rows, columns), self._header)
            self._core.add(tensor, held.kind, again, np.ascontiguousarray(held.data), held.rows, held.columns)
        if rounded:
            kinds = ", ".join(sorted(_graph.type_name(one) for one in rounded))
            note(f"{self.path.name}: weights of type {kinds} are quantised again, to eight bits")

    def _adapt(self, adapter: lora.Lora) -> None:
        """The halves of an adapter's changes, as floats."""
        import numpy as np

        raw = np.memmap(adapter.path, np.uint8, "r")
        number = self._core.begin_adapter()
        for tensor, (kind, shape) in adapter.header.tensors.items():
            start, size = adapter.header.places[tensor]
            data = raw[start : start + size]
            if kind not in _graph.FLOATS:
                data, kind = _graph.floats(data, kind, shape).reshape(-1).view(np.uint8), _graph.F32
            stem, _, half = tensor.rpartition(".")
            self._core.adapt(
                number,
                stem,
                half == "lora_a",
                kind,
                np.ascontiguousarray(data),
                shape[1],
                shape[0],
                adapter.scales[stem],
            )

    def _choose_threads(self) -> None:
        numbers = _threads.candidates(self.threads)
        # Between all and one the core chooses by itself, while it works.
        if len(numbers) < 3 or self.context < 96:
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
        call: dict[str, Any] | None = None,
        adapter: int | None = None,
    ) -> Iterator[Delta]:
        """Stream the continuation. Closing the iterator cancels the work within a token.

        UsageError before any work when the prompt does not fit the context.
        """
        number = self._adapter(adapter)
        ids = self._prompt(prompt, tools, sampling)
        matcher = self._matcher(schema, call) if schema is not None else None
        stream = self._stream(ids, sampling, bool(tools), matcher, number, call is not None)
        return stream if isinstance(prompt, str) else decode.without(stream, self.lead)

    def _adapter(self, number: int | None) -> int:
        """As the core counts: -1 for none."""
        if number is not None and not 0 <= number < self.adapters:
            raise UsageError(f"there is no adapter {number}; {self.adapters} are loaded")
        return -1 if number is None else number

    def complete(self, prompt: str | Sequence[Message], sampling: Sampling) -> Any:
        """The whole continuation at once, with the id of every token."""
        from mirim.models.engines.llama_cpp import Completion

        ids = self._prompt(prompt, (), sampling)
        deltas = list(self._stream(ids, sampling, False, None, -1))
        tokens = tuple(t for d in deltas for t in d.token_ids)
        return Completion("".join(d.text for d in deltas), tokens, len(ids), deltas[-1].finish_reason)

    def _stream(
        self, ids: list[int], sampling: Sampling, tools: bool, matcher: Any, adapter: int, call: bool = False
    ) -> Iterator[Delta]:
        most = min(sampling.max_tokens, self.context - len(ids))
        if most <= 0:
            yield Delta("", finish_reason="length", prompt_tokens=len(ids))
            return
        request = self._open.write(
            ids,
            most,
            # What is infinite as the core's float would make no number of what may not come.
            temperature=min(max(sampling.temperature, 0.0), 1e30),
            top_k=max(sampling.top_k, 0),
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repeat_penalty=decode.penalty(sampling),
            seed=sampling.seed & 0xFFFFFFFFFFFFFFFF,
            ends=self._end_tokens,
            logprobs=-1 if sampling.logprobs is None else sampling.logprobs,
            masked=matcher is not None,
            draft=self._draft,
            adapter=adapter,
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
                    text.add(token, one)
                    if text.stopped:
                        reason = "stop"
                        break
                if asked and not reason:
                    if matcher.is_stopped():
                        reason = "stop"
                    else:
                        request.allow(self._mask(matcher))
                if delta := text.ready():
                    said += delta.text
                    yield delta
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
            # A stop string cuts JSON like max_tokens does.
            check_json(said, "mirim's core", whole=not text.stopped, call=call)
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
        piece = self._spelling(token)
        top = tuple(self._logprob(t, v) for t, v in likely)
        return TokenLogprob(piece.decode("utf-8", "replace"), value, token, tuple(piece), top)

    # -- schemas ------------------------------------------------------------------------------------

    def _matcher(self, schema: dict[str, Any], call: dict[str, Any] | None) -> Any:
        """Which tokens a JSON schema, or a call in its stead, allows next."""
        with self._lock:
            if self._guide is None:
                self._guide = Guide(self.words, self._end_tokens, self.encode)
        return self._guide.matcher(schema, call)

    def _mask(self, matcher: Any) -> Any:
        import numpy as np

        return np.frombuffer(matcher.compute_bitmask(), np.uint8)

    # -- scores and vectors ---------------------------------------------------------------------------

    def logits(self, ids: Sequence[int], first: int = 0, adapter: int | None = None) -> Any:
        self._check_length(len(ids))
        return self._computed(self._open.logits, list(ids), first, self._adapter(adapter))

    def score_tokens(self, ids: Sequence[int], first: int = 1) -> list[float]:
        if len(ids) <= first:
            return []
        self._check_length(len(ids))
        return list(self._computed(self._open.scores, list(ids), first))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One normalised vector a text: the last layer's output, the mean over its tokens or its last token's."""
        rows = []
        for text in texts:
            ids = self.encode(text)
            self._check_length(len(ids))
            if not ids:
                raise UsageError("a text without tokens has no vector; write something")
            values = self._computed(self._open.mean, ids, len(ids) - 1 if self.pooling == "last" else 0)
            length = math.sqrt(sum(v * v for v in values)) or 1.0
            rows.append([v / length for v in values])
        return rows

    @property
    def whole(self) -> int:
        """Tokens of a text that `states` takes; 0 where the model's layers have windows."""
        return min(int(self._open.max_whole()), self.context)

    def states(self, texts: Sequence[Sequence[int]], adapter: int | None = None) -> list[Any]:
        """The last norm's output (T, hidden_size), float32, of each text's token ids, every token of which sees all of
        its text, those behind it too. A decoder that attends so is an encoder, once an adapter has learned it
        (BehnamGhader et al. 2024, LLM2Vec).

        UsageError for a text that is empty or longer than `whole`.
        """
        for ids in texts:
            if not 0 < len(ids) <= self.whole:
                raise UsageError(
                    f"a text of {len(ids)} tokens cannot be seen whole by {self.name}; give it 1 to {self.whole} tokens"
                )
        own = adapter is not None and 0 <= adapter - self.adapters < len(self.pointers)
        number = adapter if own else self._adapter(adapter)
        return list(self._computed(self._open.states, [list(ids) for ids in texts], number))

    def _computed(self, work: Callable[..., Any], *given: Any) -> Any:
        try:
            return work(*given)
        except RuntimeError as error:
            raise MirimError(f"mirim's own core stopped: {error}; try --engine llama_cpp") from error

    def spelt(self, prompt: str | Sequence[Message]) -> tuple[list[int], list[bytes]]:
        """The prompt's token ids, and the bytes that each stands for, control tokens as the vocabulary writes them."""
        ids = self._encode(prompt)
        return ids, [self._spelling(token) for token in ids]

    def _spelling(self, token: int) -> bytes:
        return self.words.piece(token) or self.words.text(token)

    def counts(self) -> dict[str, int]:
        """What was computed since the model was opened: steps, tokens, proposals; bytes of weights and cache."""
        return dict(self._open.counts())

    @property
    def _open(self) -> Any:
        if self._core is None:
            raise MirimError(f"{self.path} was closed; open it again")
        if os.getpid() != self._process:
            raise MirimError(
                f"{self.path} was opened in process {self._process}, from which {os.getpid()} was forked without its "
                "threads; open it after the fork, or start processes by multiprocessing's spawn"
            )
        return self._core

    def close(self) -> None:
        with self._lock:
            if self._core is not None:
                self._core.close()
                self._core = None
