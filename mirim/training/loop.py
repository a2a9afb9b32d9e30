"""The one training loop: pretraining, full fine-tuning and LoRA differ only in the model and the rows.

It knows nothing of projects, tokenizers or bundles: a model, a stream of batches, and settings go in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mirim.core import progress
from mirim.core.errors import MirimError
from mirim.training import checkpoint
from mirim.training.device import Device, matmul_peak, world
from mirim.training.loss import backward, evaluate
from mirim.training.packing import Batch, Batches
from mirim.training.schedule import Schedule, factor


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    steps            optimiser steps
    learning_rate    peak
    accumulate       batches a step; the loss is a mean over all their learned tokens, so 1x8 equals 8x1
    clip             largest gradient norm
    every            seconds between checkpoints; 0 for none
    """

    steps: int
    learning_rate: float
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    accumulate: int = 1
    clip: float = 1.0
    every: float = 30.0
    seed: int = 0


@dataclass(slots=True)
class Result:
    """What a run gave. `loss` is the mean over the last tenth of the steps, in nats a token."""

    steps: int
    tokens: int
    seconds: float
    loss: float
    validation: float | None = None
    tokens_per_second: float = 0.0
    utilisation: float = 0.0
    resumed_at: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)


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
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Train `model` in place; checkpoints and the log go to `folder`, and a run with the same fingerprint resumes.

    `run` identifies the settings and the data: a checkpoint of another run is not used. MirimError when the
    loss stops being a number.
    """
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True, warn_only=device.kind != "cpu")
    model.to(device.torch).train()
    rank, size = world()
    if size > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.kind == "cuda" else "gloo")
    optimizer = _optimizer(model, settings, device)
    step, started_at = 0, 0
    found = checkpoint.latest(folder, run)
    if found:
        state = checkpoint.load(found, model, optimizer)
        step = started_at = int(state["step"])
        batches.state = state["data"]
        progress.note(f"{label}: going on at step {step} of {settings.steps}")
    stream = iter(batches)
    losses: list[float] = list(state["losses"]) if found else []
    seen = int(state["tokens"]) if found else 0
    fresh, started, saved = 0, time.monotonic(), time.monotonic()
    parameters = [p for p in model.parameters() if p.requires_grad]
    folder.mkdir(parents=True, exist_ok=True)

    def keep() -> None:
        if rank == 0:
            row = {"run": run, "step": step, "data": batches.state, "tokens": seen, "losses": losses}
            checkpoint.save(folder, model, optimizer, row)

    with progress.bar(label, settings.steps) as bar, (folder / "training.jsonl").open("a", encoding="utf-8") as log:
        bar.advance(step)
        try:
            while step < settings.steps:
                group = [next(stream) for _ in range(settings.accumulate)]
                if size > 1:
                    group = [_shard(b, rank, size) for b in group]
                count = sum(b.tokens for b in group)
                for option in optimizer.param_groups:
                    option["lr"] = settings.learning_rate * factor(
                        step, settings.steps, settings.schedule, settings.warmup
                    )
                total = 0.0
                scale = 1.0 / max(_summed(count, size, device), 1)
                for batch in group:
                    with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
                        total += backward(model, _to(batch, device), scale)
                loss = _summed(total, size, device) * scale
                if loss != loss or loss in (float("inf"), float("-inf")):
                    raise MirimError(
                        f"{label}: the loss is {loss} at step {step}; lower the learning rate ({settings.learning_rate}) and run again"
                    )
                if size > 1:
                    for p in parameters:
                        if p.grad is not None:
                            torch.distributed.all_reduce(p.grad)
                norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                amount = sum(b.ids.numel() for b in group) * size
                seen, fresh = seen + amount, fresh + amount
                losses.append(loss)
                speed = fresh / max(time.monotonic() - started, 1e-9)
                if rank == 0:
                    row = {
                        "step": step,
                        "loss": round(loss, 5),
                        "lr": optimizer.param_groups[0]["lr"],
                        "norm": round(float(norm), 4),
                        "tokens_per_second": round(speed),
                    }
                    log.write(json.dumps(row) + "\n")
                bar.advance(1, note=f"loss {loss:.3f}, {speed:,.0f} tokens/s")
                if settings.every and time.monotonic() - saved > settings.every and step < settings.steps:
                    log.flush()
                    keep()
                    saved = time.monotonic()
                if stop():
                    break
        except KeyboardInterrupt:
            keep()
            progress.note(f"{label}: stopped at step {step}; run the same line again to go on")
            raise
    seconds = time.monotonic() - started
    tail = losses[-max(1, len(losses) // 10) :]
    result = Result(step, seen, seconds, sum(tail) / max(len(tail), 1), resumed_at=started_at)
    result.tokens_per_second = fresh / max(seconds, 1e-9)
    result.utilisation = result.tokens_per_second * flops_per_token(model) / (matmul_peak(device) * size)
    result.curve = [(i + 1, losses[i]) for i in range(0, len(losses), max(1, len(losses) // 100))]
    if validation:
        with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
            result.validation = evaluate(model, [_to(b, device) for b in validation])
    model.eval()
    return result


def flops_per_token(model: Any) -> float:
    """Training floating-point operations a token: 6 for each weight that multiplies (Kaplan et al. 2020).

    Embedding look-ups multiply nothing; the head does, tied or not. Attention's own products are left out,
    which makes the utilisation a lower bound.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    matrices = sum(p.numel() for n, p in inner.named_parameters() if p.dim() == 2 and "embed" not in n)
    head = inner.get_output_embeddings().weight
    tied = head.data_ptr() == inner.get_input_embeddings().weight.data_ptr()
    return 6.0 * (matrices + (head.numel() if tied else 0))


def _optimizer(model: Any, settings: Settings, device: Device) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); matrices decay, vectors do not."""
    named = checkpoint.trainable(model)
    groups = [
        {"params": [p for p in named.values() if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in named.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=device.kind != "mps")


def _to(batch: Batch, device: Device) -> Batch:
    return Batch(batch.ids.to(device.torch), batch.positions.to(device.torch), batch.targets.to(device.torch))


def _shard(batch: Batch, rank: int, size: int) -> Batch:
    """This process's sequences of a batch; one sequence less than processes leaves some with padding only."""
    rows = slice(rank, None, size)
    if len(batch.ids) <= rank:
        return Batch(batch.ids[:1], batch.positions[:1], torch.full_like(batch.targets[:1], -100))
    return Batch(batch.ids[rows], batch.positions[rows], batch.targets[rows])


def _summed(value: float, size: int, device: Device) -> float:
    if size == 1:
        return value
    tensor = torch.tensor(
        float(value), device=device.torch, dtype=torch.float64 if device.kind == "cpu" else torch.float32
    )
    torch.distributed.all_reduce(tensor)
    return float(tensor)


def settings_row(settings: Settings) -> dict[str, Any]:
    """Settings as plain values, for fingerprints and cards; how often to save is not part of what was trained."""
    return {k: v for k, v in asdict(settings).items() if k != "every"}
