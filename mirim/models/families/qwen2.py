"""Qwen 2 and 2.5: biases on q, k and v; rope over halves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import UsageError
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
    if config.get("use_sliding_window"):
        raise UsageError("this Qwen model uses a sliding window in some layers, which is not supported")
    return _dense.metadata(config)


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return _dense.tensors(config, names, pairs=False)
