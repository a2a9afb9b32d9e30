"""Fit the weights of mirim/models/meaning.py: which tokens of a question a passage must answer to, and how far it does.

    OMP_NUM_THREADS=1 python bench/fit_meaning.py --shared ../shared --seed 2 --out mirim/models/meaning.npz

Data: the fictional organisations of recipes/organisations, whose customers ask in their own words, all but every sixth,
what more they were asked (recipes/organisations/asked.jsonl), and reading sets with people's questions (as in
bench/fit_ranker.py). The encoder stays as it is; a projection of its tokens' states to a few numbers is learned
(ColBERT, Khattab and Zaharia 2020), how much each token of a question matters, and a small network that compares it
with what it finds in a passage (Parikh et al. 2016). Each question is asked of all passages of its organisation: once
as it is, where the passage with the answer should win, and once with that passage taken away, where nothing should, so
that nothing is learned from what a question sounds like; questions of other organisations and those that nothing
answers should find nothing either.
Reported on the organisations kept out, and on what they are asked in the other language than their documents'
(recipes/organisations/across.jsonl).
About a quarter of an hour on one core, which is no slower than two.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from fit_ranker import medquad, reading, some
from organisations import asked, indexed, kept_out, organisations, translated
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mirim.core.types import Document, Passage
from mirim.models import meaning

KINDS = ("gone", "near", "topic", "outside")
NUMBERS = ("slope", "point", "scale", "bias", "near", "sharp")


@dataclass
class Corpus:
    """Passages and questions as the model meets them: states of each one's tokens, (T, S), and a vector."""

    name: str
    test: bool
    passages: list[torch.Tensor]
    passage_vectors: torch.Tensor  # (P, H)
    questions: list[torch.Tensor]
    question_vectors: torch.Tensor
    right: list[list[int]]  # of each question, passages that hold the answer
    kinds: list[str]
    across: list[bool]  # whether a question is in another language than the passages
    buckets: list[Bucket] = field(default_factory=list)


class Bucket(NamedTuple):
    """Passages of about the same length: their numbers, their states (P, T, S), and which tokens are there (P, T)."""

    numbers: list[int]
    states: torch.Tensor
    mask: torch.Tensor


class Questions(NamedTuple):
    """Some questions: tokens (Q, T, D) of length 1, what each weighs (Q, T), 0 where there is none, vectors (Q, H)."""

    tokens: torch.Tensor
    weights: torch.Tensor
    vectors: torch.Tensor


def padded(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, T, S) in float32, and which of them are there (N, T); T what the longest has."""
    out = torch.zeros(len(rows), max(len(r) for r in rows), rows[0].shape[1])
    mask = torch.zeros(out.shape[:2])
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return out, mask


def corpus(
    name: str,
    test: bool,
    documents: list[Document],
    asked: Sequence[tuple[str, str, str, list[tuple[int, int]]]],
    own: int,
) -> Corpus:
    """Of documents and (question, kind, document, spans), the first `own` of them in the documents' language."""
    with tempfile.TemporaryDirectory() as folder, indexed(Path(folder) / "index.db", documents) as index:
        passages: list[Passage] = [p for d in documents for p in index.passages(d.id)]
    right = [
        [i for i, p in enumerate(passages) if p.document == home and any(p.start < e and s < p.end for s, e in spans)]
        for _, _, home, spans in asked
    ]
    vectors, states = meaning.states(meaning.PASSAGE, [f"{p.heading}\n{p.text}" for p in passages])
    asked_vectors, asked_states = meaning.states(meaning.QUERY, [q for q, *_ in asked])
    kinds = [kind if kind != "answered" or found else "lost" for (_, kind, *_), found in zip(asked, right, strict=True)]
    return Corpus(
        name,
        test,
        [torch.from_numpy(x).half() for x in states],
        torch.from_numpy(vectors),
        [torch.from_numpy(x).half() for x in asked_states],
        torch.from_numpy(asked_vectors),
        right,
        kinds,
        [number >= own for number in range(len(asked))],
    )


