"""Cross-entropy over the tokens that are learned, a slice at a time: (B, T, V) logits are never held."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def backbone(model: Any) -> tuple[Any, Any, float]:
    """(the decoder without its head, the head, what logits are divided by) of a causal language model."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    scaling = float(getattr(inner.config, "logits_scaling", 1.0) or 1.0)
    return inner.base_model, inner.get_output_embeddings(), scaling


def sliced(model: Any) -> bool:
    """Whether the head is a plain linear map, as it is but for models that cap their logits."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return getattr(inner.config, "final_logit_softcapping", None) is None and hasattr(inner, "base_model")


def backward(model: Any, batch: Any, scale: float, slice_: int = 2048) -> float:
    """Add the gradient of scale * (summed cross-entropy) to the parameters; return the sum in nats.

    The head's part is differentiated slice by slice into the hidden states' gradient, which then goes
    through the decoder once: memory for `slice_` rows of logits, and no product is computed twice.
    """
    if not sliced(model):
        logits = model(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).logits
        loss = functional.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")
        (loss * scale).backward()
        return float(loss.detach())
    decoder, head, scaling = backbone(model)
    hidden = decoder(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).last_hidden_state
    kept = batch.targets.flatten() != -100
    rows = hidden.flatten(0, 1)[kept]
    targets = batch.targets.flatten()[kept]
    leaf = rows.detach().requires_grad_(True)
    total = 0.0
    for at in range(0, len(targets), slice_):
        logits = head(leaf[at : at + slice_]).float() / scaling
        loss = functional.cross_entropy(logits, targets[at : at + slice_], reduction="sum")
        (loss * scale).backward()
        total += float(loss.detach())
    rows.backward(leaf.grad)
    return total


@torch.no_grad()
def evaluate(model: Any, batches: list[Any], slice_: int = 2048) -> float:
    """Mean cross-entropy in nats a token over batches."""
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        if sliced(model):
            decoder, head, scaling = backbone(model)
            hidden = decoder(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).last_hidden_state
            kept = batch.targets.flatten() != -100
            rows, targets = hidden.flatten(0, 1)[kept], batch.targets.flatten()[kept]
            for at in range(0, len(targets), slice_):
                logits = head(rows[at : at + slice_]).float() / scaling
                total += float(functional.cross_entropy(logits, targets[at : at + slice_], reduction="sum"))
        else:
            logits = model(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).logits
            total += float(
                functional.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")
            )
        count += batch.tokens
    model.train()
    return total / max(count, 1)
