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
from safetensors import SafetensorError

from mirim.core import stamp
from mirim.core.bundle import FILE, Bundle
from mirim.core.errors import MirimError, UsageError, suggest
from mirim.core.files import numbered_jsonl, read_json, sha256_file, write_json, write_text
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.types import Example
from mirim.examples.template import CHATML
from mirim.models import refusing
from mirim.models.engine import open_engine
from mirim.models.pointing import FOLDER, learned
from mirim.models.read import ANSWERS
from mirim.training import checkpoint
from mirim.training import corpus as reading
from mirim.training.adapt import base_card, base_inputs, base_points, load_base, locate, with_lora
from mirim.training.card import card
from mirim.training.device import Device, detect, join, wait, world
from mirim.training.finetune import finetune
from mirim.training.loop import LOG, Result
from mirim.training.pretrain import pretrain
from mirim.training.recipe import Recipe, chosen, learn
from mirim.training.recipe import files as recipe_files
from mirim.training.sources import attribution
from mirim.training.workspace import Workspace

#: Options that say how to run and not what comes out.
APART = ("project", "corpus", "out", "threads", "base", "deadline", "chat_template")
#: What other verbs add to a bundle, or people write anew: a model without it is whole.
ADDED = ("gguf", "knowledge.db", "vectors.npz", "README.md")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything `train` was asked for, checked. `deadline` is a time.monotonic()."""

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
    schedule: Literal["auto", "cosine", "wsd", "constant", "linear"]
    optimizer: Literal["adamw", "muon"]
    compiled: bool
    rank: int
    mix: tuple[str, ...]
    deduplicate: Literal["exact", "near"]
    chat_template: str
    seed: int
    threads: int
    deadline: float
    recipe: Recipe | None = None
    stages: tuple[str, ...] = ()


def run(plan: Plan) -> Report:
    """Train, write the bundle, report. An up-to-date bundle is left as it is."""
    _check_words(plan)
    inputs = _inputs(plan)
    fingerprint = stamp.fingerprint(inputs)
    if bundle := _up_to_date(plan.out, fingerprint):
        return Report(
            f"Trained {bundle.name}", "Up to date: nothing that it was made from has changed.", data=_data(bundle)
        )
    place = Workspace(plan.out)
    place.check()
    with place.alone() if world()[0] == 0 else contextlib.nullcontext():
        return _learned(plan, place, inputs, fingerprint)


def _check_words(plan: Plan) -> None:
    """UsageError for names and weights that mean nothing, and for what is not mirim's where the model is to be: a slip
    shows before anything is read or set aside."""
    for word in plan.mix:
        reading.Rule.parse(word)
    if plan.recipe is not None:
        chosen(plan.recipe, plan.stages)
    if (out := str(plan.out)) != _spoken(out):
        raise UsageError(
            f"the path {_spoken(out)} is not UTF-8, and its model could not be loaded; name another: --out DIR"
        )
    if plan.out.is_file() or (plan.out.is_dir() and any(plan.out.iterdir()) and not (plan.out / FILE).is_file()):
        raise UsageError(
            f"{out} exists and is not a bundle of mirim; name a new folder, so that nothing of yours is lost"
        )


def _learned(plan: Plan, place: Workspace, inputs: dict[str, Any], fingerprint: str) -> Report:
    """Every stage, and the bundle that comes of it."""
    device = detect(plan.threads)
    join(device)
    device.settle(exact=not plan.compiled)
    examples = _examples(plan)
    # What cannot be trained on is refused before an interrupted run of other settings makes room.
    if plan.method != "pretrain":
        model, tokenizer = load_base(plan.base, plan.project, plan.chat_template)
        if plan.method == "lora":
            model = with_lora(model, plan.rank, plan.seed)
    if world()[0] == 0:
        place.claim(fingerprint)
    wait()
    work = place.folder
    results: dict[str, Result] = {}
    text = None
    if plan.recipe is not None:
        model, tokenizer = learn(plan, plan.recipe, device, work, fingerprint, results)
    elif plan.method == "pretrain":
        words = [m.content for e in examples for m in e.messages]
        model, tokenizer, text = pretrain(plan, device, work, fingerprint, words, results)
    if examples:
        results["examples"] = finetune(plan, device, work, fingerprint, model, tokenizer, examples, text)
    if world()[0] == 0:
        tasks = {example.task for example in examples}
        _save(plan, model, tokenizer, inputs, fingerprint, device, results, tasks)
    wait()
    bundle = Bundle.open(plan.out)
    return Report(
        f"Trained {bundle.name}",
        f"{bundle.path} holds the model ({plan.method}, {_millions(model)} M parameters, {device.name}).",
        (_table(results),),
        data=_data(bundle) | {"stages": {k: _row(v) for k, v in results.items()}},
    )


def _inputs(plan: Plan) -> dict[str, Any]:
    """What decides the result, as hashes: settings, documents, examples, corpus, base."""
    settings = {k: v for k, v in asdict(plan).items() if k not in APART}
    row: dict[str, Any] = {"settings": settings, "torch": torch.__version__}
    if plan.project:
        row["examples"] = stamp.fingerprint(plan.project.examples)
        if plan.method == "pretrain":
            row["documents"] = stamp.fingerprint(plan.project.documents)
    if plan.recipe is not None:
        del settings["recipe"]["folder"]
        row["corpus"] = [[p.name, sha256_file(p)] for p in recipe_files(plan.recipe, plan.corpus[0])]
    elif plan.corpus:
        # Files of one name in two folders are two files.
        row["corpus"] = [[p.name, sha256_file(p)] for p in reading.files(plan.corpus, plan.out)]
    if plan.base:
        row["base"] = base_inputs(plan.base, plan.project)
    if plan.chat_template:
        template = Path(plan.chat_template).expanduser()
        row["chat_template"] = stamp.fingerprint(template) if template.is_file() else plan.chat_template
    return dict(_spoken(row))


def _spoken(value: Any) -> Any:
    """JSON as a card and files in UTF-8 can hold it: names of files may be of any bytes, which are spelt out then."""
    if isinstance(value, dict):
        return {k: _spoken(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_spoken(v) for v in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _up_to_date(out: Path, fingerprint: str) -> Bundle | None:
    """The bundle at `out` when it was made from these inputs."""
    if (out / FILE).is_file():
        bundle = Bundle.open(out)
        own = [name for name in bundle.files if name.partition("/")[0] not in ADDED]
        missing = [name for name in own if not (out / name).is_file()]
        if bundle.lineage.get("run") == fingerprint and not missing:
            return bundle
        if bundle.lineage.get("run") == fingerprint:
            note(f"{out / missing[0]} is gone; the model is made again")
            return None
        note(f"{out} holds a model of other settings or data; the new one takes its place when it is done")
        return None
    return None


def _examples(plan: Plan) -> list[Example]:
    """The project's examples of the chosen tasks; UsageError when a base has nothing to learn."""
    if plan.project is None:
        return []
    found = list(_stored(plan.project))
    known = {e.task for e in found}
    for task in plan.tasks if found else ():
        if task not in known:
            raise UsageError(f'no example is of task "{task}"{suggest(task, known)}')
    chosen = [e for e in found if not plan.tasks or e.task in plan.tasks]
    if not any(e.split != "valid" for e in chosen) and plan.method != "pretrain":
        raise UsageError(f"{plan.project.examples} holds no training examples; type: mirim synth {plan.project.flag}")
    return chosen


