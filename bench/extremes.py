"""Questions for the most or the least of a table (bench/extremes.jsonl), by search alone.

    python bench/extremes.py

A hundred and fifty questions of three sets; every fifth asks for what no document tells. The third set was first asked
when the rules for such questions stood. Right is an answer that opens with the row. Printed for each set: how many are
right, answered with something else, and refused; with `--without`, as if nothing read amounts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from organisations import organisations
from organisations_across import opened

from mirim.assist import answer
from mirim.assist.answer import Calibration
from mirim.core.files import read_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, default=Path("bench/extremes.jsonl"))
    parser.add_argument("--without", action="store_true")
    options = parser.parse_args()
    if options.without:
        answer.superlative = lambda question: None
    rows = list(read_jsonl(options.questions))
    named = {row["organisation"] for row in rows}
    folders = (Path("recipes/organisations"), Path("bench/customers"))
    found: dict[int, Counter[str]] = {}
    for one in (o for at in folders for o in organisations(at) if o.slug in named):
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder), one) as assistant:
            assistant.language, assistant.calibration = one.language, Calibration.of_people()
            for row in (r for r in rows if r["organisation"] == one.slug):
                told = assistant.answer(row["question"])
                first = told.answer.split("\n")[0].removeprefix("- ")
                right = bool(row["row"]) and (first.startswith(row["row"]) or row["value"] in first)
                kind = "answered" if row["row"] else "untold"
                what = "refused" if told.abstained else "right" if right else "other"
                found.setdefault(row["set"], Counter())[f"{kind}, {what}"] += 1
    for number, counts in sorted(found.items()):
        print(number, dict(sorted(counts.items())))


if __name__ == "__main__":
    main()
