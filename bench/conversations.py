"""How well follow-up questions are answered: as rules put them, as a project's model says them, as a person would.

    python bench/conversations.py PROJECT bench/conversations.jsonl

The questions are about the sample clinic (`make demo` builds it), a line each: {"id", "lang", "messages", "question",
"fact", "whole"}. Prints how often the answer holds the fact, how often the best passage does, and which rows the model
made right or wrong.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from mirim.assist.answer import Assistant
from mirim.assist.standalone import standalone
from mirim.core.files import read_jsonl
from mirim.core.project import Project
from mirim.core.types import Message
from mirim.evals.interval import bootstrap, paired
from mirim.evals.metrics import holds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("rows", type=Path)
    given = parser.parse_args()
    rows = list(read_jsonl(given.rows))
    with Assistant.open(Project.open(given.project)) as assistant:
        made = {way: [_ask(assistant, row, way) for row in rows] for way in ("rules", "model", "whole")}
    report: dict[str, Any] = {"rows": len(rows)}
    for way, found in made.items():
        report[way] = {key: str(bootstrap([f[key] for f in found])) for key in ("held", "passage", "said anew", "ms")}
    for key in ("held", "passage"):
        less, verdict = paired(*([f[key] for f in made[way]] for way in ("model", "rules")))
        report[f"{key}, model less rules"] = f"{less} {verdict}"
    report["changed"] = [
        {"question": row["question"], "as": one["as"], "held": one["held"], "by rules": other["held"]}
        for row, one, other in zip(rows, made["model"], made["rules"], strict=True)
        if one["held"] != other["held"]
    ]
    print(json.dumps(report, ensure_ascii=False, indent=1))


def _ask(assistant: Assistant, row: dict[str, Any], way: str) -> dict[str, Any]:
    history = [Message(m["role"], m["content"]) for m in row["messages"]] if way != "whole" else []
    question = row["whole" if way == "whole" else "question"]
    assistant.rewrites = way == "model"
    started = time.perf_counter()
    answer = assistant.answer(question, history)
    spent = time.perf_counter() - started
    language = assistant.language_of(question)
    asked = standalone(question, history, language, assistant.engine if assistant.rewrites else None)
    best = assistant.rank(asked, language)[:1]
    return {
        "as": asked,
        "held": 0.0 if answer.abstained else holds(answer.answer, row["fact"]),
        "passage": float(bool(best) and row["fact"] in best[0].candidate.passage.text),
        "said anew": float(asked != standalone(question, history, language)),
        "ms": spent * 1000,
    }


if __name__ == "__main__":
    main()
