"""Learning examples: the assistant's words in conversations, on a base that others trained or on one from scratch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirim.core.errors import UsageError
from mirim.core.progress import note
from mirim.core.types import Example
from mirim.examples.render import render
from mirim.training.device import Device
from mirim.training.loop import Result, Settings, fit
from mirim.training.loss import packs
from mirim.training.packing import Batches, Row
from mirim.training.pretrain import singly
from mirim.training.shape import shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirim.training.stages import Plan

#: Rows of examples used for validation.
HELD = 400
#: Tokens of text mixed into the examples of a model from scratch, beside the examples' own.
REHEARSED = 0.25


def finetune(
    plan: Plan,
    device: Device,
    work: Path,
    run: str,
    model: Any,
    tokenizer: Any,
    examples: list[Example],
    text: Sequence[Row] | None,
) -> Result:
    """Train `model` on the examples in place. `text` is what a model from scratch learned before."""
    # Beyond its own positions no engine runs the model, and some models have none there.
    most = getattr(model.config, "max_position_embeddings", None) or math.inf
    context = int(min(plan.context, most))
    hint = "raise --context" if context < most else "the model has no longer one: shorten them, or choose another base"
    rows, held = _rows(context, hint, tokenizer, examples)
    # Short sequences waste less attention; a longer example makes all of them longer.
    room = min(context, max(512, max(len(r.ids) for r in rows)))
    if text is not None:
        rows += _rehearsal(text, sum(len(r.ids) for r in rows), room, plan.seed)
    packed = packs(model)
    if not packed:
        note("this model cannot keep packed examples apart: each gets a sequence of its own, which is slower")
    width = int(getattr(model.config, "hidden_size", 512))
    sequences = max(1, (plan.batch_tokens or (4096 if width <= 512 else 8192)) // room)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    batches = Batches(rows, room, sequences, plan.seed, pad, packed=packed)
    rates = {"pretrain": shape(plan.depth).learning_rate / 2, "full": 2e-5 if width > 512 else 2e-4, "lora": 2e-4}
    settings = Settings(
        plan.steps or max(1, round(plan.epochs * batches.per_epoch)),
        plan.learning_rate or rates[plan.method],
        "cosine" if plan.schedule == "auto" else plan.schedule,
        weight_decay=0.0 if plan.method == "lora" else 0.1,
        micro=max(1, device.tokens_at_once(model) // room),
        seed=plan.seed,
    )
    return fit(
        model,
        batches,
        settings,
        device,
        folder=work / "examples",
        run=run,
        validation=singly(held[:HELD], room, pad),
        label="tune",
        deadline=plan.deadline,
    )


def _rows(context: int, hint: str, tokenizer: Any, examples: list[Example]) -> tuple[list[Row], list[Row]]:
    """(to learn, held out) of the examples that fit; those that do not are counted aloud, with the `hint`.

    UsageError names the example that the template refuses.
    """
    learn: list[Row] = []
    held: list[Row] = []
    left_out = 0
    for example in examples:
        try:
            made = render(example, tokenizer, context)
        except UsageError as error:
            raise UsageError(
                f"{example.task} example {example.id} cannot be learned by this base: {error}; change it where it "
                "comes from, such as seeds/, or train with another template: --chat-template FILE.jinja, or plain"
            ) from error
        if made is None:
            left_out += 1
            continue
        (held if example.split == "valid" else learn).append(Row(made.ids, made.mask))
    if left_out:
        note(
            f"{left_out} of {len(examples)} examples are longer than the context of {context} tokens and were left "
            f"out; {hint} to keep them"
        )
    if not learn:
        raise UsageError(
            f"none of {len(examples)} examples is left to train on: {left_out} are longer than the context of "
            f"{context} tokens, {len(held)} are for validation; {hint}, or type: mirim synth"
        )
    return learn, held


def _rehearsal(text: Sequence[Row], tokens: int, room: int, seed: int) -> list[Row]:
    """Some of the text: a model from scratch forgets how text goes on while it learns one-word answers."""
    rows: list[Row] = []
    amount = REHEARSED * tokens
    for index in np.random.default_rng(seed).permutation(len(text)):
        if amount <= 0:
            break
        row = Row(text[int(index)].ids[:room])
        rows.append(row)
        amount -= len(row.ids)
    return rows
