"""What `train` does, stage by stage: text, then examples, then a bundle."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pathlib import Path
from typing import Any, Literal

import torch

from mirim.core import stamp
from mirim.core.bundle import Bundle
from mirim.core.errors import UsageError
from mirim.core.files import read_jsonl, sha256_file, write_text
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.types import Example
from mirim.examples.render import render
from mirim.training import corpus as reading
from mirim.training import tokenizer as bpe
from mirim.training.adapt import load_base, with_lora
from mirim.training.card import card
from mirim.training.device import Device, detect
from mirim.training.loop import Result, Settings, fit, settings_row
from mirim.training.packing import Batch, Batches, Row, collate
from mirim.training.shape import PASSES, build, shape

#: Share of the text kept for validation, and rows of examples used for it.
HELD_TEXT, HELD_ROWS = 0.02, 400
#: Tokens of text mixed into the examples of a model from scratch, beside the examples' own.
REHEARSED = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything `train` was asked for, checked."""

    project: Project | None
    method: Literal["pretrain", "full", "lora"]
    base: str
    corpus: tuple[Path, ...]
    out: Path
    depth: int
    tokens: int
    vocab_size: int
    context: int
    steps: int
    epochs: float
    tasks: tuple[str, ...]
    batch_tokens: int
    learning_rate: float
    schedule: Literal["cosine", "wsd", "constant"]
    rank: int
    seed: int
    threads: int


def run(plan: Plan) -> Report:
    """Train, write the bundle, report. An up-to-date bundle is left as it is."""
    inputs = _inputs(plan)
    fingerprint = stamp.fingerprint(inputs)
    if (plan.out / "bundle.json").is_file():
        bundle = Bundle.open(plan.out)
        if bundle.lineage.get("run") == fingerprint:
            return Report(
                f"Trained {bundle.name}", "Up to date: nothing that it was made from has changed.", data=_data(bundle)
            )
    device = detect(plan.threads)
    work = plan.out.parent / f".train-{plan.out.name}"
    torch.use_deterministic_algorithms(True, warn_only=device.kind != "cpu")
    examples = [e for e in _examples(plan.project) if not plan.tasks or e.task in plan.tasks] if plan.project else []
    if plan.project and plan.method != "pretrain" and not examples:
        raise UsageError(
            f"{plan.project.examples} holds no training examples; type: mirim synth --project {plan.project.root}"
        )
    results: dict[str, Result] = {}
    rehearsal: list[Row] = []
    if plan.method == "pretrain":
        model, tokenizer, rehearsal = _pretrain(plan, device, work, fingerprint, results)
    else:
        model, tokenizer = load_base(plan.base, plan.project)
        if plan.method == "lora":
            model = with_lora(model, plan.rank, plan.seed)
    if examples:
        _tune(plan, device, work, fingerprint, model, tokenizer, examples, rehearsal, results)
    bundle = _save(plan, model, tokenizer, inputs, fingerprint, device, results)
    shutil.rmtree(work, ignore_errors=True)
    return Report(
        f"Trained {bundle.name}",
        f"{bundle.path} holds the model ({plan.method}, {_millions(model)} M parameters, {device.name}).",
        (_table(results),),
        data=_data(bundle) | {"stages": {k: _row(v) for k, v in results.items()}},
    )


def _inputs(plan: Plan) -> dict[str, Any]:
    """What decides the result, as hashes: settings, documents, examples, corpus, base."""
    settings = {k: v for k, v in asdict(plan).items() if k not in ("project", "corpus", "out", "threads", "base")}
    row: dict[str, Any] = {"settings": settings, "torch": torch.__version__}
    if plan.project:
        row["examples"] = stamp.fingerprint(plan.project.examples)
        if plan.method == "pretrain":
            row["documents"] = stamp.fingerprint(plan.project.documents)
    if plan.corpus:
        row["corpus"] = {p.name: sha256_file(p) for p in reading.files(plan.corpus)}
    if plan.base:
        base = Path(plan.base).expanduser()
        row["base"] = (
            stamp.fingerprint(*sorted(base.glob("*.safetensors")), base / "config.json") if base.is_dir() else plan.base
        )
    return row


