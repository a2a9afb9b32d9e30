"""secrets: passwords and keys, which a model would repeat to anybody who asks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from mirim.audit.identifiers import masked
from mirim.audit.private import passwords
from mirim.audit.seeds import seeds
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """An error for each secret in documents and seeds, masked."""
    for document in chain(documents, seeds(project)):
        for value, name in passwords(document.text).items():
            shown = name if name == "private key" else f"{name}: {masked(value)}"
            yield Finding(
                "error", document.id, f"looks like a secret, {shown}", "change the secret and take it out of the source"
            )