def _stored(project: Project) -> Iterator[Example]:
    for path in sorted(project.examples.glob("*.jsonl")) if project.examples.is_dir() else []:
        for number, row in numbered_jsonl(path):
            try:
                yield Example.from_json(row)
            except (KeyError, TypeError, AttributeError) as error:
                raise UsageError(f"{path} line {number} is not an example ({error}); type: mirim synth") from error


def _save(
    plan: Plan,
    model: Any,
    tokenizer: Any,
    inputs: dict[str, Any],
    run_id: str,
    device: Device,
    results: dict[str, Result],
    tasks: set[str],
) -> None:
    place = Workspace(plan.out)
    working, work = plan.out.parent / f".tmp-{plan.out.name}", place.folder
    shutil.rmtree(working, ignore_errors=True)
    name = plan.project.name if plan.project else plan.out.name
    bundle = Bundle(
        path=working,
        name=name,
        base=locate(plan.base, plan.project) if plan.base else "",
        adapter=plan.method == "lora",
        method=plan.method,
        licence=_licence(plan),
        lineage={"run": run_id, **inputs},
    )
    try:
        working.mkdir(parents=True)
        if plan.method == "lora":
            # A bundled base is learned on a copy in this machine's cache, a path that no other has.
            model.active_peft_config.base_model_name_or_path = bundle.base
        with quiet():
            model.to("cpu").save_pretrained(
                working, **({"save_embedding_layers": False} if plan.method == "lora" else {})
            )
            tokenizer.save_pretrained(working)
        _portable(working)
        for task, folder in _points(plan, work, tasks).items():
            shutil.copytree(folder, working / FOLDER / task)
        for stage in results:
            (working / "reports").mkdir(exist_ok=True)
            shutil.copyfile(work / stage / LOG, working / "reports" / f"training-{stage}.jsonl")
        rows = {k: _row(v) for k, v in results.items()}
        sources = attribution(plan.recipe, plan.corpus[0]) if plan.recipe else ""
        former = base_card(plan.base, plan.project) if plan.base else ""
        both = {"former" if plan.recipe else "based": former}
        write_text(working / "README.md", _spoken(card(bundle, rows, inputs, device.name, sources, **both)))
        bundle.save()
        if "examples" in results and tokenizer.chat_template == CHATML:
            bundle.save(reading=_reading(working, plan.project))
        # The old model gives way only when the new one is whole.
        gone = plan.out.parent / f".old-{plan.out.name}"
        shutil.rmtree(gone, ignore_errors=True)
        if plan.out.exists():
            plan.out.rename(gone)
        working.rename(plan.out)
    except (OSError, SafetensorError, MirimError) as error:
        shutil.rmtree(working, ignore_errors=True)
        raise checkpoint.failed(error, plan.out) from error
    shutil.rmtree(gone, ignore_errors=True)
    place.clear()


