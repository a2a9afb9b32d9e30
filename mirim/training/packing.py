"""Rows of tokens of any length into full sequences, without waste and without one row seeing another."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Row:
    """A document or an example: token ids, and for each whether it is learned (predicted from those before it).

    A mask of None stands for all of them.
    """

    ids: Sequence[int] | np.ndarray[Any, Any]
    mask: Sequence[bool] | np.ndarray[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """ids, positions (B, T); targets (B, T), -100 where nothing is learned. Positions start again at each row,
    which is how transformers' masks tell packed rows apart."""

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor

    @property
    def tokens(self) -> int:
        """Tokens that are predicted."""
        return int((self.targets != -100).sum())

    def to(self, device: torch.device) -> Batch:
        return replace(
            self, ids=self.ids.to(device), positions=self.positions.to(device), targets=self.targets.to(device)
        )

    def split(self, sequences: int) -> list[Batch]:
        """The same batch in pieces of at most `sequences`, for memory or cache."""
        starts = range(0, len(self.ids), max(1, sequences))
        return [self._rows(slice(at, at + max(1, sequences))) for at in starts]

    def shard(self, rank: int, size: int) -> Batch:
        """The sequences of one of `size` processes; one that gets none learns nothing from the first."""
        if len(self.ids) <= rank:
            return replace(self._rows(slice(1)), targets=torch.full_like(self.targets[:1], -100))
        return self._rows(slice(rank, None, size))

    def _rows(self, rows: slice) -> Batch:
        return replace(self, ids=self.ids[rows], positions=self.positions[rows], targets=self.targets[rows])


class Rows(Sequence[Row]):
    """Rows that are made when they are asked for, each by `row`."""

    def row(self, index: int) -> Row:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return [self.row(i) for i in range(len(self))[index]] if isinstance(index, slice) else self.row(index)


def pack(lengths: Sequence[int], room: int, order: Sequence[int]) -> list[list[int]]:
    """Indices of rows grouped into sequences of at most `room` tokens: first fit in the given order.

    Only the last few open sequences are tried, so packing is linear and stays close to the shuffled order.
    """
    done: list[list[int]] = []
    open_: list[tuple[int, list[int]]] = []
    for index in order:
        length = min(int(lengths[index]), room)
        for i, (free, members) in enumerate(open_):
            if length <= free:
                members.append(index)
                open_[i] = (free - length, members)
                break
        else:
            open_.append((room - length, [index]))
            if len(open_) > 16:
                done.append(open_.pop(0)[1])
    return done + [members for _, members in open_]


def collate(rows: Sequence[Row], groups: Sequence[Sequence[int]], room: int, pad: int, *, full: bool = False) -> Batch:
    """A batch from packed groups, no longer than its longest sequence needs, or always `room` long with `full`."""
    pieces = [[rows[i] for i in group] for group in groups]
    width = room if full else min(room, max(sum(min(len(row.ids), room) for row in group) for group in pieces))
    ids = np.full((len(groups), width), pad, dtype=np.int64)
    # The padding is a row of its own: nothing attends to it, it learns nothing.
    positions = np.zeros((len(groups), width), dtype=np.int64)
    targets = np.full((len(groups), width), -100, dtype=np.int64)
    for b, group in enumerate(pieces):
        at = 0
        for row in group:
            piece = np.asarray(row.ids[:width], dtype=np.int64)
            n = len(piece)
            ids[b, at : at + n] = piece
            positions[b, at : at + n] = np.arange(n)
            # Position t predicts t + 1, never across rows.
            learned = piece[1:] if row.mask is None else np.where(np.asarray(row.mask[1:n], bool), piece[1:], -100)
            targets[b, at : at + n - 1] = learned
            at += n
        positions[b, at:] = np.arange(width - at)
    return Batch(torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(targets))


class Batches:
    """An endless, seeded, resumable stream of batches over rows: `state` is all that is needed to go on."""

    def __init__(
        self,
        rows: Sequence[Row],
        room: int,
        sequences: int,
        seed: int,
        pad: int,
        *,
        weights: Sequence[float] | np.ndarray[Any, Any] | None = None,
        packed: bool = True,
        full: bool = False,
    ) -> None:
        """`room` tokens a sequence, `sequences` a batch.

        `weights` says how often a pass takes each row: 2 twice, 0.5 in every second pass or so. `packed` False
        gives each row a sequence of its own, for models that cannot tell packed rows apart. `full` pads every
        batch to `sequences` of `room`, for compiled models, which are compiled again for each new shape.
        """
        if not len(rows):
            raise ValueError("no rows")
        self.rows, self.room, self.sequences, self.seed, self.pad = rows, room, sequences, seed, pad
        lengths = getattr(rows, "lengths", None)
        self.lengths: Sequence[int] = [len(row.ids) for row in rows] if lengths is None else lengths
        self.weights = None if weights is None or np.all(np.asarray(weights) == 1) else np.asarray(weights, float)
        self.packed, self.full = packed, full
        self.epoch, self.index = 0, 0
        self._plan: list[list[list[int]]] = []
        self._planned = -1

    @property
    def per_epoch(self) -> int:
        return len(self._epoch(0))

    def _epoch(self, epoch: int) -> list[list[list[int]]]:
        """The batches of a pass, each a list of sequences, each a list of rows."""
        if self._planned != epoch:
            order = self._order(epoch)
            groups = pack(self.lengths, self.room, order) if self.packed else [[i] for i in order]
            random.Random(f"{self.seed} {epoch} groups").shuffle(groups)
            self._plan = [groups[i : i + self.sequences] for i in range(0, len(groups), self.sequences)]
            self._planned = epoch
        return self._plan

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.rows)))
        if self.weights is not None:
            lucky = np.random.default_rng([self.seed, epoch]).random(len(order))
            times = np.floor(self.weights + lucky).astype(int)
            # A pass that happens to draw nothing still has to give a batch.
            order = np.repeat(np.arange(len(order)), times).tolist() or order
        random.Random(f"{self.seed} {epoch}").shuffle(order)
        return order

    def __iter__(self) -> Iterator[Batch]:
        while True:
            plan = self._epoch(self.epoch)
            if self.index >= len(plan):
                self.epoch, self.index = self.epoch + 1, 0
                continue
            groups = plan[self.index]
            if self.full:
                groups = groups + [[] for _ in range(self.sequences - len(groups))]
            self.index += 1
            yield self.made(groups)

    def made(self, groups: Sequence[Sequence[int]]) -> Batch:
        """A batch of these sequences of rows."""
        return collate(self.rows, groups, self.room, self.pad, full=self.full)

    @property
    def state(self) -> dict[str, int]:
        return {"epoch": self.epoch, "index": self.index}

    @state.setter
    def state(self, value: dict[str, int]) -> None:
        self.epoch, self.index = value["epoch"], value["index"]


def ahead(batches: Batches, count: int) -> Generator[tuple[Batch, dict[str, int]]]:
    """(batch, the state after it), `count` of them made by a thread while others are learned; 0 makes each in turn."""

    def take() -> tuple[Batch, dict[str, int]]:
        return next(stream), batches.state

    stream = iter(batches)
    if not count:
        while True:
            yield take()
    pool = ThreadPoolExecutor(1)
    waiting: deque[Future[tuple[Batch, dict[str, int]]]] = deque(pool.submit(take) for _ in range(count))
    try:
        while True:
            found = waiting.popleft().result()
            waiting.append(pool.submit(take))
            yield found
    finally:
        pool.shutdown(cancel_futures=True)
