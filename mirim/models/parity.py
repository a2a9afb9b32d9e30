"""Does the exported model answer like the trained one? Figures, and the gate that refuses.

The reference is the F32 file; that one in turn is compared with torch in float32, where torch is installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirim.core.progress import track
from mirim.core.types import Message, Sampling
from mirim.models import golden, score

#: Most tokens that perplexity is measured on, and length of a golden answer written freely.
TOKENS, LENGTH = 2048, 8
#: Largest relative difference of perplexity from F32.
PERPLEXITY = {"q8_0": 0.01, "f16": 0.01, "bf16": 0.01, "q4_0": 0.05}
#: A choice counts as an answer when the reference prefers it by this much, in nats a token. Below it the
#: assistant would abstain, and noise decides; how many were undecided is reported.
MARGIN = 0.05
#: Smallest mean cosine of the F32 file's logits with torch's. Rounding leaves 0.999999 and more of it, and Q8_0, which
#: changes every weight, about 0.9999: less is another model.
COSINE = 0.9999
#: Smallest share of golden answers that must stay the same.
ANSWERS, QUOTED = 0.95, 0.99
#: Largest share of plain texts that may become other tokens.
TOKENISED = 0.05
_SHOWN = 5


@dataclass(slots=True)
class Measured:
    """One file's answers to everything it was asked."""

    perplexity: score.Perplexity
    greedy: list[str] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)


def measure(engine: Any, held: golden.HeldOut, probes: Sequence[Sequence[int]], label: str) -> Measured:
    """Perplexity, short greedy answers, choices, and logits at the probes (lists of token ids)."""
    found = Measured(score.perplexity(engine, held.texts, limit=TOKENS))
    for item in track(held.golden, f"answers of {label}"):
        prompt = fit(engine, item)
        if prompt is None:
            found.greedy.append("")
            found.chosen.append(-1)
            found.margins.append(0.0)
            continue
        found.greedy.append(answer(engine, prompt))
        values = engine.score(prompt, item.choices)
        means = [sum(v) / len(v) if v else -math.inf for v in values]
        found.chosen.append(means.index(max(means)))
        best = sorted(means, reverse=True)
        found.margins.append(best[0] - best[1] if len(best) > 1 else math.inf)
    found.rows = [engine.logits(ids) for ids in probes]
    return found


def fit(engine: Any, item: golden.Golden) -> str | tuple[Message, ...] | None:
    """The prompt, or None when it does not fit the context together with its answers."""
    longest = max((len(engine.encode(c)) for c in item.choices), default=0)
    return item.prompt if engine.count(item.prompt) + max(longest, LENGTH) < engine.context else None


def answer(engine: Any, prompt: str | tuple[Message, ...]) -> str:
    """The first `LENGTH` tokens of the greedy answer, without blanks before it: those of a chat template are left out
    by what streams, and not by `complete`.
    """
    if hasattr(engine, "complete"):
        return str(engine.complete(prompt, Sampling(max_tokens=LENGTH)).text).lstrip()
    return "".join(d.text for d in engine.generate(prompt, Sampling(max_tokens=LENGTH))).lstrip()


def logits(ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, float]:
    """Largest difference, mean cosine and argmax agreement over all positions; lists of (tokens, vocabulary)."""
    import numpy as np

    a, b = np.concatenate(ours).astype(np.float64), np.concatenate(theirs).astype(np.float64)
    width = min(a.shape[1], b.shape[1])
    a, b = a[:, :width], b[:, :width]
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.where(norms == 0, 1, norms)
    return {
        "max_abs_difference": float(np.abs(a - b).max()),
        "cosine": float(cosine.mean()),
        "argmax_agreement": float((a.argmax(1) == b.argmax(1)).mean()),
    }


def compare(found: Measured, reference: Measured, held: golden.HeldOut) -> dict[str, Any]:
    """A file beside the reference: relative perplexity, equal answers, equal choices, first divergences."""
    asked = [n for n, c in enumerate(reference.chosen) if c >= 0]
    differing = [n for n in asked if found.greedy[n] != reference.greedy[n]]
    decided = [n for n in asked if reference.margins[n] >= MARGIN]
    moved = [n for n in decided if found.chosen[n] != reference.chosen[n]]
    return {
        "perplexity": found.perplexity.value,
        "perplexity_change": found.perplexity.value / reference.perplexity.value - 1,
        "answers": len(asked),
        "answers_equal": 1 - len(differing) / max(len(asked), 1),
        "choices": len(decided),
        "choices_undecided": len(asked) - len(decided),
        "choices_equal": 1 - len(moved) / max(len(decided), 1),
        "logits": logits(found.rows, reference.rows) if found.rows else {},
        "divergences": [
            {
                "prompt": _shown(held.golden[n].prompt),
                "reference": reference.greedy[n],
                "quantised": found.greedy[n],
                "reference_choice": _short(held.golden[n].choices[reference.chosen[n]]),
                "quantised_choice": _short(held.golden[n].choices[found.chosen[n]]),
            }
            for n in dict.fromkeys([*moved, *differing])
        ][:_SHOWN],
    }


def refusals(quant: str, row: dict[str, Any], policy: str) -> list[str]:
    """Why the gate refuses this file; empty when it passes."""
    reasons = []
    change, limit = row["perplexity_change"], PERPLEXITY[quant]
    if not abs(change) <= limit:
        reasons.append(f"perplexity differs by {change:+.2%} from F32, at most {limit:.0%} is allowed")
    kind, what, least = ("choices", "chosen", QUOTED) if policy == "quote" else ("answers", "written", ANSWERS)
    share = row[f"{kind}_equal"]
    if share < least:
        reasons.append(f"{share:.1%} of {row[kind]} {what} golden answers are equal, {least:.0%} are needed")
    return reasons


def strangeness(row: dict[str, Any]) -> list[str]:
    """Why the F32 file is not the model that torch runs, by `logits`, `answers` and `answers_equal` of both; empty when
    it is.
    """
    reasons = []
    cosine, share = row["logits"]["cosine"], row["answers_equal"]
    if not cosine >= COSINE:
        reasons.append(f"logits of F32 have a cosine of {cosine:.6f} with torch's, {COSINE} is needed")
    # One answer may turn on a tie, whatever their number.
    if share < ANSWERS and round((1 - share) * row["answers"]) > 1:
        reasons.append(
            f"{share:.1%} of {row['answers']} golden answers of F32 are equal to torch's, {ANSWERS:.0%} are needed"
        )
    return reasons


def tokens(references: Sequence[Callable[[str], list[int]]], engine: Any, special: Sequence[str]) -> dict[str, Any]:
    """Token ids on plain and marked texts beside the tokenizer's own; a text is right when one reference agrees."""
    texts = golden.fuzz(special)
    marked = len(special) * 3
    wrong = []
    for number, text in enumerate(texts):
        expected, got = [read(text) for read in references], engine.encode(text)
        if got not in expected:
            wrong.append(
                {"text": text, "expected": expected[0][:40], "got": got[:40], "plain": number < len(texts) - marked}
            )
    return {
        "texts": len(texts),
        "differing": len(wrong),
        "plain_differing": sum(bool(w["plain"]) for w in wrong) / (len(texts) - marked),
        "divergences": wrong[:_SHOWN],
    }


def _shown(prompt: str | tuple[Message, ...]) -> str:
    return _short(prompt if isinstance(prompt, str) else prompt[-1].content)


def _short(text: str) -> str:
    return text if len(text) <= 120 else "…" + text[-119:]