def _reading(folder: Path, project: Project | None) -> dict[str, float]:
    """From which odds of an answer on the tuned model gives one: where it refuses as often as its base, but no higher
    than the base's. None where its context holds too few questions."""
    try:
        with contextlib.closing(open_engine(folder, project=project, exact=True, pointing="")) as engine:
            answers = refusing.bound(engine)
    except UsageError as error:
        note(f"how readily the model refuses could not be measured, and stays as its base's: {error}")
        return {}
    return {} if answers is None else {"answers": min(answers, ANSWERS)}


def _points(plan: Plan, work: Path, tasks: set[str]) -> dict[str, Path]:
    """What the model points with: what it learned to, and what its base did where its weights are still near enough.

    A model that learned `tasks` knows better what these want: its calls, above all, may say what no request does."""
    if plan.recipe is None:
        kept = {} if plan.chat_template or not plan.base else base_points(plan.base, plan.project)
        return {task: folder for task, folder in kept.items() if task not in tasks}
    only = plan.base and all(stage.pointing for stage in chosen(plan.recipe, plan.stages))
    kept = base_points(plan.base, plan.project) if only else {}
    return kept | (learned(work / FOLDER) if (work / FOLDER).is_dir() else {})


def _licence(plan: Plan) -> str:
    if plan.recipe is not None:
        return plan.recipe.licence
    return str(plan.project.get("licence", "")) if plan.project else ""


def _portable(folder: Path) -> None:
    """What transformers wrote, as every version of it since 4 reads it, and to be read by whoever reads the rest."""
    row = read_json(folder / "tokenizer_config.json")
    if isinstance(row.get("extra_special_tokens"), list):
        row["additional_special_tokens"] = row.pop("extra_special_tokens")
    if row.get("tokenizer_class") == "TokenizersBackend":
        row["tokenizer_class"] = "PreTrainedTokenizerFast"
    if row.get("tokenizer_class") == "PreTrainedTokenizerFast":
        # By itself that class gives the kinds of tokens too, which no decoder takes.
        row.setdefault("model_input_names", ["input_ids", "attention_mask"])
    for key in ("backend", "is_local", "local_files_only"):
        row.pop(key, None)
    write_json(folder / "tokenizer_config.json", row)
    if (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        rope = config.get("rope_parameters") or {}
        if "rope_theta" in rope:
            # Version 4 looks for it here, and where it is not takes its own.
            config["rope_theta"] = rope["rope_theta"]
            config |= {} if rope.get("rope_type", "default") == "default" else {"rope_scaling": rope}
            write_json(folder / "config.json", config)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)


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
            f"{r.utilisation:.0%} of {r.peak / 1e9:,.0f} GFLOP/s",
            f"{r.seconds:.0f}",
        )
        for name, r in results.items()
    )
    return Table(
        "Stages",
        ("learned", "steps", "tokens", "loss (nats)", "held-out loss", "tokens/s", "matmul peak reached", "seconds"),
        rows,
    )


def _data(bundle: Bundle) -> dict[str, Any]:
    return {"model": str(bundle.path), "name": bundle.name, "method": bundle.method, "base": bundle.base}


def _millions(model: Any) -> str:
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}"