class Model(torch.nn.Module):
    """See mirim.models.meaning.log_odds, which computes the same from what `weights` gives."""

    def __init__(self, middle: torch.Tensor, options: argparse.Namespace) -> None:
        super().__init__()
        size, hidden = options.size, options.hidden
        self.middle = torch.nn.Parameter(middle, requires_grad=False)
        self.dropout, self.hidden_dropout = options.dropout, options.hidden_dropout
        self.asked = torch.nn.Linear(len(middle), size, bias=False)
        torch.nn.init.orthogonal_(self.asked.weight)
        self.said = torch.nn.Linear(len(middle), size, bias=False)
        self.said.weight.data.copy_(self.asked.weight.data)
        self.matters = torch.nn.Linear(len(middle), 1)
        torch.nn.init.zeros_(self.matters.weight)
        self.slope, self.point = torch.nn.Parameter(torch.tensor(6.0)), torch.nn.Parameter(torch.tensor(0.6))
        self.scale, self.bias = torch.nn.Parameter(torch.tensor(0.0)), torch.nn.Parameter(torch.tensor(1.0))
        self.near = torch.nn.Parameter(torch.tensor(50.0))
        self.sharp = torch.nn.Parameter(torch.tensor(12.0))
        self.compare, self.add = torch.nn.Linear(3 * size + 1, hidden), torch.nn.Linear(hidden, 1)
        torch.nn.init.zeros_(self.add.weight)
        torch.nn.init.zeros_(self.add.bias)

    def prepare(self, by: Corpus, parts: int = 4) -> None:
        """States of the passages less the middle, those of about one length together: padding costs most."""
        order = sorted(range(len(by.passages)), key=lambda i: len(by.passages[i]))
        for numbers in np.array_split(order, min(parts, len(order))):
            states, mask = padded([by.passages[i].float() - self.middle for i in numbers])
            by.buckets.append(Bucket(numbers.tolist(), states, mask))
        by.questions = [x.float() - self.middle for x in by.questions]

    def seen(self, by: Corpus) -> list[torch.Tensor]:
        """Of each bucket (P, T, D): tokens of its passages, each of length 1."""
        return [functional.normalize(self.said(bucket.states), dim=-1) for bucket in by.buckets]

    def ask(self, of: Corpus, at: Sequence[int]) -> Questions:
        states, mask = padded([of.questions[i] for i in at])
        x = functional.dropout(states, self.dropout, self.training)
        weight = functional.softplus(self.matters(x)[..., 0]) * mask
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-6) * self.scale.exp()
        return Questions(functional.normalize(self.asked(x), dim=-1), weight, of.question_vectors[list(at)])

    def forward(self, asked: Questions, by: Corpus, seen: list[torch.Tensor]) -> torch.Tensor:
        """(Q, P) log-odds of questions and the passages of `by`, whose tokens are `seen`."""
        q, found = asked.tokens, []
        for bucket, p in zip(by.buckets, seen, strict=True):
            alike = (q.flatten(0, 1) @ p.flatten(0, 1).T).view(*q.shape[:2], *p.shape[:2]) + (bucket.mask - 1) * 3
            best = alike.amax(-1)  # (Q, T, P)
            met = torch.einsum("qipj,pjd->qipd", torch.softmax(self.sharp * alike, -1), p)
            own = q[:, :, None].expand_as(met)
            # A product of two numbers of unit vectors is small beside each.
            hidden = torch.relu(self.compare(torch.cat([own * met * 8, own, met, best[..., None]], -1)))
            if self.training:
                # What is left out of a question's token is so beside every passage: drawing it costs more than it all.
                kept = torch.rand(*q.shape[:2], 1, hidden.shape[-1]) >= self.hidden_dropout
                hidden = hidden * (kept / (1 - self.hidden_dropout))
            hit = functional.logsigmoid(self.slope * (best - self.point)) + self.add(hidden)[..., 0]
            found.append(torch.einsum("qip,qi->qp", hit, asked.weights))
        places = np.argsort([n for bucket in by.buckets for n in bucket.numbers])
        cosine = asked.vectors @ by.passage_vectors.T
        return torch.cat(found, 1)[:, places] + self.bias + self.near * (cosine - meaning.MIDDLE)

    def weights(self) -> dict[str, np.ndarray]:
        """As mirim.models.meaning reads them."""
        held = {name: x.detach().numpy() for name, x in self.named_parameters()}
        compare = held["compare.weight"].copy()
        compare[:, : self.asked.out_features] *= 8
        return {
            "middle": held["middle"].astype(np.float16),
            "asked": held["asked.weight"].astype(np.float16),
            "said": held["said.weight"].astype(np.float16),
            "matters": np.r_[held["matters.weight"][0], held["matters.bias"]].astype(np.float32),
            "compare": np.c_[compare, held["compare.bias"]].astype(np.float32),
            "add": np.r_[held["add.weight"][0], held["add.bias"]].astype(np.float32),
            "numbers": np.array([held[name].item() for name in NUMBERS], np.float32),
        }


