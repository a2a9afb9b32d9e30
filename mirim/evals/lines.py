"""JSON Lines to measure on, plain or compressed, with the line in every complaint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import numbered_jsonl
from mirim.documents.kinds import foreign


def read(path: Path, texts: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line of a .jsonl or .jsonl.zst file; blank lines are passed over.

    texts   keys whose values must be text
    UsageError names the file, the line and the key that is missing or of another type.
    """
    if packed := _packed(path):
        raise UsageError(f"{path} is {packed}, not lines of JSON; unpack it, or pack it as .zst")
    shape = "{" + ", ".join(f'"{key}"' for key in texts) + ", ...}"
    for number, row in _rows(path, shape):
        for key in texts:
            if not isinstance(row.get(key), str):
                what = f"is {row[key]!r}" if key in row else "is missing"
                raise UsageError(f'{path} line {number}: "{key}" {what}; a line is {shape}')
        yield number, row


def _rows(path: Path, shape: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from numbered_jsonl(path)
    except UsageError as error:
        # A file that is not there, or damaged, is not written otherwise.
        if not isinstance(error.__cause__, ValueError):
            raise
        raise UsageError(f"{error}; give JSON lines, each {shape}") from error


def _packed(path: Path) -> str:
    """What else a file is by its first bytes, '' when nothing known; what another program writes is read once only."""
    if not path.is_file():
        return ""
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return foreign(stream.read(512))
    return ""
