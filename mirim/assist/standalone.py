"""Follow-up questions made to stand alone: 'and on Sundays?' needs what was being talked about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mirim.core.types import Engine, Message, Sampling
from mirim.documents.words import STOPWORDS, stem, tokens
from mirim.examples.tasks import rewrite

#: Tokens of a question at most.
TOKENS = 60

_OPENERS = re.compile(
    r"^\s*(?:and|but|so|also|what about|how about|or|then|e|mas|entao|ou|tambem|e se|e quanto)\b", re.IGNORECASE
)
_POINTERS = frozenset(
    "it its that this these those they them there he she his her one ones same "
    "isso isto esse essa esses essas este esta ele ela eles elas dele dela disso nisso la ai mesmo mesma".split()
)


def standalone(question: str, history: Sequence[Message], language: str, engine: Engine | None = None) -> str:
    """The question with the topic of the last one it leans on; unchanged when it stands by itself.

    With `engine`, a model that has learned to, it is said anew as a whole, unless the model brings in words that were
    not there or leaves the question's own out.

    A question leans on the conversation when it opens like a continuation, points ('it', 'isso') without
    naming, or has at most one content word. The topic is the content words of the last question that had
    some, itself made standalone, so that a chain of follow-ups keeps its subject.
    """
    earlier = [m.content for m in history if m.role == "user" and m.content.strip()]
    if engine is not None and earlier and leans(question, language):
        said = _said(engine, question, history)
        if _keeps(said, question, history, language):
            return said
    chain = [question]
    while earlier and leans(chain[-1], language):
        chain.append(earlier.pop())
    topic = chain.pop()
    while chain:
        topic = _carried(chain.pop(), topic, language)
    return topic


def _said(engine: Engine, question: str, history: Sequence[Message]) -> str:
    prompt = rewrite.messages(history, question)
    if engine.context and engine.count(prompt) + TOKENS > engine.context:
        return ""
    return " ".join("".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=TOKENS))).split())


def _keeps(said: str, question: str, history: Sequence[Message], language: str) -> bool:
    """Whether what a model made of a question says what was asked, in words that were there."""

    def stems(text: str) -> set[str]:
        return {stem(w, language) for w in content(text, language)}

    own = stems(question)
    there = own.union(*(stems(m.content) for m in history))
    return said.endswith("?") and own < stems(said) <= there


def _carried(question: str, topic: str, language: str) -> str:
    """The question with the topic's content words that it lacks."""
    have = {stem(w, language) for w in content(question, language)}
    carried = [w for w in content(topic, language) if stem(w, language) not in have]
    return f"{question.rstrip(' ?')} ({' '.join(carried[:8])})?" if carried else question


def leans(question: str, language: str) -> bool:
    words = tokens(question)
    named = content(question, language)
    if len(named) <= 1:
        return True
    return len(named) <= 3 and (bool(_OPENERS.match(" ".join(words))) or bool(_POINTERS & set(words)))


def content(text: str, language: str) -> list[str]:
    stop = STOPWORDS.get(language, frozenset())
    return [w for w in tokens(text) if w not in stop and w not in _POINTERS]
