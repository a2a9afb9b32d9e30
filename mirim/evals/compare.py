"""The tuned model beside its base on held-out questions: figures, intervals, verdict, failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError
from mirim.core.files import write_jsonl
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import said
from mirim.evals import plots
from mirim.evals.held_out import Scored, ask_all, calibration_error, known
from mirim.evals.interval import Interval, bootstrap, paired, wilson
from mirim.evals.metrics import percentile
from mirim.examples.held import HeldOut, read_all
from mirim.models.resolve import BUNDLED, base_of, resolve

#: name → (what a question counts for, or None where it does not apply)
FIGURES: dict[str, Callable[[Scored], float | None]] = {
    "right (fact given, or unanswerable refused)": lambda r: r.good,
    "key fact held (answerable)": lambda r: r.fact,
    "refused (unanswerable)": lambda r: None if r.asked.answerable else float(r.answer.abstained),
    "refused (answerable)": lambda r: float(r.answer.abstained) if r.asked.answerable else None,
    "token F1": lambda r: r.f1,
    "exact match": lambda r: r.exact,
    "ROUGE-L": lambda r: r.rouge,
    "reference document cited": lambda r: r.right_document if not r.answer.abstained else None,
    "citations verified": lambda r: r.verified,
}
#: Figures where less is better.
LESS = {"refused (answerable)"}
SHORT = {
    "right (fact given, or unanswerable refused)": "right",
    "key fact held (answerable)": "key_fact",
    "refused (unanswerable)": "refused",
    "refused (answerable)": "refused_answerable",
    "token F1": "f1",
    "exact match": "exact_match",
    "ROUGE-L": "rouge_l",
    "reference document cited": "document_cited",
    "citations verified": "citations_verified",
}


def compare(
    project: Project, model: str, base: str, questions: Path | None, policy: str, limit: int, engine: str, seed: int
) -> Report:
    """Ask, score, compare; write reports/evaluate.* and reports/predictions.jsonl, and scores into the bundle.

    Anything but the project's own model, policy and questions beside its own base is written as evaluate-asked.* and
    predictions-asked.jsonl: what the model was built with stays what is known of it.
    """
    from mirim.assist.answer import Assistant

    given = {"model": model, "base": base, "questions": questions, "policy": policy, "limit": limit, "engine": engine}
    own = not said("evaluate", project, **given)
    asked, findings = known(project, _questions(project, questions, limit))
    if base not in ("", "none"):
        # Before anybody is asked: a name that is wrong would be found out after the last question.
        with Assistant.open(project, model=base, policy=policy, engine=engine):
            pass
    with Assistant.open(project, model=model, policy=policy, engine=engine) as assistant:
        name = assistant.model
        if _bundle(project, model) != project.model:
            _fit(project, assistant)
        tuned = ask_all(project, assistant, asked, f"evaluate {name}")
    other, other_name = _base(project, model, base, policy, engine, asked)
    rows, data = _figures(tuned, other, seed)
    main = data["figures"]["right"]
    verdict = str(main.get("verdict", "not compared"))
    report = _report(
        project, name, other_name, tuned, other, rows, data | {"verdict": verdict, "questions": len(asked)}, findings
    )
    report.save(project.reports, "evaluate" if own else "evaluate-asked")
    write_jsonl(project.reports / f"predictions{'' if own else '-asked'}.jsonl", (r.to_json() for r in tuned))
    if own and (project.model / "bundle.json").is_file():
        scores = {k: v["value"] for k, v in data["figures"].items() if "value" in v}
        Bundle.open(project.model).save(scores={**scores, "verdict": verdict, "questions": len(asked)})
    return report


def _questions(project: Project, path: Path | None, limit: int) -> list[HeldOut]:
    asked = read_all([path] if path else project.eval_files())
    if not asked:
        raise UsageError(
            f"no questions in {path or project.evals}; write lines "
            '{"id", "question", "answer", "answerable", "document"} there'
        )
    if limit and limit < len(asked):
        asked = [asked[int(i * len(asked) / limit)] for i in range(limit)]
    return asked


def _bundle(project: Project, model: str) -> Path | None:
    """The folder of a finished bundle that `model` names: the project's own, another of its own, or any."""
    for folder in (project.models / model, Path(model).expanduser()) if model else (project.model,):
        if (folder / "bundle.json").is_file():
            return project.model if folder.resolve() == project.model.resolve() else folder
    return project.model if model == "none" else None


