"""Reading comprehension in SQuAD's JSON format; the answers are generated, not chosen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import read_json
from mirim.core.progress import track
from mirim.core.report import Finding, Report, Table
from mirim.core.types import Engine, Message, Passage, Sampling
from mirim.documents.sentences import sentences
from mirim.documents.words import detect, stems
from mirim.evals import lines
from mirim.evals.interval import Interval, bootstrap, wilson
from mirim.evals.metrics import exact_match, normalise, token_f1
from mirim.examples.tasks import answer as task
from mirim.models.read import TOKENS, read, reads_sentences

_SHAPE = (
    '{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text"}]}]}]}]}, '
    'or a .jsonl with a line {"id", "title", "context", "question", "answers": {"text": [...]}} for each question'
)


@dataclass(frozen=True, slots=True)
class Question:
    """`language` is what the file says, '' when it says nothing; no `answers` means that there is none."""

    id: str
    title: str
    context: str
    question: str
    answers: tuple[str, ...]
    language: str


class _TooLong(Exception):
    """A question that does not fit the model's context even with the least of its passage."""


def measure(engine: Engine, path: Path, name: str, limit: int = 0) -> Report:
    """{"f1", "exact_match" (0 to 100), "questions", "predictions": {id: text}}; an unanswerable one wants ''.

    A file whose every question has an answer, as in SQuAD 1.1, promises one: a model that reads sentences then refuses
    none. A context that does not fit the model's is cut to the stretch nearest the question, and the report says so. A
    model without a chat template is shown raw text and answers up to the end of a line.
    """
    questions = squad(path)
    answered = all(q.answers for q in questions)
    if limit and limit < len(questions):
        questions = [questions[int(i * len(questions) / limit)] for i in range(limit)]
    most = detect(" ".join(q.context for q in questions[:20]))

    @cache
    def spoken(context: str) -> str:
        # A file may hold passages of several languages, and one of a few words may not show its own.
        found = detect(context)
        return found if found in task.REFUSAL else most

    predictions: dict[str, str] = {}
    f1s, exact, shortened, unread = [], [], 0, 0
    for q in track(questions, "reading"):
        try:
            text, cut = _answer(engine, q, q.language or spoken(q.context), answered)
        except _TooLong:
            text, cut, unread = "", False, unread + 1
        shortened += cut
        predictions[q.id] = text
        # As SQuAD 2.0 has it: what normalises to nothing is no answer beside others.
        wanted = tuple(one for one in q.answers if normalise(one, q.language)) or ("",)
        f1s.append(100 * token_f1(text, wanted, q.language))
        exact.append(100 * exact_match(text, wanted, q.language))
    data: dict[str, Any] = {
        "f1": sum(f1s) / len(f1s),
        "exact_match": sum(exact) / len(exact),
        "questions": len(questions),
        "predictions": predictions,
    }
    findings: tuple[Finding, ...] = ()
    if shortened:
        what = f"{shortened} of {len(questions)} contexts do not fit the model's {engine.context} tokens"
        findings = (
            Finding(
                "warning",
                path.name,
                what,
                "it read the stretch with most of the question's words, or the sentences that fit",
            ),
        )
    if unread == len(questions):
        raise UsageError(f"no question of {path} fits the model's context of {engine.context} tokens, even alone")
    if unread:
        what = f"{unread} of {len(questions)} questions do not fit the model's {engine.context} tokens, even alone"
        findings += (Finding("warning", path.name, what, "they were not asked, and count as answered with nothing"),)
    if len(predictions) < len(questions):
        twice, times = Counter(q.id for q in questions).most_common(1)[0]
        what = f'{len(questions)} questions have {len(predictions)} ids; "{twice}" stands {times} times'
        findings += (Finding("warning", path.name, what, "each counts, and predictions hold the last of an id"),)
    if astray := [q.id for q in questions if q.answers and not _stands(q)]:
        what = (
            f'the answers of {len(astray)} of {len(questions)} questions stand nowhere in their context: "{astray[0]}"'
        )
        does = "each counts; see whether contexts and questions belong together"
        findings += (Finding("warning", path.name, what, does),)
    if not any(q.answers for q in questions):
        what = "no question has an answer: the figures say how often the model refuses, not how well it reads"
        findings += (Finding("warning", path.name, what, "give the file with its answers, or take the predictions"),)
    share = wilson(sum(map(bool, exact)), len(exact))
    hundredths = Interval(100 * share.value, 100 * share.low, 100 * share.high, share.n)
    rows = (("F1", str(bootstrap(f1s))), ("exact match", str(hundredths)))
    summary = f"{name} on {len(questions)} questions."
    if answered and reads_sentences(engine):
        summary += " Every question of the file has an answer, so none was to be refused."
    return Report("Reading", summary, (Table("", ("figure", "value"), rows),), findings, data=data)


