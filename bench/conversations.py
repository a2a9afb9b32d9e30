"""How well follow-up questions are answered: alone, after their conversation, and said as a whole by a person.

    python bench/conversations.py PROJECT bench/conversations.jsonl [bench/strays.jsonl] [--model none]

The questions are about the sample clinic (`make demo` builds it), a line each: {"id", "lang", "messages", "question",
"fact", "whole"}. Prints how often the answer holds the fact, and the same of the clinic's own questions after a
conversation about something else, and how often those without an answer are refused then. The second file holds short
questions that no document answers, {"lang", "set", "question"}: how often they are refused, alone and after each of
three questions that one does.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from mirim.assist.answer import Assistant
from mirim.core.files import read_jsonl
from mirim.core.project import Project
from mirim.core.types import Message
from mirim.evals.interval import bootstrap, paired
from mirim.evals.metrics import holds
from mirim.examples.held import HeldOut, read_all


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("strays", type=Path, nargs="?")
    parser.add_argument("--model", default="")
    given = parser.parse_args()
    project = Project.open(given.project)
    rows = list(read_jsonl(given.rows))
    report: dict[str, Any] = {"rows": len(rows)}
    with Assistant.open(project, model=given.model) as assistant:
        found = {way: [_held(assistant, row, way) for row in rows] for way in ("alone", "after", "whole")}
        for way, held in found.items():
            report[way] = str(bootstrap(held))
        less, verdict = paired(found["after"], found["alone"])
        report["after less alone"] = f"{less} {verdict}"
        asked = read_all(project.eval_files())
        report |= _elsewhere(assistant, asked)
        report |= _strays(assistant, asked, list(read_jsonl(given.strays))) if given.strays else {}
    print(json.dumps(report, ensure_ascii=False, indent=1))


def _held(assistant: Assistant, row: dict[str, Any], way: str) -> float:
    history = [Message(m["role"], m["content"]) for m in row["messages"]] if way == "after" else []
    answer = assistant.answer(row["whole" if way == "whole" else "question"], history)
    return 0.0 if answer.abstained else holds(answer.answer, row["fact"])


def _elsewhere(assistant: Assistant, asked: list[HeldOut]) -> dict[str, str]:
    """Questions that stand alone, each after three conversations about other documents in its language."""
    rng = random.Random(1)
    held: dict[str, list[float]] = {"held": [], "refused": []}
    for one in asked:
        language = assistant.language_of(one.question)
        others = [o for o in asked if o.answerable and o.document != one.document]
        others = [o for o in others if assistant.language_of(o.question) == language]
        for other in rng.sample(others, 3):
            history = [Message("user", other.question), Message("assistant", other.answer)]
            answer = assistant.answer(one.question, history)
            if one.answerable:
                held["held"].append(0.0 if answer.abstained else holds(answer.answer, one.answer))
            else:
                held["refused"].append(float(answer.abstained))
    return {f"after another subject: {name}": str(bootstrap(values)) for name, values in held.items()}


def _strays(assistant: Assistant, asked: list[HeldOut], rows: list[dict[str, Any]]) -> dict[str, str]:
    """Short questions about something else, by set."""
    refused: dict[str, list[float]] = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        rng = random.Random(5)
        for row in (row for row in rows if row["set"] == name):
            others = [o for o in asked if o.answerable and assistant.language_of(o.question) == row["lang"]]
            alone = assistant.answer(row["question"]).abstained
            refused.setdefault(f"strays, {name}, alone: refused", []).append(float(alone))
            for other in rng.sample(others, 3):
                history = [Message("user", other.question), Message("assistant", other.answer)]
                after = assistant.answer(row["question"], history).abstained
                refused.setdefault(f"strays, {name}, after: refused", []).append(float(after))
    return {name: str(bootstrap(values)) for name, values in refused.items()}


if __name__ == "__main__":
    main()
