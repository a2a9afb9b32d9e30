"""Training speed beside other trainers: the same weights, rows, order and steps, in turns, on this machine.

LoRA beside TRL's SFTTrainer, pretraining beside Hugging Face's Trainer. Needs trl, accelerate and datasets.
Prints a Markdown table: tokens (padding not counted) a second, the ratio of each pair of runs, the losses.

    python bench/training_speed.py --rounds 5 --steps 20 --threads 2
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch.utils.data import SequentialSampler

from mirim.training.adapt import with_lora
from mirim.training.device import detect
from mirim.training.loop import Settings, fit
from mirim.training.packing import Batches, Row, pack
from mirim.training.shape import build, shape

RATE = 1e-3


class Marks:
    bos_token_id, eos_token_id, pad_token_id = 0, 2, 0


class Ordered(Batches):
    """The rows of a step are the ones that the other trainer takes in it."""

    def _epoch(self, epoch: int) -> list[list[list[int]]]:
        starts = range(0, len(self.rows), self.sequences)
        whole = [range(at, min(at + self.sequences, len(self.rows))) for at in starts]
        return [pack(self.lengths, self.room, list(some)) for some in whole]


def conversations(count: int, vocabulary: int) -> list[Row]:
    """Prompts of 60 to 400 tokens, answers of 5 to 60; a Zipf-like draw, so that there is something to learn."""
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        asked, said = draw.integers(60, 400), draw.integers(5, 60)
        rows.append(Row(_draw(draw, asked + said, vocabulary), [False] * asked + [True] * said))
    return rows


def windows(count: int, length: int, vocabulary: int) -> list[Row]:
    draw = np.random.default_rng(1)
    return [Row(_draw(draw, length, vocabulary)) for _ in range(count)]


def _draw(draw: np.random.Generator, length: int, vocabulary: int) -> list[int]:
    return [int(i) for i in np.minimum(draw.zipf(1.3, length) + 2, vocabulary - 1)]


def ours(model: Any, rows: list[Row], steps: int, batch: int, room: int, micro: int) -> tuple[float, list[float]]:
    device = detect()
    settings = Settings(steps, RATE, "constant", warmup=0.0, weight_decay=0.0, betas=(0.9, 0.999), micro=micro, every=0)
    with tempfile.TemporaryDirectory() as folder:
        result = fit(model, Ordered(rows, room, batch, 0, 0), settings, device, folder=Path(folder), run="bench")
    return result.seconds, [loss for _, loss in result.curve]


def theirs(
    kind: str, model: Any, rows: list[Row], steps: int, batch: int, others: dict[str, Any] | None = None
) -> tuple[float, list[float]]:
    from datasets import Dataset

    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = {
            "output_dir": folder,
            "per_device_train_batch_size": batch,
            "max_steps": steps,
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "bf16": detect().bf16,
            "gradient_checkpointing": False,
            "use_cpu": detect().kind == "cpu",
            "dataloader_pin_memory": False,
            **(others or {}),
        }
        if kind == "lora":
            from trl import SFTConfig, SFTTrainer

            data = [{"input_ids": list(r.ids), "completion_mask": [int(m) for m in r.mask or ()]} for r in rows]
            config = SFTConfig(**common, max_length=None, completion_only_loss=True, packing=False)

            class Sft(SFTTrainer):
                def _get_train_sampler(self, *_: Any) -> Any:
                    return SequentialSampler(self.train_dataset)

            trainer: Any = Sft(
                model=model, args=config, train_dataset=Dataset.from_list(data), processing_class=_tokenizer()
            )
        else:
            from transformers import Trainer, TrainingArguments, default_data_collator

            data = [{"input_ids": list(r.ids), "labels": list(r.ids)} for r in rows]

            class Plain(Trainer):
                def _get_train_sampler(self, *_: Any) -> Any:
                    return SequentialSampler(self.train_dataset)

            trainer = Plain(
                model=model,
                args=TrainingArguments(**common),
                train_dataset=Dataset.from_list(data),
                data_collator=default_data_collator,
            )
        with contextlib.redirect_stdout(io.StringIO()):
            done = trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        return float(done.metrics["train_runtime"]), losses


def _tokenizer() -> Any:
    from mirim.training import tokenizer as bpe

    return bpe.train(["a b c"], 300)


class Side:
    """One of the two, in a process of its own: what one tells the C library or torch is not the other's."""

    def __init__(self, name: str, options: list[str]) -> None:
        line = [sys.executable, __file__, "--side", name, *options]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, what: str) -> tuple[float, list[float]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        seconds, losses = json.loads(self.process.stdout.readline())
        return seconds, losses


def serve(side: str, given: argparse.Namespace) -> None:
    """Runs that standard input asks for, a line each; a line of JSON answers."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    start, rows = prepare(given)
    for line in sys.stdin:
        what = line.strip()
        model = deepcopy(start[what])
        if side == "ours":
            micro = max(1, detect(given.threads).tokens_at_once(start["pretrain"]) // given.context)
            made = ours(model, rows[what], given.steps, given.batch, given.context, micro)
        else:
            made = theirs(what, model, rows[what], given.steps, given.batch)
        out.write(json.dumps(made) + "\n")


def prepare(given: argparse.Namespace) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """The same models and rows on both sides."""
    if given.threads:
        torch.set_num_threads(given.threads)
    start = build(shape(given.depth), given.vocabulary, given.context, Marks, 0)
    count = given.steps * given.batch
    rows = {
        "lora": conversations(count, given.vocabulary),
        "pretrain": windows(count, given.context, given.vocabulary),
    }
    return {"lora": with_lora(deepcopy(start), 16, 0), "pretrain": start}, rows


def compare(name: str, rounds: int, what: str, sides: list[Side], tokens: int) -> str:
    """One row of the table, from runs in turns; the first of each warms up and is not counted."""
    speeds: list[tuple[float, float]] = []
    mine: list[float] = []
    yours: list[float] = []
    for turn in range(rounds + 1):
        order = sides if turn % 2 else sides[::-1]
        made = {side: side.run(what) for side in order}
        (seconds, mine), (slower, yours) = (made[side] for side in sides)
        print(f"{name} {turn}: {tokens / seconds:,.0f} and {tokens / slower:,.0f} tokens/s", file=sys.stderr)
        if turn:
            speeds.append((tokens / seconds, tokens / slower))
    ratios = sorted(a / b for a, b in speeds)
    return (
        f"| {name} | {statistics.median(a for a, _ in speeds):,.0f} | {statistics.median(b for _, b in speeds):,.0f} | "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {mine[-1]:.4f} | {yours[-1]:.4f} | "
        f"{max(abs(a - b) for a, b in zip(mine, yours, strict=True)):.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="at most 100")
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        serve(given.side, given)
        return
    sides = [Side(name, sys.argv[1:]) for name in ("ours", "theirs")]
    start, rows = prepare(given)
    table = [
        compare(name, given.rounds, what, sides, sum(len(r.ids) for r in rows[what]))
        for name, what in (("LoRA, beside TRL SFTTrainer", "lora"), ("pretraining, beside HF Trainer", "pretrain"))
    ]
    for side in sides:
        side.process.terminate()
    device = detect(given.threads)
    size = sum(p.numel() for p in start["pretrain"].parameters()) / 1e6
    what = f"{'bfloat16' if device.bf16 else 'float32'}, {size:.1f} M parameters, context {given.context}"
    print(f"\n{device.name}, {what}, {given.batch} rows a step, {given.steps} steps, {given.rounds} rounds in turns.\n")
    print("| | mirim tokens/s | other tokens/s | ratio (median, range) | last loss, mirim | other | largest gap |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(table))


if __name__ == "__main__":
    torch.set_default_dtype(torch.float32)
    main()
