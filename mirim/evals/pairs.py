"""Minimal pairs (BLiMP, Warstadt et al. 2020): is the good sentence likelier than the bad one?"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.progress import bar
from mirim.core.report import Report, Table
from mirim.core.types import Engine
from mirim.evals import lines
from mirim.evals.interval import wilson
from mirim.evals.likelihood import log_probabilities

_BATCH = 64
_KEYS = ("sentence_good", "sentence_bad")
#: Values of a field that are still worth a table; `by` holds them all.
_SHOWN = 100


def measure(engine: Engine, path: Path, name: str, limit: int = 0) -> Report:
    """{"accuracy", "pairs", "by": {field: {value: accuracy}}}; total log-probability, a tie is wrong."""
    rows = []
    for number, row in lines.read(path, _KEYS):
        for key in _KEYS:
            if not row[key].strip():
                raise UsageError(f'{path} line {number}: "{key}" is empty, a sentence was expected')
        rows.append(row)
    if not rows:
        raise UsageError(f'{path} holds no pairs; a line is {{"sentence_good", "sentence_bad", ...}}')
    if limit and limit < len(rows):
        rows = [rows[int(i * len(rows) / limit)] for i in range(limit)]
    right: list[bool] = []
    with bar("pairs", len(rows)) as task:
        for at in range(0, len(rows), _BATCH):
            part = rows[at : at + _BATCH]
            sentences = [row[key] for row in part for key in _KEYS]
            scored = log_probabilities(engine, sentences)
            if bare := next((s for s, r in zip(sentences, scored, strict=True) if not r), ""):
                raise UsageError(f"{engine.name} cannot score {bare[:60]!r}: it is one token with nothing before it")
            totals = [sum(r) for r in scored]
            right += [good > bad for good, bad in zip(totals[::2], totals[1::2], strict=True)]
            task.advance(len(part))
    groups: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row, ok in zip(rows, right, strict=True):
        for key, value in row.items():
            if key not in _KEYS and isinstance(value, str | int | float):
                groups[key][value if isinstance(value, str) else json.dumps(value)].append(ok)
    by = {k: {value: sum(oks) / len(oks) for value, oks in sorted(v.items())} for k, v in sorted(groups.items())}
    data: dict[str, Any] = {"accuracy": sum(right) / len(right), "pairs": len(right), "by": by}
    tables = tuple(
        Table(
            field,
            ("value", "accuracy"),
            tuple((v, str(wilson(sum(oks), len(oks)))) for v, oks in sorted(values.items())),
        )
        for field, values in sorted(groups.items())
        if len(values) <= min(_SHOWN, max(1, len(rows) // 2))
    )
    summary = f"{name} prefers the good sentence in {wilson(sum(right), len(right))} of the pairs."
    return Report("Minimal pairs", summary, tables, data=data)
