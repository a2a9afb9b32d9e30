"""Which device trains, in which precision, and how fast it could multiply at best."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is 'cuda', 'mps' or 'cpu'; `bf16` whether forward passes run in bfloat16 (masters stay float32)."""

    kind: str
    bf16: bool
    name: str

    @property
    def torch(self) -> torch.device:
        return torch.device(self.kind)

    def settle(self, exact: bool) -> None:
        """Let the same sums be made in the same order every time, on a GPU only where `exact`: fixed orders cost a good
        part of its speed, and the last bits of a long pretraining may differ between runs."""
        torch.use_deterministic_algorithms(exact or self.kind != "cuda", warn_only=self.kind != "cpu")

    @property
    def memory(self) -> int:
        """Bytes that a model and its training have room in."""
        if self.kind == "cuda":
            return int(torch.cuda.get_device_properties(0).total_memory)
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def tokens_at_once(self, model: Any) -> int:
        """Tokens that go through `model` together: what fills the caches of a CPU, what a GPU's memory holds.

        A layer keeps about 34 values of its width a token for the backward pass (Korthikanti et al. 2022).
        """
        if self.kind != "cuda":
            return 4096
        width, layers = int(getattr(model.config, "hidden_size", 1024)), int(model.config.num_hidden_layers)
        weights = sum(p.numel() * (16 if p.requires_grad else 4) for p in model.parameters())
        fits = (self.memory * 0.6 - weights) / (34 * width * layers * (2 if self.bf16 else 4))
        return max(1024, min(2**17, int(fits)))


def detect(threads: int = 0) -> Device:
    """CUDA, then Apple's MPS, then the CPU; bfloat16 only where the hardware multiplies it faster than float32."""
    if threads:
        torch.set_num_threads(threads)
    if torch.cuda.is_available():
        return Device("cuda", torch.cuda.is_bf16_supported(), torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Device("mps", False, "Apple GPU")
    return Device("cpu", _cpu_multiplies_bf16(), f"CPU, {torch.get_num_threads()} threads")


def keep_memory() -> None:
    """Let glibc keep what is freed instead of giving it back (mallopt(3)).

    A step's large tensors come anew each time, and the system would fill their pages with zeros each time: a sixth of a
    small model's training.
    """
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library, or another system
    for option, value in ((mmap_max, 0), (trim_threshold, 1 << 30), (top_pad, 64 << 20)):
        mallopt(option, value)


def _cpu_multiplies_bf16() -> bool:
    """Whether bfloat16 is worth it: a processor may have the instructions and still be half as fast with them."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", "replace").replace("\n", " ")
    except OSError:
        return False
    if not any(f" {word} " in flags for word in ("avx512_bf16", "amx_bf16", "bf16")):
        return False
    # Measured ratios are near one half or near two, so that noise does not decide.
    return _peak("cpu", torch.bfloat16, 512) > 1.2 * _peak("cpu", torch.float32, 512)


def matmul_peak(device: Device) -> float:
    """Measured floating-point operations per second of a square matrix product, the best of several and of two sizes:
    tiles of bfloat16 (AMX) need a large one. Once a process and number of threads: on an old processor it takes some
    five seconds, more than a small model's tuning."""
    return _highest(device.kind, torch.bfloat16 if device.bf16 else torch.float32, torch.get_num_threads())


@functools.cache
def _highest(where: str, kind: torch.dtype, threads: int) -> float:
    return max(_peak(where, kind, size) for size in ((8192,) if where == "cuda" else (1024, 2048)))


def _peak(where: str, kind: torch.dtype, size: int) -> float:
    a = torch.randn(size, size).to(where, kind)
    best, begun = 0.0, time.perf_counter()
    for _ in range(8):
        started = time.perf_counter()
        a @ a
        if where == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        best = max(best, 2 * size**3 / (now - started))
        if now - begun > 2:
            break
    return best


def world() -> tuple[int, int]:
    """(rank, size) of a torchrun launch; (0, 1) outside one."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def join(device: Device) -> None:
    """Meet the other processes of a torchrun launch, each GPU process on its own card."""
    if world()[1] > 1 and not torch.distributed.is_initialized():
        if device.kind == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.distributed.init_process_group("nccl" if device.kind == "cuda" else "gloo")


def wait() -> None:
    """Until every process of the launch is here."""
    if world()[1] > 1:
        torch.distributed.barrier()


def summed(value: float, device: Device) -> float:
    """A number summed over the processes of the launch."""
    if world()[1] == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=device.torch)
    torch.distributed.all_reduce(tensor)
    return float(tensor)
