"""Fit the weights of mirim/models/labels.py: how near a text lies to the label that it has.

    python bench/fit_labels.py --out mirim/models/labels.npz

Data: recipes/labels, lists of labels and texts of each, all but every eighth list for the figures; the shipped weights
are of all of them. The encoder stays as it is. A low-rank change of its vectors is learned, one for texts and one for
labels (a residual, so that what is far from these lists stays where it was), and how much both cosines count, by the
cross-entropy of the right label among those of its list, of which some are left out at random. Reported, beside the
encoder's own cosine: the lists kept out, bench/labels.jsonl, and with --banking banking77's test part of which nothing
is fitted, ten of its labels at a time and all.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mirim.evals.interval import wilson
from mirim.models import labels, meaning

HERE = Path(__file__).resolve().parent
#: Numbers that a vector's change goes through; shares of numbers and of other labels left out; passes; highest rate.
RANK, DROPPED, HIDDEN, EPOCHS, RATE = 64, 0.5, 0.3, 10, 1e-3
#: Fits whose weights' changes are averaged, as their products.
SEEDS = 3


@dataclass(frozen=True)
class Row:
    text: str
    labels: tuple[str, ...]
    kind: str
    right: int
    language: str


def rows(lists: Sequence[dict[str, Any]]) -> list[Row]:
    return [
        Row(text, tuple(one["labels"]), one["name"], one["labels"].index(label), one["lang"])
        for one in lists
        for text, label in one["texts"]
        if label
    ]


def read(path: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, path.read_text("utf-8").splitlines())


def banking(folder: Path, shown: int, count: int) -> list[Row]:
    """Questions to a bank, each with its label and some others."""
    rng = random.Random(shown)
    with (folder / "test.csv").open(encoding="utf-8") as stream:
        every = list(csv.DictReader(stream))
    names = sorted({row["category"] for row in every})
    found = []
    for row in rng.sample(every, count):
        some = [row["category"], *rng.sample([n for n in names if n != row["category"]], shown - 1)]
        rng.shuffle(some)
        words = tuple(name.replace("?", "") for name in some)
        found.append(Row(row["text"], words, "intent", some.index(row["category"]), "en"))
    return found


class Vectors:
    """Of texts and of labels, each computed once."""

    def __init__(self, every: Sequence[Row]) -> None:
        self._places: dict[str, int] = {}
        self.texts = self._made([row.text for row in every], meaning.QUERY)
        shown = [word for row in every for one in row.labels for word in labels.spoken(one, row.kind)]
        self.labels = self._made(shown, meaning.PASSAGE)

    def _made(self, texts: Sequence[str], prefix: str) -> torch.Tensor:
        new = list(dict.fromkeys(texts))
        self._places |= {prefix + text: n for n, text in enumerate(new)}
        return torch.tensor(meaning.vectors(new, prefix))

    def batch(self, some: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Texts (B, H), labels by themselves and with what they are labels of (B, K, 2, H), which are there, the right
        one."""
        most = max(len(row.labels) for row in some)
        texts = self.texts[[self._places[meaning.QUERY + row.text] for row in some]]
        places = torch.zeros(len(some), most, 2, dtype=torch.long)
        there = torch.zeros(len(some), most, dtype=torch.bool)
        for n, row in enumerate(some):
            for k, one in enumerate(row.labels):
                places[n, k] = torch.tensor([self._places[meaning.PASSAGE + w] for w in labels.spoken(one, row.kind)])
                there[n, k] = True
        return texts, self.labels[places], there, torch.tensor([row.right for row in some])


