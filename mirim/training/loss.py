"""Cross-entropy over the tokens that are learned, a slice at a time: (B, T, V) logits are never held."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn import functional

from mirim.training.attention import NAME, by_rows, starts
from mirim.training.packing import Batch

#: Rows of logits held at once: what the caches of a CPU hold, what keeps a GPU busy; there at most so many logits, a
#: gibibyte in float32, for public models have vocabularies of 150,000 words.
SLICE = {"cpu": 2048, "cuda": 16384}
LOGITS = 2**28
#: A compiled model's learned rows are filled up to a multiple of so many on a CPU: of a few sizes instead of any, what
#: is freed fits what is asked for next, and memory does not grow.
GRAIN = 256


def compiles() -> bool:
    """Whether there is the compiler that torch.compile writes for: of C++ for a processor, of C for a GPU's kernels."""
    if torch.cuda.is_available():
        return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    return bool(shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")))


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
        self.config, self.device = inner.config, next(inner.parameters()).device
        self.scaling = float(getattr(inner.config, "logits_scaling", 1.0) or 1.0)
        self.sliced = self.decoder is not inner and self.head is not None and self._agrees()
        self.summed = self._summed
        self.fused = self.decoder
        self.slice = SLICE.get(self.device.type, SLICE["cpu"])
        if self.device.type == "cuda" and self.head is not None:
            self.slice = max(1, min(self.slice, LOGITS // self.head.weight.shape[0]))
        if compiled and self.sliced:
            self.fused, self.summed = torch.compile(self.decoder), torch.compile(self._summed)

    def attending(self) -> AbstractContextManager[Any]:
        """How the model attends while it learns."""
        return by_rows(self.model)

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

    def backward(self, batch: Batch, scale: float) -> torch.Tensor:
        """Add the gradient of scale * (summed cross-entropy) to the parameters; return the sum in nats, a scalar on the
        model's device: reading it there waits for a GPU.

        The head's part is differentiated slice by slice into the hidden states' gradient, which then goes
        through the decoder once: memory for a slice of logits, and no product is computed twice.
        """
        total = torch.zeros((), dtype=torch.float64 if self.device.type != "mps" else torch.float32).to(self.device)
        if not bool((batch.targets != -100).any()):
            return total
        if not self.sliced:
            loss = self._whole(batch.to(self.device))
            (loss * scale).backward()  # type: ignore[no-untyped-call]
            return total + loss.detach()
        rows, targets = self._learned(batch, self.fused)
        pieces = [(r.detach().requires_grad_(True), t) for r, t in self._slices(rows, targets)]
        for piece, wanted in pieces:
            loss = self.summed(piece, wanted)
            (loss * scale).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        rows.backward(torch.cat([piece.grad for piece, _ in pieces if piece.grad is not None]))  # type: ignore[no-untyped-call]
        return total

    @torch.no_grad()
    def mean(self, batches: list[Batch]) -> float:
        """Mean cross-entropy in nats a learned token over batches."""
        self.model.eval()
        total, count = 0.0, 0
        for batch in batches:
            if not self.sliced:
                total += float(self._whole(batch.to(self.device)))
            else:
                # Not compiled: a handful of batches, of shapes of their own.
                rows, targets = self._learned(batch, self.decoder)
                total += sum(float(self._summed(*piece)) for piece in self._slices(rows, targets))
            count += batch.tokens
        self.model.train()
        return total / max(count, 1)

    def _whole(self, batch: Batch) -> torch.Tensor:
        logits = self.model(input_ids=batch.ids, position_ids=_positions(batch), use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")

    def _learned(self, batch: Batch, decoder: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (N, width) and targets (N,) of the learned positions; for a compiled model filled up with some
        that learn nothing, on a GPU to whole slices."""
        targets = batch.targets.flatten()
        kept = (targets != -100).nonzero().squeeze(1)
        grain = self.slice if self.device.type == "cuda" else GRAIN
        filled = decoder is not self.decoder
        if filled and (short := -len(kept) % grain):
            # Of one shape always: a compiled function is compiled again for another.
            idle = (targets == -100).nonzero().squeeze(1)
            kept = torch.cat([kept, idle[:1].expand(short) if len(idle) else kept.new_zeros(short)])
            targets = targets[kept].index_fill(0, torch.arange(len(kept) - short, len(kept)), -100)
        else:
            targets = targets[kept]
        hidden = self._decoded(batch, decoder)
        if len(kept) == len(hidden) and bool((kept == torch.arange(len(kept))).all()):
            return hidden, targets.to(self.device)
        return hidden.index_select(0, kept.to(self.device)), targets.to(self.device)

    def _decoded(self, batch: Batch, decoder: Any) -> torch.Tensor:
        """Hidden states (B * T, width)."""
        if self.device.type == "cuda" and self.config._attn_implementation == NAME:
            # All rows one after the other: where they begin says what a mask would, and every batch has one shape.
            ids, positions = (x.reshape(1, -1).to(self.device) for x in (batch.ids, batch.positions))
            begins, longest = starts(batch.positions).to(self.device), torch.tensor(batch.ids.shape[1])
            torch._dynamo.maybe_mark_dynamic(begins, 0)
            packed = {"cu_seq_lens_q": begins, "max_length_q": longest}
            found = decoder(input_ids=ids, position_ids=positions, use_cache=False, **packed)
        else:
            moved = batch.to(self.device)
            found = decoder(input_ids=moved.ids, position_ids=_positions(moved), use_cache=False)
        hidden: torch.Tensor = found.last_hidden_state
        return hidden.flatten(0, 1)

    def _slices(self, rows: torch.Tensor, targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for at in range(0, len(targets), self.slice):
            yield rows[at : at + self.slice], targets[at : at + self.slice]

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
