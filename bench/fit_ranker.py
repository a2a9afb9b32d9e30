"""Fit the default weights of the ranker and of trust on questions that people wrote.

    python bench/fit_ranker.py --shared ../shared --kind words
    python bench/fit_ranker.py --shared ../shared --kind meaning --limit 250 --passages 400 --cache DIR
    python bench/fit_ranker.py --shared ../shared --kind read --cache DIR

Weights for words alone are fitted on all of a set's documents, those beside what passages mean on as many as make about
`--passages` passages, on questions that bench/fit_meaning.py did not see, and on the organisations that it kept out,
whose customers ask in their own words: these weigh five times as much as a set. What reading adds (`--kind read`, after
`--kind meaning`) is fitted on these organisations alone, for bench/fit_reader.py saw the sets' questions.

Data: reading sets with human questions and their source texts (QED, Pirá in both languages, FairytaleQA train, COVID-
QA) and MedQuAD's training questions. Each set becomes an index of its own; a question is asked of the whole index,
not of its own text alone. The ranker learns which sentence holds the answer among those found: the softmax over a
question's sentences is fitted (ListNet's top-one probability, Cao et al. 2007), because only the order inside a
question counts; a logistic regression over all sentences, tried first, spends its weights on telling questions apart.
Trust learns whether the quoted sentences hold the answer, from each question asked twice: as it is, and with the
passages that hold its answer taken out, where any answer would be wrong; and from questions that this index cannot
answer: the other sets', and what people ask of a house assistant (HWU64) and of a bank (banking77, train). Every
second question is told as people tell theirs, with a sentence about something else before it (first turns of SGD
dialogues, in Portuguese Tatoeba sentences). Weights that would reward what can only harm (a missing word) are held at
zero, so that chance in these sets is not learned.
Reported on a fifth of the questions kept out of the fit, set by set.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import lzma
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from organisations import indexed, kept_out, organisations
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from mirim.assist import answer, nearness
from mirim.assist.answer import Assistant
from mirim.assist.policies.quote import choose
from mirim.assist.rank import RANK_NAMES, TRUST_NAMES, Ranked, trust_features
from mirim.core.files import read_json, write_json
from mirim.core.types import Document, Passage
from mirim.documents.words import detect

#: Characters of a passage, about.
LENGTH = 600
#: The set whose questions are those of customers, and what it weighs beside any other.
LAY, WEIGHT = "organisations", 5
#: Share of what would be answered wrongly that is refused, with what passages mean.
REFUSED = 0.89
#: Questions of each set that bench/fit_meaning.py was fitted on.
SEEN = 200


@dataclass
class Ask:
    """A question; without spans nothing answers it."""

    question: str
    document: str
    spans: list[tuple[int, int]]


def rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".xz":
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            yield from map(json.loads, stream)
        return
    import zstandard

    with path.open("rb") as raw:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), "utf-8"):
            yield json.loads(line)


def locate(text: str, answers: list[str], support: str = "") -> list[tuple[int, int]]:
    """Where an answer stands: word for word, else the sentence most of its words are in."""
    spans = []
    for needle in [*answers, support]:
        needle = needle.strip()
        if len(needle) > 1:
            spans += [(m.start(), m.end()) for m in re.finditer(re.escape(needle), text)]
    if spans and len(spans) <= 4:
        return spans
    return []


def reading(path: Path, rng: random.Random, limit: int) -> tuple[list[Document], list[Ask]]:
    documents: dict[str, Document] = {}
    asks = []
    for row in rows(path):
        if row["task"] != "read" or row.get("unanswerable") or row.get("made"):
            continue
        text = row["context"].replace("\r", "")
        title = row.get("title") or ""
        key = hashlib.sha256(f"{title}\n{text[:200]}".encode()).hexdigest()[:12]
        if len(text) > 60_000:
            continue
        body = f"# {title}\n\n{text}" if title else text
        language = row["lang"]
        documents.setdefault(key, Document(key, key, "text/markdown", title or text[:60], body, language=language))
        spans = locate(documents[key].text, [row["output"], *row.get("answers", [])], row.get("support") or "")
        if spans:
            asks.append(Ask(row["input"], key, spans))
    rng.shuffle(asks)
    return list(documents.values()), asks[:limit]


def medquad(path: Path, rng: random.Random, limit: int) -> tuple[list[Document], list[Ask]]:
    pages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(path):
        pages[row["doc"]].append(row)
    documents, asks = [], []
    for key, items in pages.items():
        name = key.replace("/", "--")
        text = f"# {items[0]['focus']}\n"
        for row in items:
            text += f"\n## {row['qtype'].capitalize()}\n\n"
            start = len(text)
            text += re.sub(r"\s*\n\s*", "\n\n", row["answer"].strip()) + "\n"
            asks.append(Ask(row["question"], name, [(start, min(len(text), start + 600))]))
        documents.append(Document(name, name, "text/markdown", items[0]["focus"], text, language="en"))
    rng.shuffle(asks)
    return documents, asks[:limit]


def some(documents: list[Document], asks: list[Ask], passages: int) -> tuple[list[Document], list[Ask]]:
    """The documents that are asked about, as many as make about so many passages, and the questions about these."""
    texts = {d.id: d for d in documents}
    kept: dict[str, Document] = {}
    length = 0
    for ask in asks:
        if ask.document not in kept and length < passages * LENGTH:
            kept[ask.document] = texts[ask.document]
            length += len(texts[ask.document].text)
    return list(kept.values()), [a for a in asks if a.document in kept]


def stories(shared: Path) -> dict[str, list[str]]:
    """language → sentences that people say, none of them a question."""
    said = {
        "en": (r["text"].partition("\n")[0].removeprefix("User: ") for r in rows(shared / "corpus" / "sgd.jsonl.zst")),
        "pt": (r["output"] for r in rows(shared / "instruct" / "tatoeba_1k.jsonl.zst")),
    }
    return {k: sorted({t for t in v if t.endswith(".") and 4 <= len(t.split()) <= 16}) for k, v in said.items()}


def foreign(shared: Path) -> list[str]:
    """Questions and commands that no reading set answers."""
    with (shared / "data" / "banking77" / "train.csv").open(encoding="utf-8", newline="") as stream:
        bank = [row["text"] for row in csv.DictReader(stream)]
    return bank[::10] + [row["input"] for row in rows(shared / "instruct" / "hwu64.jsonl.zst")][::10]


#: Features whose weight may only be positive, or only negative; the others are free.
SIGNS = {
    **dict.fromkeys(("sentence", "lead", "passage", "soft_sentence", "soft_lead", "soft_passage", "pairs", "type"), 1),
    **dict.fromkeys(("kin_sentence", "kin_lead", "kin_passage"), 1),
    **dict.fromkeys(
        (
            "search",
            "rank",
            "ranker",
            "margin",
            "search_score",
            "near",
            "nearest",
            "match",
            "best_match",
            "read",
            "best_read",
        ),
        1,
    ),
    **dict.fromkeys(("missing", "unknown", "short"), -1),
}


def bounded(names: tuple[str, ...]) -> list[tuple[float | None, float | None]]:
    """The sign bounds of these features."""
    return [(0, None) if SIGNS.get(n) == 1 else (None, 0) if SIGNS.get(n) == -1 else (None, None) for n in names]


def logistic(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: tuple[str, ...], ridge: float = 1.0
) -> np.ndarray:
    """Weights and bias (last) of a logistic regression under the sign bounds."""
    data = np.hstack([x, np.ones((len(x), 1))])
    pull = np.array([ridge] * len(names) + [0.0])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = data @ w
        value = np.sum(weight * (np.logaddexp(0, z) - y * z)) + 0.5 * np.sum(pull * w * w)
        return float(value), data.T @ (weight * (1 / (1 + np.exp(-z)) - y)) + pull * w

    bounds = [*bounded(names), (None, None)]
    return minimize(loss, np.zeros(data.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x


def listwise(
    x: np.ndarray, y: np.ndarray, sizes: np.ndarray, weight: np.ndarray, names: tuple[str, ...], ridge: float = 1.0
) -> np.ndarray:
    """Weights that give the right ones the most of a softmax over each question's sentences, under the sign bounds.

    x (sentences, features), y (sentences,) 0 or 1; sizes (questions,) how many sentences each question has, in
    order, at least one of them right; weight (questions,).
    """
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    of = np.repeat(np.arange(len(sizes)), sizes)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        e = np.exp(z - np.maximum.reduceat(z, starts)[of])
        total, good = np.add.reduceat(e, starts), np.add.reduceat(e * y, starts) + 1e-12
        value = np.sum(weight * (np.log(total) - np.log(good))) + 0.5 * ridge * w @ w
        return float(value), x.T @ (weight[of] * (e / total[of] - e * y / good[of])) + ridge * w

    return minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=bounded(names)).x


def added(known: np.ndarray, x: np.ndarray, y: np.ndarray, sizes: np.ndarray) -> float:
    """The weight of one more feature x (sentences,) beside known scores, at least 0, by the same softmax."""
    tried = np.arange(0, 8, 0.05)
    ends = np.cumsum(sizes)[:-1]

    def loss(w: float) -> float:
        parts = zip(np.split(known + w * x, ends), np.split(y, ends), strict=True)
        return sum(float(np.logaddexp.reduce(z) - np.logaddexp.reduce(z[right > 0])) for z, right in parts)

    return float(min(tried, key=loss))


def refusing(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """The score below which REFUSED of what would be wrong lies: a wrong answer is worse than none."""
    order = np.argsort(scores)
    wrong = np.cumsum((weight * (1 - y))[order])
    return round(float(scores[order][int(np.searchsorted(wrong, REFUSED * wrong[-1]))]), 5)


def offset(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """The bias that makes scores log-odds."""

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = scores + b[0]
        return float(np.sum(weight * (np.logaddexp(0, z) - y * z))), np.array(
            [np.sum(weight * (1 / (1 + np.exp(-z)) - y))]
        )

    return float(minimize(loss, np.zeros(1), jac=True, method="L-BFGS-B").x[0])


def right(row: Ranked, ask: Ask) -> bool:
    c = row.candidate
    return c.passage.document == ask.document and any(c.start < end and start < c.end for start, end in ask.spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("mirim/assist/weights.json"))
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--kind", choices=("words", "meaning", "read"), default="words")
    parser.add_argument("--passages", type=int, default=700)
    parser.add_argument("--organisations", type=Path, default=Path("recipes/organisations"))
    parser.add_argument("--cache", type=Path, help="where vectors are kept for another run")
    options = parser.parse_args()
    rng = random.Random(1)
    most = options.limit if options.kind == "words" else 100_000
    sets = {
        name: reading(options.shared / "instruct" / f"{name}.jsonl.zst", rng, most)
        for name in ("qed", "pira", "covidqa", "fairytale_train")
    }
    sets["medquad"] = medquad(options.shared / "data" / "medquad" / "train.jsonl.xz", rng, most)
    if options.kind == "meaning":
        sets = {name: some(*found, options.passages) for name, found in sets.items()}
        sets = {name: (documents, asks[SEEN : SEEN + options.limit]) for name, (documents, asks) in sets.items()}
    elsewhere: list[str] = []
    if options.kind == "read":
        elsewhere = [ask.question for _, asks in sets.values() for ask in asks]
        sets = {}
    kind = "words" if options.kind == "words" else "meaning"
    corpora = [(name, name, documents, asks) for name, (documents, asks) in sets.items()]
    if kind == "meaning":
        for number, one in enumerate(organisations(options.organisations)):
            if kept_out(number):
                asks = [Ask(q.question, q.document, q.spans) for q in one.questions]
                rng.shuffle(asks)
                corpora.append((LAY, one.slug, one.documents, asks))
    told = stories(options.shared)
    strange = foreign(options.shared)

    def tell(question: str, number: int) -> str:
        story = told["pt" if detect(question) == "pt" else "en"]
        return f"{rng.choice(story)} {question}" if number % 2 else question

    rank_x: list[list[float]] = []
    rank_y: list[int] = []
    rank_size: list[int] = []
    rank_set: list[tuple[str, bool]] = []
    trials: list[tuple[str, bool, list[Ranked], Ask | None]] = []
    # What reading says is fitted afterwards.
    reads = (
        nullcontext()
        if options.kind == "read"
        else patch.object(answer, "read", lambda question, language, found: found)
    )
    with tempfile.TemporaryDirectory() as folder, reads:
        for name, slug, documents, asks in corpora:
            assistant = Assistant(indexed(Path(folder) / f"{slug}.db", documents), None, "none")
            if kind == "meaning":
                vectors = (options.cache or Path(folder)) / f"{slug}.npz"
                nearness.update(vectors, assistant.index)
                assistant.nearness = nearness.Nearness.open(vectors, assistant.index)
            for number, ask in enumerate(asks):
                test = number % 5 == 0
                # Customers tell their stories themselves.
                question = ask.question if name == LAY else tell(ask.question, number)
                language = assistant.language_of(question)
                found = assistant.order(question, language, assistant.find(question))
                if not ask.spans:
                    trials.append((name, test, found, None))
                    continue
                answers = [int(right(row, ask)) for row in found]
                # Where nothing found is right, there is no order to learn.
                if any(answers):
                    rank_x += [list(row.features) for row in found]
                    rank_y += answers
                    rank_size.append(len(found))
                    rank_set.append((name, test))
                trials.append((name, test, found, ask))

                def holds(p: Passage, ask: Ask = ask) -> bool:
                    return p.document == ask.document and any(p.start < e and s < p.end for s, e in ask.spans)

                gone = assistant.find(question, holds)
                trials.append((name, test, assistant.order(question, language, gone), None))
            others = elsewhere + [a.question for other, _, _, more in corpora if other != name for a in more]
            outside = rng.sample(others, len(asks) // 4) + rng.sample(strange, len(asks) // 4)
            for number, plain in enumerate(outside):
                question = tell(plain, number)
                found = assistant.order(question, assistant.language_of(question), assistant.find(question))
                trials.append((name, number % 5 == 0, found, None))
            assistant.close()
            print(f"{slug}: {len(documents)} documents, {len(asks)} questions", flush=True)
    names_of = sorted({name for name, *_ in corpora})

    x, y = np.array(rank_x), np.array(rank_y, dtype=float)
    sizes = np.array(rank_size)
    fit = np.array([not test for _, test in rank_set])
    inside = np.repeat(fit, sizes)
    # Sets weigh alike, however many questions each brings, but for the customers'.
    heavy = {name: WEIGHT if name == LAY else 1 for name in names_of}
    names = np.array([name for name, _ in rank_set])
    share = {name: heavy[name] / max(1, int((names[fit] == name).sum())) for name in names_of}
    weight = np.array([share[n] for n in names[fit]]) * fit.sum() / sum(heavy.values())
    rank_names, trust_names = RANK_NAMES[kind], TRUST_NAMES[kind]
    if options.kind == "read":
        known = read_json(options.out)[kind]["ranker"]
        model, bias = np.array([known[n] for n in rank_names]), known["bias"]
        model[-1] = added(x[inside][:, :-1] @ model[:-1], x[inside][:, -1], y[inside], sizes[fit])
    else:
        x[:, -1] *= kind == "words"
        model = listwise(x[inside], y[inside], sizes[fit], weight, rank_names)
        bias = offset(x[inside] @ model, y[inside], np.repeat(weight / sizes[fit], sizes[fit]))
    ranker = {n: round(float(w), 5) for n, w in zip((*rank_names, "bias"), (*model, bias), strict=True)}

    features, labels, where = [], [], []
    first: dict[str, list[int]] = defaultdict(list)
    quoted: dict[str, list[int]] = defaultdict(list)
    for name, test, found, ask in trials:
        scored = [Ranked(r.candidate, r.features, float(np.dot(model, r.features) + bias)) for r in found]
        scored.sort(key=lambda r: -r.score)
        hit = bool(scored) and ask is not None and any(right(r, ask) for r in choose(scored))
        if ask is not None and test:
            first[name].append(int(bool(scored) and right(scored[0], ask)))
            quoted[name].append(int(hit))
        if scored:
            features.append(trust_features(scored))
            labels.append(int(hit))
            where.append((name, test))
    f, t = np.array(features), np.array(labels)
    fit = np.array([not test for _, test in where])
    counts = {name: max(1, sum(1 for n, test in where if n == name and not test)) for name in names_of}
    balance = np.array([heavy[n] / counts[n] for n, _ in where]) * fit.sum() / sum(heavy.values())
    trust = logistic(f[fit], t[fit], balance[fit], trust_names)
    fitted = {
        "ranker": ranker,
        "threshold": refusing(f[fit] @ trust[:-1] + trust[-1], t[fit], balance[fit]),
        "trust": {n: round(float(w), 5) for n, w in zip((*trust_names, "bias"), trust, strict=True)},
    }
    write_json(options.out, (read_json(options.out) if options.out.is_file() else {}) | {kind: fitted})
    print("\n| set | questions | first sentence right | quoted | AUC of trust |\n| --- | --- | --- | --- | --- |")
    score = f @ trust[:-1] + trust[-1]
    for name in names_of:
        pick = np.array([n == name and test for n, test in where])
        auc = roc_auc_score(t[pick], score[pick]) if 0 < t[pick].sum() < pick.sum() else float("nan")
        print(f"| {name} | {len(first[name])} | {np.mean(first[name]):.3f} | {np.mean(quoted[name]):.3f} | {auc:.3f} |")
    print(json.dumps(fitted, indent=1))


if __name__ == "__main__":
    main()
