"""How readily a model refuses: from which odds of an answer on it may give one.

A model that reads (`mirim.models.read`) refuses a passage whose odds of an answer are too low. Tuning moves these odds:
questions that a program makes say a passage's own words again, and a model that has seen many of them takes a question
in other words for one that the passage does not answer. So the bound is lowered to where it refuses as many as the base
does of the questions in `asked.jsonl`: those that people might ask, in words of their own, about passages that answer
them. They were written for mirim, and nothing learns from them.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import NamedTuple

from mirim.core.types import Engine, Passage
from mirim.examples.tasks.answer import messages
from mirim.models.read import TOKENS, odds

#: The share of the questions that the base refuses, by its own bound; and how many of them are too few to tell by.
REFUSED, FEWEST = 0.39, 100


class Asked(NamedTuple):
    """A question about a passage, and the words that answer it."""

    question: str
    passage: Passage
    answer: str


@cache
def questions() -> tuple[Asked, ...]:
    """The questions that a bound is set by, and those about the same passages that have no answer there."""
    with resources.files("mirim.models").joinpath("asked.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    passages = [
        Passage(f"{n}", "", 0, len(row["text"]), row["heading"], row["text"], None, row["lang"])
        for n, row in enumerate(rows)
    ]
    return tuple(
        Asked(question, passage, answer)
        for row, passage in zip(rows, passages, strict=True)
        for question, answer in row["asked"]
    )


def bound(engine: Engine, share: float = REFUSED) -> float | None:
    """Log-odds of an answer below which `share` of the questions lie that have one; None where the context holds too
    few of them. UsageError when the engine gives no probabilities."""
    told: list[float] = []
    for language in ("en", "pt"):
        some = [one for one in questions() if one.passage.language == language and one.answer]
        prompts = [messages(one.question, [one.passage], language) for one in some]
        fit = [p for p in prompts if not engine.context or engine.count(p) + TOKENS <= engine.context]
        told += odds(engine, fit, language)
    return sorted(told)[round(share * len(told))] if len(told) >= FEWEST else None
