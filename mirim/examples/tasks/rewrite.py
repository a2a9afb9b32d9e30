"""rewrite: a conversation and a follow-up → the question that stands alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from mirim.core.types import Example, Message
from mirim.examples.questions import Asked
from mirim.examples.tasks import example

#: Turns shown; older ones rarely matter and cost reading time.
TURNS = 4

_FOLLOW = {
    "en": ("and for {n}?", "what about {n}?", "And {n}?", "how about {n}?", "same for {n}?", "and {n}"),
    "pt": ("e {n}?", "e para {n}?", "E no caso de {n}?", "e quanto a {n}?", "vale para {n}?", "e {n}"),
}
_POINT = {
    "en": ("{q} (that)?", "About that: {l}?", "ok, and {l}?", "And {l}?", "thanks. {q}?"),
    "pt": ("E {l}?", "Sobre isso: {l}?", "ok, e {l}?", "obrigado. {q}?", "entendi, e {l}?"),
}


def messages(history: Sequence[Message], question: str) -> tuple[Message, ...]:
    """The prompt: the last turns as lines, the follow-up last."""
    lines = [f"{'?' if m.role == 'user' else '='} {' '.join(m.content.split())[:300]}" for m in history[-TURNS:]]
    return (Message("user", "\n".join([*lines, f"> {question}"])),)


def follow(topic: str, language: str, rng: random.Random) -> str:
    """A short question after the same about another topic."""
    return rng.choice(_FOLLOW[language]).format(n=topic)


def make(asked: Sequence[Asked], rng: random.Random) -> Iterator[Example]:
    """Follow-ups from pairs of a document's questions: another topic asked the same, the same topic asked more,
    and questions that already stand alone and must stay as they are."""
    for first, second in itertools.pairwise(asked):
        language = first.language
        history = (Message("user", first.question), Message("assistant", first.text))
        made = {"language": language, "question": second.plain}
        if first.topic and second.topic and first.topic != second.topic and first.topic in first.plain_topic:
            whole = first.plain_topic.replace(first.topic, second.topic)
            made |= {"question": whole, "kind": "other topic"}
            short = follow(second.topic, language, rng)
            yield example("rewrite", messages(history, short), whole, (), made)
        elif second.topic and second.lead == first.lead and second.topic not in second.plain:
            bare = second.plain.rstrip("?")
            short = rng.choice(_POINT[language]).format(q=bare, l=bare[:1].lower() + bare[1:])
            whole = second.plain_topic
            made |= {"question": whole, "kind": "same topic"}
            yield example("rewrite", messages(history, short), whole, (), made)
        elif not second.topic and rng.random() < 0.3:
            made |= {"kind": "standing"}
            yield example("rewrite", messages(history, second.plain), second.plain, (), made)
