"""Qwen 2 and 2.5: biases on q, k and v; rope over halves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.models.families import _dense

ARCHITECTURE = "qwen2"

SAMPLE = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    rows = _dense.metadata(config)
    # Transformers' window where config.json names none; null is none.
    window = config.get("sliding_window", 4096) if config.get("use_sliding_window") else None
    if window:
        # Some layers see the last tokens only; until there are more than that, it is the same thing.
        rows["context_length"] = min(rows["context_length"], int(window))
    return rows


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return _dense.tensors(config, names, pairs=False)
