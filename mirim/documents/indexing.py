"""Writing the search index: SQLite with FTS5, in batches, each of which leaves it whole.

Rows depend only on the documents, never on the order in which they came: a passage's number is a digest
of where it stands. The words are stemmed here (mirim.documents.words), so FTS5 only has to split at spaces;
it keeps no copy of them (a contentless table), and a passage leaves by handing the same words in again.
"""

from __future__ import annotations

import hashlib
import heapq
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from mirim.core.files import explain
from mirim.core.types import Document, Passage
from mirim.documents.passages import cuts
from mirim.documents.words import stems

#: Raised whenever the rows made from equal documents change; an older index is then built again.
VERSION = "6"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, digest TEXT, source TEXT, title TEXT, language TEXT, passages INTEGER) WITHOUT ROWID;
CREATE TABLE passages (
    number INTEGER PRIMARY KEY, document TEXT, start INTEGER, stop INTEGER, page INTEGER,
    heading TEXT, header TEXT, text TEXT);
CREATE INDEX passages_of ON passages (document, start);
CREATE VIRTUAL TABLE words USING fts5 (title, heading, body, content='', tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
CREATE TABLE frequencies (term TEXT PRIMARY KEY, passages INTEGER) WITHOUT ROWID;
"""

#: number, start, stop, page, heading, header, text, then the stems of title, heading and body.
Row = tuple[int, int, int, int | None, str, str, str, str, str, str]


#: Rows that are handed to SQLite at a time.
_ROWS = 1000


def rows(document: Document, most: int) -> Iterator[Row]:
    """What the index holds of a document, ready to insert, by number.

    FTS5 writes fastest when numbers grow, and must flush whenever one does not.
    """
    numbered = ((_number(document.id, one.start), one) for one in cuts(document, most))
    for number, one in sorted(numbered, key=itemgetter(0)):
        yield _row(number, document.title, one.of(document))


def _number(id: str, start: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{id}\n{start}".encode(), digest_size=8).digest(), "big") >> 1


def _row(number: int, title: str, p: Passage) -> Row:
    words = _stems(title, p.heading, p.header, p.text, p.language)
    return (number, p.start, p.end, p.page, p.heading, p.header, p.text, *words)


def _stems(title: str, heading: str, header: str, text: str, language: str) -> tuple[str, str, str]:
    below = heading.removeprefix(title)
    return (
        " ".join(stems(title, language)),
        " ".join(stems(f"{below} {header}", language)),
        " ".join(stems(text, language, content=True)),
    )


class Writer:
    """Adds and removes documents. Everything since the last `commit` is lost when the process dies, nothing else.

    Until `finish` the index says that it is incomplete, and Index.open refuses it.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        """Open or make the index at `path`; one made by another `recipe`, or damaged, is made anew."""
        self.path, self.recipe = path, f"{VERSION} {recipe}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, path) from error
        self._open()

    def _open(self) -> None:
        self.db = sqlite3.connect(self.path, timeout=30)
        try:
            _prepare(self.db)
            row = self.db.execute("SELECT value FROM meta WHERE key = 'recipe'").fetchone()
            if row == (self.recipe,):
                return
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "readonly" in str(error) or "unable to open" in str(error):
                raise
        except sqlite3.DatabaseError:
            pass
        self.db.close()
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.db = sqlite3.connect(self.path, timeout=30)
        _prepare(self.db)
        self.db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        self._set("recipe", self.recipe)
        self._set("complete", "0")
        self.db.commit()

    def _set(self, key: str, value: str) -> None:
        self.db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))

    def digest(self, id: str) -> str:
        """Digest of the file that a document's rows were made from, '' when it has none."""
        row = self.db.execute("SELECT digest FROM documents WHERE id = ?", (id,)).fetchone()
        return row[0] if row else ""

    def ids(self) -> Iterator[str]:
        """Ids of the indexed documents in order."""
        last = ""
        while True:
            page = self.db.execute("SELECT id FROM documents WHERE id > ? ORDER BY id LIMIT 1000", (last,)).fetchall()
            if not page:
                return
            yield from (row[0] for row in page)
            last = page[-1][0]

    def counts(self) -> tuple[int, int]:
        """Numbers of documents and of passages."""
        row = self.db.execute("SELECT count(*), coalesce(sum(passages), 0) FROM documents").fetchone()
        return int(row[0]), int(row[1])

    def begin(self) -> None:
        """Say that the index is being changed."""
        self._set("complete", "0")

    def put(self, batch: Iterable[tuple[dict[str, Any], Iterable[Row]]]) -> None:
        """Add or replace documents: {'id', 'digest', 'source', 'title', 'language'} and their rows, by number."""
        batch = list(batch)
        self.db.execute("DELETE FROM frequencies")
        for about, _ in batch:
            self.remove(about["id"])
        counts: Counter[str] = Counter()
        every = heapq.merge(*(_of(about["id"], rows, counts) for about, rows in batch), key=itemgetter(0))
        while part := list(islice(every, _ROWS)):
            self.db.executemany(
                "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(n, id, *row[1:7]) for n, id, row in part]
            )
            self.db.executemany(
                "INSERT INTO words (rowid, title, heading, body) VALUES (?, ?, ?, ?)",
                [(n, *row[7:]) for n, _, row in part],
            )
        self.db.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)",
            [(a["id"], a["digest"], a["source"], a["title"], a["language"], counts[a["id"]]) for a, _ in batch],
        )

    def remove(self, id: str) -> None:
        """Take a document out; nothing happens when it is not there."""
        row = self.db.execute("SELECT title, language FROM documents WHERE id = ?", (id,)).fetchone()
        if row is None:
            return
        title, language = row
        held = self.db.execute(
            "SELECT number, heading, header, text FROM passages WHERE document = ? ORDER BY number", (id,)
        ).fetchall()
        self.db.executemany(
            "INSERT INTO words (words, rowid, title, heading, body) VALUES ('delete', ?, ?, ?, ?)",
            [(n, *_stems(title, heading, header, text, language)) for n, heading, header, text in held],
        )
        self.db.execute("DELETE FROM frequencies")
        self.db.execute("DELETE FROM passages WHERE document = ?", (id,))
        self.db.execute("DELETE FROM documents WHERE id = ?", (id,))

    def commit(self) -> None:
        """Make everything so far durable."""
        self.db.commit()

    def finish(self, tidy: bool) -> None:
        """Commit and declare the index complete; `tidy` merges its word lists, which searches are faster on."""
        if tidy:
            self.db.execute("INSERT INTO words (words) VALUES ('optimize')")
        if self.db.execute("SELECT count(*) FROM (SELECT 1 FROM frequencies LIMIT 1)").fetchone() == (0,):
            # The vocabulary counts a word's passages anew each time that it is asked.
            self.db.execute("INSERT INTO frequencies SELECT term, doc FROM vocabulary")
        self._set("complete", "1")
        self.db.commit()

    def close(self) -> None:
        self.db.close()


def _of(id: str, rows: Iterable[Row], counts: Counter[str]) -> Iterator[tuple[int, str, Row]]:
    for row in rows:
        counts[id] += 1
        yield row[0], id, row


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA cache_size = -16000")
    db.execute("PRAGMA synchronous = NORMAL")
