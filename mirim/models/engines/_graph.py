"""What a GGUF file says of its graph, in the core's words; and which graphs the core computes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import Unfit, UsageError
from mirim.models import gguf_check
from mirim.models.lora import Lora

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

#: Architectures of llama.cpp whose graph the core computes, and whether their rope rotates neighbours.
ARCHITECTURES = {"llama": True, "granite": True, "qwen2": False, "qwen3": False, "gemma": False, "gemma3": False}
#: Of every so many layers the last sees all tokens, where a file does not say.
_PATTERN = {"gemma3": 6}
#: ggml's numbers of the types that the core holds without loss: f32, f16, q4_0, q8_0, bf16.
F32, FLOATS, HELD = 0, (0, 1, 30), (0, 1, 2, 8, 30)
#: `general.file_type` of files that nothing was rounded away in: f32, f16, bf16.
_UNROUNDED = (0, 1, 32)
_LARGEST = 1_500_000_000
_LAYER = {
    *(f"{n}.weight" for n in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "attn_q_norm", "attn_k_norm")),
    *(f"{n}.weight" for n in ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")),
    *(f"{n}.bias" for n in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")),
}
#: Matrices that adapters may change, and the highest rank of a change.
_CHANGED, _RANK = {n for n in _LAYER if n.endswith(".weight") and "norm" not in n}, 512
#: What only some architectures have.
_MORE = {"gemma3": {"post_attention_norm.weight", "post_ffw_norm.weight"}}
_TOP = {"token_embd.weight", "output.weight", "output_norm.weight", "rope_freqs.weight"}


def unsupported(header: gguf_check.Header) -> str:
    """Why the core does not compute this graph, '' if it does."""
    keys, kind = header.keys, header.architecture
    if kind not in ARCHITECTURES:
        return f"its architecture {kind} is none of {', '.join(ARCHITECTURES)}"
    for tensor in header.tensors:
        part = tensor.split(".", 2)[2] if tensor.startswith("blk.") and tensor.count(".") > 1 else ""
        if tensor not in _TOP and part not in _LAYER and part not in _MORE.get(kind, ()):
            return f"it has a tensor {tensor}"
    size = sum(math.prod(shape) for _, shape in header.tensors.values())
    if size > _LARGEST:
        return f"it has {size / 1e9:.1f} billion parameters; llama.cpp is as fast from one billion on"
    heads = keys.get(f"{kind}.attention.head_count")
    if not isinstance(heads, int) or not isinstance(keys.get(f"{kind}.attention.head_count_kv", heads), int):
        return "its layers differ in their heads"
    size = head_dim(header)
    if not 0 < size <= 256 or size % 2:
        return f"its heads have {size} values, not an even number up to 256"
    if size % 16 and any(tensor.endswith("_norm.weight") and ".attn_q" in tensor for tensor in header.tensors):
        return f"it norms heads of {size} values, not a multiple of 16"
    turned = keys.get(f"{kind}.rope.dimension_count", size)
    if not isinstance(turned, int) or not 0 <= turned <= size:
        return f"it rotates {turned} values of heads of {size}"
    inter = keys.get(f"{kind}.feed_forward_length")
    if not isinstance(inter, int) or inter < 1:
        return f"its feed_forward_length is {inter}"
    if caps := [k for k in keys if k.startswith(kind) and k.endswith("logit_softcapping") and keys[k]]:
        return f"it has {caps[0]}"
    scaling = keys.get(f"{kind}.rope.scaling.type", "none")
    if scaling not in ("none", "linear", "yarn"):
        return f"its rope scaling is {scaling}"
    if keys.get(f"{kind}.attention.causal") is False:
        return "its tokens see those behind them"
    if kind == "granite" and keys.get(f"{kind}.rope.scaling.finetuned") is False:
        return "its heads do not turn"
    if scaling != "yarn" and keys.get(f"{kind}.rope.scaling.attn_factor", 1.0) != 1.0:
        return f"it scales attention by {keys[f'{kind}.rope.scaling.attn_factor']}"
    return ""


def unsupported_adapter(adapter: Lora, header: gguf_check.Header) -> str:
    """Why the core does not apply an adapter to this graph, '' if it does."""
    if head_dim(header) % 16 or inner(header) % 16:
        return f"the adapter {adapter.path} changes a model whose sizes are no multiples of 16"
    for tensor in adapter.scales:
        if not tensor.startswith("blk.") or tensor.split(".", 2)[2] not in _CHANGED:
            return f"the adapter {adapter.path} changes {tensor}"
        rank = adapter.header.tensors[f"{tensor}.lora_a"][1][1]
        if rank > _RANK:
            return f"the adapter {adapter.path} has a rank of {rank}, more than {_RANK}"
    return ""


def head_dim(header: gguf_check.Header) -> int:
    keys, kind = header.keys, header.architecture
    return int(
        keys.get(f"{kind}.attention.key_length")
        or keys[f"{kind}.embedding_length"] // keys[f"{kind}.attention.head_count"]
    )


def inner(header: gguf_check.Header) -> int:
    """Values of the layer between the two halves of a feed-forward block."""
    return int(header.keys.get(f"{header.architecture}.feed_forward_length", 0))


def wide(size: int) -> int:
    """A head's or an inner layer's size as the core has it (`_widen`)."""
    return -(-size // 16) * 16


def config(header: gguf_check.Header, path: Path) -> dict[str, Any]:
    """GGUF's keys under transformers' names. Unfit where layers differ in more than what they see."""
    kind = header.architecture

    def key(name: str, default: Any) -> Any:
        return header.keys.get(f"{kind}.{name}", default)

    for name in header.lengths:
        if name.startswith(f"{kind}.") and not name.endswith(".sliding_window_pattern"):
            raise Unfit(f"{path}: {name} is another one for every layer; use --engine llama_cpp")
    heads, hidden = key("attention.head_count", 0), key("embedding_length", 0)
    frequencies, gain = _frequencies(header, path)
    multiplier, gemma = float(key("logit_scale", 0.0)), kind.startswith("gemma")
    size, scale = head_dim(header), float(key("attention.scale", 0.0))
    return {
        "vocab_size": header.tensors["token_embd.weight"][1][1],
        "hidden_size": hidden,
        "num_hidden_layers": key("block_count", 0),
        "num_attention_heads": heads,
        "num_key_value_heads": key("attention.head_count_kv", heads),
        "head_dim": wide(size),
        "intermediate_size": wide(inner(header)),
        "max_position_embeddings": min(key("context_length", 0), 1 << 22),
        "rms_norm_eps": float(key("attention.layer_norm_rms_epsilon", 1e-5)),
        "interleaved": ARCHITECTURES[kind],
        "frequencies": frequencies,
        "rope_gain": gain,
        **_window(header),
        "embedding_multiplier": float(key("embedding_scale", 0.0)) or (math.sqrt(hidden) if gemma else 1.0),
        "gelu": gemma,
        "norms_behind": kind in _MORE,
        "residual_multiplier": float(key("residual_scale", 0.0)) or 1.0,
        # Of the values that a head has in truth.
        "attention_multiplier": scale if scale or not size % 16 else 1 / math.sqrt(size),
        "logit_multiplier": 1.0 / multiplier if multiplier and kind == "granite" else 1.0,
        # A model in floats (of 32 or 16 bits) answers as transformers does in float32; others keep their keys and
        # values in half of that, as llama.cpp does.
        "narrow_cache": int(header.keys.get("general.file_type", 1)) not in _UNROUNDED,
    }


def _window(header: gguf_check.Header) -> dict[str, Any]:
    """Which layers see so many tokens only, and their angles, which no scaling changes."""
    import numpy as np

    keys, kind = header.keys, header.architecture
    window = int(keys.get(f"{kind}.attention.sliding_window") or 0)
    if kind not in _PATTERN or not window:
        return {}
    layers, name = int(keys[f"{kind}.block_count"]), f"{kind}.attention.sliding_window_pattern"
    if name in header.lengths:
        local = [bool(one) for one in header.layers.get(name, ())]
        if len(local) != layers:
            raise UsageError(f"{name} says something of {header.lengths[name]} layers, and there are {layers}")
    else:
        every = int(keys.get(name) or _PATTERN[kind])
        local = [bool((layer + 1) % every) for layer in range(layers)]
    size = int(keys.get(f"{kind}.rope.dimension_count", head_dim(header)))
    base = float(keys.get(f"{kind}.rope.freq_base_swa", 10000.0))
    angles = 1.0 / base ** (np.arange(0, size, 2, dtype=np.float64) / size)
    return {
        "sliding_window": window,
        "local_layers": local,
        "local_frequencies": [float(f) for f in angles.astype(np.float32)],
    }


def _frequencies(header: gguf_check.Header, path: Path) -> tuple[list[float], float]:
    """Angle per position of each rotated pair, and the gain of cosine and sine.

    Linear scaling (Chen et al. 2023), Llama 3.1's factors, YaRN (Peng et al. 2023, arXiv 2309.00071).
    """
    import numpy as np

    keys, kind = header.keys, header.architecture
    size = int(keys.get(f"{kind}.rope.dimension_count", head_dim(header)))
    base = float(keys.get(f"{kind}.rope.freq_base", 10000.0))
    plain = 1.0 / base ** (np.arange(0, size, 2, dtype=np.float64) / size)
    if "rope_freqs.weight" in header.tensors:
        start, length = header.places["rope_freqs.weight"]
        raw = np.memmap(path, np.uint8, "r", start, (length,))
        factors = floats(raw, *header.tensors["rope_freqs.weight"]).reshape(-1)
        if len(factors) < len(plain):
            raise UsageError(f"{path} has {len(factors)} frequency factors for {len(plain)} pairs; download it again")
        plain = plain / factors[: len(plain)]
    # As llama.cpp has it: a factor without a kind is linear, and older files have it under another name.
    scaling = keys.get(f"{kind}.rope.scaling.type", "linear")
    factor = float(keys.get(f"{kind}.rope.scaling.factor") or keys.get(f"{kind}.rope.scale_linear") or 1.0)
    gain = 1.0
    if scaling == "linear":
        plain = plain / factor
    elif scaling == "yarn":
        original = int(keys.get(f"{kind}.rope.scaling.original_context_length", keys[f"{kind}.context_length"]))

        def pair(turns: float) -> float:
            """The pair that turns so many times within the original context."""
            return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

        fast = float(keys.get(f"{kind}.rope.scaling.yarn_beta_fast", 32.0))
        slow = float(keys.get(f"{kind}.rope.scaling.yarn_beta_slow", 1.0))
        low, high = max(0, math.floor(pair(fast))), min(size - 1, math.ceil(pair(slow)))
        kept = 1 - np.clip((np.arange(len(plain)) - low) / max(0.001, high - low), 0, 1)
        plain = plain / factor * (1 - kept) + plain * kept
        gain = float(keys.get(f"{kind}.rope.scaling.attn_factor", 1.0)) * (1 + 0.1 * math.log(factor))
    return [float(f) for f in plain.astype(np.float32)], gain


def type_name(number: int) -> str:
    """The name of a tensor's type."""
    import gguf

    return str(gguf.GGMLQuantizationType(number).name)


def floats(data: Any, kind: int, shape: tuple[int, ...]) -> Array:
    """A tensor of any type as floats, (rows, columns)."""
    import gguf
    import numpy as np

    quantised = gguf.GGMLQuantizationType(kind)
    columns = shape[0]
    try:
        block, width = gguf.GGML_QUANT_SIZES[quantised]
        rows = np.asarray(data).reshape(-1, columns // block * width)
        # Blocks know nothing of rows, and many short rows take gguf several times as long.
        together = math.gcd(rows.size // width, 256)
        values = gguf.quants.dequantize(rows.reshape(-1, together * width), quantised)
    except (NotImplementedError, KeyError) as error:
        raise Unfit(f"weights of type {quantised.name} cannot be read; use --engine llama_cpp") from error
    return np.ascontiguousarray(values.reshape(-1, columns), np.float32)
