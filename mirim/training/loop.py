"""The one training loop: pretraining, full fine-tuning and LoRA differ only in the model and the rows.

It knows nothing of projects, tokenizers or bundles: a model, a stream of batches, and settings go in.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from mirim.core import progress
from mirim.core.errors import MirimError
from mirim.core.files import read_jsonl, write_jsonl
from mirim.training import checkpoint
from mirim.training.device import Device, keep_memory, matmul_peak, summed, world
from mirim.training.loss import Loss
from mirim.training.muon import Muon
from mirim.training.packing import Batch, Batches, ahead
from mirim.training.schedule import Schedule, factor

LOG = "training.jsonl"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    steps            optimiser steps
    learning_rate    peak
    micro            sequences that go through the model at once, 0 for the whole batch. The loss is a mean over
                     all learned tokens of the step, so that 8 times 1 equals once 8
    clip             largest gradient norm
    every            seconds between checkpoints; 0 for none but on Ctrl-C
    optimizer        adamw, or muon: Muon for the matrices inside the model, AdamW for the rest
    compiled         let torch.compile fuse the model: about a quarter faster after a minute of compiling
    """

    steps: int
    learning_rate: float
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    micro: int = 0
    clip: float = 1.0
    every: float = 30.0
    seed: int = 0
    optimizer: Literal["adamw", "muon"] = "adamw"
    compiled: bool = False


@dataclass(slots=True)
class Result:
    """What a run gave. `loss` is the mean over the last tenth of the steps, in nats a token.

    tokens        that went through the model, padding included; `learned` those that were predicted
    utilisation   share of the measured matrix-multiply peak that the model's own products reached
    """

    steps: int
    tokens: int
    learned: int
    seconds: float
    loss: float
    validation: float | None = None
    tokens_per_second: float = 0.0
    utilisation: float = 0.0
    peak: float = 0.0
    resumed_at: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spent:
    """What steps took, compiling left out, over all sessions of a run: seconds and tokens, learned ones, and pairs of
    tokens that attend to one another."""

    seconds: float = 0.0
    tokens: int = 0
    learned: int = 0
    pairs: int = 0

    def more(self, seconds: float, tokens: int, learned: int, pairs: int) -> Spent:
        return Spent(self.seconds + seconds, self.tokens + tokens, self.learned + learned, self.pairs + pairs)


