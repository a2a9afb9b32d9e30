"""answer: passages and a question → the answer in their words, or the refusal."""

from __future__ import annotations

from collections.abc import Sequence

from mirim.core.types import Message, Passage

#: The one refusal of each language, so that it can be recognised.
REFUSAL = {"en": "The text does not say.", "pt": "O texto não diz."}


def messages(question: str, passages: Sequence[Passage], language: str = "en") -> tuple[Message, ...]:
    """The prompt: the shared part, the passages, comes first."""
    texts = "\n\n".join(f"{p.heading}\n{p.text}" for p in passages)
    return (Message("user", f"{texts}\n\n? {question}"),)