def _pretrain(
    plan: Plan, device: Device, work: Path, run_id: str, results: dict[str, Result]
) -> tuple[Any, Any, list[Row]]:
    """The model after the text stage, its tokenizer, and some of the text to rehearse while it learns tasks."""
    files = reading.files(plan.corpus) if plan.corpus else []
    stored = sorted(plan.project.documents.glob("*.md")) if plan.project and plan.project.documents.is_dir() else []
    if not files and not stored:
        raise UsageError("there is no text to train on; type: mirim ingest PATH..., or pass --corpus")
    paths = [*files, *stored]

    def everything() -> Iterator[str]:
        yield from reading.texts(paths)
        if plan.project:
            # The examples' words belong to the vocabulary too, marks and all.
            yield from (m.content for e in _examples(plan.project) for m in e.messages)

    note("tokenizer: learning the vocabulary")
    tokenizer = bpe.train(everything(), plan.vocab_size)
    if len(tokenizer) < plan.vocab_size:
        note(f"tokenizer: the text gives {len(tokenizer)} tokens, fewer than the {plan.vocab_size} asked for")
    encode = tokenizer.backend_tokenizer
    rows: list[Row] = []
    for text in reading.texts(paths):
        ids = [*encode.encode(text, add_special_tokens=False).ids, tokenizer.pad_token_id]
        # A window opens where the last one ended, so that every token is learned once.
        rows += [
            Row(part, [True] * len(part))
            for at in range(0, len(ids), plan.context - 1)
            if len(part := ids[at : at + plan.context]) > 8
        ]
    if not rows:
        raise UsageError("the text is too short to train on (under 8 tokens)")
    held = rows[:: round(1 / HELD_TEXT)][:64] if len(rows) >= 100 else []
    kept = [r for i, r in enumerate(rows) if not held or i % round(1 / HELD_TEXT) or i // round(1 / HELD_TEXT) >= 64]
    size = shape(plan.depth)
    model = build(size, len(tokenizer), plan.context, tokenizer, plan.seed)
    amount = sum(len(r.ids) for r in kept)
    wanted = plan.tokens or min(20 * sum(p.numel() for p in model.parameters()), PASSES * amount)
    batch_tokens = plan.batch_tokens or size.batch_tokens
    sequences = max(1, batch_tokens // plan.context)
    steps = max(1, round(wanted / (sequences * plan.context)))
    settings = Settings(
        steps,
        plan.learning_rate or size.learning_rate,
        "wsd" if plan.schedule == "cosine" else plan.schedule,
        seed=plan.seed,
    )
    batches = Batches(kept, plan.context, sequences, plan.seed, tokenizer.pad_token_id)
    validation = _batches(held, plan.context, tokenizer.pad_token_id)
    results["text"] = fit(
        model,
        batches,
        settings,
        device,
        folder=work / "text",
        run=run_id + _id(settings),
        validation=validation,
        label="pretrain",
    )
    return model, tokenizer, kept


def _tune(
    plan: Plan,
    device: Device,
    work: Path,
    run_id: str,
    model: Any,
    tokenizer: Any,
    examples: list[Example],
    rehearsal: list[Row],
    results: dict[str, Result],
) -> None:
    train_rows: list[Row] = []
    held: list[Row] = []
    left_out = 0
    for example in examples:
        made = render(example, tokenizer, plan.context)
        if made is None:
            left_out += 1
            continue
        (held if example.split == "valid" else train_rows).append(Row(made.ids, made.mask))
    if left_out:
        note(
            f"{left_out} of {len(examples)} examples are longer than the context of {plan.context} tokens and were left out; raise --context to keep them"
        )
    if not train_rows:
        raise UsageError("no example is left to train on; type: mirim synth, or raise --context")
    # A model from scratch forgets how text goes on while it learns one-word answers, unless it rehearses.
    amount = REHEARSED * sum(len(r.ids) for r in train_rows)
    for row in rehearsal:
        if amount <= 0:
            break
        train_rows.append(row)
        amount -= len(row.ids)
    room = min(plan.context, max(512, max(len(r.ids) for r in train_rows)))
    width = int(getattr(model.config, "hidden_size", 512))
    batch_tokens = plan.batch_tokens or (4096 if width <= 512 else 8192)
    sequences = max(1, batch_tokens // room)
    batches = Batches(
        train_rows, room, sequences, plan.seed, tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    )
    steps = plan.steps or max(1, round(plan.epochs * batches.per_epoch))
    rates = {"pretrain": shape(plan.depth).learning_rate / 2, "full": 2e-5 if width > 512 else 2e-4, "lora": 2e-4}
    settings = Settings(
        steps,
        plan.learning_rate or rates[plan.method],
        plan.schedule,
        weight_decay=0.0 if plan.method == "lora" else 0.1,
        seed=plan.seed,
    )
    validation = _batches(held[:HELD_ROWS], room, batches.pad)
    results["examples"] = fit(
        model,
        batches,
        settings,
        device,
        folder=work / "examples",
        run=run_id + _id(settings),
        validation=validation,
        label="tune",
    )


def _batches(rows: list[Row], room: int, pad: int) -> list[Batch]:
    return [collate(rows, [[j] for j in range(i, min(i + 8, len(rows)))], room, pad) for i in range(0, len(rows), 8)]


def _examples(project: Project) -> Iterator[Example]:
    for path in sorted(project.examples.glob("*.jsonl")) if project.examples.is_dir() else []:
        for number, row in enumerate(read_jsonl(path), 1):
            try:
                yield Example.from_json(row)
            except (KeyError, TypeError) as error:
                raise UsageError(f"{path} line {number} is not an example ({error}); type: mirim synth") from error


def _save(
    plan: Plan,
    model: Any,
    tokenizer: Any,
    inputs: dict[str, Any],
    run_id: str,
    device: Device,
    results: dict[str, Result],
) -> Bundle:
    working = plan.out.parent / f".tmp-{plan.out.name}"
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    with quiet():
        model.to("cpu").save_pretrained(working, safe_serialization=True)
        tokenizer.save_pretrained(working)
    name = plan.project.name if plan.project else plan.out.name
    log = {k: _row(v) for k, v in results.items()}
    bundle = Bundle(
        path=working,
        name=name,
        base=plan.base,
        adapter=plan.method == "lora",
        method=plan.method,
        licence=str(plan.project.get("licence", "")) if plan.project else "",
        lineage={"run": run_id, **inputs},
    )
    write_text(working / "README.md", card(bundle, log, inputs, device.name))
    bundle.save()
    # The old model gives way only when the new one is whole.
    gone = plan.out.parent / f".old-{plan.out.name}"
    shutil.rmtree(gone, ignore_errors=True)
    if plan.out.exists():
        plan.out.rename(gone)
    working.rename(plan.out)
    shutil.rmtree(gone, ignore_errors=True)
    return Bundle.open(plan.out)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers prints bars and advice of its own."""
    level = logging.getLogger("transformers").level
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            yield
        finally:
            logging.getLogger("transformers").setLevel(level)


def _id(settings: Settings) -> str:
    return stamp.fingerprint(settings_row(settings))[:8]


def _row(result: Result) -> dict[str, Any]:
    row = {k: v for k, v in asdict(result).items() if k != "curve"}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def _table(results: dict[str, Result]) -> Table:
    rows = tuple(
        (
            name,
            r.steps,
            f"{r.tokens:,}",
            r.loss,
            "-" if r.validation is None else r.validation,
            f"{r.tokens_per_second:,.0f}",
            f"{r.utilisation:.0%}",
            f"{r.seconds:.0f}",
        )
        for name, r in results.items()
    )
    return Table(
        "Stages",
        ("learned", "steps", "tokens", "loss (nats)", "held-out loss", "tokens/s", "of matmul peak", "seconds"),
        rows,
    )


def _data(bundle: Bundle) -> dict[str, Any]:
    return {"model": str(bundle.path), "name": bundle.name, "method": bundle.method, "base": bundle.base}


def _millions(model: Any) -> str:
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}"
