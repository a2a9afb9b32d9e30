"""Documents at rest: `data/documents/<id>.md`, front matter and then the text, for people to read and correct.

    ---
    source: "exams/colonoscopy.pdf"
    title: "Preparing for a colonoscopy"
    extracted: "9f2c…"
    ---
    # Preparing for a colonoscopy

Values are JSON; what a person writes there loosely is taken as plain text. `extracted` is the digest of
the text as it was extracted: where it differs, a person has edited the text and the edit stands.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain, writing
from mirim.core.types import Document, Section
from mirim.documents.blocks import blocks

_KEYS = ("source", "media_type", "title", "language", "licence", "sha256", "pages", "metadata")
_FRONT = re.compile(rb"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+([^\n]+)$|^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
#: Underscores within a word are part of it.
_MARKUP = re.compile(
    r"!?\[([^\]]*)\]\([^)]*\)|[*`]{1,3}(?=\S)|(?<=\S)[*`]{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)|\\(?=[^\w\s])"
)
_NAME_BYTES = 180
#: Longest heading in characters. Every passage below carries it, so that a longer line is taken for text.
_LONGEST_HEADING = 500


def identify(source: str) -> str:
    """Document id of a path below sources/: 'exams/colonoscopy.pdf' → 'exams--colonoscopy.pdf'.

    Letters, digits, '.', '_' and '-' stay. Where that would lose something, or two paths could meet,
    a digest of the path stands before the extension, after '---', which no other id contains.
    """
    path = unicodedata.normalize("NFC", source)
    name = "".join(c if c.isalnum() or c in "._-/" else "-" for c in path)
    plain = name == source and "--" not in name and "-/" not in name and "/-" not in name
    flat = name.replace("/", "--")
    if plain and len(flat.encode()) <= _NAME_BYTES and not flat.startswith((".", "-")):
        return flat
    stem, dot, extension = flat.rpartition(".")
    if not dot or len(extension) > 8:
        stem, dot, extension = flat, "", ""
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    stem = re.sub("-{3,}", "--", stem).strip("-.")
    while len(stem.encode()) > _NAME_BYTES - 40:
        stem = stem[:-1]
    return f"{stem}---{digest}{dot}{extension}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A document with what the store knows of how it was made.

    extracted   digest of the text as extracted, '' when unknown
    described   digest of title, language and licence as extracted
    reader      'pdf 1': the reader and its version
    """

    document: Document
    extracted: str = ""
    described: str = ""
    reader: str = ""

    @property
    def edited(self) -> bool:
        """Whether a person changed the text."""
        return digest(self.document.text) != self.extracted

    @property
    def renamed(self) -> bool:
        """Whether a person changed title, language or licence."""
        return described(self.document) != self.described


