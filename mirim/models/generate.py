"""`mirim generate`: continue a text with any model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.types import Message, Sampling
from mirim.core.verbs import around, verb


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the model wrote, without the prompt; `verbatim`: printed as it is, with no newline added."""

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: str
    verbatim: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "token_ids": list(self.token_ids),
            "prompt_tokens": self.prompt_tokens,
            "finish_reason": self.finish_reason,
        }

    def to_text(self) -> str:
        return self.text


@verb
def generate(
    project: Project | None = None,
    *,
    model: str = "",
    prompt: str = "",
    max_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    repeat_penalty: float = 1.0,
    seed: int = 0,
    stop: tuple[str, ...] = (),
    raw: bool = False,
    engine: str = "",
    quant: str = "",
    context: int = 0,
    threads: int = 0,
) -> Continuation:
    """Continue a text with a model: its own weights, not a quantised copy, unless --quant or a GGUF file says so.

    Args:
        model: Folder in Hugging Face layout, GGUF file, bundle, hub id or endpoint; default: the project's model.
        prompt: What to continue; with a chat template it is what the user says.
        max_tokens: Longest continuation, in tokens.
        temperature: 0 takes the likeliest token each time and gives the same text every time.
        top_p: Draw from the likeliest tokens that hold this share of the probability.
        top_k: Draw from this many of the likeliest tokens; 0 from all.
        min_p: Leave out tokens less likely than this share of the likeliest one.
        repeat_penalty: Above 1, tokens that were there before become less likely.
        seed: Seed of the drawing.
        stop: Texts that end the continuation.
        raw: Continue the text itself, without the chat template; so is it done where there is none.
        engine: native, llama_cpp, hf, remote or echo; chosen by the kind of model when left out.
        quant: Weights of a folder or an adapter as q8_0, q4_0, bf16, f16 or f32, made once and kept.
        context: Tokens that prompt and continuation may take together; 0 is the model's own.
        threads: Threads to compute with; 0 is one for each core.
    """
    from mirim.models.engine import open_engine
    from mirim.models.resolve import default

    try:
        "".join([prompt, *stop]).encode()
    except UnicodeEncodeError as error:
        raise UsageError("the prompt or a stop holds bytes that are not UTF-8; write it in UTF-8") from error
    if not model:
        model, project = default(project, "name one: mirim generate --model REF --prompt TEXT")
    else:
        # It needs no project, but may be the name of one of its bundles.
        project = project or around()
    for name, value, most in (
        ("max-tokens", max_tokens, math.inf),
        ("temperature", temperature, math.inf),
        ("top-k", top_k, 2**31 - 1),
        ("seed", seed, math.inf),
        ("context", context, math.inf),
        ("threads", threads, 1024),
    ):
        if value < 0:
            raise UsageError(f"--{name} {value} is too small; at least 0")
        if value > most:
            raise UsageError(f"--{name} {value} is too large; at most {most}")
    for name, share in (("top-p", top_p), ("min-p", min_p)):
        if not 0 <= share <= 1:
            raise UsageError(f"--{name} {share} is not a share of the probability; from 0 to 1")
    if repeat_penalty <= 0:
        raise UsageError(f"--repeat-penalty {repeat_penalty} is too small; above 0, and 1 changes nothing")
    sampling = Sampling(max_tokens, temperature, top_p, top_k, min_p, repeat_penalty, seed, tuple(stop))
    running = open_engine(
        model, engine=engine, context=context, threads=threads, project=project, exact=True, quant=quant
    )
    try:
        if not raw and not getattr(running, "template", "theirs"):
            raw = True
            note(f"{model} has no chat template, so the text itself is continued")
        question = prompt if raw else (Message("user", prompt),)
        if hasattr(running, "complete"):
            done = running.complete(question, sampling)
            # Blanks that the template writes before an answer are no part of it.
            text = done.text if raw else done.text.removeprefix(getattr(running, "lead", ""))
            return Continuation(text, done.token_ids, done.prompt_tokens, done.finish_reason)
        deltas = list(running.generate(question, sampling))
        ids = tuple(t for d in deltas for t in d.token_ids)
        return Continuation("".join(d.text for d in deltas), ids, deltas[-1].prompt_tokens, deltas[-1].finish_reason)
    finally:
        running.close()
