"""The model's own judgement: does this text answer this question? One scored token a candidate."""

from __future__ import annotations

from collections.abc import Sequence

from mirim.assist.candidates import Candidate
from mirim.core.types import Engine
from mirim.examples.tasks import judge as task
from mirim.examples.units import plain

#: Beyond this a log-odds says no more than "sure"; it keeps one overconfident token from deciding alone.
LIMIT = 6.0


def judge(engine: Engine, question: str, candidates: Sequence[Candidate]) -> list[float]:
    """Log-odds of yes against no for each candidate, within ±LIMIT (the monoT5 way of ranking, Nogueira 2020)."""
    prompts = [task.messages(plain(c.text), c.lead, question) for c in candidates]
    labels = list(task.TARGETS)
    many = getattr(engine, "score_many", None)
    rows = many(prompts, [labels] * len(prompts)) if many else [engine.score(p, labels) for p in prompts]
    return [max(-LIMIT, min(LIMIT, sum(yes) - sum(no))) for yes, no in rows]
