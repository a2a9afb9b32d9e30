"""What fewer bits cost: the core and llama.cpp with one file, both beside the same weights in float32.

    python bench/divergence.py F32 FILE TEXTS [--bytes N] [--sides core llama llama-f16 llama-q8] [--json]

F32 is the model in float32 (a GGUF file or a folder in Hugging Face layout), which the core runs; FILE is the same
model in fewer bits. TEXTS is JSON Lines with "text", of which the first N bytes each count. A side is the core, or
llama.cpp: with keys and values in float32 and plain attention (`llama`, how mirim scores with it), as it keeps them by
itself (`llama-f16`), or with keys in eight bits, as the core has them (`llama-q8`). Each side has the mean
Kullback-Leibler divergence from float32 (nats a token), the mean error of a logit, how often the likeliest token is
float32's, and bits per byte; and the divergence less the first side's, token by token, with a bootstrap
interval of 95 %.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirim.core.types import Engine
from mirim.evals.interval import bootstrap
from mirim.models.engine import open_engine
from mirim.models.engines import _llama
from mirim.models.engines._local import log_softmax

SIDES = {"core": None, "llama": _llama.EXACT, "llama-f16": _llama.HALVES, "llama-q8": _llama.EIGHTS}
PART = 128


def opened(file: str, side: str) -> Any:
    if side == "core":
        return open_engine(file, engine="native")
    engine: Any = open_engine(file, engine="llama_cpp")
    engine.scorer.cache = SIDES[side]
    return engine


def texts(path: Path, most: int) -> list[str]:
    rows = [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [row.encode()[:most].decode(errors="ignore") for row in rows]


def compared(exact: Engine, engine: Engine, rows: Sequence[str]) -> Iterator[tuple[Any, Any, Any, float]]:
    """Of each text: divergences (T,), errors of logits (T,), whether the likeliest is the same (T,), and its nats."""
    for row in rows:
        ids = exact.encode(row)
        ours, theirs = exact.logits(ids), engine.logits(ids)
        parts, nats = [], 0.0
        # By parts: a long text times a large vocabulary fills the memory.
        for at in range(0, len(ids), PART):
            one, two = ours[at : at + PART], theirs[at : at + PART]
            exact_log, log = log_softmax(one), log_softmax(two)
            nats -= sum(log[n, token] for n, token in enumerate(ids[at + 1 : at + 1 + len(log)]))
            divergence = (np.exp(exact_log) * (exact_log - log)).sum(1)
            parts.append((divergence, np.abs(one - two).mean(1), one.argmax(1) == two.argmax(1)))
        divergences, errors, same = (np.concatenate(part) for part in zip(*parts, strict=True))
        yield divergences, errors, same, nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("f32")
    parser.add_argument("file")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--bytes", type=int, default=9000, help="of each text at most")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = texts(args.texts, args.bytes)
    size = sum(len(row.encode()) for row in rows)
    exact, first = opened(args.f32, "core"), None
    for side in args.sides:
        engine = opened(args.file, side)
        found = list(compared(exact, engine, rows))
        engine.close()
        divergence, error, same = (np.concatenate([row[n] for row in found]) for n in range(3))
        said: dict[str, Any] = {
            "side": side,
            "tokens": len(divergence),
            "divergence": float(divergence.mean()),
            "logit_error": float(error.mean()),
            "same_token": float(same.mean()),
            "bits_per_byte": float(sum(row[3] for row in found) / math.log(2) / size),
        }
        if first is None:
            first = divergence
        else:
            less = bootstrap(divergence - first)
            said["difference"] = [less.value, less.low, less.high]
        if args.json:
            print(json.dumps(said), flush=True)
            continue
        line = " ".join(f"{name} {value:.5f}" for name, value in said.items() if isinstance(value, float))
        if "difference" in said:
            line += " difference {:+.5f} [{:+.5f}, {:+.5f}]".format(*said["difference"])
        print(f"{side}: {said['tokens']} tokens, {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
