"""Granite 3 (dense): Llama's tensors with four multipliers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.models.families import _dense

ARCHITECTURE = "granite"

SAMPLE = {
    "architectures": ["GraniteForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "embedding_multiplier": 6.0,
    "attention_multiplier": 0.1,
    "residual_multiplier": 0.5,
    "logits_scaling": 1.5,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    return _dense.metadata(config) | {
        "attention.scale": float(_dense.field(config, "attention_multiplier", 1.0)),
        "embedding_scale": float(_dense.field(config, "embedding_multiplier", 1.0)),
        "residual_scale": float(_dense.field(config, "residual_multiplier", 1.0)),
        "logit_scale": float(_dense.field(config, "logits_scaling", 1.0)),
    }


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return _dense.tensors(config, names, pairs=True)
