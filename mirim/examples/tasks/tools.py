"""tools: a conversation and functions → a call, or words where no function fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mirim.core.types import Message

#: What opens and closes a call in a model's text.
MARK, CLOSE = "<tool_call>", "</tool_call>"
#: What a model says when no function fits.
NONE = {"en": "None of these functions can do that.", "pt": "Nenhuma destas funções faz isso."}

#: What is said where a call needs what nobody said.
ASK = {"en": "To do that I still need to know", "pt": "Para isso ainda preciso saber"}


def asking(wanted: Sequence[str], language: str) -> str:
    """The words that ask for what a call needs; in English where the language is neither."""
    begin = ASK.get(language, ASK["en"])
    return f"{begin}: {wanted[0]}." if len(wanted) == 1 else "\n- ".join((f"{begin}:", *wanted))


def asked(text: str) -> list[str]:
    """What such words ask for; nothing where they are none."""
    begin = next((f"{begin}:" for begin in ASK.values() if f"{begin}:" in text), "")
    behind = text.partition(begin)[2] if begin else ""
    if behind.startswith("\n- "):
        return [line.removeprefix("- ") for line in behind.strip().split("\n")]
    return [behind.strip().removesuffix(".")] if behind else []


def asks(text: str) -> bool:
    """Whether these are such words, or end in some."""
    return any(f"{begin}:" in text for begin in ASK.values())


def messages(history: Sequence[Message], tools: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    """The prompt for a model whose chat template has no place for tools: they are listed in the system's turn.

    `tools` is in OpenAI's shape, {"type": "function", "function": {...}}.
    """
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    text = (
        f"You can call these functions:\n{listed}\n"
        f'To call one, write {MARK}{{"name": ..., "arguments": {{...}}}}{CLOSE} and nothing else.'
    )
    if history and history[0].role == "system":
        return (replace(history[0], content=f"{history[0].content}\n\n{text}"), *history[1:])
    return (Message("system", text), *history)


def call(name: str, arguments: dict[str, Any]) -> str:
    """A call as the model writes it."""
    return f"{MARK}{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}{CLOSE}"
