"""A recipe: a base model from public text and task sets, in stages, written down so that one command makes it again.

    mirim train --method pretrain --recipe recipes/mirim-base.toml --corpus DATA --out DIR
    mirim train --method pretrain --recipe recipes/mirim-base.toml --corpus DATA --out DIR --base REF --stages mixed

The second line goes on from a base, in some of the stages.

Paths in a recipe are below the folder that --corpus names; those that begin with "./" lie beside the recipe. Each
stage mixes running text with task examples and exercises in its own share; the stages share one model, one vocabulary
and one set of tokens on disk.
"""

from __future__ import annotations

import math
import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch

from mirim.core.errors import UsageError, suggest
from mirim.core.progress import note
from mirim.examples import sets
from mirim.models.pointing import TASKS
from mirim.training import corpus as reading
from mirim.training import pointing, shards, tasks
from mirim.training import tokenizer as bpe
from mirim.training.adapt import load_base
from mirim.training.device import Device, wait, world
from mirim.training.echoes import Echoes
from mirim.training.loop import Result, Settings, fit
from mirim.training.mixture import Mixture, Part
from mirim.training.packing import Batches
from mirim.training.pretrain import load_tokenizer, singly
from mirim.training.schedule import Schedule
from mirim.training.shape import batch_tokens, build, shape

if TYPE_CHECKING:
    from mirim.training.stages import Plan

#: Characters that the vocabulary is learned from, and the share of task rows that joins them.
SAMPLE, SAMPLED_TASKS = 40_000_000, 0.05
#: Steps over which the first stage's learning rate rises, and the share of a short stage's that they are at most.
WARMUP, RISING = 100, 0.2


@dataclass(frozen=True, slots=True)
class Text:
    """A file of running text, or several beside the recipe ("./texts/*.jsonl"). `weight` is how often a pass takes each
    document; `licence` and `origin` of a file whose rows do not say."""

    path: str
    weight: float = 1.0
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Tasks:
    """A file of task rows, or several beside the recipe: at most `most` of each (0: all), each learned `weight` times a
    pass; conversations of all questions about a passage `together` times as often, those about each of its sentences
    `apart` times as often, and to ask such questions and to say them as a whole `asks` times as often; of the questions
    that were asked in vain, a share of `vain`; with `points`, a stage of `pointing` learns from them;
    `licence` and `origin` of a file whose rows do not say."""

    path: str
    most: int = 0
    weight: float = 1.0
    together: float = 1.0
    apart: float = 0.0
    vain: float = 1.0
    asks: float = 0.0
    points: bool = False
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the run.

    share           of the run's tokens
    context         tokens a sequence
    tasks           share of this stage's tokens that are task examples and exercises
    echoes          share that says the same tokens again (mirim.training.echoes)
    whole           learn the prompts of examples too, not the answers alone
    learning_rate   times the recipe's
    keep            share of the weights before the stage that is kept after it: the mean of both forgets less than it
                    loses of what was learned (Wortsman et al. 2022, arXiv 2109.01903)
    batch           tokens a step, where it is not as many as in the rest of the run
    pointing        rank of an adapter that learns to point at answers (mirim.training.pointing), 0: the stage is none
                    of these. It learns nothing else, and the model itself stays as it is
    task            what such a stage points at: read, answers in passages; tools, what requests say for parameters
    """

    name: str
    share: float
    context: int
    tasks: float = 0.0
    echoes: float = 0.0
    whole: bool = False
    learning_rate: float = 1.0
    schedule: Schedule = "constant"
    keep: float = 0.0
    batch: int = 0
    pointing: int = 0
    task: str = "read"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe file holds. `short` is how often a pass takes the questions about a passage of few sentences.

    `depth` and `vocab_size` are those of a model from scratch: a base has its own, and its recipe may leave them out.
    """

    name: str
    licence: str
    tokens: int
    context: int
    learning_rate: float
    optimizer: Literal["adamw", "muon"]
    drills: int
    quizzes: int
    calls: int
    short: float
    text: tuple[Text, ...]
    tasks: tuple[Tasks, ...]
    stages: tuple[Stage, ...]
    depth: int = 0
    vocab_size: int = 0
    #: Where the recipe lies; no part of what decides a run.
    folder: Path = Path()

    def find(self, root: Path, path: str) -> Path:
        """Where a file that the recipe names is."""
        return (self.folder if path.startswith("./") else root) / path


