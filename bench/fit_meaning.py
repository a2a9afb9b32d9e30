"""Fit the weights of mirim/models/meaning.py: which tokens of a question a passage must answer to, and how far it does.

    python bench/fit_meaning.py --shared ../shared --out mirim/models/meaning.npz

Data: the fictional organisations of recipes/organisations, whose customers ask in their own words, all but every sixth,
and reading sets with people's questions (as in bench/fit_ranker.py). The encoder stays as it is; a projection of its
tokens' states to a few numbers is learned (ColBERT, Khattab and Zaharia 2020), and how much each token of a question
matters. Each question is asked of all passages of its organisation: once as it is, where the passage with the answer
should win, and once with that passage taken away, where nothing should, so that nothing is learned from what a question
sounds like; questions of other organisations and those that nothing answers should find nothing either.
Reported on the organisations kept out, and on what they are asked in the other language than their documents'
(bench/organisations_across.jsonl). With `--heavy 1` such questions of the others are fitted on, too; mirim's weights
were not: it lifts a passage in the other language to where others lie, and tells what answers there little better.
With `--asked` 3,579 more questions of the organisations that are fitted on are read; mirim's weights were fitted before
these were written.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from fit_ranker import described, medquad, reading, some
from organisations import asked, kept_out, organisations, translated
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mirim.core.types import Document, Passage
from mirim.documents.indexing import Writer
from mirim.documents.indexing import rows as index_rows
from mirim.documents.passages import MOST
from mirim.documents.search import Index
from mirim.models import meaning

KINDS = ("gone", "near", "topic", "outside")


@dataclass
class Corpus:
    """Passages and questions as the model meets them. Tokens are padded; `*_mask` says which are there."""

    name: str
    test: bool
    passages: torch.Tensor  # (P, T, states)
    passage_mask: torch.Tensor  # (P, T)
    passage_vectors: torch.Tensor  # (P, H)
    questions: torch.Tensor  # (Q, T, states)
    question_mask: torch.Tensor
    question_vectors: torch.Tensor
    right: list[list[int]]  # of each question, passages that hold the answer
    kinds: list[str]
    across: list[bool]  # whether a question is in another language than the passages


def padded(rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    out = torch.zeros(len(rows), max(len(r) for r in rows), rows[0].shape[1], dtype=torch.float16)
    mask = torch.zeros(out.shape[:2])
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(row).half()
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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"
        writer = Writer(path, "fit")
        writer.begin()
        writer.put((described(d), index_rows(d, MOST)) for d in documents)
        writer.finish(tidy=True)
        writer.close()
        with Index.open(path) as index:
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
        *padded(states),
        torch.from_numpy(vectors),
        *padded(asked_states),
        torch.from_numpy(asked_vectors),
        right,
        kinds,
        [number >= own for number in range(len(asked))],
    )


class Model(torch.nn.Module):
    def __init__(self, middle: torch.Tensor, size: int) -> None:
        super().__init__()
        self.middle = torch.nn.Parameter(middle, requires_grad=False)
        self.asked = torch.nn.Linear(len(middle), size, bias=False)
        torch.nn.init.orthogonal_(self.asked.weight)
        self.said = torch.nn.Linear(len(middle), size, bias=False)
        self.said.weight.data.copy_(self.asked.weight.data)
        self.matters = torch.nn.Linear(len(middle), 1)
        torch.nn.init.zeros_(self.matters.weight)
        self.slope, self.point = torch.nn.Parameter(torch.tensor(6.0)), torch.nn.Parameter(torch.tensor(0.6))
        self.scale, self.bias = torch.nn.Parameter(torch.tensor(0.0)), torch.nn.Parameter(torch.tensor(1.0))
        self.near = torch.nn.Parameter(torch.tensor(50.0))

    def seen(self, by: Corpus) -> torch.Tensor:
        """(P, T, size) tokens of the passages of `by`, each of length 1; T what the longest has."""
        return functional.normalize(self.said(by.passages.float() - self.middle), dim=-1)

    def forward(self, of: Corpus, at: Sequence[int], by: Corpus, seen: torch.Tensor, drop: float = 0.0) -> torch.Tensor:
        """(len(at), P) log-odds, of questions of `of` and passages of `by`, whose tokens `seen` has."""
        x = functional.dropout(of.questions[at].float() - self.middle, drop, self.training)
        mask = of.question_mask[at]
        q = functional.normalize(self.asked(x), dim=-1)
        best = torch.einsum("qid,pjd->qpij", q, seen).masked_fill(by.passage_mask[None, :, None] == 0, -1).amax(-1)
        weight = functional.softplus(self.matters(x)[..., 0]) * mask
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-6) * self.scale.exp()
        hit = functional.logsigmoid(self.slope * (best - self.point))
        cosine = of.question_vectors[at] @ by.passage_vectors.T
        return (hit * weight[:, None]).sum(-1) + self.bias + self.near * (cosine - meaning.MIDDLE)


def evaluate(model: Model, corpora: Sequence[Corpus], across: bool = False) -> str:
    """AUC of the best passage's log-odds, answered against each kind, and how often the first passage is right; of
    questions in the passages' language, or `across` the two."""
    score: dict[str, list[float]] = {k: [] for k in ("answered", *KINDS)}
    first, nearest = [], []
    model.eval()
    with torch.no_grad():
        for c in corpora:
            z = model(c, range(len(c.kinds)), c, model.seen(c))
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
    weights = [model.asked.weight, model.said.weight, model.matters.weight]
    few = [p for p in model.parameters() if p.requires_grad and all(p is not w for w in weights)]
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
        z = model(c, part, c, seen, options.dropout)
        loss = torch.zeros(())
        for row, i in zip(z, part, strict=True):
            away = [j for j in range(len(row)) if j not in set(c.right[i])]
            counts = options.heavy if c.across[i] else 1.0
            loss = loss + counts * (torch.logsumexp(torch.cat([row, none]), 0) - torch.logsumexp(row[c.right[i]], 0))
            loss = loss + counts * options.gone * torch.logsumexp(torch.cat([row[away], none]), 0)
        loss = loss / len(part)
        other = rng.choice([o for o in kept if o is not c])
        foreign = rng.sample([i for i, k in enumerate(other.kinds) if k == "answered"], 5)
        z = model(other, foreign, c, seen, options.dropout)
        loss = loss + options.foreign * torch.logaddexp(z.logsumexp(1), none).mean()
        empty = [i for i, k in enumerate(c.kinds) if k in ("near", "topic", "outside")]
        if empty and options.empty:
            some_of = rng.sample(empty, min(12, len(empty)))
            z = model(c, some_of, c, seen, options.dropout)
            loss = loss + options.empty * torch.logaddexp(z.logsumexp(1), none).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()


