"""LoRA adapters merged into their base without torch: W + scale * B A, in float32.

LoRA: Hu et al. 2021 (arXiv 2106.09685), scale = alpha / r; rank-stabilised: Kalajdzievski 2023
(arXiv 2312.03732), scale = alpha / sqrt(r). Layout of the files: PEFT.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import Unfit, UsageError
from mirim.core.files import read_json
from mirim.models.weights import Safetensors, Weights, open_weights

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

CONFIG = "adapter_config.json"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_PREFIX = "base_model.model."
_WRAPPED = re.compile(r"\.(modules_to_save|base_layer)")
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<kind>A|B|embedding_A|embedding_B)(\.weight)?")
#: What makes a LoRA adapter more than W + scale * B A, by its key in `CONFIG`.
_KINDS = {
    "use_dora": "DoRA",
    "use_bdlora": "BD-LoRA",
    "use_qalora": "QA-LoRA",
    "alora_invocation_tokens": "aLoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "velora_config": "VeLoRA",
    "layer_replication": "replicated layers",
}
#: Beginnings that leave the base as it is. The others (PiSSA, OLoRA, CorDA, LoftQ) take something out of its weights,
#: and PEFT does so again whenever it loads the adapter.
_BEGUN = (None, True, False, "gaussian", "eva", "orthogonal")


class Merged:
    """The base's tensors with the adapter's changes; a `Weights` like any other.

    Where the base has no head but its embeddings, an adapter changes one of the two: there is a head then.
    """

    def __init__(self, base: Weights, folder: Path) -> None:
        """Unfit for adapters that are not plain LoRA, UsageError for those that do not fit the base."""
        self._base, self._folder = base, folder
        self._adapter: Safetensors = open_weights(folder, "adapter_model")
        self._config = read_config(folder)
        self._pairs: dict[str, dict[str, str]] = {}
        self._whole: dict[str, str] = {}
        known = {*base.names(), HEAD}
        for name in self._adapter.names():
            plain = name.removeprefix(_PREFIX)
            module, half = half_of(name)
            if half:
                target = _target(module + ".weight", known)
                if target:
                    self._pairs.setdefault(target, {})[half.removeprefix("embedding_")] = name
                    continue
            elif "lora" not in plain and (target := _target(_WRAPPED.sub("", plain), known)):
                # Embeddings and heads that were trained or saved whole replace the base's tensor.
                self._whole[target] = name
                continue
            raise Unfit(f"{folder}: tensor {name} has no place in the base; is {self._config['base']} its base?")
        self._tied = HEAD not in base.names()
        changed = {*self._pairs, *self._whole}
        self._parted = self._tied and (HEAD in changed or (EMBEDDINGS in changed and not self._config["tied"]))
        for target, pair in self._pairs.items():
            if set(pair) != {"A", "B"}:
                raise UsageError(f"{folder}: only half of the LoRA pair of {target} is there; save the adapter again")
            self._check(target, pair)
        for target, name in self._whole.items():
            if self._adapter.shape(name) != self.shape(target):
                raise UsageError(
                    f"{folder}: {name} has shape {list(self._adapter.shape(name))}, the base's {target} has "
                    f"{list(self.shape(target))}; name the base that it was trained on, resized as it was then"
                )

    def names(self) -> list[str]:
        return [*self._base.names(), HEAD] if self._parted else self._base.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._base.shape(self._source(name))

    def dtype(self, name: str) -> str:
        # A merged tensor is computed in float32: rounding it back would lose part of the change.
        return "F32" if name in self._pairs or name in self._whole else self._base.dtype(self._source(name))

    def read(self, name: str) -> Array:
        weight = self._adapter.read(self._whole[name]) if name in self._whole else self._base.read(self._source(name))
        pair = self._pairs.get(name)
        if pair is None:
            return weight
        # A (r, in), B (out, r); an embedding's A is (r, rows) and its product is transposed.
        a, b = self._adapter.read(pair["A"]), self._adapter.read(pair["B"])
        change = b @ a
        if "embedding" in pair["A"] or self._config["fan_in_fan_out"]:
            change = change.T
        return weight + change * scale(self._folder, self._config, name, a.shape[0])

    def _source(self, name: str) -> str:
        return EMBEDDINGS if name == HEAD and self._tied else name

    def _check(self, target: str, pair: dict[str, str]) -> None:
        a, b = self._adapter.shape(pair["A"]), self._adapter.shape(pair["B"])
        shape = self.shape(target)
        product = (b[0], a[1]) if len(a) == len(b) == 2 and b[1] == a[0] else ()
        if "embedding" in pair["A"] or self._config["fan_in_fan_out"]:
            product = product[::-1]
        if product != shape:
            raise UsageError(
                f"{self._folder}: LoRA of {target} is {list(b)} x {list(a)}, the base's weight is {list(shape)}; "
                f"is {self._config['base']} its base?"
            )


def half_of(name: str) -> tuple[str, str]:
    """The module that an adapter's tensor changes, and which half it is: A, B, embedding_A or embedding_B; '' none."""
    found = _LORA.fullmatch(name.removeprefix(_PREFIX))
    return (found["module"], found["kind"]) if found else ("", "")


