"""answer: passages and a question → the answer in their words, or the refusal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mirim.core.types import Example, Message, Passage
from mirim.examples.questions import Asked
from mirim.examples.tasks import example

#: The one refusal of each language, so that it can be recognised.
REFUSAL = {"en": "The text does not say.", "pt": "O texto não diz."}


def messages(question: str, passages: Sequence[Passage], language: str = "en") -> tuple[Message, ...]:
    """The prompt: the passages come first, they are the part that many questions share."""
    texts = "\n\n".join(f"{p.heading}\n{p.text}" for p in passages)
    return (Message("user", f"{texts}\n\n? {question}"),)


def make(asked: Asked, home: Passage, other: Passage | None) -> Iterator[Example]:
    """The question with the passage that answers it, and with one that does not, to be refused."""
    base = {"question": asked.question, "language": asked.language}
    target = home.text[asked.span.start - home.start : asked.span.end - home.start].strip()
    yield example(
        "answer", messages(asked.question, [home], asked.language), target, (asked.span,), base | {"kind": asked.kind}
    )
    if other is not None:
        refusal = REFUSAL.get(asked.language, REFUSAL["en"])
        yield example(
            "answer", messages(asked.question, [other], asked.language), refusal, (), base | {"kind": "other passage"}
        )


def outside(question: str, language: str, passage: Passage) -> Example:
    """A question that no document answers, to be refused."""
    made = {"question": question, "language": language, "kind": "out of scope"}
    return example("answer", messages(question, [passage], language), REFUSAL[language], (), made)
