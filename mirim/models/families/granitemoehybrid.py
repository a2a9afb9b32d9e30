"""Granite 4 (dense, attention only, such as granite-4.0-350m): Granite with gate and up in one matrix.

The mixture-of-experts and Mamba members of the same `model_type` are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import Unfit
from mirim.models.families import _dense, granite

ARCHITECTURE = "granite"

SAMPLE = {
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "shared_intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 0,
    "num_experts_per_tok": 0,
    "layer_types": ["attention", "attention"],
    "position_embedding_type": "rope",
    "embedding_multiplier": 6.0,
    "attention_multiplier": 0.1,
    "residual_multiplier": 0.5,
    "logits_scaling": 1.5,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    kinds = config.get("layer_types") or config.get("layers_block_type") or ["mamba"]
    if config.get("num_local_experts"):
        raise Unfit("this Granite 4 model is a mixture of experts; only its dense members can be converted")
    if any("attention" not in str(k) or "linear" in str(k) for k in kinds):
        raise Unfit("this Granite 4 model has Mamba layers; only its attention-only members can be converted")
    if config.get("position_embedding_type") != "rope":
        raise Unfit("this Granite 4 model has no rotary embeddings, which is not supported")
    return granite.metadata(config) | {"feed_forward_length": int(_dense.field(config, "shared_intermediate_size"))}


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    wide, hidden = int(_dense.field(config, "shared_intermediate_size")), int(_dense.field(config, "hidden_size"))

    def shared(name: str, block: str) -> Iterator[_dense.Rule]:
        if name.endswith("shared_mlp.input_linear.weight"):
            yield _dense.Rule(f"{block}ffn_gate.weight", name, lambda w: w[:wide], (wide, hidden))
            yield _dense.Rule(f"{block}ffn_up.weight", name, lambda w: w[wide:], (wide, hidden))
        elif name.endswith("shared_mlp.output_linear.weight"):
            yield _dense.Rule(f"{block}ffn_down.weight", name)

    return _dense.tensors(config, names, pairs=True, more=shared)
