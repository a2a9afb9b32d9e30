"""GGUF models on OpenVINO GenAI: to measure beside, `mirim bench --engine native,openvino`. Never chosen unasked.

It reads Llama and Qwen models from GGUF itself. Tokens are llama.cpp's, as for the other engines that read such files.
It answers one request after the other; it gives no scores, no vectors, and follows no schema.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.types import Delta, Engine, Message, Sampling
from mirim.models import decode, gguf_check
from mirim.models.engines._llama import Vocabulary
from mirim.models.engines._local import Local, cores

_WHY = "the openvino engine is there to be measured; use --engine native or llama_cpp"


def open(ref: str, *, context: int = 0, threads: int = 0, name: str = "") -> Engine:
    """Load the GGUF file at `ref`; UsageError for an architecture that OpenVINO does not read from GGUF."""
    return OpenVino(Path(ref), context, threads, name)


class OpenVino(Local):
    """See `mirim.core.types.Engine` and `Local`."""

    parallel = 1

    def __init__(self, path: Path, context: int, threads: int, name: str) -> None:
        self._genai = need("openvino_genai", "openvino")
        super().__init__(path, gguf_check.check(path), context, name)
        self.words = Vocabulary(path)
        self.threads = threads or cores()
        self._lock = threading.Lock()
        try:
            self._pipe = self._genai.LLMPipeline(str(path), "CPU", INFERENCE_NUM_THREADS=self.threads)
        except RuntimeError as error:
            why = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "unknown")
            raise UsageError(f"OpenVINO cannot load {path} ({why}); use --engine native or llama_cpp") from error

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
    ) -> Iterator[Delta]:
        """Stream the continuation. UsageError before any work for what this engine does not do."""
        if schema is not None:
            raise UsageError(f"OpenVINO cannot hold a model to a JSON schema here: {_WHY}")
        if sampling.logprobs is not None or sampling.min_p:
            raise UsageError(f"OpenVINO knows no log-probabilities and no min_p here: {_WHY}")
        stream = self._stream(self._prompt(prompt, tools, sampling), sampling)
        return stream if isinstance(prompt, str) else decode.without(stream, self.lead)

    def _stream(self, ids: list[int], sampling: Sampling) -> Iterator[Delta]:
        import numpy as np

        most = min(sampling.max_tokens, self.context - len(ids))
        if most <= 0:
            yield Delta("", finish_reason="length", prompt_tokens=len(ids))
            return
        tensor = need("openvino", "openvino").Tensor
        rows = np.array([ids], np.int64)
        asked = self._genai.TokenizedInputs(tensor(rows), tensor(np.ones_like(rows)))
        made: queue.SimpleQueue[Any] = queue.SimpleQueue()
        closed = threading.Event()

        def work() -> None:
            try:
                with self._lock:
                    self._pipe.generate(asked, self._settings(sampling, most), _streamer(self._genai, made, closed))
                made.put(None)
            except BaseException as error:
                made.put(error)

        thread = threading.Thread(target=work, name="mirim-openvino", daemon=True)
        thread.start()
        text, reason = decode.Text(sampling.stop, self.words.piece), ""
        try:
            while not reason and (token := made.get()) is not None:
                if isinstance(token, BaseException):
                    raise MirimError(f"OpenVINO stopped: {token}") from token
                if self._ends(token):
                    reason = "stop"
                    continue
                text.add(token)
                if text.stopped:
                    reason = "stop"
                elif delta := text.ready():
                    yield delta
        finally:
            closed.set()
            thread.join(timeout=30)
        yield text.end(reason or "length", prompt_tokens=len(ids), completion_tokens=text.count, cached_tokens=0)

    def _settings(self, sampling: Sampling, most: int) -> Any:
        row = self._genai.GenerationConfig()
        row.max_new_tokens = most
        row.eos_token_id = -1
        row.stop_token_ids = {t for t in range(self.words.vocabulary) if self._ends(t)}
        row.repetition_penalty = sampling.repeat_penalty
        if sampling.temperature > 0:
            row.do_sample = True
            row.temperature, row.top_p = sampling.temperature, sampling.top_p
            row.rng_seed = sampling.seed & 0x7FFFFFFF
            if sampling.top_k > 0:
                row.top_k = sampling.top_k
        return row

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise UsageError(f"OpenVINO gives no vectors here: {_WHY}")

    def close(self) -> None:
        with self._lock:
            self._pipe = None


def _streamer(genai: Any, made: queue.SimpleQueue[Any], closed: threading.Event) -> Any:
    class Streamer(genai.StreamerBase):  # type: ignore[misc]
        """Hands over every token as it is made, until nobody wants more."""

        def write(self, token: Any) -> Any:
            for one in token if isinstance(token, (list, tuple)) else [token]:
                made.put(int(one))
            return genai.StreamingStatus.CANCEL if closed.is_set() else genai.StreamingStatus.RUNNING

        def end(self) -> None:
            pass

    return Streamer()
