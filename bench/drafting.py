"""Written grounded answers with and without drafting: the same words? how many tokens a step, how much sooner?

    python bench/drafting.py --project DIR --model REF [--questions N] [--threads N] [--tokens N]

DIR holds an index made by `mirim ingest` and questions in evals/*.jsonl. The prompt is the one that the grounded policy
writes; each question is answered twice in turns, greedily, by two engines of the same file: one proposes tokens, the
other does not. Neither has seen the prompt before. With --begin N the answer is begun with the first N words of the
reference answer, and the model goes on from there: a base that was never tuned on these documents mostly writes that it
does not know, which says nothing about drafting.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from servers import CONTEXT
from serving import _spread, layouts

from mirim.assist.answer import Assistant
from mirim.core.project import Project
from mirim.core.types import Message, Sampling
from mirim.models.engine import open_engine


def asked(project: Project, count: int) -> list[tuple[str, str]]:
    """Questions that people wrote for the project and that it can answer, with their answers."""
    files = sorted(project.evals.glob("*.jsonl"), key=lambda path: path.name != "development.jsonl")
    rows = [json.loads(line) for line in files[0].read_text("utf-8").splitlines() if line.strip()]
    return [(row["question"], row["answer"]) for row in rows if row.get("answerable", True)][:count]


def answered(engine: Any, prompt: Sequence[Message], begin: str, tokens: int) -> dict[str, Any]:
    """The answer, its time, and what the engine counted."""
    began, first, text = time.perf_counter(), 0.0, ""
    ids = engine._encode(prompt) + (engine.words.encode(begin, special=False) if begin else [])
    for delta in engine._stream(ids, Sampling(max_tokens=tokens, temperature=0), False, None, -1):
        first = first or time.perf_counter() - began
        text += delta.text
    return {"text": text, "first": first, "total": time.perf_counter() - began, **engine.last}


def measure(project: Project, given: argparse.Namespace) -> list[dict[str, dict[str, Any]]]:
    model = given.model
    with Assistant.open(project, model="none") as assistant:
        prompts = [
            (layouts(assistant, question)[0], " ".join(answer.split()[: given.begin]))
            for question, answer in asked(project, given.questions)
        ]
    options: dict[str, Any] = {"engine": "native", "context": CONTEXT, "threads": given.threads}
    engines = {"plain": open_engine(model, **options, draft=0), "drafted": open_engine(model, **options)}
    rows = []
    for number, (prompt, begin) in enumerate(prompts):
        turns = list(engines)[:: 1 if number % 2 else -1]
        rows.append({way: answered(engines[way], prompt, begin, given.tokens) for way in turns})
        print(f"\r{number + 1}/{len(prompts)}", end="", file=sys.stderr)
    for engine in engines.values():
        engine.close()
    return rows


def show(name: str, rows: list[dict[str, dict[str, Any]]]) -> None:
    drafted = [row["drafted"] for row in rows]
    plain = [row["plain"] for row in rows]
    total = {key: sum(row[key] for row in drafted) for key in ("completion_tokens", "steps", "proposed", "accepted")}
    same = sum(a["text"] == b["text"] for a, b in zip(plain, drafted, strict=True))
    steps = [(row["completion_tokens"] - 1) / max(1, row["steps"] - 1) for row in drafted if row["steps"] > 1]
    print(f"\n## Drafting, {name}, {len(rows)} questions, load {os.getloadavg()[0]:.1f}\n")
    print("| what | value |\n| --- | --- |")
    print(f"| answers with the same text | {same} of {len(rows)} |")
    for key, what in (("completion_tokens", "tokens of an answer"), ("prompt_tokens", "tokens of its prompt")):
        print(f"| {what} | {_spread([row[key] for row in drafted])} |")
    print(f"| tokens a step, all answers | {total['completion_tokens'] / max(1, total['steps']):.2f} |")
    print(f"| tokens a step, of an answer | {_spread(steps, 2)} |")
    print(f"| proposed tokens accepted | {total['accepted']} of {total['proposed']} ({_share(total):.0%}) |")
    for key in ("first", "total"):
        print(f"| {key}, plain, ms | {_spread([row[key] * 1000 for row in plain])} |")
        print(f"| {key}, drafted, ms | {_spread([row[key] * 1000 for row in drafted])} |")
    for key, what in (("total", "whole answer"), ("rest", "after the first token")):
        times = [[r["total"] - (r["first"] if key == "rest" else 0) for r in some] for some in (plain, drafted)]
        ratios = [a / b for a, b in zip(*times, strict=True) if b > 0]
        print(f"| times as fast with drafting, {what} | {_spread(ratios, 2)} |")
        print(f"| the same, sum of all | {sum(times[0]) / sum(times[1]):.2f} |")


def _share(total: dict[str, int]) -> float:
    return total["accepted"] / max(1, total["proposed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--model", default="mirim-base")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--begin", type=int, default=0, help="words of the reference answer to begin with")
    given = parser.parse_args()
    project = Project.open(given.project)
    rows = measure(project, given)
    show(f"{Path(given.model).stem}, {project.name}, begun with {given.begin} words", rows)


if __name__ == "__main__":
    main()
