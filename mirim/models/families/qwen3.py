"""Qwen 3 (dense): norms on the heads of q and k; rope over halves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.models.families import _dense, qwen2

ARCHITECTURE = "qwen3"

SAMPLE = {
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    return qwen2.metadata(config)


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return _dense.tensors(config, names, pairs=False)
