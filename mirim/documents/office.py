"""What the files of office programs have in common: names of elements, parts that refer to parts, facts about the file.

Office Open XML (ISO/IEC 29500, transitional and strict) and OpenDocument (ISO/IEC 26300).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from mirim.documents.archive import DAMAGE, Archive
from mirim.documents.draft import Refused

_OPEN = "urn:oasis:names:tc:opendocument:xmlns"
_PREFIXES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main": "s",
    "http://purl.oclc.org/ooxml/spreadsheetml/main": "s",
    "http://schemas.openxmlformats.org/presentationml/2006/main": "p",
    "http://purl.oclc.org/ooxml/presentationml/main": "p",
    "http://schemas.openxmlformats.org/drawingml/2006/main": "a",
    "http://purl.oclc.org/ooxml/drawingml/main": "a",
    "http://schemas.openxmlformats.org/officeDocument/2006/math": "m",
    "http://purl.oclc.org/ooxml/officeDocument/math": "m",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://schemas.microsoft.com/office/word/2010/wordml": "w14",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    "http://www.idpf.org/2007/opf": "opf",
    f"{_OPEN}:office:1.0": "office",
    f"{_OPEN}:text:1.0": "text",
    f"{_OPEN}:table:1.0": "table",
    f"{_OPEN}:style:1.0": "style",
    f"{_OPEN}:drawing:1.0": "draw",
    f"{_OPEN}:presentation:1.0": "presentation",
    f"{_OPEN}:meta:1.0": "meta",
}
_FACTS = {
    "dc:creator": "author",
    "dcterms:created": "created",
    "dcterms:modified": "modified",
    "dc:language": "language",
    "meta:creation-date": "created",
    "dc:date": "modified",
    "meta:initial-creator": "author",
}
#: What templates and programs leave as a title.
_NO_TITLE = re.compile(
    r"(?i)(?:microsoft word|powerpoint presentation|apresentação do powerpoint|word document|document\d*$|slide 1$"
    r"|(?:untitled|sem título)\b)"
)


def kind(element: Any) -> str:
    """'w:p' for a paragraph in either dialect; '' for comments and instructions."""
    return _kind(element.tag) if isinstance(element.tag, str) else ""


@lru_cache(maxsize=2000)
def _kind(tag: str) -> str:
    space, _, name = tag.rpartition("}")
    return f"{_PREFIXES.get(space[1:], 'x')}:{name}"


def attribute(element: Any, name: str) -> str:
    """An attribute by its local name; '' when absent."""
    if element is None:
        return ""
    for key, value in element.attrib.items():
        if key == name or key.endswith("}" + name):
            return str(value)
    return ""


def child(element: Any, name: str) -> Any:
    return None if element is None else next((c for c in element if kind(c) == name), None)


def whole(text: str | None, default: int = 0) -> int:
    """A number of a file that may be none."""
    try:
        return int(text or default)
    except ValueError:
        return default


def relations(archive: Archive, part: str, by_type: bool = False) -> dict[str, str]:
    """What a part refers to by id, or by the last word of the reference's type; '' is the whole file.

    Parts by their full name, what lies outside the file as it stands there.
    """
    folder, _, file = part.rpartition("/")
    root = archive.xml(f"{folder}/_rels/{file}.rels".lstrip("/"))
    found: dict[str, str] = {}
    for e in root if root is not None else ():
        if isinstance(e.tag, str):
            target = e.get("Target", "")
            if e.get("TargetMode", "") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            found[e.get("Type", "").rpartition("/")[2] if by_type else e.get("Id", "")] = target
    return found


def main_part(archive: Archive, default: str) -> str:
    """The part that a document begins with."""
    found = relations(archive, "", by_type=True).get("officeDocument", "")
    return found if found in archive.names else default


def title(archive: Archive) -> str:
    """The title among the file's properties, '' where a program or a template put it."""
    found = next((e.text or "" for e in _properties(archive) if kind(e) == "dc:title"), "").strip()
    return "" if _NO_TITLE.match(found) else found


def metadata(archive: Archive) -> dict[str, str]:
    return {_FACTS[kind(e)]: e.text or "" for e in _properties(archive) if kind(e) in _FACTS}


def _properties(archive: Archive) -> list[Any]:
    root = archive.xml("docProps/core.xml")
    if root is None:
        root = child(archive.xml("meta.xml"), "office:meta")
    return [] if root is None else list(root)


def packed(head: bytes, path: Path, part: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file is an archive that holds a part; of one that is cut short, whether it began as one."""
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith(part) for name in archive.namelist())
    except (*DAMAGE, ValueError):
        folder = part.partition("/")[0].encode() + b"/"
        return folder in head or (b"[Content_Types].xml" in head and path.suffix.lower() in suffixes)


def opened(head: bytes, path: Path, what: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file is an archive that says first what it is, as OpenDocument's and e-books do."""
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive, archive.open("mimetype") as stream:
            return stream.read(100).decode("ascii", "replace").strip().removesuffix("-template") == what
    except (*DAMAGE, KeyError, ValueError):
        # Some programs leave the word out; cut short, the beginning tells.
        return what.encode() in head[:200] or (path.suffix.lower() in suffixes and b"mimetype" in head[:60])


def unlocked(archive: Archive) -> None:
    """Refuse an OpenDocument file that is encrypted: its parts are, each by itself, while the archive is not."""
    if b"encryption-data" in archive.bytes("META-INF/manifest.xml"):
        raise Refused("is encrypted with a password; save a copy without one")
