"""Muon: momentum whose update of a matrix is made orthogonal, for the matrices inside a model (Jordan et al. 2024).

torch.optim.Muon iterates in bfloat16 whatever the hardware; a CPU that only emulates it takes three times as long as
in float32, and matrices of one shape gain from going through the iteration together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

#: Quintic Newton-Schulz coefficients, chosen by Jordan for the steepest slope at zero.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Matrices (m, n) only. The update's root mean square is 0.2, that of AdamW, so that learning rate and weight
    decay carry over from it (Liu et al. 2025, "Muon is scalable for LLM training")."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        *,
        bf16: bool = False,
        steps: int = 5,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps})
        self.kind = torch.bfloat16 if bf16 else torch.float32

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for shape, parameters in alike.items():
                updates = orthogonal(self._nesterov(parameters, group["momentum"]).to(self.kind), group["steps"])
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates.to(parameters[0].dtype).unbind()), alpha=-rate)

    def _nesterov(self, parameters: list[torch.Tensor], momentum: float) -> torch.Tensor:
        """(K, m, n): the gradients of K parameters, looked ahead along their momentum."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        moving = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(moving, gradients, 1 - momentum)
        return torch.stack(torch._foreach_lerp(gradients, moving, momentum))


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """(K, m, n) matrices with their singular values brought near 1, between about 0.7 and 1.2."""
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x