def _fit(project: Project, assistant: Any) -> None:
    """A model that this project was not built with is calibrated as the project's own was, on the same questions."""
    from mirim.assist import calibrate

    if assistant.engine is not None:
        assistant.calibration, _ = calibrate.fit(assistant, calibrate.questions(project), calibrate.refused(project))


def _base(
    project: Project, model: str, base: str, policy: str, engine: str, asked: Sequence[HeldOut]
) -> tuple[list[Scored], str]:
    """The base's answers; none, with a note, when the one that the model was made of cannot be run here."""
    from mirim.assist.answer import Assistant

    if model == "none" and not base:
        return [], ""
    folder = _bundle(project, model)
    name = base or (_recorded(folder, project) if folder else "") or "none"
    if name == "none" and policy in ("grounded", "free"):
        note(f"search alone cannot write under the {policy} policy: {model or project.name} is reported alone")
        return [], ""
    try:
        with Assistant.open(project, model=name, policy=policy, engine=engine if name != "none" else "") as assistant:
            _fit(project, assistant)
            return ask_all(project, assistant, asked, f"evaluate {name}"), "search alone" if name == "none" else name
    except MirimError as error:
        if base:
            raise
        note(f"the base {name} cannot be asked ({error}); {model or project.name} is reported alone")
        return [], ""


def _recorded(folder: Path, project: Project) -> str:
    """The base that a bundle says it was made of, where it lies by now; '' where it says none."""
    made = Bundle.open(folder) if (folder / "bundle.json").is_file() else None
    if made is None or not made.adapter:
        return made.base if made else ""
    try:
        found = base_of(resolve(folder, project), project)
    except UsageError:
        # Asked by the name that is known, it says what is wrong with it.
        return made.base
    return made.base if found.path is None or made.base == BUNDLED else str(found.path)


def _figures(tuned: list[Scored], other: list[Scored], seed: int) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    rows: list[tuple[Any, ...]] = []
    data: dict[str, Any] = {}
    for name, figure in FIGURES.items():
        ours = _interval([v for r in tuned if (v := figure(r)) is not None], seed)
        # A figure that applies to no question is left out: JSON has no number for it.
        entry: dict[str, Any] = {"n": ours.n}
        if ours.n:
            entry |= {"value": ours.value, "low": ours.low, "high": ours.high}
        row: list[Any] = [name, _show(ours)]
        if other:
            theirs = _interval([v for r in other if (v := figure(r)) is not None], seed)
            both = [
                (a, b)
                for x, y in zip(tuned, other, strict=True)
                if (a := figure(x)) is not None and (b := figure(y)) is not None
            ]
            if theirs.n:
                entry["base"] = theirs.value
            row.append(_show(theirs))
            if both:
                sign = -1.0 if name in LESS else 1.0
                difference, verdict = paired([sign * a for a, _ in both], [sign * b for _, b in both], seed)
                ends = sorted((sign * difference.low, sign * difference.high))
                entry |= {
                    "difference": sign * difference.value,
                    "difference_low": ends[0],
                    "difference_high": ends[1],
                    "verdict": verdict,
                }
                shown = [round(v, 3) + 0.0 for v in (sign * difference.value, *ends)]
                row += ["{:+.3f} [{:+.3f}, {:+.3f}]".format(*shown), verdict]
            else:
                row += ["", ""]
        rows.append(tuple(row))
        data[SHORT[name]] = entry
    answered = [r for r in tuned if not r.answer.abstained]
    refused = [r for r in tuned if r.answer.abstained]
    unanswerable = sum(not r.asked.answerable for r in tuned)
    right = sum(not r.asked.answerable for r in refused)
    seconds = [r.answer.seconds for r in tuned]
    more = {
        "abstention": {
            "precision": right / len(refused) if refused else None,
            "recall": right / unanswerable if unanswerable else None,
        },
        "answered": len(answered),
        "calibration_error": calibration_error(tuned)[0] if answered else None,
        "brier": sum((r.answer.confidence - (r.good if r.asked.answerable else 0.0)) ** 2 for r in answered)
        / len(answered)
        if answered
        else None,
        "seconds": {"median": percentile(seconds, 0.5), "p95": percentile(seconds, 0.95)},
    }
    return rows, {"figures": data, **more}


