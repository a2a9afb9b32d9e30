"""A large document's rows on their way from its reader to the index: on disk, for neither process could hold them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirim.core.files import explain
from mirim.documents.indexing import Row

PREFIX = ".tmp-rows-"


def write(folder: Path, rows: Iterable[Row]) -> Path:
    """Rows as JSON lines in a temporary file, which whoever reads it takes away."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=PREFIX, encoding="ascii", delete=False) as stream:
        path = Path(stream.name)
        try:
            for row in rows:
                stream.write(json.dumps(row) + "\n")
            stream.flush()
        except OSError as error:
            path.unlink()
            raise explain(error, path) from error
    return path


def read(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        for line in stream:
            yield tuple(json.loads(line))


def sweep(folder: Path) -> None:
    """Take away what an ingest that was stopped has left."""
    for path in folder.glob(f"{PREFIX}*"):
        path.unlink(missing_ok=True)