class Net(torch.nn.Module):
    def __init__(self, size: int, middles: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__()
        self.middles = middles
        self.moved, self.plain = torch.nn.Parameter(torch.tensor(15.0)), torch.nn.Parameter(torch.tensor(20.0))
        self.down = torch.nn.ParameterList(torch.nn.Parameter(0.05 * torch.randn(RANK, size)) for _ in range(2))
        self.up = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(size, RANK)) for _ in range(2))

    def move(self, x: torch.Tensor, which: int) -> torch.Tensor:
        x = x - self.middles[which]
        changed = functional.dropout(x, DROPPED, self.training) @ self.down[which].T @ self.up[which].T
        return functional.normalize(x + changed, dim=-1)

    def forward(self, texts: torch.Tensor, shown: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        said = shown.mean(2)
        # What the labels are labels of may not be told.
        bare = shown[:, :, 0] if self.training and torch.rand(()) < HIDDEN else said
        near = torch.einsum("bh,bkh->bk", self.move(texts, 0), self.move(bare, 1))
        logits = self.moved * near + self.plain * torch.einsum("bh,bkh->bk", texts, said)
        return logits.masked_fill(~there, -1e4)


def fit(some: Sequence[Row], vectors: Vectors, seed: int) -> Net:
    torch.manual_seed(seed)
    rng, data = random.Random(seed), list(some)
    net = Net(vectors.texts.shape[1], (vectors.texts.mean(0), vectors.labels.mean(0)))
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(data) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for _ in range(EPOCHS):
        rng.shuffle(data)
        for at in range(0, len(data), 64):
            texts, shown, there, right = vectors.batch(data[at : at + 64])
            hidden = (torch.rand(there.shape) < HIDDEN) & (torch.rand(len(there), 1) < 0.5)
            hidden[torch.arange(len(right)), right] = False
            loss = functional.cross_entropy(net(texts, shown, there & ~hidden), right)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def weights(nets: Sequence[Net]) -> dict[str, np.ndarray[Any, Any]]:
    """As mirim/models/labels.py reads them: middles (2, H), changes (2, H, H) as halves of rank RANK, what counts."""
    made: dict[str, list[Any]] = {"down": [], "up": []}
    for which in range(2):
        change = torch.stack([net.up[which] @ net.down[which] for net in nets]).mean(0).detach().double()
        u, s, v = torch.linalg.svd(change)
        root = s[:RANK].sqrt()
        made["down"].append((root[:, None] * v[:RANK]).numpy().astype(np.float16))
        made["up"].append((u[:, :RANK] * root).numpy().astype(np.float16))
    numbers = [
        sum(float(value.detach()) for value in one) / len(nets)
        for one in zip(*((n.moved, n.plain) for n in nets), strict=True)
    ]
    return {
        "middles": torch.stack(nets[0].middles).numpy().astype(np.float32),
        "numbers": np.array(numbers, np.float32),
        **{name: np.stack(halves) for name, halves in made.items()},
    }


def report(name: str, some: Sequence[Row], held: dict[str, Any]) -> None:
    moved, plain = [], []
    for row in some:
        told = labels.names(row.labels, row.kind, held).logits([row.text])[0]
        bare = labels.names(row.labels, row.kind, held | {"numbers": np.array([0.0, 40.0])}).logits([row.text])[0]
        moved.append(int(np.argmax(told)) == row.right)
        plain.append(int(np.argmax(bare)) == row.right)
    shares = [labels.names(row.labels, row.kind, held).shares([row.text])[0][row.right] for row in some[:300]]
    told = [str(wilson(sum(one), len(one))) for one in (moved, plain)]
    print(f"{name}: {told[0]}, by the cosine alone {told[1]}; loss {np.mean(-np.log(shares)):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--banking", type=Path, help="banking77's folder")
    given = parser.parse_args()
    lists = [one for path in sorted((HERE.parent / "recipes" / "labels").glob("*.jsonl")) for one in read(path)]
    random.Random(7).shuffle(lists)
    apart = lists[: len(lists) // 8]
    vectors = Vectors(rows(lists))
    held = weights([fit(rows(lists[len(lists) // 8 :]), vectors, seed) for seed in range(SEEDS)])
    for language in ("pt", "en"):
        report(f"lists kept out, {language}", [r for r in rows(apart) if r.language == language], held)
    held = weights([fit(rows(lists), vectors, seed) for seed in range(SEEDS)])
    for language in ("pt", "en"):
        test = [r for r in rows(list(read(HERE / "labels.jsonl"))) if r.language == language]
        report(f"bench/labels.jsonl, {language}", test, held)
    for shown, count in ((10, 1000), (77, 500)) if given.banking else ():
        report(f"banking77, one of {shown}", banking(given.banking, shown, count), held)
    np.savez_compressed(given.out, **held)
    print(f"{given.out}: {given.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
