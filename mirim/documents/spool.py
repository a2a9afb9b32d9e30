"""A large document's rows on their way from its reader to the index: on disk, for neither process could hold them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirim.core.files import explain
from mirim.documents.indexing import Row

PREFIX = ".tmp-rows-"


def write(folder: Path, rows: Iterable[Row]) -> Path:
    """Rows as JSON lines in a temporary file, which whoever reads it takes away."""
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=PREFIX)
        path = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in rows)
        except OSError:
            path.unlink()
            raise
        return path
    except OSError as error:
        raise explain(error, folder) from error


def read(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        for line in stream:
            yield tuple(json.loads(line))


def sweep(folder: Path) -> None:
    """Take away what an ingest that was stopped has left."""
    for path in folder.glob(f"{PREFIX}*"):
        path.unlink(missing_ok=True)
