"""judge: does this text answer this question? One word; the skill that ranking and refusing rest on."""

from __future__ import annotations

from mirim.core.types import Message

#: What the model answers, the same two words in every language.
TARGETS = ("yes", "no")


def messages(text: str, heading: str, question: str) -> tuple[Message, ...]:
    """The prompt, kept short: a tiny model reads it, many times a question."""
    return (Message("user", f"{heading}: {text}\n? {question}"),)
