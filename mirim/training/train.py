"""`mirim train`: from scratch on documents and examples, or by adapting a base, fully or with LoRA."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from mirim.core.errors import UsageError
from mirim.core.progress import note
from mirim.core.project import FILE, Project
from mirim.core.report import Report
from mirim.core.verbs import around, explicit, said, verb
from mirim.models.resolve import BUNDLED, bundled
from mirim.training.request import remembered

if TYPE_CHECKING:
    from mirim.training.recipe import Recipe

#: Depth of a model from scratch when nothing else is said.
DEPTH = 4
#: Options that a recipe does not take from the mirim.toml of the project that it happens to be called in.
OWN = ("base", "depth", "tokens", "rank", "batch_tokens", "learning_rate", "chat_template", "deduplicate", "stages")
#: Options that only a model from scratch looks at, and those that only a project's examples do.
SCRATCH = ("depth", "tokens", "vocab_size", "mix", "optimizer", "deduplicate")
EXAMPLES = ("steps", "epochs", "tasks")

Method = Literal["auto", "pretrain", "full", "lora"]


@verb
def train(
    project: Project | None = None,
    *,
    method: Method = "auto",
    base: str = "",
    corpus: tuple[Path, ...] = (),
    out: Path | None = None,
    depth: int | None = None,
    tokens: int = 0,
    vocab_size: int = 8192,
    context: int = 1024,
    steps: int = 0,
    epochs: float = 3.0,
    tasks: tuple[str, ...] = (),
    batch_tokens: int = 0,
    learning_rate: float = 0.0,
    schedule: Literal["auto", "cosine", "wsd", "constant", "linear"] = "auto",
    optimizer: Literal["adamw", "muon"] = "adamw",
    compiled: Literal["auto", "yes", "no"] = "auto",
    recipe: Path | None = None,
    stages: tuple[str, ...] = (),
    rank: int = 16,
    mix: tuple[str, ...] = (),
    deduplicate: Literal["exact", "near"] = "exact",
    chat_template: str = "",
    time_limit: float = 0.0,
    seed: int = 0,
    threads: int = 0,
) -> Report:
    """Train a model and write it as a bundle.

    In a project it learns data/examples (and, from scratch, first the documents' text) and lands in models/.
    Outside one, --method pretrain takes --corpus and --out.

    Args:
        method: pretrain (from scratch), full or lora (adapt a base); auto: lora on --base, or full on mirim-base.
        base: Model to adapt: a folder, a bundle, a hub name such as ibm-granite/granite-4.0-350m; default: mirim-base.
        corpus: Files or folders to pretrain on: .jsonl (with "text"), .jsonl.zst, .txt, .md.
        out: Folder to write the model to.
        depth: Size of a model from scratch; width, heads, learning rate follow from it. 4, or the recipe's.
        tokens: Tokens to pretrain on; 0 takes twenty a parameter, at most sixteen passes over the text.
        vocab_size: Largest vocabulary of a tokenizer from scratch.
        context: Longest sequence in tokens.
        steps: Steps of fine-tuning; 0 follows from epochs.
        epochs: Passes over the examples.
        tasks: Learn the examples of these tasks only, such as judge; all when empty.
        batch_tokens: Tokens a step; 0 follows from the model's size.
        learning_rate: Peak learning rate; 0 takes the method's.
        schedule: cosine, wsd (warm-up, stable, decay), linear or constant; auto is wsd for text, cosine for examples.
        optimizer: adamw, or muon for the matrices of a model from scratch, which learns more from the same tokens.
        compiled: Let torch.compile fuse a model from scratch, a quarter faster after a minute; auto: recipes, with g++.
        recipe: Stages, sources and shape of a base model in a TOML file; --corpus names the folder of its data.
        stages: Stages of the recipe to learn, all when empty; with --base, what goes on from there.
        rank: Rank of LoRA.
        mix: Weights of parts of the corpus, such as 'novels*=0.3' for files and 'lang:pt=2' for rows.
        deduplicate: Leave out repeated documents: exact, or near for almost equal ones too.
        chat_template: Jinja file that takes the place of the base's own template; plain is a simple built-in one.
        time_limit: Seconds after which training stops and keeps its state; the same line goes on. 0 is no limit.
        seed: Seed of everything random; 0 takes the project's.
        threads: Processor threads; 0 takes all.
    """
    given = {key: value for key, value in locals().items() if key != "project"}
    if project is None and out is None:
        try:
            project = Project.find()
        except UsageError as error:
            raise UsageError(f"{error}{'; outside a project --corpus needs --out DIR' if corpus else ''}") from error
    # A target inside a project may be that project's own model, however it was named.
    owner = project or around()
    written = None
    if recipe is not None:
        for key in _of_project(owner):
            given[key] = inspect.signature(train).parameters[key].default
        base, depth, tokens, rank = (given[key] for key in ("base", "depth", "tokens", "rank"))
        batch_tokens, learning_rate = given["batch_tokens"], given["learning_rate"]
        chat_template, deduplicate, stages = (given[key] for key in ("chat_template", "deduplicate", "stages"))
        if method in ("full", "lora") and said("train", project, method=method):
            raise UsageError(
                f"--method {method} adapts a base to a project's examples, and {recipe} is learned from scratch, or "
                "further from --base: leave out --method, or --recipe"
            )
        for flag in said(
            "train", project, mix=mix, optimizer=optimizer, schedule=schedule, context=context, vocab_size=vocab_size
        ):
            raise UsageError(f"{flag} is the recipe's own; write it into {recipe}")
        for flag in said("train", project, steps=steps, epochs=epochs, tasks=tasks, rank=rank):
            raise UsageError(f"{flag} is about a project's examples, which a recipe does not learn; leave it out")
        mix, optimizer, schedule, steps, epochs, tasks = (), "adamw", "auto", 0, 3.0, ()
        project, method, written = None, "pretrain", _recipe(recipe, corpus, out)
        depth = written.depth or None if depth is None else depth
        for name, own in (("depth", depth is not None), ("vocab_size", written.vocab_size > 0)):
            if not own and not base:
                raise UsageError(f"the recipe {recipe} lacks {name}; write it, or name a --base that has one")
        vocab_size, context = written.vocab_size or vocab_size, written.context
    elif stages:
        raise UsageError(f"--stages {' '.join(stages)} are a recipe's; name it: --recipe FILE")
    else:
        method, base = _method(project, method, base, scratch=bool(corpus) or depth is not None)
        _check(project, method, base, corpus)
        _check_flags(project, method, given)
    depth = DEPTH if depth is None else depth
    seed = seed or (project.seed if project else 0)
    for name, value, least in (
        ("depth", depth, 1),
        ("tokens", tokens, 0),
        ("vocab_size", vocab_size, 300),
        ("context", context, 64),
        ("rank", rank, 1),
        ("steps", steps, 0),
        ("batch_tokens", batch_tokens, 0),
        ("learning_rate", learning_rate, 0),
        ("time_limit", time_limit, 0),
        ("threads", threads, 0),
        ("seed", seed, 0),
    ):
        if not value >= least:
            raise UsageError(f"--{name.replace('_', '-')} {value} is too small; at least {least}")
    if not 0 < epochs < float("inf"):
        raise UsageError(f"--epochs {epochs} is not a number of passes above 0")
    if seed >= 2**63:
        raise UsageError(f"--seed {seed} is too large; it has to be below 2**63, {2**63}")
    # Deterministic kernels on CUDA need this before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from mirim.core.extras import need

    with _whole_imports():
        need("torch", "train")
        need("transformers", "train")
        from mirim.training.loss import compiles
        from mirim.training.stages import Plan, run

    fused = compiled == "yes" or (compiled == "auto" and recipe is not None)
    if fused and not compiles():
        if compiled == "yes":
            raise UsageError("--compiled yes needs a C++ compiler, and there is none: install g++, or leave it out")
        note("there is no C++ compiler to fuse the model with (g++): it learns as it is, a quarter slower")
        fused = False
    target = out or (project.model if project else Path())
    plan = Plan(
        project=project,
        method=cast(Any, method),
        base=base,
        corpus=corpus,
        out=target.expanduser().resolve(),
        depth=depth,
        tokens=tokens,
        vocab_size=vocab_size,
        context=context,
        steps=steps,
        epochs=epochs,
        tasks=tasks,
        batch_tokens=batch_tokens,
        learning_rate=learning_rate,
        schedule=schedule,
        optimizer=optimizer,
        compiled=fused,
        rank=rank,
        mix=mix,
        deduplicate=deduplicate,
        chat_template=chat_template,
        seed=seed,
        threads=threads,
        deadline=time.monotonic() + time_limit if time_limit else float("inf"),
        recipe=written,
        stages=stages,
    )
    home = owner if owner is not None and plan.out == owner.model.resolve() else None
    with remembered(home, given):
        return run(plan)


@contextlib.contextmanager
def _whole_imports() -> Iterator[None]:
    """Let Ctrl-C wait for the libraries: torch swallows it while it imports NumPy, and goes on with half of that."""
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def _recipe(path: Path, corpus: tuple[Path, ...], out: Path | None) -> Recipe:
    if len(corpus) != 1 or not corpus[0].is_dir() or out is None:
        raise UsageError("--recipe needs --corpus DIR, the one folder that its paths are below, and --out DIR")
    from mirim.training.recipe import load

    return load(path)


def _method(project: Project | None, method: Method, base: str, *, scratch: bool) -> tuple[Method, str]:
    """(what `method` comes to, the base to adapt or '')."""
    if method == "auto":
        # A base of 35 million parameters is adapted whole: LoRA saves little there. A depth is a model from scratch's.
        own = project is not None and not scratch and base in ("", BUNDLED) and bundled()
        method = "full" if own else "lora" if base else "pretrain"
    if method in ("full", "lora") and not base and bundled():
        base = BUNDLED
    if method == "pretrain" and base and project is not None:
        # mirim.toml may settle pretraining while a person names a base for once.
        note(f"a base is named: {base} is adapted with LoRA, nothing is trained from scratch")
        method = "lora"
    return method, base


def _of_project(owner: Project | None) -> list[str]:
    """Keys of mirim.toml that say how the project's own model is made: a recipe that a flag names is another one."""
    table = owner.tables.get("train", {}) if owner else {}
    if "recipe" in table:
        return []
    found = [
        key for key in OWN if key in table and key not in explicit() and f"MIRIM_TRAIN_{key.upper()}" not in os.environ
    ]
    if found and owner:
        note(
            f"{', '.join(found)} under [train] in {owner.root / FILE}: about the project's own model, and left out "
            "here; a flag would change the recipe"
        )
    return found


def _check_flags(project: Project | None, method: str, given: dict[str, Any]) -> None:
    """UsageError for a flag that the method would not look at; what mirim.toml says may be for another."""
    for flag in said("train", project, rank=given["rank"]) if method != "lora" else ():
        raise UsageError(f"{flag} is LoRA's, and --method {method} has none; leave it out, or choose --method lora")
    scratch = {key: given[key] for key in SCRATCH}
    for flag in said("train", project, **scratch) if method != "pretrain" else ():
        raise UsageError(
            f"{flag} is of a model from scratch, and --method {method} adapts a base; leave it out, or choose "
            "--method pretrain"
        )
    for flag in said("train", None, **{key: given[key] for key in EXAMPLES}) if project is None else ():
        raise UsageError(f"{flag} is about a project's examples, and there is no project; leave it out (--tokens N)")


def _check(project: Project | None, method: str, base: str, corpus: tuple[Path, ...]) -> None:
    """UsageError when the method lacks what it learns from, or was given what it would not look at."""
    if method != "pretrain":
        if project is None:
            raise UsageError(
                f"--method {method} learns a project's examples; pass --project DIR, "
                "or --method pretrain with --corpus and --out"
            )
        if not base:
            raise UsageError(
                f"--method {method} adapts a base: pass --base FOLDER_OR_HUB_NAME, "
                "or --method pretrain to start from scratch"
            )
        if corpus:
            raise UsageError(f"--method {method} learns examples and would not read --corpus; leave it out")
    elif project is None and not corpus:
        raise UsageError("nothing to train on: pass --corpus FILE_OR_DIR..., or --project DIR")
    elif base:
        raise UsageError("--method pretrain starts from scratch and would not use --base; choose lora or full")
