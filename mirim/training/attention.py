"""Attention inside packed rows, without what a mask would throw away.

Where several rows share a sequence, a mask tells them apart; products are then computed for every pair of tokens, most
of which are of different rows or look ahead. Here each row goes through causal attention by itself: on a GPU with
FlashAttention's variable lengths (Dao 2023), which torch has for CUDA only, on a CPU row after row. transformers calls
it by the name `NAME`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch

NAME = "mirim_rows"

#: Rows shorter than this are differentiated in float32: on a CPU with AMX torch's kernel takes 12 ms for a thousand
#: tokens of short rows in bfloat16 and 4 in float32, and as long in either at about this length.
NARROW = 512

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def _rows(positions: torch.Tensor, batch: int) -> Iterator[tuple[slice, slice]]:
    """Where each row lies, (sequences, tokens), from positions (B or 1, T) that begin again at every row."""
    for b, line in enumerate(positions):
        starts = [*torch.nonzero(line == 0).flatten().tolist(), len(line)]
        for start, end in itertools.pairwise(starts):
            # One line of positions for all sequences: their rows lie side by side.
            yield slice(b, b + 1) if len(positions) == batch else slice(0, batch), slice(start, end)


@torch.library.custom_op("mirim::rows_attention", mutates_args=())
def rows_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, positions: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, H, D) outputs and (B, T, H) logarithms of the weights' sums, from (B, H, T, D)."""
    out = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    sums = torch.empty(out.shape[:-1], dtype=torch.float32)
    for b, t in _rows(positions, len(query)):
        made, logs = _forward(query[b, :, t], key[b, :, t], value[b, :, t], 0.0, True, scale=scale)
        out[b, t], sums[b, t] = made.transpose(1, 2), logs.transpose(1, 2)
    return out, sums