def _interval(values: list[float], seed: int) -> Interval:
    if values and all(v in (0.0, 1.0) for v in values):
        return wilson(int(sum(values)), len(values))
    return bootstrap(values, seed)


def _show(interval: Interval) -> str:
    return "-" if not interval.n else str(interval)


def _report(
    project: Project,
    name: str,
    other_name: str,
    tuned: list[Scored],
    other: list[Scored],
    rows: list[tuple[Any, ...]],
    data: dict[str, Any],
    findings: list[Finding],
) -> Report:
    columns = ("figure", name) + ((other_name, "difference", "verdict") if other else ())
    tables = [Table("Figures", columns, tuple(rows)), _by("By language", tuned, lambda r: r.language)]
    tables.append(
        _by(
            "By format of the reference document",
            [r for r in tuned if r.asked.document],
            lambda r: r.asked.document.rpartition(".")[2],
        )
    )
    seconds = data["seconds"]
    rest = [
        ("abstention precision", data["abstention"]["precision"]),
        ("abstention recall", data["abstention"]["recall"]),
        ("expected calibration error", data["calibration_error"]),
        ("Brier score", data["brier"]),
        ("seconds, median", seconds["median"]),
        ("seconds, 95th percentile", seconds["p95"]),
    ]
    shown = tuple((k, "-" if v is None else v) for k, v in rest)
    tables.append(Table("Confidence and time", ("figure", "value"), shown))
    failures = [r for r in tuned if not r.good]
    tables.append(
        Table(
            "What went wrong",
            ("id", "question", "expected", "in", "given", "from", "confidence"),
            tuple(
                (
                    r.asked.id,
                    r.asked.question,
                    r.asked.answer[:200] if r.asked.answerable else "(refusal)",
                    r.asked.document or "-",
                    "(refused)" if r.answer.abstained else r.answer.answer[:200],
                    ", ".join(dict.fromkeys(c.source for c in r.answer.citations)) or "-",
                    f"{r.answer.confidence:.2f}",
                )
                for r in failures
            ),
        )
    )
    unverified = [r for r in tuned if r.verified is not None and r.verified < 1]
    if unverified:
        findings.append(
            Finding(
                "error",
                "citations",
                f"{len(unverified)} answers cite text that is not in the document",
                "type: mirim build (the index is older than the documents)",
            )
        )
    whisker_rows = [
        (
            n,
            [
                (system, _interval([v for r in scored if (v := FIGURES[n](r)) is not None], 0))
                for system, scored in ((name, tuned), (other_name, other))
                if scored
            ],
        )
        for n in FIGURES
    ]
    whisker_rows = [(n, [(s, i) for s, i in systems if i.n]) for n, systems in whisker_rows]
    figures = (
        plots.whiskers("Figures with 95 % intervals", [w for w in whisker_rows if w[1]]),
        plots.lines(
            "Confidence against truth",
            [("measured", calibration_error(tuned)[1]), ("ideal", [(0, 0), (1, 1)])],
            "confidence",
            "share right",
        ),
        plots.lines(
            "How right the surest answers are",
            [(name, _coverage(tuned))],
            "share of questions answered",
            "share of answers right",
        ),
    )
    against = f" Beside {other_name}: {data['verdict']}." if other else ""
    summary = f"{len(tuned)} held-out questions, asked of {name}: {sum(r.good for r in tuned):.0f} went right.{against}"
    return Report(f"Evaluation of {project.name}", summary, tuple(tables), tuple(findings), figures, data)


def _by(title: str, rows: list[Scored], key: Callable[[Scored], str]) -> Table:
    groups: dict[str, list[Scored]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    body = tuple((k, str(wilson(int(sum(r.good for r in g)), len(g)))) for k, g in sorted(groups.items()))
    return Table(title, ("group", "right"), body)


def _coverage(rows: list[Scored]) -> list[tuple[float, float]]:
    """(share of all questions answered, share of those right) as the surest answers are given first.

    It ends where the assistant refused: what it would have said there is not known.
    """
    given = sorted((r for r in rows if not r.answer.abstained), key=lambda r: -r.answer.confidence)
    points, right = [], 0.0
    for i, row in enumerate(given, 1):
        right += row.good if row.asked.answerable else 0.0
        points.append((i / len(rows), right / i))
    return points