def evaluate(model: Model, corpora: Sequence[Corpus], across: bool = False) -> str:
    """AUC of the best passage's log-odds, answered against each kind, and how often the first passage is right; of
    questions in the passages' language, or `across` the two."""
    score: dict[str, list[float]] = {k: [] for k in ("answered", *KINDS)}
    first, nearest = [], []
    model.eval()
    with torch.no_grad():
        for c in corpora:
            seen = model.seen(c)
            parts = [range(len(c.kinds))[i : i + 16] for i in range(0, len(c.kinds), 16)]
            z = torch.cat([model(model.ask(c, part), c, seen) for part in parts])
            near = c.question_vectors @ c.passage_vectors.T
            for i, kind in enumerate(c.kinds):
                if kind == "lost" or c.across[i] != across:
                    continue
                score[kind].append(float(z[i].max()))
                if kind == "answered":
                    first.append(int(z[i].argmax()) in c.right[i])
                    nearest.append(int(near[i].argmax()) in c.right[i])
                    away = z[i].clone()
                    away[c.right[i]] = -99.0
                    score["gone"].append(float(away.max()))
    said = [f"first passage right {np.mean(first):.3f} (by cosine {np.mean(nearest):.3f}, n={len(first)})"]
    for kind in KINDS:
        if score[kind]:
            right = [1] * len(score["answered"]) + [0] * len(score[kind])
            said.append(f"AUC {kind} {roc_auc_score(right, score['answered'] + score[kind]):.3f}")
    return ", ".join(said)


def by_question_alone(corpora: Sequence[Corpus]) -> str:
    """AUC of telling what is answered from a question's vector alone: what the wording gives away."""
    x = torch.cat([c.question_vectors for c in corpora]).numpy()
    kinds = np.array([k for c in corpora for k in c.kinds])
    test = np.array([c.test for c in corpora for _ in c.kinds])
    x = (x - x.mean(0)) / x.std(0)
    # Hardly any of those in the other language asks in vain.
    known = (kinds != "lost") & ~np.array([a for c in corpora for a in c.across])
    right = kinds == "answered"
    fit = LogisticRegression(C=1e-3, max_iter=500).fit(x[known & ~test], right[known & ~test])
    return f"{roc_auc_score(right[known & test], fit.decision_function(x[known & test])):.3f}"


def train(model: Model, corpora: Sequence[Corpus], options: argparse.Namespace) -> None:
    rate, rng = options.learning_rate, random.Random(options.seed)
    learned = [p for p in model.parameters() if p.requires_grad]
    weights, few = [p for p in learned if p.dim()], [p for p in learned if not p.dim()]
    optimiser = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": few, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98)
    )
    batches = [
        (c, part)
        for _ in range(options.epochs)
        for c in rng.sample(list(corpora), len(corpora))
        for part in chunks([i for i, k in enumerate(c.kinds) if k == "answered"], 16, rng)
    ]
    kept = [c for c in corpora if any(k != "answered" for k in c.kinds)]
    none = torch.zeros(1)
    model.train()
    for step, (c, part) in enumerate(batches):
        at = rate * min(1, (step + 1) / 40) * (1 - step / len(batches))
        optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = at, at * 20
        seen = model.seen(c)
        z = model(model.ask(c, part), c, seen)
        loss = torch.zeros(())
        for row, i in zip(z, part, strict=True):
            holding = set(c.right[i])
            away = [j for j in range(len(row)) if j not in holding]
            counts = options.heavy if c.across[i] else 1.0
            loss = loss + counts * (torch.logsumexp(torch.cat([row, none]), 0) - torch.logsumexp(row[c.right[i]], 0))
            loss = loss + counts * options.gone * torch.logsumexp(torch.cat([row[away], none]), 0)
        loss = loss / len(part)
        other = rng.choice([o for o in kept if o is not c])
        foreign = rng.sample([i for i, k in enumerate(other.kinds) if k == "answered"], 5)
        z = model(model.ask(other, foreign), c, seen)
        loss = loss + options.foreign * torch.logaddexp(z.logsumexp(1), none).mean()
        empty = [i for i, k in enumerate(c.kinds) if k in ("near", "topic", "outside")]
        if empty and options.empty:
            some_of = rng.sample(empty, min(12, len(empty)))
            z = model(model.ask(c, some_of), c, seen)
            loss = loss + options.empty * torch.logaddexp(z.logsumexp(1), none).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if step % 200 == 0:
            print(f"{step} of {len(batches)} steps", flush=True)


