"""Search: a question in words to the passages that may answer it. BM25 over stems, one file, no server."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import math
import os
import sqlite3
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Passage
from mirim.documents.words import STOPWORDS, detect, stem, tokens

#: How much a word counts in the title, in the headings below it (with a table's header), in the text.
WEIGHTS = (2.5, 2.0, 1.0)

#: Question words that are searched; of a longer question, the rarest ones.
_TERMS = 32

#: Passages from which on a word that most of them hold is not searched beside rarer ones.
_MANY = 2000

#: k1 + 1 of SQLite's bm25: what a word's weight tends to as it repeats.
_CEILING = 2.2

_COLUMNS = "p.document, d.source, p.start, p.stop, p.heading, p.text, p.page, d.language, p.header"


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found, and how well it fits: see Index.search."""

    passage: Passage
    score: float


class Index:
    """A search index to read, from any thread. Close it, or use `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._frequencies: dict[str, int] = {}
        self._refreshing = threading.Lock()
        self._stamp = _stamp(path)
        self._changes = 0

    @classmethod
    def open(cls, path: Path | str) -> Index:
        """Open index.db or a bundle's knowledge.db; UsageError when it is missing, unfinished or no index."""
        path = Path(path).expanduser().resolve()
        if not path.is_file():
            raise UsageError(f"{path} does not exist: nothing was ingested yet; type: mirim ingest")
        index = cls(path)
        try:
            state = dict(index._db.execute("SELECT key, value FROM meta"))
        except sqlite3.DatabaseError as error:
            index.close()
            if not os.access(path, os.R_OK):
                raise UsageError(f"no permission to read {path}; change its owner or its mode") from error
            raise UsageError(f"{path} is not a search index ({error}); delete it and type: mirim ingest") from error
        if state.get("complete") != "1":
            index.close()
            raise UsageError(f"{path} is unfinished: an ingest was interrupted; type: mirim ingest")
        return index

    @property
    def _db(self) -> sqlite3.Connection:
        """This thread's connection."""
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        file = self._stamp[:1]
        if db is None or self._own.file != file:
            if db is not None:
                self._all.remove(db)
                db.close()
            db = _connect(self.path)
            self._own.db, self._own.file = db, file
            self._all.append(db)
        return db

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for db in self._all:
            db.close()
        self._all.clear()
        self._own = threading.local()

    def refresh(self) -> int:
        """How often the index has changed under this reader so far; what it counted before a change is forgotten.

        Every search begins so. An index that was made anew, another file of the same name, is read from when it is
        complete; until then the one before.
        """
        with self._refreshing:
            now = _stamp(self.path)
            if now and now != self._stamp and (now[:1] == self._stamp[:1] or _complete(self.path)):
                self._stamp = now
                self._changes += 1
                self._frequencies = {}
                for counted in ("count", "_count", "languages"):
                    self.__dict__.pop(counted, None)
            return self._changes

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise MirimError(f"{self.path} cannot be searched ({error}); delete it and type: mirim ingest") from error

    @cached_property
    def count(self) -> int:
        """Number of passages."""
        return int(self._rows("SELECT sum(passages) FROM documents")[0][0] or 0)

    @cached_property
    def _count(self) -> str:
        """How to ask for a word's passages; a bundle's index may be older than the table of frequencies."""
        table = self._rows("SELECT 1 FROM sqlite_master WHERE name = 'frequencies'")
        return (
            "SELECT passages FROM frequencies WHERE term = ?" if table else "SELECT doc FROM vocabulary WHERE term = ?"
        )

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages of the documents, sorted; '' stands for unknown."""
        return tuple(row[0] for row in self._rows("SELECT DISTINCT language FROM documents ORDER BY language"))

    def statistics(self) -> Index:
        """What ranking needs to know of the whole: `.frequency(stem)` and `.count`."""
        return self

    def frequency(self, stem: str) -> int:
        """Number of passages that hold a stem in title, headings or text (stop words are not kept in text)."""
        known = self._frequencies
        if stem not in known:
            found = self._rows(self._count, (stem,))
            known[stem] = int(found[0][0]) if found else 0
        return known[stem]

    def documents(self) -> list[tuple[str, str, str]]:
        """(id, source, title) of every document, sorted by id."""
        return [(a, b, c) for a, b, c in self._rows("SELECT id, source, title FROM documents ORDER BY id")]

    def passages(self, document_id: str) -> list[Passage]:
        """A document's passages in order; none when there is no such document."""
        sql = f"SELECT {_COLUMNS} FROM passages p JOIN documents d ON d.id = p.document WHERE p.document = ?"
        return [_passage(row) for row in self._rows(f"{sql} ORDER BY p.start", (document_id,))]

    def search(self, query: str, limit: int = 8) -> list[Hit]:
        """The passages that fit a question best, best first, none twice; none for a query without words.

        A passage needs one of the words, not all. The score is BM25 (Robertson and Zaragoza 2009, as SQLite
        computes it, words in titles and headings counted by WEIGHTS) divided by the most that any passage
        could get for the question: 0 to 1 and comparable between questions. A question whose rarest words
        the documents do not have can only get low scores.
        """
        self.refresh()
        groups = self._groups(query)
        stems = sorted({s for group in groups for s in group if self.frequency(s)})
        if not stems or limit < 1:
            return []
        if self.count > _MANY:
            # SQLite gives words of more than half the passages no weight, but walks through all of those.
            stems = [s for s in stems if 2 * self.frequency(s) <= self.count] or stems
        most = _CEILING * sum(self._weight(max(map(self.frequency, group))) for group in groups)
        best = self._best(stems, limit)
        marks = ", ".join("?" * len(best))
        found = self._rows(
            f"SELECT p.number, {_COLUMNS} FROM passages p JOIN documents d ON d.id = p.document "
            f"WHERE p.number IN ({marks})",
            tuple(best),
        )
        hits = [Hit(_passage(row[1:]), max(0.0, best[row[0]]) / most) for row in found]
        return sorted(hits, key=lambda h: (-h.score, h.passage.document, h.passage.start))

    def _best(self, stems: list[str], limit: int) -> dict[int, float]:
        """number → BM25 of the `limit` best passages.

        Passages without any of the rarer words need not be looked at when what the commoner ones could give them
        at most is no more than the last of the best has (MaxScore, Turtle and Flood 1995): "symptoms" stands in
        half of a medical library.
        """
        ceilings = {s: _CEILING * self._weight(self.frequency(s)) for s in stems}
        rare, common = sorted(stems, key=lambda s: (-ceilings[s], s)), list[str]()
        # As few as promise enough: they must give twice what the others could.
        while len(rare) > 1 and sum(ceilings[s] for s in [*common, rare[-1]]) < sum(ceilings[s] for s in rare[:-1]) / 2:
            common.append(rare.pop())
        if common and 2 * sum(map(self.frequency, rare)) < sum(map(self.frequency, stems)):
            best = self._among(rare, common, limit)
            if len(best) == limit and min(best.values()) >= sum(ceilings[s] for s in common):
                return best
        return self._scores(_any(stems), limit)

    def _among(self, rare: list[str], common: list[str], limit: int) -> dict[int, float]:
        """The best of the passages that hold one of the rare words."""
        # FTS5 adds up every word of the expression, each time that it stands there: the rare ones count twice here.
        twice = self._scores(f"({_any(rare)}) AND ({_any([*rare, *common])})")
        once = self._scores(_any(rare))
        scores = ((round(once[number] - score, 9), number) for number, score in twice.items())
        return {number: -score for score, number in heapq.nsmallest(limit, scores)}

    def _scores(self, match: str, limit: int = -1) -> dict[int, float]:
        """number → BM25 of the best, all when the limit is -1. Equal but for rounding: the lower number first."""
        sql = "SELECT rowid, -bm25(words, ?, ?, ?) AS score FROM words WHERE words MATCH ?"
        if limit >= 0:
            sql = f"SELECT rowid, round(score, 9) AS score FROM ({sql}) ORDER BY score DESC, rowid LIMIT {limit}"
        return dict(self._rows(sql, (*WEIGHTS, match)))

    def _groups(self, query: str) -> list[tuple[str, ...]]:
        """For each distinct word that says something, its stems in the languages of the documents."""
        words = list(dict.fromkeys(tokens(query[:200_000])))
        spoken = detect(query)
        stop = STOPWORDS.get(spoken) or frozenset[str]().union(*(STOPWORDS.get(k, ()) for k in self.languages))
        kept = [w for w in words if w not in stop] or words
        groups = list(dict.fromkeys(tuple(sorted({stem(w, k) for k in self.languages})) for w in kept))
        if len(groups) > _TERMS:
            held = [(max(map(self.frequency, group)), i) for i, group in enumerate(groups)]
            rarest = sorted(i for n, i in sorted(held, key=lambda h: (h[0] == 0, h))[:_TERMS])
            groups = [groups[i] for i in rarest]
        return groups

    def _weight(self, frequency: int) -> float:
        """Inverse document frequency as SQLite's bm25 has it; never quite nothing."""
        return max(1e-6, math.log((self.count - frequency + 0.5) / (frequency + 0.5)))

    def fingerprint(self) -> str:
        """Digest of what the index holds: equal for equal documents, however and whenever they were added."""
        digest = hashlib.sha256()
        for row in self._rows("SELECT key, value FROM meta ORDER BY key"):
            digest.update(json.dumps(row).encode())
        for row in self._rows("SELECT id, digest FROM documents ORDER BY id"):
            digest.update(json.dumps(row).encode())
        return digest.hexdigest()


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with every change of an index's file, which has no log beside it; () while there is none. The first
    number tells a file from another of the same name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30, check_same_thread=False)


def _complete(path: Path) -> bool:
    """Whether a file is an index that an ingest has finished."""
    try:
        with contextlib.closing(_connect(path)) as db:
            return bool(db.execute("SELECT value FROM meta WHERE key = 'complete'").fetchone() == ("1",))
    except sqlite3.DatabaseError:
        return False


def _any(stems: list[str]) -> str:
    return " OR ".join(f'"{s}"' for s in stems)


def _passage(row: tuple[Any, ...]) -> Passage:
    return Passage(*row)
