"""answer: passages and a question → the answer in their words, or the refusal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mirim.core.types import Example, Message, Passage
from mirim.examples.questions import Asked
from mirim.examples.tasks import example

#: The one refusal of each language, so that it can be recognised.
REFUSAL = {"en": "The text does not say.", "pt": "O texto não diz."}


def declined(text: str) -> bool:
    """Whether this is the refusal, of whichever language, but for case, blanks and the last stop."""
    return _bare(text) in {_bare(r) for r in REFUSAL.values()}


def _bare(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")


def messages(question: str, passages: Sequence[Passage], language: str = "en") -> tuple[Message, ...]:
    """The prompt: the passages come first, they are the part that many questions share."""
    texts = "\n\n".join(f"{p.heading}\n{p.text}" for p in passages)
    return (Message("user", f"{texts}\n\n? {question}"),)


def make(asked: Asked, home: Passage, other: Passage | None = None, cut: str = "") -> Iterator[Example]:
    """The question with the passage that answers it, and what must be refused: `other`, a passage that does not,
    or `cut`, the text of the passage without the sentence that answers."""
    made = {"question": asked.question, "language": asked.language}
    target = home.text[asked.span.start - home.start : asked.span.end - home.start].strip()
    kind = asked.kind or "yes or no"
    yield example(
        "answer", messages(asked.question, [home], asked.language), target, (asked.span,), made | {"kind": kind}
    )
    if other is not None:
        yield refused(asked.question, asked.language, other, "other passage")
    if cut:
        yield refused(asked.question, asked.language, replace(home, text=cut), "fact removed")


def refused(question: str, language: str, passage: Passage, kind: str = "out of scope") -> Example:
    """A question that the passage does not answer. 'out of scope': no document answers it."""
    made = {"question": question, "language": language, "kind": kind}
    refusal = REFUSAL.get(language, REFUSAL["en"])
    return example("answer", messages(question, [passage], language), refusal, (), made)
