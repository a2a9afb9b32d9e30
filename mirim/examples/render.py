"""An example to tokens: through the model's own chat template, with the assistant's words marked to be learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.types import Example
from mirim.examples.template import render_chat


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids and, for each, whether it is the assistant's (its end-of-turn mark included)."""

    ids: list[int]
    mask: list[bool]


def render(example: Example, tokenizer: Any, max_length: int) -> Rendered | None:
    """Tokens of an example whose last message is the assistant's target; None when longer than `max_length`.

    `tokenizer` is a Hugging Face one. Text before the target is rendered as the prompt that answering uses,
    so that what is learned is what will be asked. UsageError when there is no chat template, when the last
    message is not the assistant's, or when the template rewrites the prompt once the answer is known.
    """
    template = tokenizer.chat_template
    if not template:
        raise UsageError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template; add chat_template.jinja to its folder"
        )
    if not example.messages or example.messages[-1].role != "assistant":
        raise UsageError(f"example {example.id}: the last message must be the assistant's, it is what is learned")
    marks = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
    prompt = render_chat(template, example.messages[:-1], add_generation_prompt=True, **marks)
    whole = render_chat(template, example.messages, add_generation_prompt=False, **marks)
    if not whole.startswith(prompt):
        raise UsageError(
            f"the chat template writes the prompt differently once the answer follows (example {example.id}); "
            "training with it would teach another prompt than the one that is asked"
        )
    encode = tokenizer.backend_tokenizer if hasattr(tokenizer, "backend_tokenizer") else None
    if encode is not None:
        before = encode.encode(prompt, add_special_tokens=False).ids
        after = encode.encode(whole[len(prompt) :].rstrip("\n"), add_special_tokens=False).ids
    else:
        before = tokenizer.encode(prompt, add_special_tokens=False)
        after = tokenizer.encode(whole[len(prompt) :].rstrip("\n"), add_special_tokens=False)
    if len(before) + len(after) > max_length:
        return None
    return Rendered(before + after, [False] * len(before) + [True] * len(after))