T = TypeVar("T", Text, Tasks, Stage)


def load(path: Path) -> Recipe:
    """Read a recipe; UsageError names what is missing, unknown or of the wrong kind."""
    try:
        row = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the recipe {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the recipe {path} is not TOML: {error}") from error
    row["text"] = _tables(path, row, "text", Text)
    row["tasks"] = _tables(path, row, "tasks", Tasks)
    row["stages"] = _tables(path, row, "stages", Stage)
    known = {f.name for f in fields(Recipe)} - {"folder"}
    for key in row.keys() - known:
        raise UsageError(f'the recipe {path} has an unknown key "{key}"{suggest(key, known)}')
    needed = {f.name for f in fields(Recipe) if f.default is MISSING}
    for key in sorted(needed - row.keys()):
        raise UsageError(f"the recipe {path} lacks {key}")
    _check_kinds(path, "", row, Recipe)
    recipe = Recipe(**row, folder=path.parent)
    if not recipe.text or not recipe.stages:
        raise UsageError(f"the recipe {path} needs at least one [[text]] and one [[stages]]")
    names = [stage.name for stage in recipe.stages]
    if odd := [name for name in names if not re.fullmatch(r"\w[\w-]*", name)]:
        raise UsageError(
            f'the recipe {path} has a stage "{odd[0]}"; its checkpoints lie in a folder of that name: letters, digits '
            "and hyphens"
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f'the recipe {path} has two stages "{twice}"; each needs a name of its own')
    for stage in recipe.stages:
        if stage.share <= 0 or stage.context < 16:
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": share {stage.share:g} and context {stage.context}; a stage '
                "needs a share above 0 and a context of at least 16"
            )
        if stage.context > recipe.context:
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": context {stage.context} is more than the model\'s, '
                f"{recipe.context}; write context = {stage.context} at the top, or a smaller one into the stage"
            )
        if stage.tasks and not (recipe.tasks or recipe.drills or recipe.quizzes or recipe.calls):
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": {stage.tasks:g} of its tokens are to be tasks, and it has '
                "none; add [[tasks]], drills, quizzes or calls"
            )
        if stage.pointing and not any(source.points for source in recipe.tasks):
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": it is to learn pointing, and no [[tasks]] says points = true'
            )
        if stage.task not in TASKS:
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": task "{stage.task}" cannot be pointed at'
                f"{suggest(stage.task, TASKS)}; {' and '.join(TASKS)} can"
            )
        if stage.keep >= 1:
            raise UsageError(f'the recipe {path}, stage "{stage.name}": keep {stage.keep:g} is a share below 1')
        if stage.tasks + stage.echoes > 1:
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": tasks {stage.tasks:g} and echoes {stage.echoes:g} are '
                "shares of its tokens, together at most 1"
            )
    for stage, after in pairwise(recipe.stages):
        if stage.pointing and not after.pointing:
            raise UsageError(
                f'the recipe {path}, stage "{stage.name}": it learns pointing, by the weights as they are then, and '
                f'"{after.name}" would change them; write stages with pointing last'
            )
    total = sum(stage.share for stage in recipe.stages)
    if abs(total - 1) > 1e-6:
        raise UsageError(f"the shares of the stages in {path} sum to {total:g}, not to 1")
    return recipe


