"""judge: does this text answer this question? One word; the skill that ranking and refusing rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mirim.core.types import Example, Message
from mirim.examples.negatives import Wrong
from mirim.examples.questions import Asked
from mirim.examples.tasks import example

#: What the model answers, the same two words in every language.
TARGETS = ("yes", "no")


def messages(text: str, heading: str, question: str) -> tuple[Message, ...]:
    """The prompt, kept short: a tiny model reads it, many times a question."""
    return (Message("user", f"{heading}: {text}\n? {question}"),)


def make(asked: Asked, others: Iterable[Wrong]) -> Iterator[Example]:
    """The question with its own text, and questions with texts that do not hold their answer."""
    made = {"question": asked.question, "language": asked.language, "kind": asked.kind or "yes or no"}
    yield example("judge", messages(asked.text, asked.lead, asked.question), "yes", (asked.span,), made)
    for other in others:
        yield refused(other, asked.language)


def refused(wrong: Wrong, language: str) -> Example:
    """A question with a text that does not answer it."""
    made = {"question": wrong.question, "language": language, "kind": wrong.kind}
    return example("judge", messages(wrong.text, wrong.lead, wrong.question), "no", (), made)
