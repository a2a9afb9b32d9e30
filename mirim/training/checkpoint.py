"""Everything a run needs to go on exactly: weights, optimiser, position in the data. No pickle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mirim.core.files import read_json, write_json


def save(folder: Path, model: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write checkpoint `folder`/<step> under a temporary name, rename it, then remove older ones."""
    target = folder / f"{state['step']:08d}"
    working = folder / f".tmp-{state['step']:08d}"
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    named = trainable(model)
    tensors = {f"weight.{n}": p.detach().cpu().contiguous() for n, p in named.items()}
    steps = 0.0
    for name, parameter in named.items():
        moments = optimizer.state.get(parameter)
        if moments:
            tensors[f"first.{name}"] = moments["exp_avg"].detach().cpu().contiguous()
            tensors[f"second.{name}"] = moments["exp_avg_sq"].detach().cpu().contiguous()
            steps = float(moments["step"])
    save_file(tensors, working / "state.safetensors")
    # Written last: a checkpoint with state.json is whole.
    write_json(working / "state.json", {**state, "optimizer_steps": steps})
    shutil.rmtree(target, ignore_errors=True)
    working.rename(target)
    for old in sorted(p for p in folder.iterdir() if p.is_dir() and p.name < target.name):
        shutil.rmtree(old, ignore_errors=True)


def latest(folder: Path, run: str) -> Path | None:
    """The newest whole checkpoint of the run with this fingerprint."""
    if not folder.is_dir():
        return None
    for path in sorted((p for p in folder.iterdir() if p.name.isdigit()), reverse=True):
        if (path / "state.json").is_file() and read_json(path / "state.json").get("run") == run:
            return path
    return None


def load(path: Path, model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put weights and moments back; return the state."""
    state: dict[str, Any] = read_json(path / "state.json")
    with safe_open(path / "state.safetensors", "pt") as tensors:
        held = set(tensors.keys())
        for name, parameter in trainable(model).items():
            with torch.no_grad():
                parameter.copy_(tensors.get_tensor(f"weight.{name}"))
            if f"first.{name}" in held:
                optimizer.state[parameter] = {
                    "step": torch.tensor(state["optimizer_steps"], dtype=torch.float32),
                    "exp_avg": tensors.get_tensor(f"first.{name}").to(parameter.device),
                    "exp_avg_sq": tensors.get_tensor(f"second.{name}").to(parameter.device),
                }
    return state


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """Parameters that learn, by name; tied ones once."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}