def chunks(rows: list[int], size: int, rng: random.Random) -> list[list[int]]:
    rng.shuffle(rows)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def gathered(options: argparse.Namespace) -> list[Corpus]:
    found = []
    put = translated(options.across)
    more = asked(options.asked)
    for number, o in enumerate(organisations(options.organisations)):
        taken = options.heavy or kept_out(number)
        other = [(text, o.questions[i]) for i, text in put.get(o.slug, []) if taken]
        rows = [(q.question, q.kind, q.document, q.spans) for q in o.questions]
        texts = {d.id: d.text for d in o.documents}
        for text, document, sentence in more.get(o.slug, ()):
            start = texts[document].index(sentence)
            rows.append((text, "answered", document, [(start, start + len(sentence))]))
        own = len(rows)
        rows += [(text, q.kind, q.document, q.spans) for text, q in other]
        found.append(corpus(o.slug, kept_out(number), o.documents, rows, own))
    rng = random.Random(1)
    if options.shared:
        instruct = options.shared / "instruct"
        names = ("qed", "pira", "covidqa", "fairytale_train")
        sets = {n: reading(instruct / f"{n}.jsonl.zst", rng, 4000) for n in names}
        sets["medquad"] = medquad(options.shared / "data" / "medquad" / "train.jsonl.xz", rng, 4000)
        for name, (documents, asks) in sets.items():
            documents, asks = some(documents, asks, options.passages)
            rows = [(a.question, "answered", a.document, a.spans) for a in asks[: options.questions]]
            found.append(corpus(name, False, documents, rows, len(rows)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="public sets beside the organisations")
    parser.add_argument("--organisations", type=Path, default=Path("recipes/organisations"))
    parser.add_argument("--across", type=Path, default=Path("recipes/organisations/across.jsonl"))
    parser.add_argument("--asked", type=Path, default=Path("recipes/organisations/asked.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("mirim/models/meaning.npz"))
    parser.add_argument("--size", type=int, default=64, help="numbers for each token")
    parser.add_argument("--hidden", type=int, default=64, help="numbers that compare a token with what it finds")
    parser.add_argument("--hidden-dropout", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--gone", type=float, default=0.7)
    parser.add_argument("--foreign", type=float, default=0.3)
    parser.add_argument("--empty", type=float, default=0.7)
    parser.add_argument("--heavy", type=float, default=1.0, help="what a question in the other language weighs")
    parser.add_argument("--passages", type=int, default=300)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="where states are kept for another run")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.cache and options.cache.is_file():
        corpora = torch.load(options.cache, weights_only=False)
    else:
        corpora = gathered(options)
        if options.cache:
            torch.save(corpora, options.cache)
    print(f"{len(corpora)} corpora, {sum(len(c.passages) for c in corpora):,} passages", flush=True)
    print("AUC by the question alone:", by_question_alone([c for c in corpora if "near" in c.kinds]))
    fitted = [c for c in corpora if not c.test]
    middle = torch.cat([torch.cat(c.passages)[:2000].float() for c in fitted]).mean(0)
    model = Model(middle, options)
    for c in corpora:
        model.prepare(c)
    train(model, fitted, options)
    print("kept out:", evaluate(model, [c for c in corpora if c.test]))
    print("kept out, in the other language:", evaluate(model, [c for c in corpora if c.test], across=True))
    print("fitted:", evaluate(model, [c for c in fitted if "near" in c.kinds]))
    held = model.weights()
    np.savez_compressed(options.out, **held)
    print(dict(zip(NUMBERS, held["numbers"].round(3).tolist(), strict=True)))


if __name__ == "__main__":
    main()
