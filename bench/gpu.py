"""Training speed on a GPU: tokens a second and the share of the measured matrix-product peak, beside Hugging Face's
Trainer on the same weights, rows, order and steps.

    python bench/gpu.py --depth 12 --context 1024 --batch-tokens 131072 --steps 40

Needs accelerate and datasets. Each side runs in a process of its own: mirim compiled; the Trainer in bfloat16, as it
is and with torch_compile. Rows fill the context, so that neither side packs or pads. The first steps, in which
functions are compiled, are left out on both sides. Prints one JSON object a side.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from training_speed import Marks, Ordered, windows

from mirim.training.device import detect, matmul_peak
from mirim.training.loop import LOG, Settings, fit, model_flops
from mirim.training.shape import build, shape

SIDES = ("mirim", "trainer", "trainer compiled")
#: Steps whose time is not counted.
WARM = 10


def mine(model: Any, rows: list[Any], given: argparse.Namespace) -> tuple[float, list[float]]:
    """(seconds a step, losses)."""
    device = detect()
    sequences = given.batch_tokens // given.context
    settings = Settings(
        given.steps,
        1e-3,
        "constant",
        warmup=0.0,
        every=0,
        optimizer=given.optimizer,
        compiled=device.kind == "cuda",
        micro=max(1, device.tokens_at_once(model) // given.context),
    )
    times: list[float] = []

    class Timed(Ordered):
        def __iter__(self) -> Any:
            for batch in super().__iter__():
                times.append(time.monotonic())
                yield batch

    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            Timed(rows, given.context, sequences, 0, 0, full=True),
            settings,
            device,
            folder=Path(folder),
            run="gpu",
        )
        losses = [json.loads(line)["loss"] for line in (Path(folder) / LOG).read_text().splitlines()]
    return (times[-1] - times[WARM]) / (len(times) - 1 - WARM), losses


def other(model: Any, rows: list[Any], given: argparse.Namespace, compiled: bool) -> tuple[float, list[float]]:
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.monotonic())

    class Plain(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    device = detect()
    sequences = given.batch_tokens // given.context
    # Its logits are whole, in float32: as many sequences at once as leave room for them.
    micro = min(sequences, max(1, 32768 // given.context)) if device.kind == "cuda" else sequences
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=sequences // micro,
            max_steps=given.steps,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            weight_decay=0.1,
            adam_beta2=0.95,
            max_grad_norm=1.0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=device.bf16,
            torch_compile=compiled,
            optim="adamw_torch_fused",
            dataloader_num_workers=4 if device.kind == "cuda" else 0,
            use_cpu=device.kind == "cpu",
        )
        data = Dataset.from_list([{"input_ids": list(r.ids), "labels": list(r.ids)} for r in rows])
        data.set_format("torch")
        trainer = Plain(
            model=model, args=settings, train_dataset=data, data_collator=default_data_collator, callbacks=[Clock()]
        )
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return (times[-1] - times[WARM]) / (len(times) - 1 - WARM), losses


def side(name: str, given: argparse.Namespace) -> None:
    device = detect()
    size = shape(given.depth)
    model = build(size, given.vocab_size, 2048, Marks(), 0)
    rows = windows(given.steps * (given.batch_tokens // given.context), given.context, given.vocab_size)
    body, head, pair = model_flops(model)
    begun = time.monotonic()
    seconds, losses = mine(model, rows, given) if name == "mirim" else other(model, rows, given, "compiled" in name)
    speed = given.batch_tokens / seconds
    peak = matmul_peak(device)
    learned = (given.context - 1) / given.context
    flops = body + head * learned + pair * (given.context + 1) / 2
    print(
        json.dumps(
            {
                "side": name,
                "device": device.name,
                "torch": torch.__version__,
                "parameters": sum(p.numel() for p in model.parameters()),
                "tokens a second": round(speed),
                "utilisation": round(speed * flops / peak, 3),
                "peak, TFLOP/s": round(peak / 1e12, 2),
                "losses": [round(losses[i], 4) for i in (0, len(losses) // 2, -1)],
                "seconds in all": round(time.monotonic() - begun, 1),
            }
        ),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--vocab-size", type=int, default=16384)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--batch-tokens", type=int, default=131072)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--optimizer", default="adamw", choices=("adamw", "muon"))
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    given = parser.parse_args()
    if given.side:
        side(given.side, given)
        return
    for name in given.sides:
        subprocess.run([sys.executable, __file__, "--side", name, *sys.argv[1:]], check=False)


if __name__ == "__main__":
    main()
