"""ask: a text → a question that it answers. What a model learns here it can use to write questions itself."""

from __future__ import annotations

from collections.abc import Iterator

from mirim.core.types import Example, Message
from mirim.examples.questions import Asked
from mirim.examples.tasks import example

#: What is asked of the model, short for tiny ones.
WORD = {"en": "question", "pt": "pergunta"}


def messages(text: str, heading: str, language: str = "en") -> tuple[Message, ...]:
    """The prompt: the text with its heading, then the word for what is wanted."""
    return (Message("user", f"{heading}: {text}\n{WORD.get(language, WORD['en'])}?"),)


def make(asked: Asked) -> Iterator[Example]:
    """The question as it was before it was worded carelessly: a model should not learn to misspell."""
    if asked.kind in ("", "heading") or len(asked.text.split()) < 3:
        return
    made = {"question": asked.plain or asked.question, "language": asked.language, "kind": asked.kind}
    yield example("ask", messages(asked.text, asked.lead, asked.language), made["question"], (asked.span,), made)
