"""encoding: characters that were lost or scrambled before the text came here."""

from __future__ import annotations

from collections.abc import Iterator

from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document
from mirim.documents.text import unscramble

#: Damaged places in a thousand characters from which on a text is no use.
RUINED = 5.0


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """A warning for damaged characters, an error where they are everywhere."""
    for document in documents:
        lost = document.text.count("\ufffd")
        scrambled = unscramble(document.text)[1]
        if not lost and not scrambled:
            continue
        parts = [f"{lost} characters are lost (\ufffd)"] * bool(lost)
        parts += [f"{scrambled} sequences are scrambled, such as 'Ã©' for 'é'"] * bool(scrambled)
        bad = (lost + scrambled) * 1000 / max(1, len(document.text)) >= RUINED
        yield Finding(
            "error" if bad else "warning", document.id, "; ".join(parts),
            "find the original file, save it as UTF-8 and ingest it again",
        )  # fmt: skip
