"""Questions in the other language: how far what is found across languages can be trusted.

    python bench/organisations_across.py

Asks questions of recipes/organisations that were put into the other language by hand (bench/organisations_across.jsonl;
`number` counts the questions of the file from 0), each answerable one a second time with its passage taken away, and
questions of other organisations in that language. Prints what mirim.assist.rank gives, and a new fit of its `ACROSS`:
a logistic regression, its bias such that the threshold of people's questions refuses nine in ten of what is wrong.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
from fit_ranker import MOST, described
from organisations import Asked, Organisation, organisations
from scipy.optimize import minimize

from mirim.assist import nearness
from mirim.assist.answer import Assistant
from mirim.assist.policies.quote import choose
from mirim.assist.rank import ACROSS_NAMES, Ranked, across_features, trust, weights
from mirim.core.files import read_jsonl
from mirim.core.types import Passage
from mirim.documents.indexing import Writer
from mirim.documents.indexing import rows as index_rows
from mirim.documents.search import Index

#: Questions of other organisations that each is asked, and what all of them weigh beside its own: as in fit_ranker.
OTHERS, WEIGH = 40, 4.5


def opened(folder: Path, one: Organisation) -> Assistant:
    """An assistant of an organisation's documents, with vectors and without a model."""
    path = folder / f"{one.slug}.db"
    writer = Writer(path, "fit")
    writer.begin()
    writer.put((described(d), index_rows(d, MOST)) for d in one.documents)
    writer.finish(tidy=True)
    writer.close()
    index = Index.open(path)
    nearness.update(path.with_suffix(".npz"), index)
    return Assistant(index, None, "none", nearness=nearness.Nearness.open(path.with_suffix(".npz"), index))


def within(asked: Asked, document: str, start: int, end: int) -> bool:
    """Whether a stretch of a document has to do with what answers."""
    return document == asked.document and any(start < e and s < end for s, e in asked.spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisations", type=Path, default=Path("recipes/organisations"))
    parser.add_argument("--questions", type=Path, default=Path("bench/organisations_across.jsonl"))
    options = parser.parse_args()
    every = list(organisations(options.organisations))
    put: dict[str, list[tuple[int, str]]] = {}
    for row in read_jsonl(options.questions):
        put.setdefault(row["organisation"], []).append((row["number"], row["question"]))
    rng = random.Random(3)
    trials: list[tuple[list[Ranked], bool, float]] = []
    for one in every:
        if one.slug not in put:
            continue
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder), one) as assistant:
            language = "pt" if one.language == "en" else "en"
            for number, question in put[one.slug]:
                asked = one.questions[number]
                found = assistant.order(question, language, assistant.find(question))
                shown = [r.candidate for r in choose(found)]
                right = any(within(asked, c.passage.document, c.start, c.end) for c in shown)
                trials.append((found, right, 1.0))
                if asked.spans:

                    def holds(p: Passage, asked: Asked = asked) -> bool:
                        return within(asked, p.document, p.start, p.end)

                    gone = assistant.order(question, language, assistant.find(question, holds))
                    trials.append((gone, False, 1.0))
            others = [q.question for o in every if o.language == language and o.slug not in put for q in o.questions]
            for question in rng.sample(others, OTHERS):
                found = assistant.order(question, language, assistant.find(question))
                trials.append((found, False, WEIGH / OTHERS))
        print(f"{one.slug}: {len(put[one.slug])} questions", flush=True)

    y = np.array([right for _, right, _ in trials], dtype=float)
    weight = np.array([w for *_, w in trials])
    own = weight == 1.0
    threshold = weights()["meaning"]["threshold"]
    x = np.array([[*across_features(found), 1.0] for found, *_ in trials])
    given = np.array([trust(found) for found, *_ in trials])

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float(np.sum(weight * (np.logaddexp(0, z) - y * z)) + 0.05 * np.sum(w[:-1] ** 2))

    bounds = [(0.0, None)] * len(ACROSS_NAMES) + [(None, None)]
    fitted = minimize(loss, np.zeros(x.shape[1]), bounds=bounds).x
    odds = x @ fitted
    wrong = np.flatnonzero(y == 0)[np.argsort(odds[y == 0])]
    share = np.cumsum(weight[wrong]) / weight[wrong].sum()
    fitted[-1] += threshold - odds[wrong[np.searchsorted(share, 0.9)]]
    for name, values in (("as it is", given), ("fitted again", x @ fitted)):
        told = values > threshold
        parts = {"right": y == 1, "wrong": own & (y == 0), "of other organisations": ~own}
        print(f"{name}: " + ", ".join(f"{part} {told[at].sum()} of {at.sum()}" for part, at in parts.items()))
    print(dict(zip((*ACROSS_NAMES, "bias"), fitted.round(3).tolist(), strict=True)))


if __name__ == "__main__":
    main()
