"""Fitting how far the ranking and the model are trusted, on held-out questions made from the documents.

Each held-out question is asked twice: once as it is, where the best sentence is right or wrong, and once
with the passages that hold its answer taken out of the search, where any answer would be wrong. Questions
that no document answers are added as they are. A logistic regression with a prior (Platt 1999, pulled
towards the weights fitted on people's questions) turns trust, the search score and the model's verdict into
a probability: that the quoted sentences are right, or, in a project that refuses only what is outside its
subject, that some document answers the question, whichever sentence was chosen.

Where passages have vectors, made questions are no guide to what is right: they repeat the documents' words, and a fit
on them trusts words and the model's verdict more than people's questions bear out (docs/answering.md). Trust and the
threshold then stay as people's questions gave them.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mirim.assist.answer import JUDGED, Assistant, Calibration
from mirim.assist.candidates import Candidate
from mirim.assist.judge import judge
from mirim.assist.policies.quote import WORDS, choose
from mirim.assist.rank import Ranked, probability, reach, trust
from mirim.core.bundle import Bundle
from mirim.core.database import explained
from mirim.core.files import read_jsonl, write_bytes
from mirim.core.progress import note, track
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.types import Example, Passage, Span

#: Held-out questions used at most; more change the three fitted numbers by nothing that matters.
QUESTIONS = 150
#: Share of the questions without a right answer in reach that must be refused, and of those outside the subject.
#: Made questions share more words with the documents than people's do: of people's, more are refused at the same
#: threshold (docs/benchmarks.md has the curve).
REFUSED = {"unsupported": 0.7, "outside": 0.95}
#: The prior: mean and strength (as standard deviation) of scale, judge, search and bias. Whether the best sentence
#: is right is what trust was fitted for; whether a question is inside the subject, the search score says best.
PRIORS = {
    "unsupported": ((1.0, 0.1, 0.0, 0.0), (0.25, 0.15, 3.0, 0.5)),
    "outside": ((0.0, 0.0, 8.0, -3.0), (0.5, 0.15, 4.0, 3.0)),
}
#: The judge's weights tried when ranking; what it adds to the order is chosen by how often the best is right.
JUDGE_GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Held:
    """A held-out question: where its answer stands, or None when there is none."""

    question: str
    language: str
    span: Span | None


def calibrate(project: Project) -> Report:
    """Fit the confidence of the project's model, put its knowledge beside it, save both in the bundle.

    Not a verb of the command line: `build` runs it after export. MirimError when there is no model yet.
    """
    bundle = Bundle.open(project.model)
    held = questions(project)
    fitted: dict[str, Any] = {}
    with Assistant.open(project) as assistant:
        if assistant.nearness:
            near, rows = fit(assistant, held, refused(project))
            fitted["near"] = asdict(near)
            # For where the passages' vectors cannot be used.
            assistant.nearness = None
        tuned, words = fit(assistant, held, refused(project))
    with Assistant.open(project, model="none") as assistant:
        assistant.nearness = None
        alone, _ = fit(assistant, held, refused(project))
    asked = project.tables.get("ask", {})
    record: dict[str, Any] = {
        **asdict(tuned),
        "none": asdict(alone),
        **fitted,
        "questions": len(held),
        "language": project.get("language", "en"),
        "contact": project.get("contact", ""),
        "policy": asked.get("policy", "quote"),
        "words": int(asked.get("words", 0)),
    }
    _knowledge(project, bundle)
    bundle.save(answering=record)
    table = Table("Held-out questions", ("asked", "right", "refused"), rows if fitted else words)
    return Report("Calibration", f"Fitted on {len(held)} held-out questions.", (table,), data=record)


def refused(project: Project) -> str:
    """The project's word on what must be refused, see `mirim ask --help`."""
    return str(project.tables.get("ask", {}).get("refuse", "unsupported"))


def fit(
    assistant: Assistant, held: Sequence[Held], refuse: str = "unsupported"
) -> tuple[Calibration, tuple[tuple[Any, ...], ...]]:
    """Calibration of an assistant on held-out questions, and a small table of how it does on them."""
    known = assistant.nearness is not None and refuse == "unsupported"
    if len(held) < 20:
        note(f"only {len(held)} held-out questions: the confidence keeps its defaults (add documents or seeds/)")
        return Calibration.of_people() if known else Calibration(), ()
    trials = [t for h in track(held, "calibrate") for t in _trials(assistant, h, refuse, judged=not known)]
    weight = _ranking_weight(trials) if assistant.engine and not known else 0.0
    features: list[list[float]] = []
    labels: list[int] = []
    for rows, span in trials:
        if rows:
            best = max(rows, key=lambda r: r.score + weight * r.verdict)
            ordered = [best, *(r for r in rows if r is not best)]
            features.append([trust(ordered), best.verdict, reach(ordered)])
            if refuse == "outside":
                # Pages with twins make wrong what is not: a question that some document answers is inside.
                labels.append(int(span is not None))
            else:
                # Right is what a person would see: the answer among what is quoted.
                shown = choose(ordered, assistant.words or WORDS)
                labels.append(int(any(_right(r.candidate, span) for r in shown)))
    if known:
        found = Calibration.of_people()
    elif not features:
        found = Calibration()
    else:
        scale, judged, search, bias = _logistic(features, labels, bool(weight), refuse)
        found = Calibration(scale, judged, search, bias)
    probabilities = [
        probability(found.scale * t + found.judge * v + found.search * r + found.bias) for t, v, r in features
    ]
    if not known and features:
        wrong = [p for p, y in zip(probabilities, labels, strict=True) if not y]
        found = replace(found, threshold=_threshold(wrong, REFUSED[refuse]))
    kept = [(p >= found.threshold, y) for p, y in zip(probabilities, labels, strict=True)]
    table = (
        (
            "answer in reach",
            f"{sum(1 for k, y in kept if y and k)}/{sum(labels)}",
            sum(1 for k, y in kept if y and not k),
        ),
        ("no right answer", "", f"{sum(1 for k, y in kept if not y and not k)}/{len(labels) - sum(labels)}"),
    )
    return found, table


