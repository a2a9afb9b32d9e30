"""What people wrote as examples in seeds/, as texts to look through: it is learned word for word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mirim.core.files import numbered_jsonl
from mirim.core.project import Project
from mirim.core.types import Document


def seeds(project: Project) -> Iterator[Document]:
    """One text for each file, of all that its rows say. UsageError for a line that is no JSON object."""
    for path in project.seed_files():
        said = "\n".join(text for _, row in numbered_jsonl(path) for text in _texts(row))
        yield Document(f"seeds/{path.name}", f"seeds/{path.name}", "application/jsonl", "", said)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
