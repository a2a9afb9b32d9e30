"""Follow-up questions made to stand alone: 'and on Sundays?' needs what was being talked about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mirim.core.types import Message
from mirim.documents.words import STOPWORDS, stem, tokens

_OPENERS = re.compile(
    r"^\s*(?:and|but|so|also|what about|how about|or|then|e|mas|entao|ou|tambem|e se|e quanto)\b", re.IGNORECASE
)
_POINTERS = frozenset(
    "it its that this these those they them there he she his her one ones same "
    "isso isto esse essa esses essas este esta ele ela eles elas dele dela disso nisso la ai mesmo mesma".split()
)
#: What points at nothing for all its words: "is there", "está" (folded, "esta").
_NO_POINTER = re.compile(r"\b(?:(?:is|are|was|were) there|there (?:is|are|was|were)|está)\b", re.IGNORECASE)

#: Content words up to which a question may lean on the conversation.
SHORT = 3


def readings(question: str, history: Sequence[Message], language: str) -> list[str]:
    """What a question may mean: itself where it stands alone, with the topic of the last one where it leans on that,
    and both where only the documents can tell.

    A question leans on the conversation when it opens like a continuation, points ('it', 'isso') without naming, or has
    at most one content word; it may lean with at most three. The topic is the content words of the last question that
    had some, with its own topic before it, so that a chain of follow-ups keeps its subject.
    """
    earlier = [m.content for m in history if m.role == "user" and m.content.strip()]
    chain = [question]
    while earlier and (leans(chain[-1], language) or len(content(chain[-1], language)) <= SHORT):
        chain.append(earlier.pop())
    topic = chain.pop()
    while chain:
        topic = _carried(chain.pop(), topic, language)
    return [topic] if topic == question or leans(question, language) else [question, topic]


def _carried(question: str, topic: str, language: str) -> str:
    """The question with the topic's content words that it lacks."""
    have = {stem(w, language) for w in content(question, language)}
    carried = [w for w in content(topic, language) if stem(w, language) not in have]
    return f"{question.rstrip(' ?')} ({' '.join(carried[:8])})?" if carried else question


def leans(question: str, language: str) -> bool:
    words = tokens(_NO_POINTER.sub(" ", question))
    named = content(question, language)
    if len(named) <= 1:
        return True
    return len(named) <= 3 and (bool(_OPENERS.match(" ".join(words))) or bool(_POINTERS & set(words)))


def content(text: str, language: str) -> list[str]:
    stop = STOPWORDS.get(language, frozenset())
    return [w for w in tokens(text) if w not in stop and w not in _POINTERS]
