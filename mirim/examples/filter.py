"""The last gate of an example: grounded in its document, short, with no held-out question in it and nothing private."""

from __future__ import annotations

import json
from functools import lru_cache

from mirim.audit.private import private
from mirim.core.types import Document, Example
from mirim.examples.held import Guard
from mirim.examples.units import plain

#: Characters of a prompt and its target at most; what is longer would be cut by small contexts.
LONGEST = 8_000


def reason(example: Example, document: Document | None, guard: Guard) -> str:
    """Why an example must not be used: 'held out', 'too long', 'empty', 'not grounded' or 'private'; '' when it may.

    Private is what `audit` would call an error in a document: numbers that name one person, and secrets.
    Grounded means that the text at each source span is in the prompt, and for a quoted answer that the
    target is that text, character by character.
    """
    target = example.messages[-1].content
    if any(guard.inside(m.content) for m in example.messages):
        return "held out"
    if not target.strip() or not example.messages[0].content.strip():
        return "empty"
    if sum(len(m.content) for m in example.messages) > LONGEST:
        return "too long"
    prompt = example.messages[0].content
    for span in example.sources:
        text = document.text[span.start : span.end] if document and document.id == span.document else ""
        if not text.strip():
            return "not grounded"
        if example.task == "answer" and (target != text.strip() or text.strip() not in prompt):
            return "not grounded"
        if example.task in ("judge", "ask") and plain(text) not in prompt:
            return "not grounded"
    if any(_private(text) for m in example.messages for text in (m.content, *map(json.dumps, m.tool_calls))):
        return "private"
    return ""


#: A passage is the prompt of several questions in a row.
_private = lru_cache(maxsize=256)(lambda text: bool(private(text)))
