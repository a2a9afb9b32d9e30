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


def render(example: Example, tokenizer: Any, max_length: int, every: bool = False) -> Rendered | None:
    """Tokens of an example whose last message is the assistant's target; None when longer than `max_length`.

    Of several assistant's turns only the last is learned, or with `every` each of them: a conversation is mostly what
    was said, a quiz is all answers. `tokenizer` is a Hugging Face one. Text before an answer is rendered as the prompt
    that answering uses, so that what is learned is what will be asked. UsageError when there is no chat template, when
    the last message is not the assistant's, or when the template rewrites the prompt once the answer is known.
    """
    template = _template(tokenizer)
    said = example.messages
    if not said or said[-1].role != "assistant":
        raise UsageError(f"example {example.id}: the last message must be the assistant's, it is what is learned")
    marks: dict[str, Any] = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
    turns = [i for i, m in enumerate(said) if m.role == "assistant"] if every else [len(said) - 1]
    text, ids, mask = "", list[int](), list[bool]()
    for turn in turns:
        prompt = render_chat(template, said[:turn], add_generation_prompt=True, **marks)
        whole = render_chat(template, said[: turn + 1], add_generation_prompt=False, **marks)
        if not (prompt.startswith(text) and whole.startswith(prompt)):
            raise UsageError(
                f"the chat template writes the prompt differently once the answer follows (example {example.id}); "
                "training with it would teach another prompt than the one that is asked"
            )
        # Apart, as in answering, where the prompt is tokenised before any word of the answer is known.
        before = _encode(tokenizer, prompt[len(text) :])
        text = prompt + whole[len(prompt) :].rstrip("\n")
        after = _encode(tokenizer, text[len(prompt) :])
        closed = bool(after) and after[-1] in tokenizer.all_special_ids
        if turn == turns[-1] and not closed and tokenizer.eos_token_id is not None:
            # A template that leaves the turn open would teach never to stop.
            after.append(tokenizer.eos_token_id)
        ids += before + after
        mask += [False] * len(before) + [True] * len(after)
    return Rendered(ids, mask) if len(ids) <= max_length else None


def _template(tokenizer: Any) -> str:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        # Some models bring several: for tools, for retrieval.
        template = template.get("default") or next(iter(template.values()), "")
    if not template:
        raise UsageError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template; "
            "add chat_template.jinja to its folder"
        )
    return str(template)


def _encode(tokenizer: Any, text: str) -> list[int]:
    """Ids of `text` as it is: nothing added, nothing cut off, whatever tokenizer.json says."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return list(tokenizer.encode(text, add_special_tokens=False))
    fast.no_truncation()
    fast.no_padding()
    return list(fast.encode(text, add_special_tokens=False).ids)
