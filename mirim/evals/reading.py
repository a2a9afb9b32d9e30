"""Reading comprehension in SQuAD's JSON format; the answers are generated, not chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import read_json
from mirim.core.progress import track
from mirim.core.report import Report, Table
from mirim.core.types import Engine, Passage, Sampling
from mirim.documents.words import detect
from mirim.evals.interval import bootstrap
from mirim.evals.metrics import exact_match, token_f1
from mirim.examples.tasks import answer as task

_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    context: str
    question: str
    answers: tuple[str, ...]


def measure(engine: Engine, path: Path, name: str, limit: int = 0) -> Report:
    """{"f1", "exact_match" (0 to 100), "questions", "predictions": {id: text}}; an unanswerable one wants ''."""
    language, questions = _read(path)
    if limit and limit < len(questions):
        questions = [questions[int(i * len(questions) / limit)] for i in range(limit)]
    refusals = {_bare(r) for r in task.REFUSAL.values()}
    predictions: dict[str, str] = {}
    f1s, exact = [], []
    for q in track(questions, "reading"):
        passage = Passage("", "", 0, len(q.context), "", q.context, None, language)
        prompt = task.messages(q.question, [passage], language)
        text = "".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=_TOKENS))).strip()
        text = "" if _bare(text) in refusals else text
        predictions[q.id] = text
        wanted = q.answers or ("",)
        f1s.append(100 * token_f1(text, wanted, language))
        exact.append(100 * exact_match(text, wanted, language))
    data: dict[str, Any] = {
        "f1": sum(f1s) / len(f1s),
        "exact_match": sum(exact) / len(exact),
        "questions": len(questions),
        "predictions": predictions,
    }
    rows = (("F1", str(bootstrap(f1s))), ("exact match", str(bootstrap(exact))))
    return Report(
        "Reading",
        f"{name} on {len(questions)} questions ({language}).",
        (Table("", ("figure", "value"), rows),),
        data=data,
    )


def _bare(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")


def _read(path: Path) -> tuple[str, list[Question]]:
    content = read_json(path)
    try:
        questions = list(_questions(content["data"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f'{path} is not in SQuAD format ({error!r}): {{"data": [{{"paragraphs": [{{"context", "qas": [...]}}]}}]}}'
        ) from error
    if not questions:
        raise UsageError(f"{path} holds no questions")
    language = str(content.get("language") or "")[:2].lower()
    if language not in ("en", "pt"):
        found = detect(" ".join(q.context for q in questions[:20]))
        language = found if found in ("en", "pt") else "en"
    return language, questions


def _questions(articles: list[dict[str, Any]]) -> Iterator[Question]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answers = () if qa.get("is_impossible") else tuple(a["text"] for a in qa.get("answers") or ())
                yield Question(str(qa["id"]), paragraph["context"], qa["question"], answers)