def fit(
    model: Any,
    batches: Batches,
    settings: Settings,
    device: Device,
    *,
    folder: Path,
    run: str,
    validation: list[Batch] | None = None,
    label: str = "train",
    deadline: float = float("inf"),
    loss: type[Loss] = Loss,
) -> Result:
    """Train `model` in place, for the `loss` of its next words or another; checkpoints and the log go to `folder`, and
    a run with the same fingerprint resumes.

    `run` identifies the settings and the data: a checkpoint of another run is not used. Ctrl-C ends the step
    and keeps a checkpoint; so does passing `deadline` (of time.monotonic), which raises MirimError, as does a
    loss that stops being a number.
    """
    device.settle(exact=not settings.compiled)
    # Every value is written before it is read; filling fresh memory for the sake of a mistake costs a twentieth.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.kind == "cpu":
        keep_memory()
    model.to(device.torch).train()
    rank, size = world()
    compute = loss(model, compiled=settings.compiled)
    optimizers = _optimizer(model, settings, device)
    step, seen, learned, losses = 0, 0, 0, []
    spent = Spent()
    if found := checkpoint.latest(folder, run):
        state = checkpoint.load(found, model, optimizers)
        step, seen, learned, losses = state["step"], state["tokens"], state["learned"], list(state["losses"])
        spent = Spent(**state.get("spent", {}))
        batches.state = state["data"]
        progress.note(f"{label}: going on at step {step} of {settings.steps}")
    first, before = step, spent
    parameters = list(checkpoint.trainable(model).values())
    place = batches.state

    def keep() -> float:
        """Write a checkpoint; the seconds it took."""
        at = time.monotonic()
        if rank == 0:
            row = {"run": run, "step": step, "data": place, "tokens": seen, "learned": learned}
            row["spent"] = asdict(spent)
            checkpoint.save(folder, model, optimizers, {**row, "losses": losses})
        return time.monotonic() - at

    began = saved = last = time.monotonic()
    bar = progress.bar(label, settings.steps) if rank == 0 else contextlib.nullcontext(progress.SilentTask())
    every = settings.every
    with (
        compute.attending(),
        narrow(model, device),
        bar as shown,
        _log(folder, step, rank) as log,
        _stopping(label) as stopped,
        contextlib.closing(ahead(batches, 2 if device.kind == "cuda" else 0)) as stream,
    ):
        shown.advance(step)
        while step < settings.steps:
            # Dropout follows from the step alone, so a resumed run draws what an uninterrupted one would.
            torch.manual_seed((settings.seed * 1_000_003 + step) % 2**63)
            batch, place = next(stream)
            rate = settings.learning_rate * factor(step, settings.steps, settings.schedule, settings.warmup)
            for group in (g for o in optimizers for g in o.param_groups):
                group["lr"] = rate
            count = batch.tokens
            part = batch.shard(rank, size) if size > 1 else batch
            sums = []
            for piece in part.split(settings.micro or len(part.ids)):
                with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
                    sums.append(compute.backward(piece, 1.0 / max(count, 1)))
            _reduce(parameters, size)
            clipped = torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
            # Read once everything is on its way to a GPU: reading waits for it.
            lost, norm = summed(float(sum(sums)), device) / max(count, 1), float(clipped)
            if lost != lost or lost in (float("inf"), float("-inf")):
                raise MirimError(
                    f"{label}: the loss is {lost} at step {step}; lower --learning-rate ({settings.learning_rate:g}) "
                    "and run again"
                )
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            step, seen, learned = step + 1, seen + batch.ids.numel(), learned + count
            losses.append(lost)
            now = time.monotonic()
            # Compiling is no learning: speed is that of the steps after the first.
            if not (settings.compiled and step == first + 1 < settings.steps):
                # A token sees itself and those before it in its row.
                pairs = batch.positions.numel() + int(batch.positions.sum())
                spent = spent.more(now - last, batch.ids.numel(), count, pairs)
            last = now
            speed = (spent.tokens - before.tokens) / max(spent.seconds - before.seconds, 1e-9)
            log({"step": step, "loss": lost, "lr": rate, "norm": norm, "tokens_per_second": round(speed)})
            shown.advance(1, note=f"loss {lost:.3f}, {speed:,.0f} tokens/s")
            if step == settings.steps:
                break
            late = summed(float(now > deadline), device) > 0 if deadline < float("inf") else False
            # Of several processes each hears it at its own time, and one that went on alone would wait for the others.
            halted = summed(float(stopped()), device) > 0 if size > 1 else stopped()
            if halted or late or (every and now - saved > every):
                # A large state on a slow disk: a twentieth of the time at most.
                every = max(settings.every, 20 * keep())
                saved = time.monotonic()
            if halted:
                progress.note(f"{label}: stopped at step {step} of {settings.steps}; run the same line again to go on")
                raise KeyboardInterrupt
            if late:
                raise MirimError(
                    f"{label}: the time limit came at step {step} of {settings.steps}; the state is kept, run the "
                    "same line again to go on"
                )
        ended = time.monotonic()
        if (settings.every or stopped()) and step > first:
            # The next stage of a run that is interrupted there need not learn this one again.
            keep()
        if stopped():
            # In the last step, or while its state was written: the stages after this one are not wanted either.
            raise KeyboardInterrupt
    model.eval()
    tail = losses[-max(1, len(losses) // 10) :]
    result = Result(step, seen, learned, ended - began, sum(tail) / max(len(tail), 1), resumed_at=first)
    result.tokens_per_second = spent.tokens / max(spent.seconds, 1e-9)
    result.peak = matmul_peak(device) * size
    body, head, pair = model_flops(model)
    flops = body * spent.tokens + head * spent.learned + pair * spent.pairs
    result.utilisation = flops / max(spent.seconds, 1e-9) / result.peak
    result.curve = [(i + 1, losses[i]) for i in range(0, len(losses), max(1, len(losses) // 100))]
    if validation:
        with (
            compute.attending(),
            narrow(model, device),
            torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16),
        ):
            result.validation = compute.mean(validation)
        model.eval()
    return result


@contextlib.contextmanager
def narrow(model: Any, device: Device) -> Iterator[None]:
    """On a GPU that trains in bfloat16, let what flows between the layers be bfloat16 too: autocast narrows products
    alone, and the sums between them would move twice the bytes."""
    if device.kind != "cuda" or not device.bf16:
        yield
        return
    hook = model.get_input_embeddings().register_forward_hook(lambda _, __, found: found.to(torch.bfloat16))
    try:
        yield
    finally:
        hook.remove()


def model_flops(model: Any) -> tuple[float, float, float]:
    """Floating-point operations of training: for a token; for a learned one besides, in the head; and for each token
    that a token attends to, itself among them.

    Two for each weight that multiplies in the forward pass, two for the gradient of its input and, where it is
    learned, two for its own (Kaplan et al. 2020). Look-ups multiply nothing. Attention multiplies queries with keys and
    weights with values, and three times as much in both passes (Chowdhery et al. 2022, appendix B; there as if every
    token saw a whole context, here what it does see). What an implementation computes beside that does not count.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = inner.get_output_embeddings()
    tables = {id(m.weight) for m in inner.modules() if isinstance(m, torch.nn.Embedding)}
    outer = {id(p) for p in head.parameters()} | tables
    body = sum(
        p.numel() * (6 if p.requires_grad else 4) for p in inner.parameters() if p.dim() == 2 and id(p) not in outer
    )
    c = inner.config
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    pair = 12 * c.num_hidden_layers * c.num_attention_heads * size
    return float(body), float(head.weight.numel() * (6 if head.weight.requires_grad else 4)), float(pair)


def _optimizer(model: Any, settings: Settings, device: Device) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov and Hutter 2019), where matrices decay and vectors do not; Muon takes the inner matrices."""
    named = checkpoint.trainable(model)
    inner: list[torch.nn.Parameter] = []
    if settings.optimizer == "muon":
        tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
        tables |= {id(p) for p in (model.get_output_embeddings() or torch.nn.Module()).parameters()}
        inner = [p for p in named.values() if p.dim() == 2 and id(p) not in tables]
    taken = {id(p) for p in inner}
    groups = [
        {
            "params": [p for p in named.values() if p.dim() >= 2 and id(p) not in taken],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in named.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    found: list[torch.optim.Optimizer] = []
    if groups:
        found.append(
            torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=device.kind != "mps")
        )
    if inner:
        found.append(Muon(inner, settings.learning_rate, settings.weight_decay, bf16=device.bf16))
    return found


def _reduce(parameters: list[torch.nn.Parameter], size: int) -> None:
    """Sum gradients over processes. One that learned nothing this step takes part with zeros."""
    if size > 1:
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            torch.distributed.all_reduce(p.grad)


@contextlib.contextmanager
def _log(folder: Path, step: int, rank: int) -> Iterator[Any]:
    """A function that appends a row to the run's log, which first loses the rows after a resumed `step`."""
    if rank:
        yield lambda row: None
        return
    path = folder / LOG
    # A line cut short by a crash is the last one, and lies after every checkpoint.
    kept = _whole_rows(path, step) if step and path.is_file() else []
    write_jsonl(path, kept)
    with path.open("a", encoding="utf-8", buffering=1) as stream:
        yield lambda row: stream.write(json.dumps({k: _short(v) for k, v in row.items()}) + "\n")


def _whole_rows(path: Path, step: int) -> list[dict[str, Any]]:
    rows = []
    with contextlib.suppress(MirimError):
        for row in read_jsonl(path):
            if row.get("step", step + 1) <= step:
                rows.append(row)
    return rows


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


@contextlib.contextmanager
def _stopping(label: str) -> Iterator[Any]:
    """A function that says whether Ctrl-C was pressed, or the process told to end (SIGTERM): the step ends first. Told
    twice, it ends at once.

    One of several processes is told to end too when another has died. The step that it would end first fails then, or
    waits for that one until whatever launched them has no more patience: no more is lost than without waiting.
    """
    asked: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        # A signal may come while this very line is being written to; the step ends all the same.
        with contextlib.suppress(RuntimeError):
            progress.note(f"{label}: ending this step to keep its state; press Ctrl-C again to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: bool(asked)
        return
    former = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