def scale(folder: Path, config: dict[str, Any], target: str, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r); alpha may be set for single modules by PEFT's patterns."""
    module = target.removesuffix(".weight")
    alpha = float(_pattern(config["alpha_pattern"], module, config["alpha"]))
    configured = int(_pattern(config["rank_pattern"], module, config["r"]))
    if configured != rank:
        raise UsageError(f"{folder}: rank of {target} is {rank}, {CONFIG} says {configured}")
    return alpha / (math.sqrt(rank) if config["rslora"] else rank)


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of adapter_config.json that merging needs; Unfit for what is not plain LoRA, UsageError for what is
    broken.
    """
    row = read_json(folder / CONFIG)
    if not isinstance(row, dict):
        raise UsageError(f"{folder / CONFIG} is not a JSON object")
    kind = row.get("peft_type")
    if kind != "LORA":
        raise Unfit(f"{folder} is a {kind or 'unknown'} adapter; only LoRA can be merged without its trainer")
    for key, name in _KINDS.items():
        if row.get(key):
            raise Unfit(f"{folder} uses {name}, which cannot be merged here; merge it with PEFT's merge_and_unload")
    if (begun := row.get("init_lora_weights")) not in _BEGUN:
        raise Unfit(
            f'{folder} was begun with init_lora_weights "{begun}", which changes the base too and cannot be merged '
            "here; merge it with PEFT's merge_and_unload"
        )
    if row.get("lora_bias") or row.get("bias") not in (None, "none"):
        raise Unfit(f"{folder} trained biases too; merge it with PEFT's merge_and_unload")
    try:
        rank, alpha = int(row["r"]), float(row["lora_alpha"])
        patterns = [_patterns(row.get(key)) for key in ("rank_pattern", "alpha_pattern")]
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise UsageError(f"{folder / CONFIG} has no usable r, lora_alpha or patterns of them: {error!r}") from error
    return {
        "base": str(row.get("base_model_name_or_path") or ""),
        "r": rank,
        "alpha": alpha,
        "rslora": bool(row.get("use_rslora")),
        "fan_in_fan_out": bool(row.get("fan_in_fan_out")),
        "tied": bool(row.get("ensure_weight_tying")),
        "rank_pattern": patterns[0],
        "alpha_pattern": patterns[1],
    }


def _target(name: str, known: set[str]) -> str:
    """The base's name of an adapter's tensor: models saved with and without the `model.` prefix meet here."""
    options = (name, f"model.{name}", name.removeprefix("model."))
    return next((o for o in options if o in known), "")


def _patterns(row: dict[str, Any] | None) -> dict[str, float]:
    return {re.compile(key).pattern: float(value) for key, value in (row or {}).items()}


def _pattern(patterns: dict[str, Any], module: str, default: Any) -> Any:
    """PEFT's rule: a key is a regular expression that must match the module's name or its dotted tail."""
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default
