"""Gemma 3 for text (270M, 1B): five of six layers see a window of tokens and turn by angles of their own; norms stand
before and behind each block, and multiply by 1 + weight; queries and keys are normed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mirim.core.errors import Unfit
from mirim.models.families import _dense, gemma

ARCHITECTURE = "gemma3"

#: llama.cpp lets every sixth layer see all tokens.
PATTERN = 6
LAYER = {
    **_dense.LAYER,
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
SAMPLE = {
    "architectures": ["Gemma3ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 24,
    "tie_word_embeddings": True,
}


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    rows = {"head_dim": 256, **config}
    if config.get("query_pre_attn_scalar", 256) != rows["head_dim"]:
        raise Unfit("this Gemma model scales its scores by another number than its heads' size")
    if config.get("attn_logit_softcapping") or config.get("final_logit_softcapping"):
        raise Unfit("soft caps are not supported for this family")
    if config.get("use_bidirectional_attention"):
        raise Unfit("this Gemma model sees what comes after, which a decoder does not")
    layers = int(_dense.field(config, "num_hidden_layers"))
    pattern = int(config.get("sliding_window_pattern") or PATTERN)
    usual = ["sliding_attention" if (n + 1) % PATTERN else "full_attention" for n in range(layers)]
    if (config.get("layer_types") or usual) != usual or pattern != PATTERN:
        raise Unfit(f"in this Gemma model other layers than every {PATTERN}th see all tokens")
    whole, local = _turns(config)
    made = gemma.metadata({**rows, "rope_parameters": whole, "rope_scaling": None})
    return made | {
        "attention.sliding_window": int(_dense.field(config, "sliding_window")),
        "rope.freq_base_swa": local,
    }


def _turns(config: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Rotation of the layers that see all, and the base of the others, as either age of transformers writes them."""
    rope = config.get("rope_parameters") or {}
    if "full_attention" in rope:
        local = rope.get("sliding_attention") or {}
        if local.get("rope_type", "default") != "default":
            raise Unfit(f'rope scaling "{local["rope_type"]}" of the layers with a window is not supported')
        return {"rope_theta": 1e6, **rope["full_attention"]}, float(local.get("rope_theta", 10000.0))
    whole = {"rope_theta": config.get("rope_theta", 1e6), **(rope or config.get("rope_scaling") or {})}
    return whole, float(config.get("rope_local_base_freq", 10000.0))


def tensors(config: dict[str, Any], names: Sequence[str]) -> Iterator[_dense.Rule]:
    return gemma.tensors({**config, "rope_parameters": _turns(config)[0], "rope_scaling": None}, names, layer=LAYER)
