"""SQLite's errors as ones that say what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mirim.core.errors import MirimError, UsageError


@contextlib.contextmanager
def explained(path: Path, remedy: str) -> Iterator[None]:
    """Around work on the database at `path`; `remedy` is what to do when it is damaged."""
    try:
        yield
    except sqlite3.OperationalError as error:
        what = str(error)
        if "full" in what:
            raise MirimError(f"no space left on the disk that holds {path}: free some and run again") from error
        if "readonly" in what or "unable to open" in what:
            raise UsageError(f"no permission to write {path} ({error}); change its owner or its mode") from error
        if "locked" in what:
            raise MirimError(f"{path} is in use by another process; wait for it and run again") from error
        raise MirimError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise MirimError(f"{path} is damaged ({error}); {remedy}") from error
