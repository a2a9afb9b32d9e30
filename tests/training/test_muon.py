"""Muon: updates are near orthogonal, training with it learns, and a resumed run ends where a whole one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("shape", [(3, 16, 48), (2, 48, 16), (1, 20, 20)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    import torch

    from mirim.training.muon import orthogonal

    torch.manual_seed(0)
    made = orthogonal(torch.randn(shape) * 100)
    assert made.shape == shape
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_matrices_of_one_shape_do_not_touch_one_another() -> None:
    import torch

    from mirim.training.muon import orthogonal

    torch.manual_seed(0)
    both = torch.randn(2, 8, 24)
    assert torch.allclose(orthogonal(both)[1], orthogonal(both[1:])[0], atol=1e-5)


def _fit(model: Any, rows: Any, folder: Path, steps: int, **more: Any) -> Any:
    from mirim.training.device import Device
    from mirim.training.loop import Settings, fit
    from mirim.training.packing import Batches

    given = {"optimizer": "muon", "every": 0.0, "seed": 5, **more.pop("settings", {})}
    settings = Settings(steps, 1e-2, "constant", **given)
    batches = Batches(rows, 32, 4, 0, 0, full=settings.compiled)
    return fit(model, batches, settings, Device("cpu", False, "test"), folder=folder, run="r", **more)


def test_a_resumed_run_ends_where_a_whole_one_does(
    llama: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path
) -> None:
    whole, broken = llama(), llama()
    result = _fit(whole, rows(), tmp_path / "whole", 8)
    assert result.curve[-1][1] < result.curve[0][1]
    for _ in range(20):
        try:
            _fit(broken, rows(), tmp_path / "broken", 8, deadline=0.0)
            break
        except MirimError:
            broken = llama()
    pairs = zip(whole.parameters(), broken.parameters(), strict=True)
    assert all((one == other).all() for one, other in pairs)


def test_a_compiled_model_learns_the_same(llama: Callable[..., Any], rows: Callable[..., Any], tmp_path: Path) -> None:
    import shutil

    import torch

    if not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler, and there is none")
    torch._dynamo.reset()
    plain = _fit(llama(), rows(), tmp_path / "plain", 4)
    fused = _fit(llama(), rows(), tmp_path / "fused", 4, settings={"compiled": True})
    assert [y for _, y in fused.curve] == pytest.approx([y for _, y in plain.curve], rel=1e-3)
