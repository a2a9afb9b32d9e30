"""Attention row by row: what a mask gives, without what it throws away."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def _model(kind: str, **more: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, vocab_size=480, **{**SIZES, "num_key_value_heads": 2, **more})
    return AutoModelForCausalLM.from_config(config).train()


def _step(model: Any, batch: Any, taken: bool) -> tuple[float, dict[str, Any]]:
    import contextlib

    from mirim.training.attention import by_rows
    from mirim.training.loss import Loss

    compute = Loss(model)
    model.zero_grad()
    with by_rows(model) if taken else contextlib.nullcontext() as by:
        assert bool(by) == taken
        loss = float(compute.backward(batch, 1.0))
    return loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["llama", "granite", "qwen2", "qwen3", "gemma", "mistral"])
@pytest.mark.parametrize("whole", [False, True], ids=["packed", "one row a sequence"])
def test_losses_and_gradients_are_those_under_a_mask(kind: str, whole: bool) -> None:
    import torch

    from mirim.training.packing import Row, collate

    model = _model(kind, head_dim=8, **({"sliding_window": None} if kind == "mistral" else {}))
    draw = torch.Generator().manual_seed(2)
    sizes = [40, 40, 40] if whole else [17, 3, 20, 1, 36, 40]
    rows = [Row(torch.randint(0, 480, (n,), generator=draw).numpy()) for n in sizes]
    batch = collate(rows, [[n] for n in range(3)] if whole else [[0, 1, 2], [3, 4], [5]], 40, 0)
    plain, masked = _step(model, batch, False)
    ours, rowwise = _step(model, batch, True)
    assert ours == pytest.approx(plain, rel=1e-5)
    assert masked.keys() == rowwise.keys()
    for name, grad in masked.items():
        torch.testing.assert_close(rowwise[name], grad, rtol=1e-3, atol=1e-5, msg=name)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("gemma2", {"head_dim": 8, "sliding_window": 16}),
        ("mistral", {"sliding_window": 16}),
        ("llama", {"attention_dropout": 0.1}),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    ],
)
def test_other_attention_stays_as_it_is(kind: str, more: dict[str, Any]) -> None:
    from mirim.training.attention import by_rows

    model = _model(kind, **more)
    before = model.config._attn_implementation
    with by_rows(model) as taken:
        assert not taken
        assert model.config._attn_implementation == before


@pytest.mark.parametrize("length", [30, 600])
def test_gradients_of_narrow_numbers_are_those_of_wide_ones(length: int) -> None:
    """Short rows are widened for the backward pass, long ones are not."""
    import torch

    from mirim.training.attention import NARROW, rows_attention

    assert 30 < NARROW < 600
    draw = torch.Generator().manual_seed(3)
    wide = [torch.randn(1, 2, length, 16, generator=draw) for _ in range(3)]
    positions, found = torch.arange(length)[None], []
    for kind in (torch.float32, torch.bfloat16):
        given = [x.to(torch.bfloat16).to(kind).requires_grad_(True) for x in wide]
        out, _ = rows_attention(*given, positions, 0.25)
        out.float().square().sum().backward()
        assert all(x.grad is not None and x.grad.dtype == kind for x in given)
        found.append([x.grad.float() for x in given])
    for exact, near in zip(*found, strict=True):
        assert float((near - exact).norm() / exact.norm()) < 0.02


def test_rows_begin_where_positions_do() -> None:
    import torch

    from mirim.training.attention import starts

    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])
    assert starts(positions).tolist() == [0, 3, 5, 6, 12]
    assert starts(positions).dtype == torch.int32


@pytest.mark.parametrize("narrowed", [False, True])
def test_on_a_gpu_rows_attend_apart(narrowed: bool) -> None:
    """Against the mask, as far as bfloat16 goes; keys and values have fewer heads than queries."""
    import contextlib

    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    from mirim.training.attention import by_rows
    from mirim.training.device import detect
    from mirim.training.loop import narrow
    from mirim.training.loss import Loss
    from mirim.training.packing import Row, collate

    draw = torch.Generator().manual_seed(2)
    rows = [Row(torch.randint(0, 480, (n,), generator=draw).numpy()) for n in (17, 3, 20, 1, 36, 40)]
    batch = collate(rows, [[0, 1, 2], [3, 4], [5]], 40, 0, full=True)
    found = []
    for taken in (False, True):
        model = _model("llama", hidden_size=128, head_dim=64).to("cuda")
        compute = Loss(model)
        with (
            by_rows(model) if taken else contextlib.nullcontext(False) as by,
            narrow(model, detect()) if taken and narrowed else contextlib.nullcontext(),
            torch.autocast("cuda", torch.bfloat16),
        ):
            assert bool(by) == taken
            loss = float(compute.backward(batch, 1.0))
        found.append((loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}))
    (plain, masked), (ours, rowwise) = found
    assert ours == pytest.approx(plain, rel=1e-3)
    for name, grad in masked.items():
        assert (rowwise[name] - grad).norm() < 0.1 * grad.norm(), name
