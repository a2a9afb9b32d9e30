"""duplicates: documents of nearly the same text teach the same thing twice and crowd search results."""

from __future__ import annotations

from collections.abc import Iterator

from mirim.audit.similar import alike
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document

#: Overlap of word 4-grams from which on two documents are one.
SHARE = 0.8


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """A warning for each document that an earlier one nearly repeats."""
    for id_, near in alike(documents, SHARE).items():
        if near:
            yield Finding(
                "warning", id_, f"nearly the same text as {near[0]}",
                "keep one of them in sources/; search would show both, and training would learn one of them twice",
            )  # fmt: skip
