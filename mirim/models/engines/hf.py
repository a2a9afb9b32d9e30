"""Models on transformers and torch: every architecture they know, slower and heavier than llama.cpp.

The only engine that imports torch, and only when it opens a model.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.types import Delta, Engine, Message, Sampling
from mirim.examples.template import lead, render_chat
from mirim.models import convert, decode, pooling

_CONTEXT = 4096


def open(ref: str, *, context: int = 0, threads: int = 0, base: str = "", name: str = "") -> Engine:
    """Load the folder at `ref`; with `base`, `ref` is a PEFT adapter of the model there. Weights in float32."""
    return HuggingFace(Path(ref), context, threads, base, name)


class HuggingFace:
    def __init__(self, path: Path, context: int, threads: int, base: str, name: str) -> None:
        self._torch = need("torch", "train")
        transformers = need("transformers", "train")
        self.name = name or path.name
        if threads:
            self._torch.set_num_threads(threads)
        home = base or str(path)
        own = (path / "tokenizer.json").is_file() or (path / "tokenizer.model").is_file()
        convert.check_transformers(Path(home))
        # Its bars and advice are not ours to show.
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(str(path) if own else home)
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                home, dtype=self._torch.float32, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(f"transformers cannot load {home}: {first}") from error
        except Exception as error:
            # safetensors and pydantic-like checks raise kinds of their own for broken files.
            raise UsageError(f"transformers cannot load {home}: {type(error).__name__}: {error}") from error
        convert.check_complete(found, home)
        if base:
            model = _adapted(model, path, base)
        self.model = model.eval()
        self.pooling = pooling.of_folder(path if own else Path(home))
        trained = int(getattr(model.config, "max_position_embeddings", 0) or _CONTEXT)
        if context > trained:
            raise UsageError(f"{path}: a context of {context} tokens was asked for, the model was made for {trained}")
        self.context = context or min(trained, _CONTEXT)
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = {e for e in (*ends, self.tokenizer.eos_token_id) if e is not None}
        # Those that have a role, and those that its files call special without giving them one.
        marked = {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        self._special = marked.union(self.tokenizer.all_special_ids)
        self._spm = "<0x00>" in self.tokenizer.get_vocab()
        self._bytes = _byte_alphabet()
        self._added = set(self.tokenizer.get_added_vocab().values())
        self._lock = threading.Lock()

    def generate(
        self,
        prompt: str | Sequence[Message],
        sampling: Sampling,
        *,
        tools: Sequence[dict[str, Any]] = (),
        schema: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
    ) -> Iterator[Delta]:
        if schema is not None:
            raise UsageError("the hf engine cannot hold a model to a JSON schema; use llama_cpp")
        ids = self._encode(prompt, tools)
        if not ids:
            raise UsageError(f"the prompt is empty, and {self.name} begins with no token of its own; write something")
        if len(ids) >= self.context and sampling.max_tokens:
            raise UsageError(
                f"the prompt has {len(ids)} tokens, the context of {self.name} holds {self.context}; shorten it"
            )
        state: dict[str, Any] = {"cache": None, "done": 0}

        def logits(seen: list[int]) -> Any:
            with self._lock, self._torch.inference_mode():
                new = self._torch.tensor([seen[state["done"] :]])
                out = self.model(new, past_key_values=state["cache"], use_cache=True)
                state["cache"], state["done"] = out.past_key_values, len(seen)
                return out.logits[0, -1].float().numpy()

        stream = decode.stream(
            ids, sampling, context=self.context, logits=logits, piece=self._piece, ends=self._ends.__contains__
        )
        return stream if isinstance(prompt, str) else decode.without(stream, self._lead)

    def score(self, prompt: str | Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        if isinstance(prompt, str) and not prompt:
            return [self.score_tokens(self.encode(c)) for c in candidates]
        head, before = self._encode(prompt, scored=True), "" if isinstance(prompt, str) else self._lead
        out = []
        for candidate in candidates:
            out.append(self.score_tokens([*head, *self._tail(before + candidate)])[len(head) - 1 :])
        return out

    def score_tokens(self, ids: Sequence[int]) -> list[float]:
        """Natural-log probability of each token after the first."""
        if len(ids) < 2:
            return []
        rows = self._torch.log_softmax(self._torch.from_numpy(self.logits(ids)[:-1]).double(), -1)
        return [float(rows[n, token]) for n, token in enumerate(ids[1:])]

    def logits(self, ids: Sequence[int]) -> Any:
        """Logits (len(ids), vocabulary), float32."""
        if len(ids) > self.context:
            raise UsageError(f"the text has {len(ids)} tokens, the context of {self.name} holds {self.context}")
        with self._lock, self._torch.inference_mode():
            return self.model(self._torch.tensor([list(ids)])).logits[0].float().numpy()

    def encode(self, text: str) -> list[int]:
        """Ids of raw text, with the special tokens that this tokenizer puts around it."""
        return self._ids(text)

    def _tail(self, text: str) -> list[int]:
        """Tokens of a continuation, without the space that SentencePiece puts before a text."""
        if not self._spm:
            return self._ids(text, add_special_tokens=False)
        lead = self._ids("\n", add_special_tokens=False)
        return self._ids("\n" + text, add_special_tokens=False)[len(lead) :]

    def _ids(self, text: str, **how: Any) -> list[int]:
        # Half of a surrogate pair has no UTF-8; a question mark stands for it, as in the other engines.
        return list(self.tokenizer(text.encode("utf-8", "replace").decode(), **how)["input_ids"])

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        rows = []
        for text in texts:
            with self._lock, self._torch.inference_mode():
                ids = self._torch.tensor([self.encode(text)])
                states = self.model(ids, output_hidden_states=True).hidden_states[-1][0]
            vector = states[-1] if self.pooling == "last" else states.mean(0)
            rows.append([float(v) for v in vector / vector.norm().clamp_min(1e-12)])
        return rows

    def count(self, prompt: str | Sequence[Message]) -> int:
        return len(self._encode(prompt))

    def close(self) -> None:
        if getattr(self, "model", None) is None:
            raise MirimError(f"{self.name} was closed before")
        self.model = None

    def _encode(
        self, prompt: str | Sequence[Message], tools: Sequence[dict[str, Any]] = (), scored: bool = False
    ) -> list[int]:
        if isinstance(prompt, str):
            return self.encode(prompt)
        if not self.template:
            raise UsageError(
                f"{self.name} has no chat template, so it cannot read a conversation; use raw text "
                "(mirim generate --raw), or put a chat_template.jinja beside its tokenizer"
            )
        text = render_chat(
            self.template,
            prompt,
            add_generation_prompt=True,
            bos_token=self.tokenizer.bos_token or "",
            eos_token=self.tokenizer.eos_token or "",
            tools=tools,
        )
        return self._ids(text + self._thought if scored else text, add_special_tokens=False)

    @property
    def template(self) -> str:
        """The chat template's text, '' when there is none."""
        template = self.tokenizer.chat_template
        if isinstance(template, dict):
            # Some models bring several: for tools, for retrieval.
            template = template.get("default") or next(iter(template.values()), None)
        return str(template or "")

    @cached_property
    def _lead(self) -> str:
        return lead(self.template, *self._marks) if self.template else ""

    @cached_property
    def _thought(self) -> str:
        return decode.thought(self.template, *self._marks) if self.template else ""

    @property
    def _marks(self) -> tuple[str, str]:
        return self.tokenizer.bos_token or "", self.tokenizer.eos_token or ""

    def _piece(self, token: int) -> bytes:
        """The bytes of a token; nothing for a special one, as when transformers skips special tokens."""
        text = self.tokenizer.convert_ids_to_tokens(token) if token not in self._special else None
        if text is None:
            return b""
        if self._spm:
            if re.fullmatch(r"<0x[0-9A-F]{2}>", text):
                return bytes([int(text[3:5], 16)])
            return str(text).replace("\u2581", " ").encode()
        # Words added to the vocabulary are spelt as they are.
        if token not in self._added and all(ch in self._bytes for ch in text):
            return bytes(self._bytes[ch] for ch in text)
        return str(text).encode()


