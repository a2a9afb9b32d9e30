"""`mirim build`: from documents to a proven model. Skips what is up to date; resumes what was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim import VERBS
from mirim.core import stamp
from mirim.core.bundle import FILE as BUNDLE
from mirim.core.bundle import Bundle
from mirim.core.errors import GateRefused, MirimError, UsageError
from mirim.core.files import read_json
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import configured, verb
from mirim.models.engine import best_gguf
from mirim.models.resolve import BUNDLED, base_of, resolve
from mirim.training.request import WHICH, recall, remember, spell

#: Errors of a stage that are listed.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the build.

    inputs   fingerprint of what it reads; '' where it finds out by itself what is up to date
    outputs  what it makes: replaced or gone, it is made again
    report   where its report lies, whose errors are said again while it is up to date
    """

    name: str
    run: Callable[[], Any]
    inputs: Callable[[], str] = lambda: ""
    outputs: tuple[Path, ...] = ()
    report: Path | None = None


@verb
def build(project: Project, *, base: str = "") -> Report:
    """Ingest, audit, synth, train, export, make vectors, calibrate and evaluate, each only when its inputs changed.

    Args:
        base: Model to adapt, a folder or a hub name; without one mirim.toml decides, then what was asked for last.
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
    _check_quants(project)
    if base:
        # Whatever ends this build early, the next one goes on with this base.
        remember(project, {"base": base})
    asked = project.tables.get("ask", {})
    stages = [
        Stage("ingest", lambda: ingest(project)),
        Stage(
            "audit",
            lambda: audit(project),
            lambda: _of(project, "audit", "licence language", project.documents, project.evals, project.root / "seeds"),
            (project.reports / "audit.json",),
            project.reports / "audit.json",
        ),
        Stage("synth", lambda: synth(project)),
        Stage("train", lambda: train(project, **({"base": base} if base else _former(project)))),
        Stage(
            "export",
            lambda: export(project),
            lambda: _of(project, "export", "", _weights(model), asked.get("policy")),
            (gguf, model / "reports" / "parity.json"),
        ),
        Stage("vectors", lambda: embed(project)),
        Stage(
            "calibrate",
            lambda: calibrate(project),
            lambda: _of(
                project,
                "calibrate",
                "language contact",
                _weights(model),
                gguf,
                project.examples,
                project.vectors,
                _rows(project),
                _learned(),
                asked,
            ),
            (model / "knowledge.db",),
        ),
        Stage(
            "evaluate",
            lambda: evaluate(project),
            lambda: _of(
                project,
                "evaluate",
                "language contact",
                _weights(model),
                gguf,
                project.evals,
                _rows(project),
                _learned(),
                _answering(model),
                asked,
            ),
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
            # What passed its gate is built to the end.
            runs = best_gguf(model) if stage.name == "export" else None
            if runs is None:
                raise
            kept = f"{error}; {runs.name} passed, and is what runs"
            rows.append({"stage": stage.name, "state": "refused in part", "seconds": 0.0})
            note(kept)
            if "quant" in configured("export", project):
                # A type that somebody asked for decides the exit code; the default asks for whatever passes.
                refused = GateRefused(kept)
            else:
                hint = f'write quant = ["{runs.stem}"] under [export] in mirim.toml to try no other'
                errors.append(Finding("warning", "export", kept.removeprefix("export: "), hint))
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
        if why := stamp.refusal(path):
            note(f"{label}: refused before, and nothing has changed; to try again: mirim {stage.name} {project.flag}")
            raise GateRefused(f"{stage.name}: {why}")
        rows = read_json(stage.report).get("findings", ()) if stage.report else ()
        errors = [Finding(**row) for row in rows if row["severity"] == "error"]
        note(f"{label}: up to date{_first(errors)}")
        return {"stage": stage.name, "state": "up to date", "seconds": 0.0}, _listed(project, stage, errors)
    note(label)
    started = time.monotonic()
    try:
        done = stage.run()
    except MirimError as error:
        if inputs and isinstance(error, GateRefused):
            # The gate would say the same after the same work.
            stamp.write(path, inputs, list(stage.outputs), refused=str(error))
        raise type(error)(f"{stage.name}: {error}", report=error.report) from error
    seconds = time.monotonic() - started
    if inputs:
        # The inputs as they were before the stage ran: what changed meanwhile makes it run again.
        stamp.write(path, inputs, list(stage.outputs))
    errors = [f for f in getattr(done, "findings", ()) if f.severity == "error"]
    note(f"{label}: done in {seconds:.1f} s{_first(errors)}")
    return {"stage": stage.name, "state": "done", "seconds": round(seconds, 1)}, _listed(project, stage, errors)


def _first(errors: list[Finding]) -> str:
    return f"; errors: {len(errors)}, the first: {errors[0].where}: {errors[0].what}" if errors else ""


def _listed(project: Project, stage: Stage, errors: list[Finding]) -> list[Finding]:
    if len(errors) <= _SHOWN:
        return errors
    more = f"{len(errors) - _SHOWN} further errors are not listed"
    return [*errors[:_SHOWN], Finding("error", stage.name, more, f"type: mirim {stage.name} {project.flag}")]


def _check_quants(project: Project) -> None:
    """A slip in the quantisations shows before hours of training, not after."""
    from mirim.models import quantise

    for quant in configured("export", project).get("quant", ()):
        for name in filter(str.strip, quant.split(",")):
            try:
                quantise.check(name)
            except UsageError as error:
                raise UsageError(f"export: quant: {error}") from error


def _former(project: Project) -> dict[str, Any]:
    """How the model was asked for last, where nobody says what to train now: hours of training are not replaced by the
    way. UsageError for one from scratch of which nothing is known."""
    asked = recall(project)
    if asked is None:
        asked = _of_bundle(project)
    base = asked.get("base", "")
    if Path(base).is_absolute() and not Path(base).exists() and (project.model / BUNDLE).is_file():
        # The project was moved, with the base in it or beside it.
        model = resolve(project.model, project)
        asked |= {"base": str(base_of(model, project).path)} if model.base == base else {}
    if asked and asked != {"base": BUNDLED}:
        note(
            f"{project.model} is trained as it was last: {spell(asked)}; for another type: "
            f"mirim build --base REF {project.flag}, or write it under [train] in mirim.toml"
        )
    return asked


def _of_bundle(project: Project) -> dict[str, Any]:
    """What a bundle tells of how it was trained, where it came here by other ways."""
    said = configured("train", project)
    if not (project.model / BUNDLE).is_file() or said.get("method", "auto") == "pretrain":
        return {}
    if any(said.get(key) for key in WHICH if key != "method"):
        return {}
    former = Bundle.open(project.model)
    if former.method == "pretrain":
        raise UsageError(
            f"{project.model} was trained from scratch, nothing here says how, and building would replace it; move it "
            f"away to keep it, or type: mirim build --base {BUNDLED} {project.flag}, or write under [train] in "
            'mirim.toml how to train it, such as method = "pretrain"'
        )
    own = said.get("method", "auto") == "auto" and former.method in ("full", "lora")
    method = {"method": former.method} if own and (former.base, former.method) != (BUNDLED, "full") else {}
    return method if former.base in ("", BUNDLED) else {"base": former.base, **method}


def _of(project: Project, name: str, keys: str, *parts: Any) -> str:
    """Fingerprint of a stage's options, of those keys of [project] that it reads, and of its other inputs."""
    options = sorted(configured(name, project).items()) if name in VERBS else []
    return stamp.fingerprint(name, options, [[key, project.get(key)] for key in keys.split()], *parts)


def _weights(model: Path) -> list[Any]:
    names = ("config.json", "adapter_config.json", "tokenizer.json", "chat_template.jinja")
    files = [model / n for n in names] + sorted(model.glob("*.safetensors"))
    return [f.name for f in files] + [f for f in files]


def _learned() -> list[Path]:
    """What mirim itself learned and answers come from: another release brings other numbers, and other answers."""
    own = Path(__file__).parent
    return [own / "assist" / "weights.json", own / "models" / "answers.json", *sorted((own / "models").glob("*.npz"))]


def _rows(project: Project) -> str:
    """The index by content: its file holds pages in an order that says nothing."""
    from mirim.documents.search import Index

    with Index.open(project.index) as index:
        return index.fingerprint()


def _answering(model: Path) -> Any:
    return Bundle.open(model).answering


def _scores(model: Path) -> dict[str, Any]:
    return {k: v for k, v in Bundle.open(model).scores.items() if isinstance(v, int | float | str)}
