"""Tasks, one file each: `messages(...)` is the prompt that synthesis, training and answering share."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mirim.core.types import Example, Message, Span


def example(
    task: str,
    prompt: tuple[Message, ...],
    target: str,
    sources: tuple[Span, ...],
    metadata: dict[str, Any],
    origin: str = "extract",
) -> Example:
    """An example whose id is a digest of what it says, so that equal examples are one."""
    messages = (*prompt, Message("assistant", target))
    content = json.dumps([task, [m.to_json() for m in messages]], ensure_ascii=False, sort_keys=True)
    return Example(
        hashlib.sha256(content.encode()).hexdigest()[:16], task, messages, sources, "train", origin, metadata
    )