def digest(text: str) -> str:
    found = hashlib.sha256()
    for block in blocks(text):
        found.update(block.encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def described(document: Document) -> str:
    return digest(json.dumps([document.title, document.language, document.licence]))[:16]


def dump(document: Document, reader: str = "") -> Iterator[str]:
    """The file of a freshly extracted document in blocks: front matter, then `document.text` unchanged."""
    values = {key: getattr(document, key) for key in _KEYS}
    values |= {"reader": reader, "extracted": digest(document.text), "described": described(document)}
    empty: tuple[Any, ...] = ("", (), {})
    lines = [
        f"{key}: {json.dumps(value, ensure_ascii=False, sort_keys=True)}\n"
        for key, value in values.items()
        if value not in empty
    ]
    yield f"---\n{''.join(lines)}---\n"
    yield from blocks(document.text)


def parse(content: bytes, id: str) -> Stored:
    """Read a document's file, whatever a person did to its front matter. The text is what follows it."""
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    front = _FRONT.match(content)
    values = _values(front.group(1).decode("utf-8")) if front else {}
    # Both parts are decoded where they lie: a copy of the text alone would double it.
    text = str(memoryview(content)[front.end() if front else 0 :], "utf-8")
    # After an edit page starts are where they were, as near as can be known.
    pages = tuple(p for p in _pages(values.get("pages")) if p <= len(text))
    metadata = values.get("metadata")
    document = Document(
        id=id,
        source=_text(values.get("source")) or id.replace("--", "/"),
        media_type=_text(values.get("media_type")) or "text/markdown",
        title=_text(values.get("title")) or title_of(text) or id,
        text=text,
        sections=sections(text),
        pages=pages,
        sha256=_text(values.get("sha256")),
        licence=_text(values.get("licence")),
        language=_text(values.get("language")).lower()[:2],
        metadata=metadata if isinstance(metadata, dict) else {},
    )
    return Stored(document, *(_text(values.get(k)) for k in ("extracted", "described", "reader")))


def _values(front: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for line in front.split("\n"):
        key, colon, word = line.partition(":")
        if not colon or key.strip() not in {*_KEYS, "extracted", "described", "reader"}:
            continue
        try:
            values[key.strip()] = json.loads(word)
        except (ValueError, RecursionError):
            values[key.strip()] = word.strip().strip("'\"")
    return values


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _pages(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return sorted({p for p in value if isinstance(p, int) and not isinstance(p, bool) and p >= 0})


def headings(text: str) -> Iterator[tuple[int, int, int, str]]:
    """(start, end, level, words) of each ATX heading line outside code fences."""
    fence = ""
    for match in _HEADING.finditer(text):
        mark = match.group(3)
        if mark:
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence):
                fence = ""
        elif not fence and match.end() - match.start() <= _LONGEST_HEADING:
            # Marks that close it; by hand, for a pattern that does it takes cubic time.
            words = match.group(2).rstrip(" \t").rstrip("#").rstrip(" \t") or match.group(2)
            yield match.start(), match.end(), len(match.group(1)), plain(words)


def plain(heading: str) -> str:
    """A heading's words without Markdown marks."""
    return " ".join(_MARKUP.sub(r"\1", heading).split())


def sections(text: str) -> tuple[Section, ...]:
    """The headings of a Markdown text and what each governs: up to the next of its level or above."""
    found = list(headings(text))
    rows: list[Section] = []
    open_: list[int] = []
    ends = [len(text)] * len(found)
    for i, (start, _, level, _) in enumerate(found):
        while open_ and found[open_[-1]][2] >= level:
            ends[open_.pop()] = start
        open_.append(i)
    for (start, _, level, words), end in zip(found, ends, strict=True):
        rows.append(Section(words, level, start, end))
    return tuple(rows)


def title_of(text: str) -> str:
    """The first heading of the highest level near the top, or ''."""
    for _, _, _, words in headings(text[:5000]):
        return words[:200]
    return ""


def named(source: str) -> str:
    """What a file's name says of it, without its ending."""
    stem = Path(source).stem
    return " ".join(re.sub(r"[_\-.]+", " ", stem).split()) or stem


def path_of(folder: Path, id: str) -> Path:
    return folder / f"{id}.md"


def asides(folder: Path, id: str) -> Iterator[Path]:
    """Where documents that a person edited lie when they had to leave, the first place first."""
    home = folder.parent / "removed"
    yield home / f"{id}.md"
    for number in count(2):
        yield home / f"{id}.{number}.md"


def read(folder: Path, id: str) -> Stored:
    """One stored document; UsageError when there is none of that id."""
    path = path_of(folder, id)
    if path.is_symlink():
        # In a project of somebody else's it may lead to a private file of this machine.
        raise MirimError(f"{path} is a link, where a document is a file of its own; put what it leads to in its place")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f'no document "{id}" in {folder}; type: mirim ingest') from error
    except OSError as error:
        raise explain(error, path) from error
    try:
        return parse(data, id)
    except UnicodeDecodeError as error:
        lines = enumerate(data.splitlines(), 1)
        number = next(n for n, line in lines if line.decode("utf-8", "ignore").encode() != line)
        raise MirimError(f"{path} is not UTF-8 ({error.reason} in line {number}); save it as UTF-8") from error


def load(folder: Path, id: str) -> Document:
    """One document; UsageError when there is none of that id, MirimError when its file is not UTF-8."""
    return read(folder, id).document


def save(folder: Path, document: Document, reader: str = "") -> None:
    """Write a freshly extracted document."""
    with writing(path_of(folder, document.id)) as stream:
        stream.writelines(dump(document, reader))


def ids(folder: Path) -> list[str]:
    """Ids of the stored documents, sorted."""
    return sorted(walk(folder))


def walk(folder: Path) -> Iterator[str]:
    """Ids in the order of the disk, without holding them all; files may be taken away meanwhile."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".md") and not entry.name.startswith("."):
                    yield entry.name[:-3]


def iterate(folder: Path) -> Iterator[Document]:
    """Every document, sorted by id, one in memory at a time."""
    for id in ids(folder):
        yield load(folder, id)
