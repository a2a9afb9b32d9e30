"""The model card: what a bundle is, what it was made from, what it may be used for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mirim.core.bundle import Bundle
from mirim.examples.template import lead
from mirim.models.origin import licence_of
from mirim.models.pointing import FOLDER
from mirim.models.resolve import BUNDLED

#: What is said of a model that learned to point at answers.
POINTING = (
    f"`{FOLDER}/` lets mirim's own core see where in a text the answer to a question stands (`read`), or what a\n"
    "request says for the parameters of a function (`tools`): each a LoRA adapter of the model without its causal\n"
    "mask, and two rows of numbers on top. The loss of such a stage is in nats a question."
)

#: Licences as model hubs name them: their own words for what SPDX writes with capitals. Any other is "other" there.
HUB = frozenset(
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause "
    "bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 "
    "cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 "
    "deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc "
    "lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl "
    "odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib".split()
)

#: Where else a folder of whole weights runs.
WHOLE = (
    "The folder is in Hugging Face's layout: transformers and what builds on it load it as it is, and the files in\n"
    "`gguf/`, where `mirim export` wrote any, run on llama.cpp. Ask it by its chat template."
)
#: The same of the bundled base, which travels as a GGUF file.
PACKED = (
    "`gguf/` runs on llama.cpp as it is. What transformers and converters want, Hugging Face's layout, is the\n"
    'folder `unpacked(resolve("mirim-base").path)`, by `mirim.models.unpack` and `mirim.models.resolve`. Ask it by\n'
    "its chat template."
)
#: What a template of mirim's own making asks of them.
BLANK = "An answer begins with a blank, which the template writes: send it back in a conversation without that."


def card(
    bundle: Bundle,
    stages: dict[str, Any],
    inputs: dict[str, Any],
    device: str,
    sources: str = "",
    former: str = "",
    based: str = "",
) -> str:
    """README.md with the front matter that model hubs read. `sources` is a table of what a recipe's data came from,
    `former` the card of a base that learned the recipe, whose sources are its own too, `based` the card of a base that
    was tuned, whose licence binds what came of it."""
    library = "peft" if bundle.method == "lora" else "transformers"
    front = ["---", f"library_name: {library}", "pipeline_tag: text-generation", "tags: [mirim]"]
    base = bundle.base
    if Path(base).exists():
        # A folder here means nothing elsewhere, and tells of the machine.
        base = Path(base).name
    elif base and base != BUNDLED:
        front += [f"base_model: {base}"]
    tuned = bundle.method != "pretrain"
    bound = licence_of(based) if tuned else bundle.licence
    # What the documents allow is no answer to what the base does.
    front += _licence(list(dict.fromkeys(filter(None, (bound, bundle.licence)))) if bound else [])
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
            "## Elsewhere",
            "",
            _elsewhere(bundle, base),
            "",
            *(["## Licences", "", _licences(bundle.licence, bound, base), ""] if tuned else []),
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


def _licence(named: list[str]) -> list[str]:
    """The lines of the front matter for one licence, or for several that bind together."""
    words = [re.sub(r"[^a-z0-9.+-]+", "-", name.lower()).strip("-") for name in named]
    words = list(dict.fromkeys(filter(None, words)))
    if len(words) == 1 and words[0] in HUB:
        return [f"license: {words[0]}"]
    return ["license: other", f"license_name: {json.dumps('-and-'.join(words))}"] if words else []


def _licences(documents: str, bound: str, base: str) -> str:
    """Whose licences bind a tuned model."""
    return (
        f"What is tuned is bound by its base's licence too: {base} is under {bound or 'what its own card says'}.\n"
        f"The documents that it learned from: {documents or 'the project names no licence'}."
    )


def _elsewhere(bundle: Bundle, base: str) -> str:
    """How other programs load the model."""
    text = WHOLE
    if bundle.adapter:
        where = '`unpacked(resolve("mirim-base").path)` of mirim.models' if base == BUNDLED else base
        text = (
            "`PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)` loads it in PEFT, where\n"
            f"BASE is {where}. The files in `gguf/`, where `mirim export`\n"
            "wrote any, hold both and run on llama.cpp. Ask it by its chat template."
        )
    template = bundle.path / "chat_template.jinja"
    return f"{text}\n{BLANK}" if template.is_file() and lead(template.read_text("utf-8"), "", "") else text


def _held(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.3f}"


def _text(inputs: dict[str, Any]) -> str:
    """What a model from scratch learned: the corpus, the documents, the examples, as far as there were any."""
    names = ", ".join(name for name, _ in inputs.get("corpus", ()))
    parts = [f"the corpus {names}"] if names else []
    parts += ["the project's documents and examples made from them"] if "documents" in inputs else []
    return " and ".join(parts)
