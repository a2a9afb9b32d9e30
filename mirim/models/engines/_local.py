"""What engines share that run a GGUF file in this process: its tokens, its chat template, its limits."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.types import Ids, Message, Sampling
from mirim.examples.template import lead, render_chat
from mirim.models import gguf_check, pooling
from mirim.models.decode import thought
from mirim.models.engines._llama import Vocabulary
from mirim.models.preparation import BOS, ENDS, preparation

#: Longest context that is opened unasked.
_CONTEXT = 4096


class Local:
    """A model in a file. Engines add `generate`, `logits`, `score_tokens`, `embed` and `close`."""

    words: Vocabulary

    def __init__(self, path: Path, header: gguf_check.Header, context: int, name: str) -> None:
        self.path = path
        self.name = name or path.stem
        self._header = header
        keys = header.keys
        trained = int(keys[f"{header.architecture}.context_length"])
        if context > trained:
            raise UsageError(f"{path}: a context of {context} tokens was asked for, the model was made for {trained}")
        self.context = context or min(trained, _CONTEXT)
        self.template = str(keys.get("tokenizer.chat_template", ""))
        self.pooling = pooling.of_keys(header.architecture, keys)
        self._prepare = preparation(keys)

    @property
    def bos(self) -> str:
        """The tokenizer's own BOS, which templates write; '' when it has none."""
        return "" if BOS in self._header.keys else self._named("bos")

    @property
    def start_token(self) -> int | None:
        """What texts are scored after: the tokenizer's BOS, else the one that the model's configuration names."""
        token = self._header.keys.get("tokenizer.ggml.bos_token_id")
        known = self._header.keys.get(BOS) != "none" and isinstance(token, int) and token < self.words.vocabulary
        return token if known else None

    @property
    def eos(self) -> str:
        return self._named("eos")

    def _named(self, role: str) -> str:
        token = self._header.keys.get(f"tokenizer.ggml.{role}_token_id")
        if not isinstance(token, int) or token >= self.words.vocabulary:
            return ""
        return self.words.text(token).decode("utf-8", "replace")

    # -- scores ---------------------------------------------------------------------------------------

    def logits(self, ids: Sequence[int], first: int = 0) -> Any:
        """Logits (len(ids) - first, vocabulary), float32, after each token from position `first` on."""
        raise UsageError(f"{self.name} gives no logits")

    def score_tokens(self, ids: Sequence[int], first: int = 1) -> list[float]:
        """Natural-log probability of each token from `first` on; the very first has nothing before it."""
        raise UsageError(f"{self.name} gives no scores")

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
        head, before = self._encode(prompt, scored=True), "" if isinstance(prompt, str) else self.lead
        tails = [self._tail(before + c) for c in candidates]
        longest = len(head) + max((len(t) for t in tails), default=0)
        if longest > self.context:
            raise UsageError(
                f"the prompt and its longest candidate have {longest} tokens, the context holds {self.context}"
            )
        # The prompt's last row gives every candidate's first token; only longer candidates compute more.
        first = log_softmax(self.logits(head, len(head) - 1))[0] if head else None
        out = []
        for tail in tails:
            values = [float(first[tail[0]])] if tail and first is not None else []
            out.append(values + self.score_tokens([*head, *tail], len(head) + 1))
        return out

    def encode(self, text: str) -> list[int]:
        """Ids of raw text, with BOS where the model's tokenizer puts one; of `Ids` those that they are."""
        if isinstance(text, Ids):
            return list(text.ids)
        return self._split(text, special=True)

    def count(self, prompt: str | Sequence[Message]) -> int:
        return len(self._encode(prompt))

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

    @cached_property
    def lead(self) -> str:
        """Blanks that the template writes before an assistant's words."""
        return lead(self.template, self.bos, self.eos) if self.template else ""

    @cached_property
    def _thought(self) -> str:
        return thought(self.template, self.bos, self.eos)

    def _encode(
        self, prompt: str | Sequence[Message], tools: Sequence[dict[str, Any]] = (), scored: bool = False
    ) -> list[int]:
        if isinstance(prompt, str):
            return self.encode(prompt)
        # The template writes its own special tokens.
        return self._split(self.chat(prompt, tools) + (self._thought if scored else ""), special=False)

    def _split(self, text: str, *, special: bool) -> list[int]:
        return self.words.encode(self._prepare(text, True), special=special)

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
        text = self._prepare(text, False)
        if not self._header.keys.get("tokenizer.ggml.add_space_prefix", self._spm):
            return self.words.encode(text, special=False)
        lead = self.words.encode("\n", special=False)
        return self.words.encode("\n" + text, special=False)[len(lead) :]

    def _ends(self, token: int) -> bool:
        """What transformers would stop at, where the file says so; otherwise llama.cpp's idea of an end."""
        known = str(self._header.keys.get(ENDS, ""))
        return str(token) in known.split(",") if known else self.words.ends(token)

    @property
    def _spm(self) -> bool:
        return self._header.keys.get("tokenizer.ggml.model") == "llama"


def cores() -> int:
    """Physical cores this process may use: hyper-threads and other containers' cores only get in the way."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pairs = set()
    with contextlib.suppress(OSError):
        for folder in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
            pairs.add(((folder / "physical_package_id").read_text().strip(), (folder / "core_id").read_text().strip()))
    return max(1, min(allowed, len(pairs) or allowed))


def log_softmax(rows: Any) -> Any:
    import numpy as np

    rows = rows.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def tool_calls(text: str) -> tuple[dict[str, Any], ...]:
    """Calls that a model wrote as <tool_call>{...}</tool_call>; what is not valid JSON stays text."""
    calls: list[dict[str, Any]] = []
    for part in text.split("<tool_call>")[1:]:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            row = json.loads(part.partition("</tool_call>")[0])
            arguments = row.get("arguments", row.get("parameters", {}))
            arguments = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            function = {"name": row["name"], "arguments": arguments}
            calls.append({"id": f"call_{len(calls)}", "type": "function", "function": function})
    return tuple(calls)
