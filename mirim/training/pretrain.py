"""From scratch: a vocabulary and a Llama-shaped model learn the text of a corpus and of a project's documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import UsageError
from mirim.core.progress import note
from mirim.training import corpus as reading
from mirim.training import shards
from mirim.training import tokenizer as bpe
from mirim.training.device import Device, wait, world
from mirim.training.loop import Result, Settings, fit
from mirim.training.packing import Batch, Batches, Row, collate
from mirim.training.shape import PASSES, Shape, batch_tokens, build, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirim.training.stages import Plan

#: Characters that a vocabulary is learned from; more change it little and cost memory.
SAMPLE = 100_000_000


def pretrain(
    plan: Plan, device: Device, work: Path, run: str, answers: Sequence[str], results: dict[str, Result]
) -> tuple[Any, Any, shards.Shard | None]:
    """(the model after the text stage, its tokenizer, the text it learned).

    `answers` are the words of the examples: they belong to the vocabulary too. Without any text the model keeps
    its random weights and everything is left to the examples. What was prepared stays in `work` for a rerun.
    """
    documents = _documents(plan)
    if not documents and not answers:
        raise UsageError("there is no text to train on; type: mirim ingest PATH..., or pass --corpus FILE_OR_DIR")
    if world()[0] == 0:
        _prepare(plan, work, documents, answers)
    wait()
    tokenizer = load_tokenizer(work)
    size = shape(plan.depth)
    _check_room(plan.depth, size.parameters(len(tokenizer)), device)
    model = build(size, len(tokenizer), plan.context, tokenizer, plan.seed)
    if documents is None:
        return model, tokenizer, None
    rows, held = shards.Shard.split(work / "shard", plan.context)
    most = PASSES * rows.weight
    wanted = plan.tokens or min(20 * sum(p.numel() for p in model.parameters()), most)
    if wanted > most:
        note(
            f"--tokens {wanted:,} is {wanted / rows.weight:,.0f} passes over the text, which has {rows.weight:,.0f} "
            f"tokens; after {PASSES} more of them hardly help: --tokens {most:.0f}, or more text with --corpus"
        )
    sequences = max(1, (plan.batch_tokens or batch_tokens(wanted)) // plan.context)
    batches = Batches(
        rows, plan.context, sequences, plan.seed, tokenizer.pad_token_id, weights=rows.weights, full=plan.compiled
    )
    # Of a small corpus the last batch of a pass, or the only one, is far from full.
    steps = max(1, round(wanted / rows.weight * batches.per_epoch))
    results["text"] = fit(
        model,
        batches,
        _settings(plan, device, size, model, steps),
        device,
        folder=work / "text",
        run=run,
        validation=singly(held, plan.context, tokenizer.pad_token_id),
        label="pretrain",
        deadline=plan.deadline,
    )
    return model, tokenizer, rows


def _check_room(depth: int, parameters: int, device: Device) -> None:
    """UsageError where weights, gradients and moments alone, 16 bytes a parameter, are more than the memory: the system
    would end the process without a word."""
    if (needed := 16 * parameters) > device.memory:
        raise UsageError(
            f"--depth {depth} is a model of {parameters / 1e6:,.0f} M parameters, and learning it takes "
            f"{needed / 1e9:,.0f} GB; {device.name} has {device.memory / 1e9:,.0f}: choose a smaller --depth"
        )


def _documents(plan: Plan) -> reading.Corpus | None:
    """Everything to read, None when there is nothing."""
    files = reading.files(plan.corpus, plan.out) if plan.corpus else []
    stored = sorted(plan.project.documents.glob("*.md")) if plan.project and plan.project.documents.is_dir() else []
    paths = [*files, *stored]
    return reading.Corpus(paths, plan.mix, near=plan.deduplicate == "near") if paths else None


def _prepare(plan: Plan, work: Path, documents: reading.Corpus | None, answers: Sequence[str]) -> None:
    """Learn the vocabulary and write the tokens, unless a former run did."""
    folder = work / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        note("tokenizer: learning the vocabulary")
        tokenizer = bpe.train(_words(documents, answers), plan.vocab_size)
        if len(tokenizer) < plan.vocab_size:
            note(f"tokenizer: the text gives {len(tokenizer)} tokens, fewer than the {plan.vocab_size} asked for")
        working = work / ".tmp-tokenizer"
        tokenizer.save_pretrained(working)
        working.rename(folder)
    if documents is not None:
        shards.write(work / "shard", documents, load_tokenizer(work), documents.documents or None)
        for count, what in ((documents.exact, "repeated"), (documents.alike, "almost repeated")):
            if count:
                note(f"corpus: {count:,} documents that {what} others were left out")


def _words(documents: reading.Corpus | None, answers: Sequence[str]) -> Iterator[str]:
    text = documents.sample(SAMPLE) if documents is not None else iter(())
    found = False
    for piece in chain(text, answers):
        found = found or bool(piece.strip())
        yield piece
    if not found:
        raise UsageError("there is no text to train on: every document is empty")


def load_tokenizer(work: Path) -> Any:
    """The vocabulary that a run learned."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    tokenizer.name_or_path = ""
    return tokenizer


def _settings(plan: Plan, device: Device, size: Shape, model: Any, steps: int) -> Settings:
    """From the shape and what the plan insists on."""
    return Settings(
        steps,
        plan.learning_rate or size.learning_rate,
        "wsd" if plan.schedule == "auto" else plan.schedule,
        micro=max(1, device.tokens_at_once(model) // plan.context),
        seed=plan.seed,
        optimizer=plan.optimizer,
        compiled=plan.compiled,
    )


def singly(rows: Sequence[Row], room: int, pad: int) -> list[Batch]:
    """Rows for validation, unpacked, eight a batch."""
    return [collate(rows, [[j] for j in range(i, min(i + 8, len(rows)))], room, pad) for i in range(0, len(rows), 8)]