def _tables(path: Path, row: dict[str, Any], key: str, kind: type[T]) -> tuple[T, ...]:
    known = {f.name for f in fields(kind)}
    found = []
    tables = row.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"the recipe {path}: {key} is no list of tables; write [[{key}]]")
    for table in tables:
        for word in table.keys() - known:
            raise UsageError(f'the recipe {path} has an unknown key "{word}" in [[{key}]]{suggest(word, known)}')
        try:
            _check_kinds(path, f", [[{key}]]", table, kind)
            found += _each(path, kind(**table))
        except TypeError as error:
            raise UsageError(f"the recipe {path}, [[{key}]]: {error}") from error
    return tuple(found)


def _each(path: Path, one: T) -> list[T]:
    """As often as files beside the recipe have a name of its pattern."""
    if isinstance(one, Stage) or not one.path.startswith("./") or not set("*?[") & set(one.path):
        return [one]
    try:
        files = sorted(path.parent.glob(one.path))
    except ValueError as error:
        raise UsageError(f"the recipe {path} names {one.path}, which is no pattern: {error}") from error
    if not files:
        raise UsageError(f"the recipe {path} names {one.path}, and no file beside it has a name like that")
    return [replace(one, path=f"./{file.relative_to(path.parent)}") for file in files]


def _check_kinds(path: Path, where: str, row: dict[str, Any], kind: type) -> None:
    """UsageError for a value that is of another kind than its field, not one of its words, or below zero."""
    for key, wanted in get_type_hints(kind).items():
        if key not in row or get_origin(wanted) is tuple:
            continue
        value = row[key]
        if get_origin(wanted) is Literal:
            if value not in get_args(wanted):
                raise UsageError(f'the recipe {path}{where}: {key} "{value}" is none of {", ".join(get_args(wanted))}')
            continue
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise UsageError(f"the recipe {path}{where}: {key} is {value!r}, not of the kind {wanted.__name__}")
        if isinstance(value, (int, float)) and not 0 <= value < math.inf:
            why = "it cannot be less than 0" if value < 0 else "it is to be a number"
            raise UsageError(f"the recipe {path}{where}: {key} is {value}; {why}")


def files(recipe: Recipe, root: Path) -> list[Path]:
    """All files that a recipe reads; UsageError names those that are not there."""
    paths = [recipe.find(root, path) for path in (*(t.path for t in recipe.text), *(t.path for t in recipe.tasks))]
    if missing := [p for p in paths if not p.is_file()]:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"{missing[0]}{rest} that the recipe names is not there; --corpus names the folder of the data"
        )
    return paths


