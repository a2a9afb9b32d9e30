"""Files that are ZIP archives of XML, opened with bounds: no bombs, no entities fetched from elsewhere."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

from mirim.documents.draft import Refused

#: Bytes that one part, and all parts together, may unpack to.
PART, WHOLE = 300_000_000, 600_000_000


class Archive:
    """Parts of a ZIP file by name."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise Refused(f"is damaged or cut short: {error}") from error
        except NotImplementedError as error:
            raise Refused(f"is packed in a way that cannot be read: {error}") from error
        self._left = WHOLE
        self.names = frozenset(self._zip.namelist())

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def bytes(self, name: str) -> bytes:
        """A part's bytes; b'' when there is none. Refused when it is damaged, encrypted or far too large."""
        if name not in self.names:
            return b""
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise Refused("is encrypted with a password")
        limit = min(PART, self._left)
        try:
            with self._zip.open(info) as stream:
                # What the archive says of its size is not believed.
                data = stream.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise Refused(f"is damaged ({name}: {error})") from error
        if len(data) > limit:
            raise Refused(f"unpacks to more than {limit / 1e6:.0f} MB ({name}), as archives made to do harm do")
        self._left -= len(data)
        return data

    def xml(self, name: str) -> Any:
        """A part's root element, None when there is no such part."""
        from lxml import etree

        data = self.bytes(name)
        if not data:
            return None
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, recover=True, remove_comments=True, huge_tree=True
        )
        try:
            root = etree.fromstring(data, parser)
            # An entity left unresolved would hide the text behind it.
            etree.strip_elements(root, etree.Entity, with_tail=False)
        except etree.XMLSyntaxError as error:
            raise Refused(f"is damaged ({name}: {error})") from error
        if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
            # The parser stops there and would lose the rest without a word.
            raise Refused(f"names or nests things in each other without end ({name}), as files made to do harm do")
        return root