def _stands(q: Question) -> bool:
    """Whether one of a question's answers stands in its context."""
    context = normalise(q.context, q.language)
    return any(normalise(one, q.language) in context for one in q.answers)


def _answer(engine: Engine, q: Question, language: str, answered: bool) -> tuple[str, bool]:
    """What the model answers, '' where it refuses, and whether the context had to be cut to fit."""
    language = language if language in task.REFUSAL else "en"
    whole = Passage("", "", 0, len(q.context), q.title, q.context, None, language)
    if reads_sentences(engine) and (found := read(engine, q.question, [whole], language, answered=answered)):
        return found.text, not found.whole
    prompt, cut = _prompt(engine, q, whole, language)
    stop = ("\n",) if isinstance(prompt, str) else ()
    text = "".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=TOKENS, stop=stop))).strip()
    return "" if task.declined(text) else text, cut


def _prompt(engine: Engine, q: Question, whole: Passage, language: str) -> tuple[str | tuple[Message, ...], bool]:
    """The prompt, and whether its context had to be cut to fit."""
    # An endpoint has a template of its own.
    write: Callable[..., str | tuple[Message, ...]] = task.messages if getattr(engine, "template", "theirs") else _raw
    prompt = write(q.question, [whole], language)
    # An endpoint that does not tell its context (0) decides for itself.
    if not engine.context or engine.count(prompt) + TOKENS <= engine.context:
        return prompt, False
    spans = sentences(q.context, language)
    asked = set(stems(q.question, language, content=True))
    words = [asked.intersection(stems(q.context[a:b], language)) for a, b in spans]
    common = Counter(w for found in words for w in found)
    kept = len(q.context)
    while kept > 100:
        kept = kept * 4 // 5
        stretches = []
        for i, (start, _) in enumerate(spans):
            inside = [j for j in range(i, len(spans)) if spans[j][1] - start <= kept]
            held = set().union(*(words[j] for j in inside))
            end = spans[inside[-1]][1] if inside else start + kept
            stretches.append((sum(1 / common[w] for w in held), -start, end))
        _, start, end = max(stretches)
        prompt = write(q.question, [replace(whole, text=q.context[-start:end])], language)
        if engine.count(prompt) + TOKENS <= engine.context:
            return prompt, True
    raise _TooLong(q.id)


def _raw(question: str, passages: Sequence[Passage], language: str) -> str:
    """The same as text that an answer continues, as for GPT-3 (Brown et al. 2020, appendix G)."""
    (passage,) = passages
    asks, says = ("Pergunta", "Resposta") if language == "pt" else ("Question", "Answer")
    return f"{passage.heading}\n{passage.text}\n\n{asks}: {question}\n\n{says}:".lstrip()


