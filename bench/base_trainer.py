"""A base as mirim trains one beside a model of the same size that Hugging Face's Trainer trains.

The same first weights, the same windows of the recipe's text in the same order, as many tokens, one cosine each.

    python bench/base_trainer.py --work DIR --recipe recipes/mirim-base.toml --corpus ../shared --held DIR --out DIR

--work as for `base_ngram.py`, --held the folder into which it wrote held-en.jsonl and held-pt.jsonl. Each trainer
learns as it is usually set: mirim with Muon at the recipe's rate, the Trainer with AdamW (0.9, 0.95) at --rate. Prints
bits per byte of both in both languages, with bootstrap intervals of the difference over documents, and the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from base_ngram import taken
from training_speed import Ordered, theirs

from mirim.core.files import read_jsonl
from mirim.training import recipe as recipes
from mirim.training import shards
from mirim.training.device import detect
from mirim.training.loop import Settings, fit
from mirim.training.packing import Row
from mirim.training.pretrain import load_tokenizer
from mirim.training.shape import batch_tokens, build, shape


def bits(model: Any, tokenizer: Any, path: Path) -> np.ndarray[Any, Any]:
    """(documents, 2): bits and bytes of each text, every token after the start token counted."""
    import torch

    model.eval()
    rows = []
    for line in read_jsonl(path):
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(line["text"], add_special_tokens=False)]])
        with torch.no_grad():
            logits = model(ids[:, :-1]).logits.log_softmax(-1)
        nats = -logits.gather(2, ids[:, 1:, None]).sum().item()
        rows.append((nats / np.log(2), len(line["text"].encode())))
    return np.asarray(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("work", "recipe", "corpus", "held", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=3_000_000)
    parser.add_argument("--rate", type=float, default=1e-3, help="the Trainer's learning rate")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    recipe = recipes.load(given.recipe)
    stage = recipe.stages[0]
    tokenizer = load_tokenizer(given.work)
    device = detect(given.threads)
    sequences = max(1, batch_tokens(given.tokens) // stage.context)
    steps = given.tokens // (sequences * stage.context)
    windows = taken(recipe, stage, given.work / "shard", given.tokens, 0, steps)
    data = shards.Shard.open(given.work / "shard", stage.context).tokens
    rows = [Row([int(i) for i in data[at : at + length]]) for at, length in windows if length == stage.context]
    steps = len(rows) // sequences
    rows = rows[: steps * sequences]
    start = build(shape(recipe.depth), len(tokenizer), recipe.context, tokenizer, 0)
    mine, other = deepcopy(start), deepcopy(start)
    settings = Settings(
        steps,
        recipe.learning_rate,
        "cosine",
        micro=max(1, device.tokens_at_once(start) // stage.context),
        optimizer=recipe.optimizer,
    )
    done = fit(
        mine, Ordered(rows, stage.context, sequences, 0, 0), settings, device, folder=given.out / "mirim", run="trainer"
    )
    usual = {
        "learning_rate": given.rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, steps // 20),
        "weight_decay": 0.1,
        "adam_beta2": 0.95,
    }
    seconds, _ = theirs("pretrain", other, rows, steps, sequences, usual)
    report: dict[str, Any] = {
        "parameters": sum(p.numel() for p in start.parameters()),
        "tokens": steps * sequences * stage.context,
        "seconds": {"mirim": round(done.seconds), "trainer": round(seconds)},
    }
    draw = np.random.default_rng(0)
    for language in ("en", "pt"):
        path = given.held / f"held-{language}.jsonl"
        ours, yours = bits(mine, tokenizer, path), bits(other, tokenizer, path)
        picks = draw.integers(0, len(ours), (2000, len(ours)))
        gaps = (yours[picks, 0].sum(1) - ours[picks, 0].sum(1)) / ours[picks, 1].sum(1)
        report[language] = {
            "documents": len(ours),
            "mirim bits per byte": round(float(ours[:, 0].sum() / ours[:, 1].sum()), 4),
            "trainer bits per byte": round(float(yours[:, 0].sum() / yours[:, 1].sum()), 4),
            "difference": [round(float(q), 4) for q in np.quantile(gaps, (0.025, 0.975))],
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
