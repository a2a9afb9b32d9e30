"""The sample clinic: does the assistant hold the key facts, refuse what it cannot know, and cite truly?

    python bench/clinic.py --out /tmp/clinic

Makes the project, builds it (or takes it as it is when it was built before), asks the questions that people
wrote through the functions that chat uses, and prints the table of docs/benchmarks.md with the figures to
reach. Exits with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from mirim.build import build
from mirim.core.project import Project
from mirim.evals.evaluate import evaluate
from mirim.new import new

#: figure in evaluate's report → (what it says, least value)
GOALS = {
    "key_fact": ("answerable questions whose answer holds the key fact", 0.85),
    "refused": ("unanswerable questions refused", 0.85),
    "citations_verified": ("citations equal to the document's text", 1.0),
}
ALSO = {
    "refused_answerable": "answerable questions refused",
    "document_cited": "answers that cite the reference document",
    "f1": "token F1",
    "rouge_l": "ROUGE-L",
}


def table(data: dict[str, Any]) -> tuple[str, list[str]]:
    """The Markdown table of an evaluation, and the goals that it misses."""
    lines = ["| clinic | value | 95 % interval | n | goal | base | verdict |", "| --- " * 7 + "|"]
    missed = []
    for key, what in {**{k: w for k, (w, _) in GOALS.items()}, **ALSO}.items():
        row = data["figures"][key]
        least = GOALS[key][1] if key in GOALS else None
        if least is not None and row.get("value", 0.0) < least:
            missed.append(f"{what}: {row.get('value', 0.0):.3f} < {least}")
        value, between = (f"{row['value']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}") if row["n"] else ("-", "-")
        goal = "" if least is None else f"≥ {least:g}"
        base = f"{row['base']:.3f}" if "base" in row else ""
        lines.append(f"| {what} | {value} | {between} | {row['n']} | {goal} | {base} | {row.get('verdict', '')} |")
    seconds = data["seconds"]
    lines.append(
        f"| seconds a question, median (95th percentile) | {seconds['median']:.3f} ({seconds['p95']:.3f}) |" + " |" * 5
    )
    return "\n".join(lines), missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="project folder; made when it is not there")
    parser.add_argument("--model", default="", help="ask this instead of the project's model; none for search alone")
    options = parser.parse_args()
    if not (options.out / "mirim.toml").is_file():
        new(options.out, from_="clinic")
    project = Project.open(options.out)
    started = time.monotonic()
    if options.model != "none":
        print(build(project).to_text())
    print(f"ready after {time.monotonic() - started:.0f} s\n", flush=True)
    text, missed = table(evaluate(project, model=options.model).data)
    print(text)
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
