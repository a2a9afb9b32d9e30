"""Everything a run needs to go on exactly: weights, optimiser, position in the data. No pickle."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mirim.core.errors import MirimError
from mirim.core.files import explain, read_json, write_json


def save(folder: Path, model: Any, optimizers: Sequence[torch.optim.Optimizer], state: dict[str, Any]) -> None:
    """Write checkpoint `folder`/<step> under a temporary name, rename it, then remove the others.

    MirimError when the disk is full or may not be written; the former checkpoint is kept then.
    """
    target = folder / f"{state['step']:08d}"
    working = folder / f".tmp-{state['step']:08d}"
    named = trainable(model)
    tensors = {f"weight.{n}": p.detach().cpu().contiguous() for n, p in named.items()}
    steps = 0.0
    moments = {p: row for optimizer in optimizers for p, row in optimizer.state.items()}
    for name, parameter in named.items():
        for key, value in moments.get(parameter, {}).items():
            if key == "step":
                steps = float(value)
            else:
                tensors[f"{key}.{name}"] = value.detach().cpu().contiguous()
    try:
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir(parents=True)
        save_file(tensors, working / "state.safetensors")
        _sync(working / "state.safetensors")
        # Written last: a checkpoint with state.json is whole.
        write_json(working / "state.json", {**state, "optimizer_steps": steps})
        shutil.rmtree(target, ignore_errors=True)
        working.rename(target)
    except (OSError, SafetensorError, MirimError) as error:
        shutil.rmtree(working, ignore_errors=True)
        raise failed(error, target) from error
    for old in sorted(p for p in folder.iterdir() if p.is_dir() and p.name != target.name):
        shutil.rmtree(old, ignore_errors=True)


def failed(error: Exception, path: Path) -> MirimError:
    """What to tell a person when weights could not be written to `path`."""
    if isinstance(error, MirimError):
        return error
    if isinstance(error, OSError):
        return explain(error, path)
    # safetensors hides the number of the system's error in its text.
    full = f"os error {errno.ENOSPC}" in str(error) or "No space left" in str(error)
    return explain(OSError(errno.ENOSPC if full else errno.EIO, str(error)), path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def latest(folder: Path, run: str) -> Path | None:
    """The newest whole checkpoint of the run with this fingerprint."""
    if not folder.is_dir():
        return None
    for path in sorted((p for p in folder.iterdir() if p.name.isdigit()), reverse=True):
        if (path / "state.json").is_file() and read_json(path / "state.json").get("run") == run:
            return path
    return None


def load(path: Path, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """Put weights and moments back; return the state."""
    state: dict[str, Any] = read_json(path / "state.json")
    owner = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    with safe_open(path / "state.safetensors", "pt") as tensors:
        for name, parameter in trainable(model).items():
            with torch.no_grad():
                parameter.copy_(tensors.get_tensor(f"weight.{name}"))
        named, stored = trainable(model), list(tensors.keys())
        for full in stored:
            key, _, name = full.partition(".")
            if key != "weight":
                row = owner[named[name]].state[named[name]]
                row[key] = tensors.get_tensor(full).to(named[name].device)
        for parameter, optimizer in owner.items():
            if "exp_avg" in optimizer.state.get(parameter, {}):
                # The fused kernel of a GPU wants its step count there too.
                count = torch.tensor(state["optimizer_steps"], dtype=torch.float32, device=parameter.device)
                optimizer.state[parameter]["step"] = count
    return state


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """Parameters that learn, by name; tied ones once."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}