def _adapted(model: Any, folder: Path, base: str) -> Any:
    """`model`, which is that of `base`, with the PEFT adapter in `folder`: merged, where that changes nothing else.

    UsageError for an adapter that does not fit, is broken, or cannot be had back as it was trained.
    """
    peft = need("peft", "train")
    try:
        # What it warns of is looked at here.
        with warnings.catch_warnings(action="ignore"):
            tuned = peft.PeftModel.from_pretrained(model, str(folder))
            # Once more, for what it says of tensors that have no place, and of places without a tensor.
            found = tuned.load_adapter(str(folder), tuned.active_adapter)
            _check(tuned.active_peft_config, [*found.unexpected_keys, *found.missing_keys], folder, base)
            apart = _shared(tuned) or getattr(tuned.active_peft_config, "lora_bias", False)
            return tuned if apart else tuned.merge_and_unload()
    except UsageError:
        raise
    except Exception as error:
        # PEFT, torch and safetensors each raise kinds of their own for what is broken or does not fit.
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise UsageError(f"PEFT cannot load {folder}: {why}; is {base} its base? If it is, save it again") from error


def _check(config: Any, strange: Sequence[str], folder: Path, base: str) -> None:
    begun = str(getattr(config, "init_lora_weights", ""))
    if config.is_prompt_learning or getattr(config, "alora_invocation_tokens", None):
        raise UsageError(f"{folder} changes what the prompt says, which no engine here does; run {base} without it")
    if begun.startswith(("pissa_niter", "lora_ga")):
        raise UsageError(
            f'{folder} was begun with init_lora_weights "{begun}", which changed the base in a way that PEFT does not '
            "repeat; save it with PEFT's path_initial_model_for_weight_conversion"
        )
    if strange:
        raise UsageError(f"{folder} and {base} differ in {strange[0]}; is that its base? If it is, save it again")


def _shared(tuned: Any) -> bool:
    """Whether the adapter changes a matrix that has another place in the model too, such as embeddings that are the
    head: merging would change both.
    """
    places = Counter(id(weight) for _, weight in tuned.named_parameters(remove_duplicate=False))
    layers = (part.get_base_layer() for part in tuned.modules() if hasattr(part, "get_base_layer"))
    return any(places[id(weight)] > 1 for layer in layers for weight in layer.parameters())


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, reversed."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + n): b for n, b in enumerate(rest)}
