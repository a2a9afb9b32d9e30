"""The model card: what a bundle is, what it was made from, what it may be used for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mirim.core.bundle import Bundle
from mirim.models.pointing import FOLDER

#: What is said of a model that learned to point at answers.
POINTING = (
    f"`{FOLDER}/` lets mirim's own core see where in a text the answer to a question stands (`read`), or what a\n"
    "request says for the parameters of a function (`tools`): each a LoRA adapter of the model without its causal\n"
    "mask, and two rows of numbers on top. The loss of such a stage is in nats a question."
)


def card(
    bundle: Bundle,
    stages: dict[str, Any],
    inputs: dict[str, Any],
    device: str,
    sources: str = "",
    former: str = "",
) -> str:
    """README.md with the front matter that model hubs read. `sources` is a table of what a recipe's data came from,
    `former` the card of a base that learned the recipe, whose sources are its own too."""
    front = ["---", "library_name: transformers", "tags: [mirim]"]
    base = bundle.base
    if Path(base).exists():
        # A folder here means nothing elsewhere, and tells of the machine.
        base = Path(base).name
    elif base:
        front += [f"base_model: {base}"]
    front += [f"license: {json.dumps(bundle.licence)}"] if bundle.licence else []
    made = {
        "pretrain": f"trained {f'further from {base}' if base else 'from scratch'} on {_text(inputs)}",
        "full": f"fine-tuned from {base} on examples made from the project's documents",
        "lora": f"a LoRA adapter for {base}, trained on examples made from the project's documents",
    }[bundle.method]
    rows = "\n".join(
        f"| {name} | {r['steps']} | {r['tokens']:,} | {r['loss']:.3f} | {_held(r['validation'])} |"
        for name, r in stages.items()
    )
    hashes = "\n".join(
        f"- {k}: `{v if isinstance(v, str) else json.dumps(v, sort_keys=True, default=str)}`"
        for k, v in sorted(inputs.items())
    )
    return "\n".join(
        [
            *front,
            "---",
            "",
            f"# {bundle.name}",
            "",
            f"A small language model made by mirim: {made}.",
            "",
            "## Use",
            "",
            "Ask it through mirim, which searches the documents, lets the model judge what it finds, quotes the",
            "source and says when it does not know: `mirim ask`, `mirim chat`, `mirim serve`. Without the documents",
            "beside it the model is not a source of facts.",
            "",
            "## Training",
            "",
            f"On {device}.",
            "",
            "| stage | steps | tokens | loss | held-out loss |",
            "| --- | --- | --- | --- | --- |",
            rows,
            "",
            *([POINTING, ""] if (bundle.path / FOLDER).is_dir() else []),
            *(["## Sources and their licences", "", sources, ""] if sources else []),
            *([past] if (past := before(former)) else []),
            "## Made from",
            "",
            hashes,
            "",
            "Questions in evals/ were not trained on. Figures of the last evaluation stand in bundle.json and",
            "reports/, the course of the loss in reports/training-*.jsonl.",
            "",
        ]
    )


def before(former: str) -> str:
    """What the card of a base says of its training and its sources, for the card of a model trained further from it;
    '' where it is no card of ours."""
    past = former.partition("## Training\n")[2].partition("## Made from\n")[0]
    if "## Sources and their licences" not in past:
        return ""
    return "## Training before\n" + past.replace(
        "## Sources and their licences", "## Sources of that and their licences"
    )


def _held(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.3f}"


def _text(inputs: dict[str, Any]) -> str:
    """What a model from scratch learned: the corpus, the documents, the examples, as far as there were any."""
    names = ", ".join(name for name, _ in inputs.get("corpus", ()))
    parts = [f"the corpus {names}"] if names else []
    parts += ["the project's documents and examples made from them"] if "documents" in inputs else []
    return " and ".join(parts)