def learn(
    plan: Plan, recipe: Recipe, device: Device, work: Path, run: str, results: dict[str, Result]
) -> tuple[Any, Any]:
    """(model, tokenizer) after every stage. What was prepared stays in `work`, from which a rerun goes on."""
    # A wrong name shows before the text is read.
    root, stages = plan.corpus[0], chosen(recipe, plan.stages)
    if world()[0] == 0:
        _prepare(recipe, root, work, plan, text=not all(stage.pointing for stage in stages))
        if any(stage.tasks for stage in stages):
            tasks.write(work / "tasks", recipe, root, load_tokenizer(work), plan.seed)
    wait()
    tokenizer = load_tokenizer(work)
    if plan.base:
        model = load_base(plan.base, None, plan.chat_template)[0]
    else:
        model = build(shape(plan.depth), len(tokenizer), recipe.context, tokenizer, plan.seed)
    tokens = plan.tokens or recipe.tokens
    for number, stage in enumerate(stages):
        if stage.pointing:
            share = round(stage.share * tokens)
            results[stage.name] = pointing.learn(plan, recipe, stage, model, tokenizer, device, work, run, share)
            continue
        text, held = shards.Shard.split(work / "shard", stage.context)
        echoes = Echoes(text, stage.context, plan.seed + number)
        parts = [
            Part(echoes, echoes.lengths, echoes.weights, stage.echoes),
            Part(text, text.lengths, text.weights, 1 - stage.tasks - stage.echoes),
        ]
        watched = list(held)
        if stage.tasks:
            some = tasks.Tasks.open(work / "tasks", stage.whole)
            # The same in every stage, whatever fits into its context: what one watches none learns.
            learned, kept = tasks.held_out(len(some))
            drawn, watched = some.take(learned).within(stage.context), list(some.take(kept).within(stage.context))
            parts.append(Part(drawn, drawn.lengths, drawn.weights, stage.tasks))
        rows = Mixture(parts)
        sequences = max(1, (stage.batch or plan.batch_tokens or batch_tokens(tokens)) // stage.context)
        batches = Batches(
            rows, stage.context, sequences, plan.seed, tokenizer.pad_token_id, weights=rows.weights, full=plan.compiled
        )
        # Of a small corpus the last batch of a pass, or the only one, is far from full.
        steps = max(1, round(stage.share * tokens / rows.weight * batches.per_epoch))
        settings = Settings(
            steps,
            (plan.learning_rate or recipe.learning_rate) * stage.learning_rate,
            stage.schedule,
            # Steps, not a share of them, but in a short run: the rate is to fall in it too.
            warmup=min(RISING, (WARMUP if number == 0 else WARMUP // 4) / steps),
            micro=max(1, device.tokens_at_once(model) // stage.context),
            seed=plan.seed + number,
            optimizer=recipe.optimizer,
            compiled=plan.compiled,
        )
        former = [p.detach().clone() for p in model.parameters()] if stage.keep else []
        results[stage.name] = fit(
            model,
            batches,
            settings,
            device,
            folder=work / stage.name,
            run=run,
            validation=singly(watched, stage.context, tokenizer.pad_token_id),
            label=stage.name,
            deadline=plan.deadline,
        )
        # Checkpoints hold what was learned, so that a rerun comes to the same mean.
        with torch.no_grad():
            for new, old in zip(model.parameters(), former, strict=bool(former)):
                new.lerp_(old.to(new.device), stage.keep)
    return model, tokenizer


def chosen(recipe: Recipe, names: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of these names, all when there are none, their shares summing to 1. UsageError for another name."""
    known = [stage.name for stage in recipe.stages]
    for name in names:
        if name not in known:
            raise UsageError(f'the recipe has no stage "{name}"{suggest(name, known)}; it has {", ".join(known)}')
    found = [stage for stage in recipe.stages if not names or stage.name in names]
    total = sum(stage.share for stage in found)
    return tuple(replace(stage, share=stage.share / total) for stage in found)


def _prepare(recipe: Recipe, root: Path, work: Path, plan: Plan, text: bool) -> None:
    """The tokenizer and, where a stage learns it, the text's tokens."""
    folder = work / "tokenizer"
    documents = reading.Corpus(
        [recipe.find(root, source.path) for source in recipe.text],
        near=plan.deduplicate == "near",
        weights=[source.weight for source in recipe.text],
    )
    if not (folder / "tokenizer.json").is_file():
        if plan.base:
            tokenizer = load_base(plan.base, None, plan.chat_template)[1]
        else:
            note("tokenizer: learning the vocabulary")
            tokenizer = bpe.train(_words(recipe, root, documents, plan.seed), recipe.vocab_size)
        working = work / ".tmp-tokenizer"
        tokenizer.save_pretrained(working)
        working.rename(folder)
    if text:
        shards.write(work / "shard", documents, load_tokenizer(work), documents.documents or None)


def _words(recipe: Recipe, root: Path, documents: reading.Corpus, seed: int) -> Iterator[str]:
    yield from documents.sample(SAMPLE)
    rng = random.Random(seed)
    for source in recipe.tasks:
        for example in sets.read(recipe.find(root, source.path), source.most, seed):
            if rng.random() < SAMPLED_TASKS:
                yield from (m.content for m in example.messages)
