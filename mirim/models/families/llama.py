"""Llama (2, 3, 3.1, 3.2) and everything of its shape: SmolLM, TinyLlama, and what `mirim train` makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.models.families import _dense

ARCHITECTURE = "llama"

SAMPLE = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    return _dense.metadata(config)


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return _dense.tensors(config, names, pairs=True)
