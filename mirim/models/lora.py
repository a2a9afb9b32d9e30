"""LoRA adapters applied per request: GGUF files, and PEFT folders made into such files once.

LoRA: Hu et al. 2021 (arXiv 2106.09685). A GGUF adapter holds, for each matrix that it changes, `NAME.lora_a`
(rank, columns) and `NAME.lora_b` (rows, rank); its scale is alpha / rank, or 1 without an alpha. It has no tokens and
no figures of its own: it is of use only beside the file of its base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core import plugins
from mirim.core.errors import UsageError
from mirim.core.files import sha256_json
from mirim.core.progress import note
from mirim.models import adapter, convert, gguf_check, gguf_writer
from mirim.models.weights import open_weights

if TYPE_CHECKING:
    from mirim.models.families._dense import Rule

_HALVES = (".lora_a", ".lora_b")


@dataclass(frozen=True, slots=True)
class Lora:
    """A GGUF adapter. `scales` of each changed tensor of the base; `header` has its halves and their places."""

    path: Path
    header: gguf_check.Header
    scales: dict[str, float]


def as_gguf(ref: str | Path, base: gguf_check.Header) -> Path:
    """`ref`, or for a PEFT folder the GGUF adapter made of it, once and kept in the cache.

    UsageError for what is no plain LoRA adapter, or not one of this base.
    """
    path = Path(ref).expanduser()
    if path.is_file():
        return path
    if not (path / adapter.CONFIG).is_file():
        raise UsageError(f'no adapter "{ref}": name a LoRA adapter in GGUF, or a folder with an {adapter.CONFIG}')
    figures = _figures(base)
    target = convert.cache() / "gguf" / f"{sha256_json([2, figures, convert.inputs(path)])[:32]}.gguf"
    if not target.is_file():
        note(f"converting {path} to a GGUF adapter, once")
        write(path, base.architecture, figures, target)
    return target


def read(path: Path, base: gguf_check.Header) -> Lora:
    """A GGUF adapter, checked against its base; UsageError says what does not fit."""
    header = gguf_check.check_tensors(path)
    keys = header.keys
    kind, way = keys.get("general.type"), keys.get("adapter.type")
    if kind != "adapter" or way != "lora":
        raise UsageError(f"{path} is {f'a {way} adapter' if way else 'no adapter'}; name a LoRA adapter in GGUF")
    if "adapter.alora.invocation_tokens" in keys or "adapter.alora.invocation_tokens" in header.lengths:
        raise UsageError(f"{path} is an aLoRA adapter, which changes a part of the prompt only; name a plain LoRA one")
    if header.architecture != base.architecture:
        raise UsageError(f"{path} is an adapter of a {header.architecture} model, the base is {base.architecture}")
    alpha = keys.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, (int, float)) or not abs(alpha) < 1e6:
        raise UsageError(f"{path}: adapter.lora.alpha is {alpha}; make the adapter again")
    scales = {}
    for name, (_, shape) in header.tensors.items():
        stem, half = name[: -len(_HALVES[0])], name[-len(_HALVES[0]) :]
        other = stem + _HALVES[half == _HALVES[0]]
        if half not in _HALVES or len(shape) != 2 or other not in header.tensors:
            raise UsageError(f"{path}: tensor {name} is no half of a LoRA pair; make the adapter again")
        if stem not in base.tensors:
            raise UsageError(f"{path} changes {stem}, which the base does not have; is it an adapter of this base?")
        if stem == "token_embd.weight":  # whose halves lie otherwise; llama.cpp checks them itself
            scales[stem] = 1.0
            continue
        (columns, rank), (rank_b, rows) = (header.tensors[stem + h][1] for h in _HALVES)
        if rank != rank_b or (columns, rows) != base.tensors[stem][1]:
            raise UsageError(
                f"{path}: the change of {stem} is {rows} x {rank_b} by {rank} x {columns}, the base's tensor is "
                f"{' x '.join(map(str, reversed(base.tensors[stem][1])))}; is it an adapter of this base?"
            )
        scales[stem] = alpha / rank if alpha else 1.0
    if not scales:
        raise UsageError(f"{path} changes nothing: it has no tensors")
    return Lora(path, header, scales)


def _figures(base: gguf_check.Header) -> dict[str, Any]:
    """As much of a config.json as the families need to place the tensors of a layer."""
    kind = base.architecture
    heads = base.keys.get(f"{kind}.attention.head_count")
    return {
        "architecture": kind,
        "num_attention_heads": heads,
        "num_key_value_heads": base.keys.get(f"{kind}.attention.head_count_kv", heads),
        "num_hidden_layers": base.keys.get(f"{kind}.block_count"),
        "hidden_size": base.keys.get(f"{kind}.embedding_length"),
        "shared_intermediate_size": base.keys.get(f"{kind}.feed_forward_length"),
        "tie_word_embeddings": True,
    }


def write(folder: Path, architecture: str, figures: dict[str, Any], target: Path, quant: str = "f32") -> None:
    """The PEFT adapter in `folder` as a GGUF file of type `quant`, for a base of these figures of a config.json.

    UsageError for what is no plain LoRA adapter, or not one of such a base.
    """
    config = adapter.read_config(folder)
    weights = open_weights(folder, "adapter_model")
    pairs: dict[str, dict[str, str]] = {}
    for name in weights.names():
        module, half = adapter.half_of(name)
        if half not in ("A", "B"):
            raise UsageError(
                f"{folder} changes {module or name} too, which cannot be done per request; serve it merged into its "
                f"base: mirim serve --model {folder}"
            )
        pairs.setdefault(f"{module if module.startswith('model.') else f'model.{module}'}.weight", {})[half] = name
    rules = _rules(folder, architecture, figures, sorted(pairs))
    tensors = []
    for rule in rules:
        pair = pairs[rule.source]
        if set(pair) != {"A", "B"}:
            raise UsageError(f"{folder}: only half of the LoRA pair of {rule.source} is there; save the adapter again")
        a, b = weights.shape(pair["A"]), weights.shape(pair["B"])
        if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
            raise UsageError(f"{folder}: LoRA of {rule.source} is {list(b)} x {list(a)}; save the adapter again")
        scale = adapter.scale(folder, config, rule.source, a[0])
        rows = rule.shape[0] if rule.shape else b[0]

        def down(name: str = pair["A"]) -> Any:
            return weights.read(name)

        def up(name: str = pair["B"], change: Any = rule.change, scale: float = scale) -> Any:
            # What families do to a matrix they do to its rows: to those of the half that makes them.
            half = weights.read(name)
            return (change(half) if change else half) * scale

        tensors += [
            gguf_writer.Tensor(rule.target + _HALVES[0], a, down),
            gguf_writer.Tensor(rule.target + _HALVES[1], (rows, b[1]), up),
        ]
    # The scales are in the halves already: PEFT's may differ from module to module.
    keys = {"general.type": "adapter", "general.name": folder.name, "adapter.type": "lora", "adapter.lora.alpha": 0.0}
    gguf_writer.write(target, architecture, keys, tensors, quant)


def _rules(folder: Path, architecture: str, figures: dict[str, Any], names: Sequence[str]) -> list[Rule]:
    """Where the changed matrices lie in the base's file, by the first family of this architecture that knows them."""
    why: UsageError | None = None
    for kind in plugins.names(convert.FAMILIES):
        family = plugins.load(convert.FAMILIES, kind)
        if architecture != family.ARCHITECTURE:
            continue
        try:
            rules = list(family.tensors({"model_type": kind, **figures}, names))
        except (UsageError, TypeError, ValueError, ZeroDivisionError) as error:
            why = UsageError(f"{folder} does not fit its base: {error}")
            continue
        if missing := sorted(set(names) - {r.source for r in rules}):
            raise UsageError(
                f"{folder} changes {missing[0]} too, which cannot be done per request; serve it merged into its base: "
                f"mirim serve --model {folder}"
            )
        return rules
    raise why or UsageError(
        f"{folder}: adapters of {architecture} models cannot be converted; serve it merged into its base"
    )
