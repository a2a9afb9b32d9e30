"""Mistral: Llama's tensors; older ones attend to a sliding window only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.models.families import _dense

ARCHITECTURE = "llama"

SAMPLE = {
    "architectures": ["MistralForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "sliding_window": None,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    rows = _dense.metadata(config)
    # Where nothing is said transformers takes 4096; null is none.
    window = config.get("sliding_window", 4096)
    if window:
        # Within the window full attention is the same thing; beyond it llama.cpp would compute another model.
        rows["context_length"] = min(rows["context_length"], int(window))
    return rows


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return _dense.tensors(config, names, pairs=True)