@rows_attention.register_fake
def _(query: torch.Tensor, key: Any, value: Any, positions: Any, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    out = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    return out, torch.empty(out.shape[:-1], dtype=torch.float32)


@torch.library.custom_op("mirim::rows_attention_backward", mutates_args=())
def rows_attention_backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    positions: torch.Tensor,
    out: torch.Tensor,
    sums: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of query, key and value, (B, H, T, D)."""
    made = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
    for b, t in _rows(positions, len(query)):
        inputs = query[b, :, t], key[b, :, t], value[b, :, t]
        given = [grad[b, t].transpose(1, 2), *inputs, out[b, t].transpose(1, 2)]
        if t.stop - t.start < NARROW:
            given = [x.float() for x in given]
        for whole, part in zip(
            made, _backward(*given, sums[b, t].transpose(1, 2), 0.0, True, scale=scale), strict=True
        ):
            whole[b, :, t] = part
    return made


@rows_attention_backward.register_fake
def _(
    grad: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    *tensors, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
    return (*rows_attention_backward(grad.contiguous(), *ctx.saved_tensors, ctx.scale), None, None)


rows_attention.register_autograd(_differentiate, setup_context=_keep)


@torch.library.custom_op("mirim::packed_attention", mutates_args=())
def packed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    longest: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, H, D) outputs and (H, N) logarithms of the weights' sums, on a GPU, from (N, H, D) queries.

    `starts` (rows + 1,) says where each row begins, and the end. `longest` bounds a row's tokens; it is a tensor on
    the CPU, because a number would be compiled into the model.
    """
    most = int(longest)
    out, sums, *_ = torch.ops.aten._flash_attention_forward(
        query, key, value, starts, starts, most, most, 0.0, True, False, scale=scale
    )
    return out, sums


@packed_attention.register_fake
def _(query: torch.Tensor, key: Any, value: Any, starts: Any, longest: Any, scale: float) -> tuple[torch.Tensor, ...]:
    return torch.empty_like(query), query.new_empty((query.shape[1], query.shape[0]), dtype=torch.float32)


@torch.library.custom_op("mirim::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    longest: torch.Tensor,
    out: torch.Tensor,
    sums: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of query, key and value."""
    most = int(longest)
    # Of dropout, which there is none of.
    state, unused = torch.zeros(2, dtype=torch.uint64, device=query.device), torch.empty(0, device=query.device)
    made = torch.ops.aten._flash_attention_backward(
        grad, query, key, value, out, sums, starts, starts, most, most, 0.0, True, state, unused, scale=scale
    )
    return made[0], made[1], made[2]


@packed_attention_backward.register_fake
def _(
    grad: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _differentiate_packed(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
    made = packed_attention_backward(grad.contiguous(), *ctx.saved_tensors, ctx.scale)
    return (*made, None, None, None)


packed_attention.register_autograd(_differentiate_packed, setup_context=_keep)


def starts(positions: torch.Tensor) -> torch.Tensor:
    """Where the rows of (B, T) positions begin in the B * T tokens one after the other, and the end: int32."""
    flat = positions.flatten()
    first = torch.nonzero(flat == 0).flatten()
    return torch.cat([first, first.new_tensor([flat.numel()])]).to(torch.int32)


def _packed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, given: dict[str, Any]
) -> tuple[torch.Tensor, None]:
    batch, heads, length, size = query.shape
    begins, longest = given.get("cu_seq_lens_q"), given.get("max_length_q")
    if begins is None or longest is None:
        begins, longest = starts(given["position_ids"].expand(batch, -1)), torch.tensor(length)
    flat = (x.transpose(1, 2).reshape(batch * length, -1, size) for x in (query, key, value))
    out, _ = packed_attention(*flat, begins, longest, given["scaling"])
    return out.view(batch, length, heads, size), None


def _attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **given: Any
) -> tuple[torch.Tensor, None]:
    """As transformers' models call it: (B, H, T, D) in, (B, T, H, D) out; keys may have fewer heads than queries."""
    if query.is_cuda:
        kind = value.dtype if value.dtype in (torch.bfloat16, torch.float16) else torch.bfloat16
        return _packed(query.to(kind), key.to(kind), value.to(kind), given)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    # Under autocast torch's own attention makes them alike.
    query, key = query.to(value.dtype), key.to(value.dtype)
    out, _ = rows_attention(query, key, value, given["position_ids"], given["scaling"])
    return out, None


@contextlib.contextmanager
def by_rows(model: Any) -> Iterator[bool]:
    """Let `model` attend row by row meanwhile, where it can: in models whose attention is plain, on a CPU, and on a GPU
    whose training runs in bfloat16.

    Tried rather than looked up: two rows in a sequence must give the logits that they give under a mask.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = getattr(inner, "config", None)
    kind = next(inner.parameters()).device.type
    able = kind == "cpu" or (kind == "cuda" and torch.cuda.is_bf16_supported())
    plain = getattr(config, "_attn_implementation", "") == "sdpa" and able
    # What a few tokens do not show: a window that only longer rows leave, and dropout, which has many names.
    settings = {} if config is None else config.to_dict()
    unseen = [v for k, v in settings.items() if k == "sliding_window" or ("att" in k and "drop" in k)]
    if not plain or any(unseen):
        yield False
        return
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attend)
    before = _logits(inner)
    inner.set_attn_implementation(NAME)
    try:
        taken = _same(inner, before)
        if not taken:
            inner.set_attn_implementation("sdpa")
        yield taken
    finally:
        inner.set_attn_implementation("sdpa")


def _same(model: Any, before: torch.Tensor) -> bool:
    try:
        now = _logits(model)
    except (KeyError, TypeError, ValueError, RuntimeError):
        # Attention that is called with other words, or is no attention of the kind.
        return False
    # A GPU attends in bfloat16 and keeps eight bits of each number.
    near = 3e-2 if now.is_cuda else 1e-3
    return bool((now - before).abs().max() <= near * before.abs().max() + 1e-6)


@torch.no_grad()
def _logits(model: Any) -> torch.Tensor:
    """Of two rows in a sequence."""
    was = model.training
    model.eval()
    vocabulary = model.get_input_embeddings().weight.shape[0]
    positions = torch.cat([torch.arange(10), torch.arange(14)])[None].to(model.device)
    with torch.autocast("cuda", torch.bfloat16, enabled=positions.is_cuda):
        found: torch.Tensor = model(
            input_ids=(positions * 7 + 3) % vocabulary, position_ids=positions, use_cache=False
        ).logits
    model.train(was)
    return found.float()
