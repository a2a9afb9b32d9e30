"""Minimal pairs (BLiMP, Warstadt et al. 2020): is the good sentence likelier than the bad one?"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import read_jsonl
from mirim.core.progress import bar
from mirim.core.report import Report, Table
from mirim.core.types import Engine
from mirim.evals.interval import wilson

_BATCH = 64


def measure(engine: Engine, path: Path, name: str) -> Report:
    """{"accuracy", "pairs", "by": {field: {value: accuracy}}}; total log-probability, a tie is wrong."""
    rows = list(read_jsonl(path))
    for number, row in enumerate(rows, 1):
        for key in ("sentence_good", "sentence_bad"):
            if not isinstance(row.get(key), str) or not row[key].strip():
                raise UsageError(f'{path} pair {number}: "{key}" is {row.get(key)!r}, a sentence was expected')
    if not rows:
        raise UsageError(f"{path} holds no pairs")
    right: list[bool] = []
    with bar("pairs", len(rows)) as task:
        for at in range(0, len(rows), _BATCH):
            part = rows[at : at + _BATCH]
            texts = [row[key] for row in part for key in ("sentence_good", "sentence_bad")]
            totals = [sum(scores) for scores in engine.score("", texts)]
            right += [good > bad for good, bad in zip(totals[::2], totals[1::2], strict=True)]
            task.advance(len(part))
    by: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row, ok in zip(rows, right, strict=True):
        for key, value in row.items():
            if key not in ("sentence_good", "sentence_bad") and isinstance(value, str | int | bool):
                by[key][str(value)].append(ok)
    # A field with a value of its own in every row groups nothing.
    groups = {k: v for k, v in by.items() if len(v) < max(2, len(rows)) or len(rows) == 1}
    shares = {k: {value: sum(oks) / len(oks) for value, oks in sorted(v.items())} for k, v in sorted(groups.items())}
    data: dict[str, Any] = {"accuracy": sum(right) / len(right), "pairs": len(right), "by": shares}
    tables = tuple(
        Table(
            field,
            ("value", "accuracy"),
            tuple((v, str(wilson(sum(oks), len(oks)))) for v, oks in sorted(values.items())),
        )
        for field, values in sorted(groups.items())
        if len(values) <= 100
    )
    summary = f"{name} prefers the good sentence in {wilson(sum(right), len(right))} of the pairs."
    return Report("Minimal pairs", summary, tables, data=data)
