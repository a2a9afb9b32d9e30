"""length: documents without text, or with too little to learn from."""

from __future__ import annotations

from collections.abc import Iterator

from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document
from mirim.documents.words import tokens

#: Words below which a document is too short to make questions of.
LEAST = 20


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """An error for an empty document, a warning for a very short one."""
    for document in documents:
        words = len(tokens(document.text[:5000]))
        if not words:
            do = "a scanned document needs text recognition first; an empty one can go"
            yield Finding("error", document.id, "holds no text", do)
        elif words < LEAST:
            yield Finding("warning", document.id, f"holds only {words} words", "add to it, or join it with another")
