"""Questions in the other language: how far what is found across languages can be trusted.

    python bench/organisations_across.py

Asks questions of recipes/organisations that were put into the other language by hand (across.jsonl there;
`number` counts the questions of the file from 0), each answerable one a second time with its passage taken away, and
questions of other organisations in that language. Prints what mirim.assist.rank gives, and a new fit of its `ACROSS`:
a logistic regression, its bias such that the threshold of people's questions refuses as much of what is wrong as there.

    python bench/organisations_across.py --beside 1,0,-1,-2

Asks the same, and the questions in the documents' own language, where the documents of another organisation of about
that kind, in the other language, lie in the same folder; for each of these values of mirim.assist.answer's `FOREIGN`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from fit_ranker import REFUSED
from organisations import Asked, Organisation, indexed, kept_out, organisations, translated
from scipy.optimize import minimize

from mirim.assist import answer, nearness
from mirim.assist.answer import Assistant
from mirim.assist.policies.quote import choose
from mirim.assist.rank import ACROSS_NAMES, Ranked, across_features, trust, weights
from mirim.core.types import Passage

#: Questions of other organisations that each is asked, and what all of them weigh beside its own: as in fit_ranker.
OTHERS, WEIGH = 40, 4.5
#: An organisation that was kept out → one in the other language, about as near to it as there is.
BESIDE = {
    "a-hotel": "e-hostel",
    "b-cooperativa-agricola": "e-packmachine",
    "c-brindlebrook-vets": "d-farmacias",
    "c-moveis-araripora": "d-airline",
    "d-langschool": "c-colegio-serra-clara",
    "e-creche": "f-evening-college",
    "f-ferry-marina": "a-onibus",
    "f-university-it": "b-secretaria-universidade",
}


def opened(folder: Path, one: Organisation) -> Assistant:
    """An assistant of an organisation's documents, with vectors and without a model."""
    path = folder / f"{one.slug}.db"
    index = indexed(path, one.documents)
    nearness.update(path.with_suffix(".npz"), index)
    return Assistant(index, None, "none", nearness=nearness.Nearness.open(path.with_suffix(".npz"), index))


def within(asked: Asked, document: str, start: int, end: int) -> bool:
    """Whether a stretch of a document has to do with what answers."""
    return document == asked.document and any(start < e and s < end for s, e in asked.spans)


def beside(every: list[Organisation], put: dict[str, list[tuple[int, str]]], values: list[float]) -> None:
    """Prints, for each value of `FOREIGN`, what is quoted and told of a folder that holds both languages."""
    known = {one.slug: one for one in every}
    threshold = weights()["meaning"]["threshold"]
    # (value, other language, answerable) → (what is right is shown, it is told)
    rows: dict[tuple[float, bool, bool], list[tuple[bool, bool]]] = {}
    for slug, mate in BESIDE.items():
        one, other = known[slug], known[mate]
        own = [(number, q.question) for number, q in enumerate(one.questions)]
        both = replace(one, documents=[*one.documents, *other.documents])
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder), both) as assistant:
            for language, questions in ((one.language, own), (other.language, put[slug])):
                for number, question in questions:
                    asked = one.questions[number]

                    def holds(p: Passage, asked: Asked = asked) -> bool:
                        return within(asked, p.document, p.start, p.end)

                    for without in (None, holds) if asked.spans else (None,):
                        hits = assistant.find(question, without)
                        for value in values:
                            with patch.object(answer, "FOREIGN", value):
                                found = assistant.order(question, language, hits)
                            shown = [r.candidate for r in choose(found)]
                            right = any(within(asked, c.passage.document, c.start, c.end) for c in shown)
                            key = value, language != one.language, bool(asked.spans) and without is None
                            rows.setdefault(key, []).append((right, trust(found) > threshold))
    for (value, across, answerable), trials in sorted(rows.items()):
        shown, told = np.array(trials).T
        kind = f"{'other' if across else 'own'} language, {'answerable' if answerable else 'in vain'}"
        part = f"right shown {shown.sum()}, told {(shown & told).sum()}, " if answerable else ""
        print(f"{value:+g} {kind}: {part}wrong told {(told & ~shown).sum()} of {len(trials)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisations", type=Path, default=Path("recipes/organisations"))
    parser.add_argument("--questions", type=Path, default=Path("recipes/organisations/across.jsonl"))
    parser.add_argument("--beside", default="", help="values of FOREIGN, with commas")
    options = parser.parse_args()
    every = list(organisations(options.organisations))
    put = translated(options.questions)
    if options.beside:
        beside(every, put, [float(value) for value in options.beside.split(",")])
        return
    unseen = [one for number, one in enumerate(every) if kept_out(number) and one.slug in put]
    rng = random.Random(3)
    trials: list[tuple[list[Ranked], bool, float]] = []
    for one in unseen:
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
            others = [q.question for o in every if o.language == language and o not in unseen for q in o.questions]
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
    fitted[-1] += threshold - odds[wrong[np.searchsorted(share, REFUSED)]]
    for name, values in (("as it is", given), ("fitted again", x @ fitted)):
        told = values > threshold
        parts = {"right": y == 1, "wrong": own & (y == 0), "of other organisations": ~own}
        print(f"{name}: " + ", ".join(f"{part} {told[at].sum()} of {at.sum()}" for part, at in parts.items()))
    print(dict(zip((*ACROSS_NAMES, "bias"), fitted.round(3).tolist(), strict=True)))


if __name__ == "__main__":
    main()
