"""Bits per byte of plain text: a measure that does not depend on the tokenizer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.progress import track
from mirim.core.report import Finding, Report, Table
from mirim.core.types import Engine
from mirim.evals import lines
from mirim.evals.likelihood import log_probabilities, start_tokens


def measure(engine: Engine, path: Path, name: str, limit: int = 0) -> Report:
    """{"bits_per_byte", "bytes", "tokens"}: each text on its own after the start token, every token counted."""
    texts = [row["text"] for _, row in lines.read(path, ("text",)) if row["text"]]
    if not texts:
        raise UsageError(f'{path} holds no text; a line is {{"text", ...}}')
    if limit and limit < len(texts):
        texts = [texts[int(i * len(texts) / limit)] for i in range(limit)]
    nats, tokens, size = 0.0, 0, 0
    for text in track(texts, "perplexity"):
        (scores,) = log_probabilities(engine, [text])
        nats -= math.fsum(scores)
        tokens += len(scores)
        size += len(text.encode("utf-8", "surrogatepass"))
    if not tokens:
        raise UsageError(f"{name} has no start token, and no text of {path} has two tokens; give it longer ones")
    bits = nats / math.log(2) / size
    data: dict[str, Any] = {"bits_per_byte": bits, "bytes": size, "tokens": tokens}
    findings: tuple[Finding, ...] = ()
    if hasattr(engine, "encode") and not start_tokens(engine):
        what = "the model has no start token: the first token of each text has no probability and adds no bits"
        findings = (Finding("warning", name, what, "compare it only with models that have none either"),)
    rows = tuple((k.replace("_", " "), v) for k, v in data.items())
    summary = f"{name}: {bits:.4f} bits per byte on {len(texts)} texts."
    return Report("Perplexity", summary, (Table("", ("figure", "value"), rows),), findings, data=data)
