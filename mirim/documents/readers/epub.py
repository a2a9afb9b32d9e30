"""E-books (EPUB 2 and 3): the chapters in the order in which they are read, each through the reader of web pages.

The table of contents and pictures are left out. A book whose chapters are locked to a shop's programs is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mirim.core.extras import need
from mirim.documents import office
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft, Refused
from mirim.documents.office import attribute, child, kind
from mirim.documents.readers.html import page
from mirim.documents.text import decode

SUFFIXES = (".epub",)
MEDIA = "application/epub+zip"
VERSION = 1
ISOLATE = True

_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_FACTS = {"dc:creator": "author", "dc:date": "created", "dc:language": "language", "dc:rights": "licence"}
#: Ways of hiding the letters of a font, which is no lock.
_FONTS = re.compile(r"idpf\.org/2008/embedding|ns\.adobe\.com/pdf/enc#RC")


def sniff(head: bytes, path: Path) -> bool:
    return office.opened(head, path, MEDIA, SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    with Archive(path) as archive:
        _unlocked(archive)
        name = _package(archive)
        package = archive.xml(name)
        if package is None:
            raise Refused("is damaged: it holds no package that lists its chapters")
        facts = _facts(child(package, "opf:metadata"))
        title = facts.pop("title", "")
        texts, notes = list[str](), list[str]()
        missing = 0
        for part in _chapters(package, posixpath.dirname(name)):
            data = archive.bytes(part)
            missing += not data
            if data.strip():
                text, found = decode(data)
                notes += found
                texts.append(page(text)[0])
        if missing:
            notes.append(f"chapters that are missing from the file: {missing}")
        return Draft("\n\n".join(filter(None, texts)), title, metadata=facts, notes=tuple(dict.fromkeys(notes)))


def _unlocked(archive: Archive) -> None:
    root = archive.xml("META-INF/encryption.xml")
    ways = [attribute(e, "Algorithm") for e in _named(root, "EncryptionMethod")]
    if any(not _FONTS.search(way) for way in ways):
        raise Refused(
            "is locked by a shop's copy protection (DRM), so that only its programs can read it; "
            "ask whoever published it for a copy without"
        )


def _package(archive: Archive) -> str:
    """The part that lists the others."""
    root = archive.xml("META-INF/container.xml")
    found = [attribute(e, "full-path") for e in _named(root, "rootfile")]
    found += sorted(name for name in archive.names if name.endswith(".opf"))
    return next((name for name in found if name in archive.names), "")


def _chapters(package: Any, folder: str) -> list[str]:
    """The parts of the text in reading order, but for the table of contents."""
    manifest = child(package, "opf:manifest")
    items = {attribute(e, "id"): e for e in manifest if kind(e)} if manifest is not None else {}
    spine = child(package, "opf:spine")
    order = [items.get(attribute(e, "idref")) for e in spine if kind(e)] if spine is not None else list(items.values())
    parts = []
    for item in order:
        if attribute(item, "media-type") in _PAGES and "nav" not in attribute(item, "properties").split():
            parts.append(posixpath.normpath(posixpath.join(folder, unquote(attribute(item, "href")))))
    return list(dict.fromkeys(parts))


def _facts(metadata: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    # Some programs put them one level further down.
    for e in metadata.iter() if metadata is not None else ():
        name = "title" if kind(e) == "dc:title" else _FACTS.get(kind(e), "")
        if name and e.text and e.text.strip():
            found.setdefault(name, " ".join(e.text.split())[:200])
    return found


def _named(root: Any, name: str) -> Iterator[Any]:
    """The elements of a name, in any namespace."""
    return root.iter(f"{{*}}{name}") if root is not None else iter(())
