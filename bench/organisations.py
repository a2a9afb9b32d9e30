"""Reads recipes/organisations: fictional organisations, what their customers ask, and what no document answers.

What every bench needs that asks something of documents stands here, too: their index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mirim.core.files import read_jsonl
from mirim.core.types import Document
from mirim.documents.indexing import Writer, rows
from mirim.documents.passages import MOST
from mirim.documents.search import Index


@dataclass
class Asked:
    """A question; `document` and the span that answers it where `kind` is answered."""

    question: str
    kind: str  # answered, near, topic or outside
    document: str = ""
    spans: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Organisation:
    """What one file holds."""

    slug: str
    name: str
    language: str
    documents: list[Document]
    questions: list[Asked]


def kept_out(number: int) -> bool:
    """Whether bench/fit_meaning.py does not see the organisation of this number, from 0."""
    return number % 6 == 5


def organisations(folder: Path) -> Iterator[Organisation]:
    """Every file of a folder, by name; ValueError for a line that is none of the format's."""
    for path in sorted(folder.glob("*.txt")):
        yield read(path)


def translated(path: Path) -> dict[str, list[tuple[int, str]]]:
    """Of each organisation, by its slug: numbers of its questions, from 0, and what was asked in the other language."""
    put: dict[str, list[tuple[int, str]]] = {}
    for row in read_jsonl(path):
        put.setdefault(row["organisation"], []).append((row["number"], row["question"]))
    return put


def asked(path: Path) -> dict[str, list[tuple[str, str, str]]]:
    """More that was asked of organisations, by their slugs: (question, document, the words of it that answer)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in read_jsonl(path):
        found.setdefault(row["organisation"], []).append((row["question"], row["document"], row["sentence"]))
    return found


def indexed(path: Path, documents: Iterable[Document]) -> Index:
    """An index of documents, made at `path` as ingest makes one, without vectors."""
    writer = Writer(path, "bench")
    writer.begin()
    writer.put((_described(d), rows(d, MOST)) for d in documents)
    writer.finish(tidy=True)
    writer.close()
    return Index.open(path)


def _described(d: Document) -> dict[str, str]:
    return {"id": d.id, "digest": "", "source": d.source, "title": d.title, "language": d.language}


def read(path: Path) -> Organisation:
    """One file, see recipes/organisations/README.md."""
    name = language = ""
    texts: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    asked: list[dict[str, str]] = []
    current: list[str] | dict[str, str] | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if found := re.match(r"@org (.+?) \| (pt|en)\s*$", line):
            name, language = found.groups()
        elif found := re.match(r"@doc (\S+) \| (.+)$", line):
            titles[found[1]] = found[2].strip()
            current = texts[found[1]] = []
        elif found := re.match(r"@(q|n) (\S+)(?: (near|topic|outside))?\s*$", line):
            current = {"document": found[2], "kind": found[3] or "answered"}
            asked.append(current)
        elif isinstance(current, list):
            current.append(line)
        elif isinstance(current, dict) and (found := re.match(r"([QAS]): (.+)$", line)):
            current[found[1]] = found[2].strip()
        elif line.strip():
            raise ValueError(f"{path} line {number}: {line[:60]!r} cannot be read")
    bodies = {key: "\n".join(lines).strip() for key, lines in texts.items()}
    documents = [
        Document(key, key, "text/markdown", titles[key], body, language=language) for key, body in bodies.items()
    ]
    questions = []
    for row in asked:
        one = Asked(row["Q"], row["kind"])
        if one.kind == "answered":
            one.document, start = row["document"], bodies[row["document"]].index(row["S"])
            one.spans = [(start, start + len(row["S"]))]
        questions.append(one)
    return Organisation(path.stem, name, language, documents, questions)
