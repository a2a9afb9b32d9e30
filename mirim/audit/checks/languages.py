"""languages: which languages the documents are in, and whether one is too thin to answer in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document
from mirim.documents.words import detect, tokens

#: Languages that questions are made and answered in; a share of the text below THIN is thin.
KNOWN, THIN = ("en", "pt"), 0.15
#: Share of a document in the other language from which on it is two; words of a paragraph that tell its language.
MIXED, TOLD = 0.2, 12


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """A note with the shares, a warning for a thin language, one for languages that no question is made in, and one for
    each document in both."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    other: list[str] = []
    for document in documents:
        language = document.language or "unknown"
        sizes[language] += len(document.text)
        counts[language] += 1
        if language not in KNOWN:
            other.append(document.id)
        elif (share := _foreign(document)) >= MIXED:
            yield Finding(
                "warning", document.id, f"{share:.0%} of it is in another language; all of it is read as {language}",
                "make a document of each language: few questions are made from the other, and its words are found less",
            )  # fmt: skip
    total = sum(sizes.values()) or 1
    shares = ", ".join(f"{k} {n / total:.0%} ({counts[k]} documents)" for k, n in sizes.most_common())
    yield Finding("info", "documents", f"languages by length of text: {shares}")
    main = [k for k in KNOWN if sizes[k]]
    for language in main:
        share = sizes[language] / total
        if len(main) > 1 and share < THIN:
            yield Finding(
                "warning", "documents", f"only {share:.0%} of the text is in {language}",
                "questions in it will find few answers: add documents in it, or expect refusals",
            )  # fmt: skip
    declared = str(project.get("language", ""))
    if declared in KNOWN and not sizes[declared]:
        yield Finding(
            "warning", "mirim.toml", f'language = "{declared}", but no document is in it', "correct it under [project]"
        )
    if other:
        shown = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        yield Finding(
            "warning", "documents", f"{len(other)} are neither English nor Portuguese: {shown}",
            "no questions are made from them; put right `language` in their front matter if it is mistaken",
        )  # fmt: skip


def _foreign(document: Document) -> float:
    """The share of a document's paragraphs, by length, that are in the other of the known languages."""
    sizes: Counter[str] = Counter()
    for part in document.text.split("\n\n"):
        if len(tokens(part)) >= TOLD:
            sizes[detect(part)] += len(part)
    known = sum(sizes[k] for k in KNOWN)
    return 1 - sizes[document.language] / known if known else 0.0
