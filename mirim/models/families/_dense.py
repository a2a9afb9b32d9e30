"""What decoder-only families with rotary embeddings share: metadata, tensor names, rope scalings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirim.core.errors import Unfit, UsageError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """GGUF tensor `target` is `change(checkpoint[source])`; without a source, `change` makes it from nothing.

    `shape` is the shape after `change`, () when the change keeps it. `back` undoes one that does more than
    move rows.
    """

    target: str
    source: str = ""
    change: Callable[[Any], Array] | None = None
    shape: tuple[int, ...] = ()
    back: Callable[[Any], Array] | None = None


#: Layers of a model at most.
_LAYERS = 4096
#: checkpoint name within a layer → GGUF name within a block
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
#: Buffers that old checkpoints saved although they follow from the configuration.
_DERIVED = ("rotary_emb.inv_freq", "self_attn.masked_bias", "attn.bias")


def field(config: Config, key: str, default: Any = None) -> Any:
    """A field of config.json; UsageError names it when it is missing and has no default."""
    value = config.get(key)
    if value is None:
        if default is None:
            raise UsageError(f'config.json of this {config.get("model_type", "")} model lacks "{key}"')
        return default
    return value


def head_dim(config: Config) -> int:
    return int(config.get("head_dim") or field(config, "hidden_size") // field(config, "num_attention_heads"))


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys that every dense decoder has; rope scaling included. Keys lack the architecture's prefix.

    UsageError for another activation than silu; a family with another one says so by its own check.
    """
    activation = config.get("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise Unfit(f'hidden_act "{activation}" is not supported; this family computes silu')
    heads = int(field(config, "num_attention_heads"))
    size = head_dim(config)
    rows = {
        "context_length": int(field(config, "max_position_embeddings")),
        "embedding_length": int(field(config, "hidden_size")),
        "block_count": int(field(config, "num_hidden_layers")),
        "feed_forward_length": int(field(config, "intermediate_size")),
        "attention.head_count": heads,
        "attention.head_count_kv": int(field(config, "num_key_value_heads", heads)),
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": float(field(config, "rms_norm_eps", 1e-6)),
        "rope.dimension_count": size,
        "rope.freq_base": rope_theta(config),
        "vocab_size": int(field(config, "vocab_size")),
    }
    rows |= _scaling(config)
    for key, value in rows.items():
        most = _LAYERS if key == "block_count" else 2**31 - 1
        # A single figure could ask for all memory that there is.
        if isinstance(value, (int, float)) and not (0 < value <= most and math.isfinite(value)):
            raise ValueError(f"{key} is {value}")
    return rows


def rope(config: Config) -> dict[str, Any]:
    """Rotary parameters, wherever the version of transformers that wrote config.json put them."""
    row = dict(config.get("rope_parameters") or {}) or dict(config.get("rope_scaling") or {})
    row["type"] = row.get("rope_type") or row.get("type") or "default"
    if config.get("partial_rotary_factor", row.get("partial_rotary_factor", 1.0)) != 1.0:
        raise Unfit("partial_rotary_factor other than 1 is not supported for this family")
    return row


def rope_theta(config: Config) -> float:
    return float(rope(config).get("rope_theta") or config.get("rope_theta") or 10000.0)


def _scaling(config: Config) -> dict[str, Any]:
    row = rope(config)
    kind = row["type"]
    if kind in ("default", "llama3", "dynamic"):
        # llama3 becomes a tensor of frequency factors; dynamic changes nothing within the trained context.
        return {}
    if kind == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": float(row["factor"])}
    if kind == "yarn":
        return _yarn(row, config)
    raise Unfit(f'rope scaling "{kind}" is not supported; known: default, dynamic, linear, llama3, yarn')


def _yarn(row: dict[str, Any], config: Config) -> dict[str, Any]:
    """YaRN (Peng et al. 2023, arXiv 2309.00071).

    llama.cpp multiplies by 1 + 0.1 ln(factor) itself: the key holds what is left of a chosen factor.
    """
    original = int(row.get("original_max_position_embeddings") or field(config, "max_position_embeddings"))
    factor = float(row.get("factor") or field(config, "max_position_embeddings") / original)
    if row.get("truncate") is False:
        raise Unfit("YaRN without truncation of its range is not supported by llama.cpp")

    def mscale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    wanted = row.get("attention_factor")
    if wanted is None and row.get("mscale") and row.get("mscale_all_dim"):
        wanted = mscale(float(row["mscale"])) / mscale(float(row["mscale_all_dim"]))
    return {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": original,
        "rope.scaling.yarn_beta_fast": float(row.get("beta_fast") or 32),
        "rope.scaling.yarn_beta_slow": float(row.get("beta_slow") or 1),
        **({"rope.scaling.attn_factor": float(wanted) / mscale(1)} if wanted is not None else {}),
    }


def _llama3_factors(config: Config) -> Array:
    """Divisors of the rotary frequencies, one for each pair (head_dim / 2,); Llama 3.1's rule."""
    import numpy as np

    row, size = rope(config), head_dim(config)
    factor, low, high = (float(row[k]) for k in ("factor", "low_freq_factor", "high_freq_factor"))
    original = float(row.get("original_max_position_embeddings") or field(config, "max_position_embeddings"))
    waves = 2 * math.pi * rope_theta(config) ** (np.arange(0, size, 2, dtype=np.float64) / size)
    smooth = (original / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(waves < original / high, 1.0, np.where(waves > original / low, factor, between)).astype(np.float32)


def interleave(heads: int) -> Callable[[Array], Array]:
    """Rows of q and k from halves (transformers) to pairs (llama.cpp's normal rope); also for biases."""

    def change(weight: Array) -> Array:
        rows = weight.shape[0]
        if heads < 1 or rows % (2 * heads):
            raise UsageError(f"config.json says {heads} heads, which {rows} rows of q or k cannot be split into")
        split = weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
        return split.swapaxes(1, 2).reshape(weight.shape)

    return change


def tensors(
    config: Config,
    names: Sequence[str],
    *,
    pairs: bool,
    layer: Mapping[str, str] = LAYER,
    more: Callable[[str, str], Iterator[Rule]] | None = None,
) -> Iterator[Rule]:
    """Rules for a checkpoint's tensors. `pairs` for architectures whose rope rotates neighbouring rows; `layer` says
    what the parts of a layer are called.

    `more(name, prefix)` may place what only one family has. UsageError for a tensor that has no place:
    leaving one out in silence would make another model.
    """
    heads = int(field(config, "num_attention_heads"))
    change = {
        "attn_q": interleave(heads) if pairs else None,
        "attn_k": interleave(int(field(config, "num_key_value_heads", heads))) if pairs else None,
    }
    layers = int(field(config, "num_hidden_layers"))
    if rope(config)["type"] == "llama3":
        if not pairs:
            raise Unfit(f'llama.cpp does not read rope scaling "llama3" in {config.get("model_type")} models')
        factors = _llama3_factors(config)
        yield Rule("rope_freqs.weight", change=lambda _: factors, shape=factors.shape)
    if not config.get("tie_word_embeddings") and "lm_head.weight" not in names:
        raise UsageError("the checkpoint has no lm_head.weight, and config.json does not tie it to the embeddings")
    for name in names:
        stem, _, kind = name.rpartition(".")
        found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
        if stem in TOP:
            # Also where config.json ties it: transformers takes a head that is there for the model's.
            yield Rule(f"{TOP[stem]}.{kind}", name)
        elif found and found[2] in layer and int(found[1]) < layers:
            target = layer[found[2]]
            yield Rule(f"blk.{found[1]}.{target}.{kind}", name, change.get(target))
        elif name.endswith(_DERIVED):
            continue
        else:
            rules = list(more(name, f"blk.{found[1]}." if found else "")) if more else []
            if not rules:
                raise UsageError(f"tensor {name} has no place in a {config.get('model_type')} model of {layers} layers")
            yield from rules


def required(config: Config) -> list[str]:
    """GGUF tensors without which the model cannot run."""
    parts = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
    blocks = [f"blk.{i}.{p}.weight" for i in range(int(field(config, "num_hidden_layers"))) for p in parts]
    return ["token_embd.weight", "output_norm.weight", *blocks]
