"""classify: a text and the labels it may have → one of them."""

from __future__ import annotations

from collections.abc import Sequence

from mirim.core.types import Message


def messages(text: str, labels: Sequence[str]) -> tuple[Message, ...]:
    """The prompt: the labels come last, so that each of them can be scored as what follows."""
    return (Message("user", f"{text}\n\n? {' | '.join(labels)}"),)
