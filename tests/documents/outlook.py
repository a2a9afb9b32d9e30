"""Outlook's messages written by hand: compound files (OLE2) of a few small streams."""

from __future__ import annotations

import struct
from typing import Any

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_SECTOR = 512


def compound(tree: dict[str, Any]) -> bytes:
    """A compound file of streams (bytes) and folders (dicts); every stream is padded beyond the small ones' limit."""
    entries: list[tuple[str, int, int, int, int, int]] = []  # name, type, right sibling, child, first sector, size
    data = bytearray()
    chains: list[int] = []

    def put(content: bytes) -> int:
        first = len(data) // _SECTOR
        count = -(-len(content) // _SECTOR)
        data.extend(content.ljust(count * _SECTOR, b"\0"))
        chains.extend([*range(first + 1, first + count), _END])
        return first

    def add(folder: dict[str, Any]) -> int:
        """The first of the entries of a folder, each the right sibling of the one before."""
        after = _FREE
        for name, value in reversed(list(folder.items())):
            if isinstance(value, dict):
                entry = (name, 1, after, add(value), 0, 0)
            else:
                content = value.ljust(4096, b"\0")
                entry = (name, 2, after, _FREE, put(content), len(content))
            entries.append(entry)
            after = len(entries)
        return after

    child = add(tree)
    entries.insert(0, ("Root Entry", 5, _FREE, child, _END, 0))
    directory = b"".join(
        (name.encode("utf-16-le") + b"\0\0").ljust(64, b"\0")
        + struct.pack("<HBBIII", 2 * len(name) + 2, kind, 1, _FREE, right, below)
        + bytes(36)
        + struct.pack("<IQ", first, size)
        for name, kind, right, below, first, size in entries
    )
    start = put(directory.ljust(-(-len(directory) // _SECTOR) * _SECTOR, b"\0"))
    sectors = len(chains)
    count = -(-(sectors + 8) // 128)
    table = chains + [_FAT] * count
    table += [_FREE] * (128 * count - len(table))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack(
        "<HHHHH6xIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, count, start, 0, 4096, _END, 0, _END, 0, sectors
    )
    places = [*range(sectors, sectors + count)]
    head = head[:76] + struct.pack("<109I", *places, *[_FREE] * (109 - count))
    return head + bytes(data) + struct.pack(f"<{128 * count}I", *table)


def message(texts: dict[str, str | bytes], ticks: int = 0, head: int = 32, **folders: Any) -> dict[str, Any]:
    """The streams of a message: texts by their numbers, with their kind where it is not Unicode."""
    values = struct.pack("<HHIQ", 0x40, 0x39, 6, ticks) if ticks else b""
    streams: dict[str, Any] = {"__properties_version1.0": bytes(head) + values}
    for name, text in texts.items():
        whole = name if len(name) == 8 else f"{name}001F"
        # Spaces up to the length that makes it no small stream.
        content = text if isinstance(text, bytes) else text.ljust(2048).encode("utf-16-le")
        streams[f"__substg1.0_{whole}"] = content.ljust(4096, b" ")
    return {**streams, **folders}
