"""Types of tensors and the bits of Q4_0."""

from __future__ import annotations

import pytest

from mirim.core.errors import UsageError
from mirim.models import quantise


def test_which_tensor_is_stored_how():
    choose = quantise.choose
    assert choose("blk.0.attn_norm.weight", (64,), "q4_0") == "f32"
    assert choose("blk.0.attn_q.bias", (64,), "q8_0") == "f32"
    assert choose("rope_freqs.weight", (8,), "f16") == "f32"
    assert choose("blk.0.attn_q.weight", (64, 64), "q4_0") == "q4_0"
    assert choose("blk.0.attn_q.weight", (64, 60), "q4_0") == "f16"
    assert choose("blk.0.ffn_down.weight", (64, 100), "q8_0") == "f16"
    assert choose("token_embd.weight", (512, 64), "q4_0") == "q8_0"
    assert choose("output.weight", (512, 64), "q8_0") == "q8_0"
    assert choose("output.weight", (512, 60), "bf16") == "bf16"
    # The halves of an adapter are matrices like any other.
    assert choose("blk.0.attn_q.weight.lora_a", (32, 64), "q8_0") == "q8_0"
    assert choose("blk.0.attn_q.weight.lora_b", (64, 8), "q8_0") == "f16"


def test_unknown_quantisation_is_named():
    assert quantise.check(" Q8_0 ") == "q8_0"
    with pytest.raises(UsageError, match=r'"q4_k".*q4_0'):
        quantise.check("q4_k")


def test_q4_0_is_valid_and_better_than_the_classic_scale():
    np = pytest.importorskip("numpy")
    gguf = pytest.importorskip("gguf")
    weight = np.random.default_rng(0).standard_normal((40, 96)).astype(np.float32)
    weight[3] = 0
    kind = gguf.GGMLQuantizationType.Q4_0
    ours = gguf.quants.dequantize(quantise.encode(weight, "q4_0"), kind)
    classic = gguf.quants.dequantize(gguf.quants.quantize(weight, kind), kind)
    assert ours.shape == weight.shape
    assert (ours[3] == 0).all()
    assert np.square(ours - weight).sum() < 0.95 * np.square(classic - weight).sum()
    # Blocks of whole steps come back exactly.
    exact = np.tile(np.arange(-8, 8, dtype=np.float32), 2)[None] * 0.5
    assert (gguf.quants.dequantize(quantise.encode(exact, "q4_0"), kind) == exact).all()


def test_sizes_are_those_of_the_bytes():
    np = pytest.importorskip("numpy")
    pytest.importorskip("gguf")
    weight = np.ones((3, 64), np.float32)
    for kind in quantise.QUANTS:
        assert quantise.encode(weight, kind).nbytes == quantise.size((3, 64), kind)


def test_float16_overflow_is_refused():
    np = pytest.importorskip("numpy")
    with pytest.raises(UsageError, match="does not fit float16"):
        quantise.encode(np.full((1, 32), 7e4, np.float32), "f16")
