"""Bits per byte of plain text: a measure that does not depend on the tokenizer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.progress import track
from mirim.core.report import Report, Table
from mirim.core.types import Engine

_BATCH = 16


def measure(engine: Engine, path: Path, name: str) -> Report:
    """{"bits_per_byte", "bytes", "tokens"}: each text on its own after the start token, every token counted."""
    texts = list(_texts(path))
    if not texts:
        raise UsageError(f'{path} holds no text; a line is a JSON object with "text"')
    bits, tokens = 0.0, 0
    for at in track(range(0, len(texts), _BATCH), "perplexity"):
        for scores in engine.score("", texts[at : at + _BATCH]):
            bits -= sum(scores) / math.log(2)
            tokens += len(scores)
    size = sum(len(t.encode()) for t in texts)
    data: dict[str, Any] = {"bits_per_byte": bits / size, "bytes": size, "tokens": tokens}
    rows = tuple((k.replace("_", " "), v) for k, v in data.items())
    return Report(
        "Perplexity",
        f"{name}: {bits / size:.4f} bits per byte on {len(texts)} texts.",
        (Table("", ("figure", "value"), rows),),
        data=data,
    )


def _texts(path: Path) -> Iterator[str]:
    import io
    import json

    from mirim.core.extras import need

    with path.open("rb") as raw:
        zst = path.name.lower().endswith(".zst")
        stream = need("zstandard", "train").ZstdDecompressor().stream_reader(raw) if zst else raw
        try:
            for number, line in enumerate(io.TextIOWrapper(stream, "utf-8"), 1):
                if line.strip():
                    text = json.loads(line)["text"]
                    if not isinstance(text, str):
                        raise TypeError(f'"text" is {type(text).__name__}')
                    if text:
                        yield text
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f'{path} line {number}: expected a JSON object with "text" ({error})') from error
