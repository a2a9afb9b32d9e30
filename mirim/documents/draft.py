"""What a reader hands over, and how it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mirim.core.errors import MirimError


@dataclass(frozen=True, slots=True)
class Draft:
    """A file as Markdown text, before it becomes a Document.

    pages     offset in `text` at which each page starts; empty when the format has none
    notes     what a person should know: repairs, parts left out
    """

    text: str
    title: str = ""
    pages: tuple[int, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Refused(MirimError):
    """A file that cannot become a document. The message is the reason, without the file's name."""