def chunks(rows: list[int], size: int, rng: random.Random) -> list[list[int]]:
    rng.shuffle(rows)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def gathered(options: argparse.Namespace) -> list[Corpus]:
    found = []
    put = translated(options.across)
    more = asked(options.asked) if options.asked else {}
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
    parser.add_argument("--across", type=Path, default=Path("bench/organisations_across.jsonl"))
    parser.add_argument("--asked", type=Path, help="more questions: recipes/organisations/asked.jsonl")
    parser.add_argument("--out", type=Path, default=Path("mirim/models/meaning.npz"))
    parser.add_argument("--size", type=int, default=64, help="numbers for each token")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.4)
    parser.add_argument("--gone", type=float, default=0.7)
    parser.add_argument("--foreign", type=float, default=0.3)
    parser.add_argument("--empty", type=float, default=0.7)
    parser.add_argument("--heavy", type=float, default=0.0, help="what a question in the other language weighs")
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
    middle = torch.cat([c.passages[c.passage_mask > 0][:2000].float() for c in fitted]).mean(0)
    model = Model(middle, options.size)
    train(model, fitted, options)
    print("kept out:", evaluate(model, [c for c in corpora if c.test]))
    print("kept out, in the other language:", evaluate(model, [c for c in corpora if c.test], across=True))
    print("fitted:", evaluate(model, [c for c in fitted if "near" in c.kinds]))
    numbers = ("slope", "point", "scale", "bias", "near")
    np.savez(
        options.out,
        middle=model.middle.numpy().astype(np.float16),
        asked=model.asked.weight.detach().numpy().astype(np.float16),
        said=model.said.weight.detach().numpy().astype(np.float16),
        matters=np.r_[model.matters.weight.detach().numpy()[0], model.matters.bias.detach().numpy()].astype(np.float32),
        numbers=np.array([float(getattr(model, n)) for n in numbers], np.float32),
    )
    print(dict(zip(numbers, (round(float(getattr(model, n)), 3) for n in numbers), strict=True)))


if __name__ == "__main__":
    main()
