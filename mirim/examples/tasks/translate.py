"""translate: a text → the same in the other language."""

from __future__ import annotations

from mirim.core.types import Message

#: Asked for in the language of the text.
WORD = {"pt": "in Portuguese", "en": "em inglês"}


def messages(text: str, to: str) -> tuple[Message, ...]:
    """The prompt; `to` is the language wanted, en or pt."""
    return (Message("user", f"{text}\n\n{WORD[to]}?"),)
