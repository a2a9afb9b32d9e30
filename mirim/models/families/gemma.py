"""Gemma (the first; 2B): GeGLU, embeddings times the root of the hidden size, norms that multiply by 1 + weight.

Gemma 3 is another graph (sliding windows, norms behind the blocks) with a model type of its own; so is Gemma 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mirim.core.errors import Unfit
from mirim.models.families import _dense

ARCHITECTURE = "gemma"

SAMPLE = {
    "architectures": ["GemmaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "tie_word_embeddings": True,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    # The first checkpoints say "gelu" and mean the tanh form, as transformers reads them.
    activation = config.get("hidden_activation") or config.get("hidden_act") or "gelu_pytorch_tanh"
    if activation not in ("gelu", "gelu_pytorch_tanh"):
        raise Unfit(f'hidden_activation "{activation}" is not supported; this family computes gelu_pytorch_tanh')
    if config.get("attention_bias"):
        raise Unfit("this Gemma model has biases of attention, which llama.cpp does not read")
    rows = {"head_dim": 256, "rms_norm_eps": 1e-6, **config}
    return _dense.metadata({**rows, "hidden_act": "silu"})


def tensors(
    config: dict[str, Any], names: Sequence[str], layer: Mapping[str, str] = _dense.LAYER
) -> Iterator[_dense.Rule]:
    # llama.cpp's file holds what the norms multiply by, and has no place for a head of its own.
    for rule in _dense.tensors({"tie_word_embeddings": True, **config}, names, pairs=False, layer=layer):
        if rule.target == "output.weight":
            raise Unfit("this Gemma model has a head of its own, which llama.cpp does not read")
        norm = rule.target.endswith("norm.weight")
        yield replace(rule, change=lambda w: w + 1.0, back=lambda w: w - 1.0) if norm else rule
