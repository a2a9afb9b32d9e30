"""One dial for a model from scratch: depth sets width, heads, learning rate and batch.

Width grows with depth (Kaplan et al. 2020), slowly: at a few hundred million parameters and below, deep and thin models
learn more than wide ones of the same size (Liu et al. 2024, MobileLLM, whose 125 M has 30 layers of 576; 32 a layer,
rounded up, comes close). The learning rate falls with the width as in maximal update
parametrisation's first-order rule (Yang et al. 2022): lr = 0.003 * (256 / width) for AdamW. The tokens of a
step follow from those of the run (Li et al. 2025, "Step Law": 0.58 * D^0.571). Tokens default to 20 a
parameter (Hoffmann et al. 2022), or to as many passes over a small corpus as still help (Muennighoff et al.
2023 found about four to be as good as fresh text, and returns to vanish beyond some sixteen).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

#: Tokens of a user's corpus may be seen this often before more passes stop helping.
PASSES = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a Llama, and the learning rate that suits them."""

    depth: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    learning_rate: float

    def parameters(self, vocab_size: int) -> int:
        """How many a model of this shape has, its norms left out."""
        attention = self.hidden_size * 64 * 2 * (self.heads + self.kv_heads)
        return self.hidden_size * vocab_size + self.depth * (attention + 3 * self.hidden_size * self.intermediate_size)


def shape(depth: int) -> Shape:
    """The shape of a depth: hidden size 32 a layer, rounded up, in heads of 64.

    Sizes are multiples of 256, so that the blocks of every quantisation divide them; the smallest have 128.
    """
    unit = 256 if depth > 2 else 128
    width = -(-depth * 32 // unit) * unit
    heads = width // 64
    # A quarter of the heads for keys and values, but two where there are four.
    kv = next(k for k in (max(heads // 4, min(2, heads // 2)), heads // 3, heads // 2, 1) if k and heads % k == 0)
    inner = round(width * 8 / 3 / unit) * unit
    return Shape(depth, width, inner, heads, kv, 0.003 * 256 / width)


def batch_tokens(tokens: float) -> int:
    """Tokens a step for a run over `tokens`: a power of two, at least 4,096, which is what keeps a CPU busy."""
    return max(4096, min(2**19, 1 << round(math.log2(max(1.0, 0.58 * tokens**0.571)))))


def build(size: Shape, vocab_size: int, context: int, tokenizer: Any, seed: int) -> Any:
    """A LlamaForCausalLM with random weights, tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    settings: dict[str, Any] = {"rope_theta": 10_000.0, "attn_implementation": "sdpa"}
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=64,
        max_position_embeddings=context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=size.hidden_size**-0.5,
        **settings,
    )
    return LlamaForCausalLM(config)
