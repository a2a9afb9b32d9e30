"""Models behind an OpenAI-compatible endpoint: another mirim, llama.cpp, vLLM, Ollama, a provider.

References: `http://host:8000/v1#model`, or `remote:model` with the endpoint in MIRIM_REMOTE_URL
(or OPENAI_BASE_URL). The key is read from MIRIM_REMOTE_KEY or OPENAI_API_KEY and is never logged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.types import Delta, Engine, Message, Sampling

_TIMEOUT = 120.0


def open(ref: str, *, context: int = 0, threads: int = 0, timeout: float = _TIMEOUT) -> Engine:
    """Nothing is asked of the endpoint until it is used."""
    if ref.startswith("remote:"):
        url = os.environ.get("MIRIM_REMOTE_URL") or os.environ.get("OPENAI_BASE_URL") or ""
        model = ref.removeprefix("remote:")
        if not url:
            raise UsageError(f"{ref}: no endpoint is set; export MIRIM_REMOTE_URL=https://host/v1")
    else:
        url = ref.split("#")[0]
        model = ref[len(url) + 1 :]
    if not model:
        raise UsageError(f"{ref} names no model; write it after a #, such as {url}#model")
    return Remote(url.rstrip("/"), model, context, timeout)


class Remote:
    def __init__(self, url: str, model: str, context: int, timeout: float) -> None:
        self._httpx = need("httpx", "serve")
        self.url, self.model, self.name = url, model, model
        #: 0 when the caller did not say: the endpoint knows its own limit and says so.
        self.context = context
        key = os.environ.get("MIRIM_REMOTE_KEY") or os.environ.get("OPENAI_API_KEY") or ""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = self._httpx.Client(headers=headers, timeout=self._httpx.Timeout(timeout, connect=10.0))

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
    ) -> Iterator[Delta]:
        """Stream the answer. A connection that breaks off is an error, not a short answer.

        A call in the schema's stead is for the endpoint to make: `tools` say of it what `call` does.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "stream": True,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stream_options": {"include_usage": True},
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        # Not in OpenAI's interface: sent only when asked for, where a strict endpoint says so instead of ignoring it.
        for key, value, neutral in (
            ("top_k", sampling.top_k, 0),
            ("min_p", sampling.min_p, 0.0),
            ("repeat_penalty", sampling.repeat_penalty, 1.0),
        ):
            if value != neutral:
                body[key] = value
        if isinstance(prompt, str):
            if tools or schema:
                raise UsageError("tools and schemas need a conversation, not raw text")
            return self._stream("/completions", body | {"prompt": prompt})
        body["messages"] = [m.to_json() for m in prompt]
        if tools:
            body["tools"] = list(tools)
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        return self._stream("/chat/completions", body)

    def _stream(self, path: str, body: dict[str, Any]) -> Iterator[Delta]:
        reason, used = "", 0
        calls: dict[int, dict[str, Any]] = {}
        try:
            with self._client.stream("POST", self.url + path, json=body) as reply:
                if reply.status_code >= 400:
                    reply.read()
                    raise self._refusal(reply)
                for line in reply.iter_lines():
                    if not line.startswith("data:") or line[5:].strip() == "[DONE]":
                        continue
                    row = self._row(line[5:])
                    used = (row.get("usage") or {}).get("prompt_tokens") or used
                    for choice in (row.get("choices") or ())[:1]:
                        delta = choice.get("delta") or {}
                        _collect(calls, delta.get("tool_calls") or ())
                        text = choice.get("text") or delta.get("content") or ""
                        reason = choice.get("finish_reason") or reason
                        if text:
                            yield Delta(text)
        except self._httpx.HTTPError as error:
            raise self._failure(error) from error
        if not reason:
            raise MirimError(f"{self.url} ended its answer without finishing it; try again")
        yield Delta("", (), reason, used, tuple(calls[n] for n in sorted(calls)))

    def score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        raise UsageError(f"{self.url} gives no probabilities of chosen texts; use a local model for this")

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if not texts:
            return []
        rows = self._post("/embeddings", {"model": self.model, "input": list(texts)}).get("data") or []
        if len(rows) != len(texts):
            raise MirimError(f"{self.url} returned {len(rows)} embeddings for {len(texts)} texts")
        return [list(map(float, r["embedding"])) for r in sorted(rows, key=lambda r: r.get("index", 0))]

    def count(self, prompt: str | Sequence[Message]) -> int:
        """An estimate, four characters a token: endpoints have no common way to ask."""
        text = prompt if isinstance(prompt, str) else "\n".join(m.content for m in prompt)
        return -(-len(text) // 4)

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._client.post(self.url + path, json=body)
        except self._httpx.HTTPError as error:
            raise self._failure(error) from error
        if reply.status_code >= 400:
            raise self._refusal(reply)
        return self._row(reply.text)

    def _row(self, text: str) -> dict[str, Any]:
        try:
            row = json.loads(text)
        except ValueError as error:
            raise MirimError(f"{self.url} did not answer in JSON; is it an OpenAI-compatible endpoint?") from error
        if not isinstance(row, dict):
            raise MirimError(f"{self.url} answered {type(row).__name__}, an object was expected")
        if row.get("error"):
            raise MirimError(f"{self.url}: {_message(row)}")
        return row

    def _refusal(self, reply: Any) -> MirimError:
        try:
            message = _message(reply.json())
        except ValueError:
            message = reply.text[:200]
        if reply.status_code in (401, 403):
            return UsageError(
                f"{self.url} refused the key ({reply.status_code}: {message}); set MIRIM_REMOTE_KEY or OPENAI_API_KEY"
            )
        kind = UsageError if reply.status_code in (400, 404, 413, 422) else MirimError
        return kind(f"{self.url} answered {reply.status_code} for model {self.model}: {message}")

    def _failure(self, error: Exception) -> MirimError:
        if isinstance(error, self._httpx.TimeoutException):
            return MirimError(f"{self.url} did not answer in time; is it overloaded?")
        if isinstance(error, self._httpx.UnsupportedProtocol | self._httpx.InvalidURL):
            return UsageError(f"{self.url} is not an address: {error}")
        return MirimError(f"{self.url} cannot be reached ({type(error).__name__}: {error}); is it running?")


def _message(row: Any) -> str:
    error = row.get("error", row) if isinstance(row, dict) else row
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]


def _collect(calls: dict[int, dict[str, Any]], parts: Sequence[dict[str, Any]]) -> None:
    """Tool calls arrive in pieces: name and id first, arguments as fragments of JSON."""
    for part in parts:
        call = calls.setdefault(
            part.get("index", 0), {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = part.get("id") or call["id"]
        function = part.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
