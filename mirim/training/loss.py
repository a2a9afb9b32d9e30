"""Cross-entropy over the tokens that are learned, a slice at a time: (B, T, V) logits are never held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from mirim.training.packing import Batch

#: Rows of logits held at once.
SLICE = 2048


class Loss:
    """The loss of one causal language model.

    Where its logits are `head(decoder(x)) / scaling`, which is tried on a few tokens, the decoder runs once and
    the head only on learned positions; a model with anything else behind its head (a cap, a factor of its own)
    goes through its own forward pass.
    """

    def __init__(self, model: Any, *, compiled: bool = False) -> None:
        self.model = model
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.decoder, self.head = getattr(inner, "base_model", inner), inner.get_output_embeddings()
        self.scaling = float(getattr(inner.config, "logits_scaling", 1.0) or 1.0)
        self.sliced = self.decoder is not inner and self.head is not None and self._agrees()
        self.summed = self._summed
        if compiled and self.sliced:
            self.decoder, self.summed = torch.compile(self.decoder), torch.compile(self._summed)

    @torch.no_grad()
    def _agrees(self) -> bool:
        ids, positions = _probe(self.model, 16)
        was = self.model.training
        self.model.eval()
        whole = self.model(input_ids=ids, position_ids=positions, use_cache=False).logits
        hidden = self.decoder(input_ids=ids, position_ids=positions, use_cache=False)
        same = hasattr(hidden, "last_hidden_state") and _close(
            self.head(hidden.last_hidden_state) / self.scaling, whole
        )
        self.model.train(was)
        return bool(same)

    def backward(self, batch: Batch, scale: float) -> float:
        """Add the gradient of scale * (summed cross-entropy) to the parameters; return the sum in nats.

        The head's part is differentiated slice by slice into the hidden states' gradient, which then goes
        through the decoder once: memory for `SLICE` rows of logits, and no product is computed twice.
        """
        if not bool((batch.targets != -100).any()):
            return 0.0
        if not self.sliced:
            loss = self._whole(batch)
            (loss * scale).backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())
        rows, targets = self._learned(batch)
        leaf = rows.detach().requires_grad_(True)
        total = torch.zeros((), dtype=torch.float64 if leaf.device.type != "mps" else torch.float32).to(leaf.device)
        for loss in self._slices(leaf, targets):
            (loss * scale).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        rows.backward(leaf.grad)  # type: ignore[no-untyped-call]
        return float(total)

    @torch.no_grad()
    def mean(self, batches: list[Batch]) -> float:
        """Mean cross-entropy in nats a learned token over batches."""
        self.model.eval()
        total, count = 0.0, 0
        for batch in batches:
            if not self.sliced:
                total += float(self._whole(batch))
            else:
                total += sum(float(loss) for loss in self._slices(*self._learned(batch)))
            count += batch.tokens
        self.model.train()
        return total / max(count, 1)

    def _whole(self, batch: Batch) -> torch.Tensor:
        logits = self.model(input_ids=batch.ids, position_ids=_positions(batch), use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")

    def _learned(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (N, width) and targets (N,) of the learned positions."""
        hidden = self.decoder(input_ids=batch.ids, position_ids=_positions(batch), use_cache=False).last_hidden_state
        targets = batch.targets.flatten()
        kept = (targets != -100).nonzero().squeeze(1)
        if len(kept) == len(targets):
            return hidden.flatten(0, 1), targets
        return hidden.flatten(0, 1).index_select(0, kept), targets[kept]

    def _slices(self, rows: torch.Tensor, targets: torch.Tensor) -> Iterator[torch.Tensor]:
        for at in range(0, len(targets), SLICE):
            yield self.summed(rows[at : at + SLICE], targets[at : at + SLICE])

    def _summed(self, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The summed cross-entropy of some rows (N, width)."""
        logits = self.head(rows).float()
        if self.scaling != 1.0:
            logits = logits / self.scaling
        return functional.cross_entropy(logits, targets, reduction="sum")


def _positions(batch: Batch) -> torch.Tensor | None:
    """None where every sequence is one row: attention then needs no mask and skips what lies ahead."""
    plain = torch.arange(batch.positions.shape[1], device=batch.positions.device)
    return None if bool((batch.positions == plain).all()) else batch.positions


@torch.no_grad()
def packs(model: Any) -> bool:
    """Whether the model keeps rows apart that share a sequence and differ by their positions alone.

    Tried rather than looked up: two rows together must give the logits that each gives alone.
    """
    was = model.training
    model.eval()
    ids, positions = _probe(model, 24)
    together = torch.cat([positions[:, :10], positions[:, :14]], 1)
    both = model(input_ids=ids, position_ids=together, use_cache=False).logits
    second = model(input_ids=ids[:, 10:], position_ids=positions[:, :14], use_cache=False).logits
    model.train(was)
    return _close(both[:, 10:], second)


def _probe(model: Any, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    vocabulary = model.get_input_embeddings().weight.shape[0]
    positions = torch.arange(length, device=model.device)[None]
    return (positions * 7 + 3) % vocabulary, positions


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    one, other = one.float(), other.float()
    return bool((one - other).abs().max() <= 1e-3 * other.abs().max() + 1e-6)
