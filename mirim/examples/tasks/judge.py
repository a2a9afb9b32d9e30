"""judge: does this text answer this question? One word; the skill that ranking and refusing rest on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from mirim.core.types import Example, Message
from mirim.examples.questions import Asked
from mirim.examples.tasks import example

#: What the model answers, the same two words in every language.
TARGETS = ("yes", "no")


def messages(text: str, heading: str, question: str) -> tuple[Message, ...]:
    """The prompt, kept short: a tiny model reads it, many times a question."""
    return (Message("user", f"{heading}: {text}\n? {question}"),)


def make(asked: Asked, others: Sequence[Asked], rng: random.Random) -> Iterator[Example]:
    """The question with its own text, and with texts that do not hold its answer: neighbours and look-alikes."""
    base = {"question": asked.question, "language": asked.language}
    yield example(
        "judge", messages(asked.text, asked.lead, asked.question), "yes", (asked.span,), base | {"kind": asked.kind}
    )
    wrong = [o for o in others if o.span != asked.span and o.text != asked.text]
    for other in rng.sample(wrong, min(2, len(wrong))):
        yield example(
            "judge", messages(other.text, other.lead, asked.question), "no", (), base | {"kind": "other text"}
        )
