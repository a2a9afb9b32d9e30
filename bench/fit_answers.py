"""Fit the weights by which one of a small model's drawn answers is given (`mirim/models/answers.py`).

    python bench/fit_answers.py --drawn FILE [--learned FILE] [--limit N] [--out mirim/models/answers.json]

A question of each passage in the files below, which the base has hardly learned from: on answers that it was
trained on it would agree more than on others. It is one that pointing has not learned from: of those that are kept
apart, or, where it learned by other rules, none of the [question, answer] in the JSON list --learned. (The adapter that
is shipped did: its weights cannot be fitted again without such a list.) Each question's answers are drawn as `read`
draws them (kept in FILE, a question a line, so that a run which was interrupted goes on).
The weights are those with which the F1 of an answer, taken with the probability that the softmax of the scores gives
it, is highest on average, less a little for the size of the weights; some for what is pointed at beside the answers,
and some without. A fifth of the passages is kept out of the fit and reported on; then all are fitted.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from mirim.core.files import read_jsonl, write_json
from mirim.core.progress import track
from mirim.core.types import Passage
from mirim.evals.interval import bootstrap
from mirim.evals.metrics import token_f1
from mirim.models.answers import NAMES, POINTED, expected, features
from mirim.models.engine import open_engine
from mirim.models.read import consider
from mirim.training.pointing import apart

READING = Path(__file__).parent.parent / "recipes" / "reading"
FILES = ("pt-facts-8", "pt-facts-9", "pt-facts-10", "en-facts-3", "en-facts-4")
#: Questions of a passage; what the square of a weight costs, for features of variance 1.
EACH, COST = 1, 0.003
#: One passage in so many is kept out of the first fit.
APART = 5


def asked(learned: set[tuple[str, str]] | None) -> Iterator[dict[str, Any]]:
    rng = random.Random(0)
    for name in FILES:
        for number, row in enumerate(read_jsonl(READING / f"{name}.jsonl")):
            answered = [
                (question, answer)
                for question, answer in row["asked"]
                if answer and (apart(question) if learned is None else (question, answer) not in learned)
            ]
            for question, answer in rng.sample(answered, min(EACH, len(answered))):
                id = f"{name}-{number}"
                yield {k: row[k] for k in ("lang", "title", "context")} | {
                    "id": id,
                    "question": question,
                    "answer": answer,
                }


def draw(model: str, path: Path, learned: set[tuple[str, str]] | None, limit: int) -> list[dict[str, Any]]:
    """Each question with what may be answered, {answer: its worth}, and what is pointed at, {span: its share}."""
    wanted = list(asked(learned))
    random.Random(1).shuffle(wanted)
    del wanted[limit or len(wanted) :]
    held = list(read_jsonl(path)) if path.exists() else []
    if [(r["id"], r["question"]) for r in held] != [(r["id"], r["question"]) for r in wanted[: len(held)]]:
        raise SystemExit(f"{path} was drawn for other questions; name a file that does not exist")
    engine = open_engine(model)
    with path.open("a", encoding="utf-8") as out:
        for row in track(wanted[len(held) :], "drawing"):
            text = row["context"]
            passage = Passage("", "", 0, len(text), row["title"], text, None, row["lang"])
            found = consider(engine, row["question"], [passage], row["lang"], answered=True)
            given = {a: sum(w.values()) for a, w in found.given.items()} if found else {}
            held.append(row | {"given": given, "spans": dict(found.spans) if found else {}})
            out.write(json.dumps(held[-1], ensure_ascii=False) + "\n")
            out.flush()
    return held


class Told:
    """A question's answers: their features (A, F), and how right each is, its F1 (A,)."""

    def __init__(self, row: dict[str, Any], pointed: bool) -> None:
        # Those that begin with what is pointed at are worth nothing by themselves.
        self.row, self.answers = row, {text: worth for text, worth in row["given"].items() if worth or pointed}
        spans = row["spans"] if pointed else {}
        self.x = np.array(features(row["question"], [row["context"]], self.answers, row["lang"], spans))
        self.right = np.array([token_f1(text, [row["answer"]], row["lang"]) for text in self.answers])
        self.apart = int(row["id"].rpartition("-")[2]) % APART == 0

    def given(self, weights: Any) -> float:
        """F1 of the answer that is given with these weights."""
        worth = expected(list(self.answers), (self.x @ weights).tolist())
        return float(100 * self.right[int(np.argmax(worth))])

    def agreed(self) -> float:
        return float(100 * self.right[int(np.argmax(self.x[:, NAMES.index("agreed")]))])


def fit(some: list[Told]) -> Any:
    """(F,) weights."""
    scale = np.concatenate([t.x for t in some]).std(axis=0) + 1e-9

    def loss(w: Any) -> tuple[float, Any]:
        total, slope = 0.0, np.zeros(len(w))
        for t in some:
            z = t.x / scale
            s = z @ w
            p = np.exp(s - s.max())
            p /= p.sum()
            mean = float(p @ t.right)
            total -= mean
            slope -= (p * (t.right - mean)) @ z
        return total / len(some) + COST * float(w @ w), slope / len(some) + 2 * COST * w

    return minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B").x / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=Path, required=True)
    parser.add_argument("--learned", type=Path)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--model", default="mirim-base")
    parser.add_argument("--out", type=Path, default=Path("mirim/models/answers.json"))
    given = parser.parse_args()
    learned = None
    if given.learned:
        learned = {(question, answer) for question, answer in json.loads(given.learned.read_text("utf-8"))}
    rows = [row for row in draw(given.model, given.drawn, learned, given.limit) if any(row["given"].values())]
    fitted = {}
    for kind, names in (("plain", NAMES), ("pointed", NAMES + POINTED)):
        some = [Told(row, kind == "pointed") for row in rows if row["spans"] or kind == "plain"]
        if not some:
            print("the model does not point")
            continue
        weights = fit([t for t in some if not t.apart])
        for language in ("pt", "en"):
            kept = [t for t in some if t.apart and t.row["lang"] == language]
            print(f"{kind}, {language}: most agreed on {bootstrap([t.agreed() for t in kept])}")
            print(f"{kind}, {language}: best of all {bootstrap([100 * float(t.right.max()) for t in kept])}")
            print(f"{kind}, {language}: given {bootstrap([t.given(weights) for t in kept])}")
            print(f"{kind}, {language}: more {bootstrap([t.given(weights) - t.agreed() for t in kept])}")
        fitted[kind] = {name: round(float(w), 4) for name, w in zip(names, fit(some), strict=True)}
    write_json(given.out, fitted)


if __name__ == "__main__":
    main()
