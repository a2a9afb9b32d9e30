"""Answers to what customers ask of organisations that nothing was fitted on (bench/customers), by search alone.

    python bench/customers.py
    python bench/customers.py --organisations FOLDER --json FILE

Each organisation's documents become an index with vectors; every question is asked as `mirim ask` would. An answer is
right where one of its quotations holds the sentence that answers. Printed: of the questions with an answer, how many
are answered rightly, wrongly and refused; of the others by kind (recipes/organisations/README.md), how many are
refused; with 95 % intervals (bootstrap over questions), and the area under the curve of the confidence.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from organisations import organisations
from organisations_across import opened, within
from sklearn.metrics import roc_auc_score

from mirim.assist.answer import Calibration
from mirim.core.files import write_json

KINDS = ("near", "topic", "outside")


def interval(values: list[bool], rng: np.random.Generator) -> str:
    """A share with its 95 % interval."""
    x = np.array(values, dtype=float)
    drawn = x[rng.integers(0, len(x), (2000, len(x)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{x.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisations", type=Path, default=Path("bench/customers"))
    parser.add_argument("--json", type=Path, help="each question with what became of it")
    options = parser.parse_args()
    rows = []
    for one in organisations(options.organisations):
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder), one) as assistant:
            assistant.language, assistant.calibration = one.language, Calibration.of_people()
            for asked in one.questions:
                found = assistant.answer(asked.question)
                right = any(within(asked, c.document, c.start, c.end) for c in found.citations)
                rows.append(
                    {
                        "organisation": one.slug,
                        "language": one.language,
                        "kind": asked.kind,
                        "question": asked.question,
                        "refused": found.abstained,
                        "right": right,
                        "confidence": round(found.confidence, 4),
                    }
                )
        print(f"{one.slug}: {len(one.questions)} questions", flush=True)
    if options.json:
        write_json(options.json, rows)
    rng = np.random.default_rng(1)
    for language in ("pt", "en"):
        own = [r for r in rows if r["language"] == language]
        answered = [r for r in own if r["kind"] == "answered"]
        said = {
            "right": [r["right"] for r in answered],
            "wrong": [not r["right"] and not r["refused"] for r in answered],
            "refused": [r["refused"] for r in answered],
        }
        print(f"\n{language}, {len(answered)} questions with an answer")
        for name, values in said.items():
            print(f"  {name} {interval(values, rng)}")
        for kind in KINDS:
            others = [r for r in own if r["kind"] == kind]
            area = roc_auc_score(
                [1] * len(answered) + [0] * len(others), [r["confidence"] for r in [*answered, *others]]
            )
            print(
                f"  {kind}, n={len(others)}: refused {interval([r['refused'] for r in others], rng)}, area {area:.3f}"
            )


if __name__ == "__main__":
    main()