def squad(path: Path) -> list[Question]:
    """The questions of a file in SQuAD 1.1 or 2.0 format; UsageError says what is amiss, and where.

    Answers may also stand as Hugging Face's datasets have them, {"text": [...], "answer_start": [...]}, and so may the
    whole file: a row for each question with its context, as JSON lines or in one list.
    """
    if ".jsonl" in path.suffixes:
        content: Any = [row for _, row in lines.read(path, ("context", "question"))]
    else:
        try:
            content = read_json(path)
        except UsageError as error:
            if not isinstance(error.__cause__, ValueError):
                raise
            raise UsageError(f"{error}; write it as {_SHAPE}") from error
    try:
        questions = list(_questions(content))
    except _Misfit as error:
        raise UsageError(f"{path} is not in SQuAD format: {error}; write it as {_SHAPE}") from error
    if not questions:
        raise UsageError(f"{path} holds no questions: {_SHAPE}")
    return questions


class _Misfit(Exception):
    """Where a file leaves the format, and how."""


def _questions(content: Any) -> Iterator[Question]:
    content = {"data": content} if isinstance(content, list) else content
    above = _language(content, "", "")
    for in_data, article in _items(content, "data", ""):
        spoken = _language(article, in_data, above)
        title = str(_get(article, "title", in_data, str, int, float, missing="")).replace("_", " ")
        if "context" in article and "paragraphs" not in article:
            yield _question(article, in_data, title, _whole(_get(article, "context", in_data, str)), spoken)
            continue
        for in_article, paragraph in _items(article, "paragraphs", in_data):
            context = _whole(_get(paragraph, "context", in_article, str))
            here = _language(paragraph, in_article, spoken)
            for at, qa in _items(paragraph, "qas", in_article):
                yield _question(qa, at, title, context, here)


def _question(qa: Any, at: str, title: str, context: str, above: str) -> Question:
    """The question that stands `at` a place, about a context in the language `above`, where it names none itself."""
    id = str(_get(qa, "id", at, str, int, float))
    texts = () if _get(qa, "is_impossible", at, bool, int, missing=False) else _answers(qa, at)
    return Question(id, title, context, _whole(_get(qa, "question", at, str)), texts, _language(qa, at, above))


def _whole(text: str) -> str:
    """A text without halves of surrogate pairs, which JSON can spell and no tokenizer reads."""
    return text.encode("utf-8", "replace").decode()


def _answers(qa: Any, at: str) -> tuple[str, ...]:
    given = _get(qa, "answers", at, list, dict, missing=[]) or []
    at = f"{at}.answers"
    if isinstance(given, dict):
        texts = [str(_checked(text, place, str, int, float)) for place, text in _items(given, "text", at)]
    else:
        texts = [str(_get(answer, "text", f"{at}[{n}]", str, int, float)) for n, answer in enumerate(given)]
    return tuple(text for text in texts if text.strip())


def _items(row: Any, key: str, at: str) -> Iterator[tuple[str, Any]]:
    """Where each item of the list row[key] stands, and the item."""
    for number, item in enumerate(_get(row, key, at, list)):
        yield f"{at}.{key}[{number}]".lstrip("."), item


def _get(row: Any, key: str, at: str, *kinds: type, missing: Any = None) -> Any:
    """row[key], of one of these kinds, from the object that stands `at`; `missing`, if given, for null or nothing."""
    if key not in _checked(row, at, dict) and missing is None:
        raise _Misfit(f'{at or "the whole"} has no "{key}"')
    value = row.get(key)
    return missing if value is None and missing is not None else _checked(value, f"{at}.{key}".lstrip("."), *kinds)


_KINDS = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def _checked(value: Any, at: str, *kinds: type) -> Any:
    # Not isinstance: true is an int.
    if type(value) not in kinds:
        shown = json.dumps(value, ensure_ascii=False)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        wanted = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
        raise _Misfit(f"{at or 'the whole'} is {shown}, not {wanted}")
    return value


def _language(row: Any, at: str, above: str) -> str:
    """'pt', 'en' or another code as the file has it: 'pt', 'pt-BR' and 'Brazilian Portuguese' are one."""
    said = _get(row, "language", at, str, missing="").strip().lower()
    if said.startswith(("pt", "por")) or "portug" in said:
        return "pt"
    return "en" if said.startswith("en") else said or above
