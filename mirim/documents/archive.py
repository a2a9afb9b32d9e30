"""Files that are ZIP archives of XML, opened with bounds: no bombs, no entities fetched from elsewhere."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mirim.documents.draft import Refused

#: Bytes that one part, and all parts together, may unpack to.
PART, WHOLE = 300_000_000, 600_000_000

#: What reading an archive raises where it is damaged, locked or packed in another way.
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, RuntimeError)
#: Nothing is fetched, no entity is put in, and what is damaged is read as far as it goes.
_PARSING: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "recover": True,
    "remove_comments": True,
    "huge_tree": True,
}


class Archive:
    """Parts of a ZIP file by name."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise Refused(f"is damaged or cut short: {error}") from error
        except NotImplementedError as error:
            raise Refused(f"is packed in a way that cannot be read: {error}") from error
        self.left = WHOLE
        self.names = frozenset(self._zip.namelist())

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def bytes(self, name: str) -> bytes:
        """A part's bytes; b'' when there is none. Refused when it is damaged, encrypted or far too large."""
        if name not in self.names:
            return b""
        with self.stream(name) as part:
            return part.read(-1)

    def stream(self, name: str) -> Part:
        """A part to be read piece by piece, under the same bounds."""
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise Refused("is encrypted with a password")
        try:
            return Part(self, name, self._zip.open(info))
        except DAMAGE as error:
            raise Refused(f"is damaged ({name}: {error})") from error

    def take(self, name: str, size: int, left: int) -> None:
        """Count what was unpacked; what the archive says of its sizes is not believed."""
        self.left -= size
        if min(left, self.left) < 0:
            most = PART if left < 0 else WHOLE
            raise Refused(f"unpacks to more than {most / 1e6:.0f} MB ({name}), as archives made to do harm do")

    def xml(self, name: str) -> Any:
        """A part's root element, None when there is no such part."""
        from lxml import etree

        data = self.bytes(name)
        if not data:
            return None
        parser = etree.XMLParser(**_PARSING)
        try:
            root = etree.fromstring(data, parser)
            if root is None:
                raise Refused(f"is damaged ({name}: {parser.error_log.last_error or 'it is not XML'})")
            # An entity left unresolved would hide the text behind it.
            etree.strip_elements(root, etree.Entity, with_tail=False)
        except etree.XMLSyntaxError as error:
            raise Refused(f"is damaged ({name}: {error})") from error
        _complete(parser.error_log, name)
        return root

    def elements(self, name: str, *tags: str) -> Iterator[tuple[str, Any]]:
        """('start' | 'end', element) for a part's elements of these names, in any namespace.

        What has ended is emptied when the next one is asked for, so that a part of any length takes little memory.
        """
        from lxml import etree

        if name not in self.names:
            return
        wanted = frozenset(tags)
        with self.stream(name) as part:
            events = etree.iterparse(part, events=("start", "end"), tag=[f"{{*}}{tag}" for tag in wanted], **_PARSING)
            try:
                declared: bool | None = None
                for event, element in events:
                    if declared is None:
                        declared = element.getroottree().docinfo.internalDTD is not None
                    if declared and event == "end":
                        etree.strip_elements(element, etree.Entity, with_tail=False)
                    yield event, element
                    if event == "end":
                        element.clear()
                        parent = element.getparent()
                        while parent is not None and element.getprevious() is not None:
                            del parent[0]
            except etree.XMLSyntaxError as error:
                raise Refused(f"is damaged ({name}: {error})") from error
            _complete(events.error_log, name)


class Part:
    """A part that is being read."""

    def __init__(self, archive: Archive, name: str, stream: IO[bytes]) -> None:
        self._archive, self._name, self._stream = archive, name, stream
        self._left = PART

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int = -1) -> bytes:
        most = min(self._left, self._archive.left) + 1
        try:
            data = self._stream.read(most if size < 0 else min(size, most))
        except DAMAGE as error:
            raise Refused(f"is damaged ({self._name}: {error})") from error
        self._left -= len(data)
        self._archive.take(self._name, len(data), self._left)
        return data


def _complete(log: Any, name: str) -> None:
    """Refuse what the parser stopped at: it would lose the rest without a word."""
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in log):
        raise Refused(f"names or nests things in each other without end ({name}), as files made to do harm do")
