"""Which tensor is stored how, and the bits themselves.

Norms, biases and everything with one dimension stay F32, as in llama.cpp. Matrices take the type asked
for; rows that do not divide into blocks of 32 stay F16. Under q4_0 the embedding and the output head are
Q8_0: in a small model they are a third of the weights and the most sensitive ones (llama.cpp spends
more bits there too), and llama.cpp's sampler sees their error directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirim.core.errors import UsageError, suggest

if TYPE_CHECKING:
    import numpy as np

QUANTS = ("f32", "f16", "bf16", "q8_0", "q4_0")
BLOCK = 32

#: llama.cpp's number for 'mostly this type' (general.file_type)
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}

#: Tried beside the classic scale when Q4_0 looks for the one with the least squared error.
_STEPS = (-7.2, -7.4, -7.6, -7.8, -8.2, -8.4, -8.6, -8.8, -9.2)


def check(quant: str) -> str:
    """`quant` in lower case; UsageError lists the known ones."""
    name = quant.strip().lower()
    if name not in QUANTS:
        raise UsageError(f'no quantisation named "{quant}"{suggest(name, QUANTS)}')
    return name


def choose(name: str, shape: tuple[int, ...], quant: str) -> str:
    """How the tensor `name` of a `quant` file is stored."""
    if len(shape) < 2 or not name.endswith((".weight", ".lora_a", ".lora_b")) or "norm" in name:
        return "f32"
    if quant in ("q8_0", "q4_0") and shape[-1] % BLOCK:
        return "f16"
    if quant == "q4_0" and name in ("token_embd.weight", "output.weight"):
        return "q8_0"
    return quant


def size(shape: tuple[int, ...], kind: str) -> int:
    """Bytes of a tensor stored as `kind`."""
    count = 1
    for n in shape:
        count *= n
    return {"f32": count * 4, "f16": count * 2, "bf16": count * 2}.get(kind) or (
        count // BLOCK * {"q8_0": 34, "q4_0": 18}[kind]
    )


def encode(weight: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """float32 (..., columns) to the bytes of `kind`, little-endian."""
    import gguf
    import numpy as np

    weight = np.ascontiguousarray(weight, np.float32)
    if kind == "f32":
        return weight
    if kind == "f16":
        # Values that float16 cannot hold would become infinite and ruin the model without a word.
        peak = float(np.abs(weight).max(initial=0.0))
        if peak > 65504:
            raise UsageError(f"a weight of {peak:g} does not fit float16; export bf16, q8_0 or f32 instead")
        return weight.astype(np.float16)
    if kind == "q4_0":
        return _q4_0(weight)
    return gguf.quants.quantize(weight, gguf.GGMLQuantizationType[kind.upper()])


def _q4_0(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Q4_0 blocks: one float16 scale d and 32 values of 4 bits, w = d (q - 8), q in 0..15.

    The classic scale maps the value of largest magnitude to -8. Here several near it are tried and the one
    with the least squared error is kept, which costs a few passes once and no bytes; an error of about
    a tenth less decides whether a small model passes its gate.
    """
    import numpy as np

    rows = weight.reshape(-1, BLOCK)
    out = np.empty((rows.shape[0], 18), np.uint8)
    for start in range(0, rows.shape[0], 1 << 16):
        part = rows[start : start + (1 << 16)]
        peak = np.take_along_axis(part, np.abs(part).argmax(1)[:, None], 1)
        best_q = np.zeros(part.shape, np.uint8)
        best_d = np.zeros(peak.shape, np.float16)
        best_error = np.full(peak.shape, np.inf, np.float32)
        for step in (-8.0, *_STEPS):
            d = (peak / step).astype(np.float16)
            wide = d.astype(np.float32)
            inverse = np.divide(1.0, wide, out=np.zeros_like(wide), where=wide != 0)
            q = np.clip(np.floor(part * inverse + 8.5), 0, 15)
            error = np.square((q - 8.0) * wide - part).sum(1, keepdims=True)
            better = error < best_error
            best_error = np.where(better, error, best_error)
            best_d = np.where(better, d, best_d)
            best_q = np.where(better, q, best_q).astype(np.uint8)
        block = out[start : start + (1 << 16)]
        block[:, :2] = best_d.view(np.uint8)
        block[:, 2:] = best_q[:, :16] | (best_q[:, 16:] << 4)
    return out.reshape(*weight.shape[:-1], weight.shape[-1] // BLOCK * 18)
