"""Follow-up questions made to stand alone: 'and on Sundays?' needs what was being talked about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mirim.assist.courtesy import courtesy
from mirim.assist.phrases import declined
from mirim.assist.shorthand import written_out
from mirim.assist.superlatives import said
from mirim.core.types import Message
from mirim.documents.words import STOPWORDS, stem, tokens

#: Words that point at what was named before.
_POINTERS = frozenset(
    "it its that this these those they them there he she his her one ones same "
    "isso isto esse essa esses essas este esta ele ela eles elas dele dela disso nisso la ai mesmo mesma".split()
)
#: What points at nothing for all its words: "is there", "está" (folded, "esta").
_NO_POINTER = re.compile(r"\b(?:(?:is|are|was|were) there|there (?:is|are|was|were)|está)\b", re.IGNORECASE)
#: What opens or ends a question that goes on from the one before.
_GOES_ON = re.compile(
    r"(?:and|but|or|so|then|what about|how about|no|yes|ok(?:ay)?|sorry|e|mas|ou|entao|ah|nao|sim|tambem|tb)\b.*"
    r"|.*\b(?:then|too|entao|tambem|tb)"
)
#: Words of a question that ask for an amount and name nothing.
_AMOUNTS = frozenset("much many long often far".split())

#: Content words up to which a question may lean on the conversation.
SHORT = 3


def readings(question: str, history: Sequence[Message], language: str) -> list[str]:
    """What a question may mean: itself where it stands alone, with the topic of the last one where it names
    nothing itself, and both where only the documents can tell.

    A question may lean on the conversation with up to three content words. The topic is the content words of the last
    question that had some, with its own topic before it, so that a chain of follow-ups keeps its subject. What was
    refused is no topic: the documents do not speak of it.
    """
    before = topic(question, history, language)
    whole = _carried(question, before, language) if before else question
    named = not _AMOUNTS.issuperset(content(question, language))
    return [question, whole] if named and whole != question else [whole]


def topic(question: str, history: Sequence[Message], language: str) -> str:
    """What was being asked before a question that may lean on it, as a question that stands alone; '' for one of more
    words, or the first."""
    *follow, before = chain(question, history, language)[1:] or [""]
    for one in reversed(follow):
        before = _carried(one, before, language)
    return before


def chain(question: str, history: Sequence[Message], language: str) -> list[str]:
    """A question and those before it that it may lean on, the latest first."""
    earlier = _answered(history, language)
    found = [question]
    while earlier and len(content(found[-1], language)) <= SHORT:
        found.append(earlier.pop())
    return found


def _answered(history: Sequence[Message], language: str) -> list[str]:
    """What was asked so far and not refused, oldest first."""
    asked: list[str] = []
    for message in history:
        if message.role == "user" and message.content.strip():
            asked.append(written_out(message.content, language))
        elif message.role == "assistant" and asked and declined(message.content):
            asked.pop()
    return [text for text in asked if not courtesy(text)]


def points(question: str) -> bool:
    """Whether a question points ('it', 'isso') at something that it may not name."""
    return not _POINTERS.isdisjoint(tokens(_NO_POINTER.sub(" ", question)))


def goes_on(question: str) -> bool:
    """Whether a question says that it follows another: it points at something, or opens with "and", "mas"."""
    return points(question) or bool(_GOES_ON.fullmatch(" ".join(tokens(question))))


def _carried(question: str, topic: str, language: str) -> str:
    """The question with the topic's content words that it lacks."""
    have = {stem(w, language) for w in content(question, language)}
    # "And the dearest?" leaves "the cheapest", not the rooms.
    left = said(topic) if said(question) else frozenset()
    carried = [w for w in content(topic, language) if stem(w, language) not in have and w not in left]
    return f"{question.rstrip(' ?')} ({' '.join(carried[:8])})?" if carried else question


def content(text: str, language: str) -> list[str]:
    """The words of a text that say something of its topic."""
    stop = STOPWORDS.get(language, frozenset())
    return [w for w in tokens(text) if w not in stop and w not in _POINTERS]
