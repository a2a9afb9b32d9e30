"""Examples on their way to disk: kept in a temporary database, so that memory does not grow with their number."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.files import write_jsonl
from mirim.core.types import Example


class Spool:
    """Takes examples in any order, gives each once, sorted by task and id. A context manager; leaves no file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".tmp-examples.db"
        folder.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._db = sqlite3.connect(self.path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("CREATE TABLE e (task TEXT, id TEXT, row TEXT, PRIMARY KEY (task, id)) WITHOUT ROWID")
        self._db.execute("BEGIN")
        self.counts: Counter[tuple[str, str, str, str]] = Counter()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def add(self, example: Example) -> None:
        """Keep an example unless its equal is there already."""
        row = json.dumps(example.to_json(), ensure_ascii=False, sort_keys=True)
        added = self._db.execute("INSERT OR IGNORE INTO e VALUES (?, ?, ?)", (example.task, example.id, row))
        if added.rowcount:
            made = example.metadata
            self.counts[example.task, str(made.get("kind", "")), str(made.get("language", "")), example.split] += 1

    def rows(self, task: str) -> Iterator[dict[str, Any]]:
        for (row,) in self._db.execute("SELECT row FROM e WHERE task = ? ORDER BY id", (task,)):
            yield json.loads(row)

    def write(self, folder: Path) -> list[Path]:
        """One <task>.jsonl each, sorted by id; files of tasks that have no examples any more go."""
        tasks = sorted({task for task, *_ in self.counts})
        for task in tasks:
            write_jsonl(folder / f"{task}.jsonl", self.rows(task))
        for stale in sorted(folder.glob("*.jsonl")):
            if stale.stem not in tasks:
                stale.unlink()
        return [folder / f"{task}.jsonl" for task in tasks]
