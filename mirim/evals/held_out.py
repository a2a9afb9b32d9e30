"""Asking the questions that people wrote, and scoring each answer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mirim.core.errors import UsageError
from mirim.core.progress import track
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Answer
from mirim.documents import store
from mirim.evals import metrics
from mirim.examples.held import HeldOut


class Answers(Protocol):
    """The part of an assistant that is measured."""

    def answer(self, question: str) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """A question, what was answered, and how good that was. Figures are 0 to 1, None where they do not apply."""

    asked: HeldOut
    answer: Answer
    language: str
    fact: float | None
    exact: float | None
    f1: float | None
    rouge: float | None
    right_document: float | None
    verified: float | None

    @property
    def good(self) -> float:
        """1 when the right thing happened: the key fact given, or the unanswerable refused."""
        return float(self.fact or 0) if self.asked.answerable else float(self.answer.abstained)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.asked.id,
            "question": self.asked.question,
            "expected": self.asked.answer,
            "answerable": self.asked.answerable,
            "good": self.good,
            **{k: getattr(self, k) for k in ("fact", "exact", "f1", "rouge", "right_document", "verified")},
            **self.answer.to_json(),
        }


def known(project: Project, questions: Sequence[HeldOut]) -> tuple[list[HeldOut], list[Finding]]:
    """The questions, and a warning for each document they name that there is not: it can be cited by no answer."""
    ids = {id.casefold(): id for id in store.ids(project.documents)}
    rows, findings = [], []
    for asked in questions:
        if asked.document and ids and ids.get(asked.document.casefold()) != asked.document:
            # A person may have written the path of its source.
            meant = store.identify(asked.document).casefold()
            near = [f'; did you mean "{ids[id]}"?' for id in difflib.get_close_matches(meant, ids, n=1)]
            what = "".join([f'no document has the id "{asked.document}"', *near])
            findings.append(Finding("warning", asked.place, what, "whether it is cited was not counted; mend the id"))
            asked = replace(asked, document="")
        rows.append(asked)
    return rows, findings


def ask_all(project: Project, assistant: Answers, questions: Sequence[HeldOut], label: str) -> list[Scored]:
    """Ask every question; citations are checked against the stored documents."""
    return [score(project, q, assistant.answer(q.question)) for q in track(questions, label)]


def score(project: Project, asked: HeldOut, answer: Answer) -> Scored:
    language = _language(project, asked)
    given = "" if answer.abstained else answer.answer
    verified = _verified(project, answer) if answer.citations else None
    if not asked.answerable:
        return Scored(asked, answer, language, None, None, None, None, None, verified)
    return Scored(
        asked,
        answer,
        language,
        fact=metrics.holds(given, asked.answer),
        exact=metrics.exact_match(given, [asked.answer], language),
        f1=metrics.token_f1(given, [asked.answer], language),
        rouge=metrics.rouge_l(given, asked.answer),
        right_document=float(any(c.document == asked.document for c in answer.citations)) if asked.document else None,
        verified=verified,
    )


def _verified(project: Project, answer: Answer) -> float:
    """Share of the citations whose text stands in the stored document at their offsets."""
    right = 0
    for c in answer.citations:
        try:
            right += store.load(project.documents, c.document).text[c.start : c.end] == c.text
        except UsageError:
            continue
    return right / len(answer.citations)


def _language(project: Project, asked: HeldOut) -> str:
    from mirim.documents.words import detect

    found = detect(asked.question)
    return found if found in ("en", "pt") else str(project.get("language", "en"))


def calibration_error(rows: Iterable[Scored], bins: int = 10) -> tuple[float, list[tuple[float, float]]]:
    """(expected calibration error, (mean confidence, share right) of each filled bin), Naeini et al. 2015.

    What counts as right is the best sentence holding the fact, whether or not it was shown: only answers that
    were given can be judged, so refused ones are left out.
    """
    given = [(r.answer.confidence, r.good if r.asked.answerable else 0.0) for r in rows if not r.answer.abstained]
    points, error = [], 0.0
    for b in range(bins):
        inside = [(c, g) for c, g in given if b / bins <= c < (b + 1) / bins or (b == bins - 1 and c == 1)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            right = sum(g for _, g in inside) / len(inside)
            points.append((confidence, right))
            error += len(inside) / len(given) * abs(confidence - right)
    return error, points
