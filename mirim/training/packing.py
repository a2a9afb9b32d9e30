"""Rows of tokens of any length into full sequences, without waste and without one row seeing another."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Row:
    """A document or an example: token ids and which of them are to be learned (the model predicts ids[i] from ids[:i])."""

    ids: Sequence[int]
    mask: Sequence[bool]


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


def pack(lengths: Sequence[int], room: int, order: Sequence[int]) -> list[list[int]]:
    """Indices of rows grouped into sequences of at most `room` tokens: first fit in the given order.

    Only the last few open sequences are tried, so packing is linear and stays close to the shuffled order.
    """
    done: list[list[int]] = []
    open_: list[tuple[int, list[int]]] = []
    for index in order:
        length = min(lengths[index], room)
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


def collate(rows: Sequence[Row], groups: Sequence[Sequence[int]], room: int, pad: int) -> Batch:
    """A batch from packed groups, no longer than its longest sequence needs."""
    width = min(room, max(sum(min(len(rows[i].ids), room) for i in group) for group in groups))
    ids = torch.full((len(groups), width), pad, dtype=torch.long)
    positions = torch.zeros((len(groups), width), dtype=torch.long)
    targets = torch.full((len(groups), width), -100, dtype=torch.long)
    for b, group in enumerate(groups):
        at = 0
        for i in group:
            piece, mask = list(rows[i].ids)[:width], list(rows[i].mask)[:width]
            n = len(piece)
            ids[b, at : at + n] = torch.tensor(piece)
            positions[b, at : at + n] = torch.arange(n)
            # Position t predicts t + 1, never across rows.
            for t in range(n - 1):
                if mask[t + 1]:
                    targets[b, at + t] = piece[t + 1]
            at += n
        # The padding is a row of its own: nothing attends to it, it learns nothing.
        positions[b, at:] = torch.arange(width - at)
    return Batch(ids, positions, targets)


class Batches:
    """An endless, seeded, resumable stream of batches over rows: `state` is all that is needed to go on."""

    def __init__(self, rows: Sequence[Row], room: int, sequences: int, seed: int, pad: int) -> None:
        """`room` tokens a sequence, `sequences` a batch."""
        if not rows:
            raise ValueError("no rows")
        self.rows, self.room, self.sequences, self.seed, self.pad = rows, room, sequences, seed, pad
        self.lengths = [len(r.ids) for r in rows]
        self.epoch, self.index = 0, 0
        self._plan: list[list[list[int]]] = []
        self._planned = -1

    @property
    def per_epoch(self) -> int:
        return len(self._epoch(0))

    def _epoch(self, epoch: int) -> list[list[list[int]]]:
        if self._planned != epoch:
            order = list(range(len(self.rows)))
            random.Random(f"{self.seed} {epoch}").shuffle(order)
            groups = pack(self.lengths, self.room, order)
            random.Random(f"{self.seed} {epoch} groups").shuffle(groups)
            self._plan = [groups[i : i + self.sequences] for i in range(0, len(groups), self.sequences)]
            self._planned = epoch
        return self._plan

    def __iter__(self) -> Iterator[Batch]:
        while True:
            plan = self._epoch(self.epoch)
            if self.index >= len(plan):
                self.epoch, self.index = self.epoch + 1, 0
                continue
            groups = plan[self.index]
            self.index += 1
            yield collate(self.rows, groups, self.room, self.pad)

    @property
    def state(self) -> dict[str, int]:
        return {"epoch": self.epoch, "index": self.index}

    @state.setter
    def state(self, value: dict[str, int]) -> None:
        self.epoch, self.index = value["epoch"], value["index"]
