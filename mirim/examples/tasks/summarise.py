"""summarise: a text → what it says, in a sentence or a headline."""

from __future__ import annotations

from mirim.core.types import Message

WORD = {
    "summary": {"en": "summary", "pt": "resumo"},
    "headline": {"en": "title", "pt": "título"},
}


def messages(text: str, language: str = "en", kind: str = "summary") -> tuple[Message, ...]:
    """The prompt; `kind` is summary or headline."""
    words = WORD[kind]
    return (Message("user", f"{text}\n\n{words.get(language, words['en'])}?"),)