Trial = tuple[list[Ranked], Span | None]


def _trials(assistant: Assistant, held: Held, refuse: str, *, judged: bool) -> Iterator[Trial]:
    """Ranked and judged sentences: with the answer in reach, and with it taken away where that must be refused."""
    rank = _judged if judged else _ordered
    yield rank(assistant, held, assistant.find(held.question)), held.span
    if held.span is not None and refuse == "unsupported":
        span = held.span

        def holds(p: Passage) -> bool:
            return p.document == span.document and p.start < span.end and span.start < p.end

        yield rank(assistant, held, assistant.find(held.question, holds)), None


def _ordered(assistant: Assistant, held: Held, hits: Sequence[Any]) -> list[Ranked]:
    return assistant.order(held.question, held.language, hits)


def _judged(assistant: Assistant, held: Held, hits: Sequence[Any]) -> list[Ranked]:
    rows = _ordered(assistant, held, hits)
    if assistant.engine is None or not rows:
        return rows
    head = rows[:JUDGED]
    verdicts = judge(assistant.engine, held.question, [r.candidate for r in head])
    return [replace(r, verdict=v) for r, v in zip(head, verdicts, strict=True)] + rows[JUDGED:]


def _right(candidate: Candidate, span: Span | None) -> bool:
    return (
        span is not None
        and candidate.passage.document == span.document
        and candidate.start < span.end
        and span.start < candidate.end
    )


def _ranking_weight(trials: Sequence[Trial]) -> float:
    """The judge's weight that puts a right sentence first most often; the smallest among equals."""
    reach = [(rows, span) for rows, span in trials if rows and span is not None]

    def hits(weight: float) -> int:
        return sum(
            _right(max(rows, key=lambda r: r.score + weight * r.verdict).candidate, span) for rows, span in reach
        )

    return max(JUDGE_GRID, key=lambda w: (hits(w), -w))


def _logistic(
    features: list[list[float]], labels: list[int], use_judge: bool, refuse: str = "unsupported"
) -> tuple[float, float, float, float]:
    """Maximum a posteriori scale, judge, search and bias under the Gaussian prior."""
    import numpy as np
    from scipy.optimize import minimize

    x = np.array([[*row, 1.0] for row in features])
    if not use_judge:
        x[:, 1] = 0.0
    y = np.array(labels, dtype=float)
    mean, spread = (np.array(values) for values in PRIORS[refuse])
    if not use_judge:
        mean = mean * [1, 0, 1, 1]

    def loss(w: Any) -> tuple[float, Any]:
        z = x @ w
        value = np.sum(np.logaddexp(0, z) - y * z) + 0.5 * np.sum(((w - mean) / spread) ** 2)
        return float(value), x.T @ (1 / (1 + np.exp(-z)) - y) + (w - mean) / spread**2

    found = minimize(
        loss, mean, jac=True, method="L-BFGS-B", bounds=[(0.0, 4.0), (0.0, 2.0), (0.0, 20.0), (-15.0, 6.0)]
    )
    scale, judged, search, bias = (round(float(v), 6) for v in found.x)
    return scale, judged if use_judge else 0.0, search, bias


def _threshold(wrong: Sequence[float], share: float) -> float:
    """The lowest threshold that refuses `share` of what must be refused, so that as much as can be is answered."""
    if not wrong:
        return Calibration().threshold
    # Just above the probability under which that share of the wrong ones lies.
    at = sorted(wrong)[min(len(wrong) - 1, math.ceil(share * len(wrong)) - 1)]
    return round(min(0.9, max(0.02, at + 1e-4)), 4)


def questions(project: Project) -> list[Held]:
    """Validation questions of the `answer` task, each once, spread evenly over their file."""
    path = project.examples / "answer.jsonl"
    found: dict[str, Held] = {}
    for row in read_jsonl(path) if path.is_file() else ():
        example = Example.from_json(row)
        question = str(example.metadata.get("question", ""))
        outside = example.metadata.get("kind") == "out of scope"
        # The same question about another passage has an answer elsewhere: it is no negative here.
        if example.split == "valid" and question and (example.sources or outside):
            span = example.sources[0] if example.sources else None
            found[question] = Held(question, str(example.metadata.get("language") or "en"), span)
    # Those outside the subject are few: all of them, beside an even choice of the others.
    away = [h for h in found.values() if h.span is None][:QUESTIONS]
    every = [h for h in found.values() if h.span is not None]
    step = max(1.0, len(every) / QUESTIONS)
    return [every[int(i * step)] for i in range(min(QUESTIONS, len(every)))] + away


def _knowledge(project: Project, bundle: Bundle) -> None:
    """Put the search index and its vectors into the bundle: compact files, each made whole or not at all."""
    target = bundle.path / "knowledge.db"
    working = target.with_name(".tmp-knowledge.db")
    working.unlink(missing_ok=True)
    damaged = "delete it and type: mirim ingest"
    with explained(project.index, damaged), contextlib.closing(sqlite3.connect(project.index)) as source:
        source.execute("VACUUM INTO ?", (str(working),))
    os.replace(working, target)
    vectors = bundle.path / "vectors.npz"
    vectors.unlink(missing_ok=True)
    if project.vectors.is_file():
        write_bytes(vectors, project.vectors.read_bytes())
