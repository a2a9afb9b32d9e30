"""`mirim build`: from documents to a proven model. Skips what is up to date; resumes what was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.core import stamp
from mirim.core.errors import GateRefused, MirimError
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import verb

#: Errors of a stage that are listed.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the build. `inputs` fingerprints what it reads; `outputs` must exist for it to be up to date."""

    name: str
    run: Callable[[], Any]
    inputs: Callable[[], str]
    outputs: tuple[Path, ...]


@verb
def build(project: Project, *, base: str = "") -> Report:
    """Ingest, audit, synth, train, export, make vectors, calibrate and evaluate, each only when its inputs changed.

    Args:
        base: Model to adapt, a folder or a hub name; without one mirim.toml decides.
    """
    from mirim.assist.calibrate import calibrate
    from mirim.assist.nearness import embed
    from mirim.audit.audit import audit
    from mirim.documents.ingest import ingest
    from mirim.evals.evaluate import evaluate
    from mirim.examples.synth import synth
    from mirim.models.export import export
    from mirim.training.train import train

    model, gguf = project.model, project.model / "gguf"
    given: dict[str, Any] = {"base": base} if base else {}
    stages = [
        Stage("ingest", lambda: ingest(project), lambda: "", ()),
        Stage(
            "audit",
            lambda: audit(project),
            lambda: _of(project, "audit", project.documents, project.evals, project.root / "seeds"),
            (project.reports / "audit.json",),
        ),
        Stage(
            "synth",
            lambda: synth(project),
            lambda: _of(project, "synth", project.documents, project.evals, project.root / "seeds"),
            (project.examples,),
        ),
        Stage("train", lambda: train(project, **given), lambda: "", ()),
        Stage(
            "export",
            lambda: export(project),
            lambda: _of(project, "export", _weights(model)),
            (gguf, model / "reports" / "parity.json"),
        ),
        Stage("vectors", lambda: embed(project), lambda: "", ()),
        Stage(
            "calibrate",
            lambda: calibrate(project),
            lambda: _of(project, "calibrate", _weights(model), gguf, project.examples, project.vectors, _rows(project)),
            (model / "knowledge.db",),
        ),
        Stage(
            "evaluate",
            lambda: evaluate(project),
            lambda: _of(project, "evaluate", _weights(model), gguf, project.evals, _rows(project), _answering(model)),
            (project.reports / "evaluate.json",),
        ),
    ]
    rows: list[dict[str, Any]] = []
    errors: list[Finding] = []
    refused: GateRefused | None = None
    for number, stage in enumerate(stages, 1):
        if stage.name == "evaluate" and not project.eval_files():
            note(f"no questions in {project.evals}: the model is built but not evaluated; see docs/evaluate.md")
            continue
        try:
            row, found = _run(project, stage, f"[{number}/{len(stages)}] {stage.name}")
            rows.append(row)
            errors += found
        except GateRefused as error:
            # What passed its gate is built to the end; the refusal still decides the exit code.
            if stage.name != "export" or not any(gguf.glob("*.gguf")):
                raise
            refused = error
            rows.append({"stage": stage.name, "state": "refused in part", "seconds": 0.0})
            note(str(error))
    table = Table("Stages", ("stage", "state", "seconds"), tuple((r["stage"], r["state"], r["seconds"]) for r in rows))
    summary = f"{model} is ready. Type: mirim chat {project.flag}   or: mirim serve {project.flag}"
    scores = _scores(model)
    tables = (table, Table("Held-out questions", ("figure", "value"), tuple(scores.items()))) if scores else (table,)
    data = {"model": str(model), "stages": rows, "scores": scores}
    report = Report(f"Built {project.name}", summary, tables, tuple(errors), data=data)
    if refused is not None:
        raise GateRefused(str(refused), report=report)
    return report


def _run(project: Project, stage: Stage, label: str) -> tuple[dict[str, Any], list[Finding]]:
    """A row of the report, and the errors that the stage found: files that were not read, secrets in documents."""
    path = project.stamps / f"{stage.name}.json"
    inputs = stage.inputs()
    if inputs and stamp.fresh(path, inputs):
        note(f"{label}: up to date")
        return {"stage": stage.name, "state": "up to date", "seconds": 0.0}, []
    note(label)
    started = time.monotonic()
    try:
        done = stage.run()
    except MirimError as error:
        raise type(error)(f"{stage.name}: {error}", report=error.report) from error
    seconds = time.monotonic() - started
    if inputs:
        # The inputs as they were before the stage ran: what changed meanwhile makes it run again.
        stamp.write(path, inputs, list(stage.outputs))
    errors = [f for f in getattr(done, "findings", ()) if f.severity == "error"]
    first = [f"; errors: {len(errors)}, the first: {f.where}: {f.what}" for f in errors[:1]]
    note("".join([f"{label}: done in {seconds:.1f} s", *first]))
    if len(errors) > _SHOWN:
        more = f"{len(errors) - _SHOWN} further errors are not listed"
        errors = [*errors[:_SHOWN], Finding("error", stage.name, more, f"type: mirim {stage.name} {project.flag}")]
    return {"stage": stage.name, "state": "done", "seconds": round(seconds, 1)}, errors


def _of(project: Project, verb_name: str, *parts: Any) -> str:
    return stamp.fingerprint(verb_name, project.tables.get(verb_name, {}), project.tables.get("project", {}), *parts)


def _weights(model: Path) -> list[Any]:
    names = ("config.json", "adapter_config.json", "tokenizer.json", "chat_template.jinja")
    files = [model / n for n in names] + sorted(model.glob("*.safetensors"))
    return [f.name for f in files] + [f for f in files]


def _rows(project: Project) -> str:
    """The index by content: its file holds pages in an order that says nothing."""
    from mirim.documents.search import Index

    with Index.open(project.index) as index:
        return index.fingerprint()


def _answering(model: Path) -> Any:
    from mirim.core.bundle import Bundle

    return Bundle.open(model).answering


def _scores(model: Path) -> dict[str, Any]:
    from mirim.core.bundle import Bundle

    return {k: v for k, v in Bundle.open(model).scores.items() if isinstance(v, int | float | str)}
