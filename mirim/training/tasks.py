"""The task examples and exercises of a recipe as tokens on disk: written once, by as many processes as there are cores.

What a job makes depends on the seed and the job alone, so that the number of processes changes nothing.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mirim.core import progress
from mirim.core.errors import UsageError
from mirim.core.files import explain, write_json
from mirim.core.progress import note
from mirim.core.types import Example
from mirim.examples import calls, drills, quiz, sets
from mirim.examples.render import render
from mirim.training import corpus as reading
from mirim.training.packing import Row, Rows

if TYPE_CHECKING:
    from mirim.training.recipe import Recipe

Array = np.ndarray[Any, np.dtype[Any]]

#: Exercises that one job makes, and characters of a stretch of text that they are made from.
BLOCK, STRETCH = 2000, 4000
#: Examples held out of training to watch the loss.
HELD = 300


class Tasks(Rows):
    """Rows of examples: `lengths` in tokens, and `weights`, how often a pass takes each. With `whole` all of a row is
    learned, else the answers."""

    def __init__(self, ids: Array, mask: Array, starts: Array, lengths: Array, weights: Array, whole: bool) -> None:
        self.ids, self.mask, self.starts, self.lengths, self.weights = ids, mask, starts, lengths, weights
        self.whole = whole

    @classmethod
    def open(cls, folder: Path, whole: bool = False) -> Tasks:
        ids, mask = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "mask"))
        lengths, weights = (np.load(folder / f"{name}.npy") for name in ("lengths", "weights"))
        return cls(ids, mask, np.cumsum(lengths) - lengths, lengths, weights, whole)

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, index: int) -> Row:
        at = slice(int(self.starts[index]), int(self.starts[index] + self.lengths[index]))
        return Row(self.ids[at], None if self.whole else self.mask[at])

    def take(self, indices: Array) -> Tasks:
        """Some of the rows."""
        starts, lengths, weights = (x[indices] for x in (self.starts, self.lengths, self.weights))
        return Tasks(self.ids, self.mask, starts, lengths, weights, self.whole)

    def within(self, context: int) -> Tasks:
        """The rows of at most `context` tokens; says how many are left out."""
        fits = np.flatnonzero(self.lengths <= context)
        if len(fits) < len(self):
            note(f"{len(self) - len(fits)} of {len(self)} examples are longer than {context} tokens; left out")
        return self.take(fits)


def held_out(count: int) -> tuple[Array, Array]:
    """(indices of examples to learn, of examples to watch the loss by: a tenth at most)."""
    every = max(10, count // HELD)
    held = np.arange(0, count, every)[:HELD]
    return np.setdiff1d(np.arange(count), held), held


def write(folder: Path, recipe: Recipe, root: Path, tokenizer: Any, seed: int) -> None:
    """Make every example of `recipe` and write it to `folder`, unless a former run did; tasks.json comes last.

    UsageError for a row that is none, or where a stage has no example to learn; MirimError when the disk is full.
    """
    if (folder / "tasks.json").is_file():
        return
    maker = Maker(recipe, root, tokenizer, seed)
    seen: set[str] = set()
    parts: list[Made] = []
    long = 0
    with progress.bar("tasks", len(maker.jobs)) as bar:
        for made in maker.all():
            for one in made:
                if one.id in seen:
                    continue
                seen.add(one.id)
                if len(one.ids):
                    parts.append(one)
                else:
                    long += 1
            bar.advance(1, note=f"{len(parts):,} examples")
    if long:
        note(f"{long} examples are longer than {maker.context} tokens; left out")
    _check(recipe, parts, long)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lengths = np.asarray([len(one.ids) for one in parts])
        np.save(folder / "ids.npy", np.concatenate([one.ids for one in parts]))
        np.save(folder / "mask.npy", np.concatenate([one.mask for one in parts]))
        np.save(folder / "lengths.npy", lengths)
        np.save(folder / "weights.npy", np.asarray([one.weight for one in parts]))
    except OSError as error:
        raise explain(error, folder) from error
    write_json(folder / "tasks.json", {"examples": len(parts), "tokens": int(lengths.sum())})


def _check(recipe: Recipe, parts: Sequence[Made], long: int) -> None:
    """UsageError where a stage has no example to learn: before the first one has learned for hours."""
    if not parts:
        why = f"all {long} are too long for every stage; raise context" if long else "no row makes one; add some"
        raise UsageError(f"the recipe's tasks give no example: {why}, or leave tasks out of the stages")
    learned = [parts[i] for i in held_out(len(parts))[0]]
    for stage in recipe.stages:
        if stage.tasks and not any(one.weight and len(one.ids) <= stage.context for one in learned):
            raise UsageError(
                f'the recipe\'s stage "{stage.name}" has no example to learn: each of {len(parts)} is longer than its '
                f"context of {stage.context} tokens, of weight 0, or kept to watch the loss, as one in ten is; add "
                "rows to [[tasks]], or raise weight or context"
            )


class Made(NamedTuple):
    """An example as tokens, marked where its answer is; no tokens where it is too long."""

    id: str
    ids: Array
    mask: Array
    weight: float


class Maker:
    """Makes a recipe's examples, job by job."""

    def __init__(self, recipe: Recipe, root: Path, tokenizer: Any, seed: int) -> None:
        self.recipe, self.root, self.tokenizer, self.seed = recipe, root, tokenizer, seed
        self.kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
        self.context = max(stage.context for stage in recipe.stages)
        exercises = (("drills", recipe.drills), ("quizzes", recipe.quizzes), ("calls", recipe.calls))
        self.jobs = [(kind, number) for kind in ("rows", "asked") for number in range(len(recipe.tasks))]
        self.jobs += [("apart", number) for number, source in enumerate(recipe.tasks) if source.apart]
        self.jobs += [("questions", number) for number, source in enumerate(recipe.tasks) if source.asks]
        self.jobs += [(kind, at) for kind, count in exercises for at in range(0, count, BLOCK)]
        self.texts = list(self._stretches()) if recipe.drills or recipe.quizzes else []
        if (recipe.drills or recipe.quizzes) and not self.texts:
            raise UsageError(
                "the recipe wants drills or quizzes, and no text of it can be made into any: they need rows of more "
                'than 400 characters whose "lang" is en or pt'
            )

    def all(self) -> Iterator[list[Made]]:
        """The examples of all jobs, in their order."""
        processes = min(os.cpu_count() or 1, len(self.jobs))
        if processes == 1 or sys.platform != "linux":
            yield from map(self.make, self.jobs)
            return
        global _maker
        _maker = self
        # Forked, so that the texts are there already; a fork that uses no threads of the tokenizer's may.
        with workers(processes) as pool:
            yield from pool.map(_make, self.jobs)

    def make(self, job: tuple[str, int]) -> list[Made]:
        """The examples of one job."""
        kind, number = job
        every, found = 1.0, list[Made]()
        some: Iterable[Example]
        if kind in ("rows", "asked", "apart", "questions"):
            source = self.recipe.tasks[number]
            every, path = source.weight, self.recipe.find(self.root, source.path)
            if kind == "rows":
                some = sets.read(path, source.most, self.seed, source.vain)
            elif kind == "asked":
                some, every = sets.quizzes(path, self.seed, source.vain), every * source.together
            elif kind == "apart":
                some, every = sets.apart(path, self.seed), every * source.apart
            else:
                some, every = sets.questions(path, self.seed), every * source.asks
        else:
            some = self._exercises(kind, number)
        for one in some:
            made = render(one, self.tokenizer, self.context, every=one.metadata.get("kind") == quiz.KIND)
            often = every * (self.recipe.short if one.metadata.get("passage") == quiz.SHORT else 1)
            # Python's lists of numbers would take many times the memory.
            ids, mask = np.asarray(made.ids if made else [], self.kind), np.asarray(made.mask if made else [], bool)
            found.append(Made(one.id, ids, mask, often))
        return found

    def _exercises(self, kind: str, at: int) -> Iterable[Example]:
        count: int = getattr(self.recipe, kind)
        seed, some = f"{self.seed} {at}", min(BLOCK, count - at)
        if kind == "calls":
            return calls.make(some, seed)
        if kind == "drills":
            return drills.make(self.texts, some, seed)
        return quiz.make(self.texts, some, seed)

    def _stretches(self) -> Iterator[tuple[str, str]]:
        """(text, language) of every file, for exercises: stretches of what has sentences, as many of a small file as of
        a large one where there are enough."""
        rng = random.Random(f"{self.seed} texts")
        each = max(400, (self.recipe.drills + self.recipe.quizzes) // 90)
        for source in self.recipe.text:
            found = []
            for text, row in reading.rows(self.recipe.find(self.root, source.path)):
                language = row.get("lang") if row.get("lang") in ("en", "pt") else ""
                if not language or len(text) <= 400:
                    continue
                for at in range(0, len(text), STRETCH):
                    # From the next sentence on, as far as one can tell without cutting the whole text.
                    begin = text.find(". ", at) + 2 if at else 0
                    if (at == 0 or begin > 1) and len(text) - begin > 400:
                        found.append((text[begin : begin + STRETCH], str(language)))
            yield from rng.sample(found, min(each, len(found)))


def workers(count: int) -> ProcessPoolExecutor:
    """Forked processes that end with this one, however it ends: those of a run that was killed would wait for ever."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _follow, (os.getpid(),))


def _follow(parent: int) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, Linux's
    if os.getppid() != parent:
        os._exit(1)


_maker: Maker | None = None


def _make(job: tuple[str, int]) -> list[Made]:
    assert _maker is not None
    return _maker.make(job)
