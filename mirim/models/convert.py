"""A checkpoint in Hugging Face layout, with or without a LoRA adapter, to GGUF; and the cache of such files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.core import plugins
from mirim.core.errors import Unfit, UsageError
from mirim.core.extras import need
from mirim.core.files import read_json, sha256_json
from mirim.core.progress import note
from mirim.core.stamp import fingerprint
from mirim.models import adapter, gguf_writer, origin, pooling, tokenizer
from mirim.models.weights import Weights, open_weights

FAMILIES = "models.families"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a GGUF file is made of. `dtype` is the widest type that matrices are stored in, `licence` is what
    the card beside them names."""

    name: str
    config: dict[str, Any]
    family: Any
    weights: Weights
    tokenizer: Path
    licence: str = ""

    @property
    def dtype(self) -> str:
        """'f32', 'bf16' or 'f16': the type that loses nothing."""
        kinds = {self.weights.dtype(n) for n in self.weights.names() if len(self.weights.shape(n)) > 1}
        if kinds == {"BF16"}:
            return "bf16"
        return "f16" if kinds == {"F16"} else "f32"


def read(folder: Path, base: Path | None = None) -> Checkpoint:
    """Open the checkpoint in `folder`; with `base`, `folder` is a LoRA adapter of the checkpoint there.

    UsageError for an unknown architecture and for files that are missing or broken.
    """
    from mirim.models.unpack import unpacked

    home = unpacked(base or folder, tune=base is not None)
    config = read_config(home)
    family = find_family(config, home)
    weights: Weights = open_weights(home)
    if base is not None:
        weights = adapter.Merged(weights, folder)
    # An adapter's folder may bring its own tokenizer (with a chat template added to it).
    own = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))
    card = folder / "README.md"
    licence = origin.licence_of(card.read_text("utf-8", "replace")) if card.is_file() else ""
    return Checkpoint(folder.name, config, family, weights, folder if own else home, licence)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json, checked to be an object with a model_type."""
    path = folder / "config.json"
    if not path.is_file():
        raise UsageError(f"{folder} has no config.json; it is not a model in Hugging Face layout")
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UsageError(f"{path} names no model_type; it is not the configuration of a model")
    if config.get("quantization_config"):
        raise UsageError(f"{folder} is a quantised checkpoint; use the one before quantisation")
    return config


def find_family(config: dict[str, Any], folder: Path) -> Any:
    """The family's module; Unfit names the architecture and lists the known ones."""
    kind = config["model_type"]
    if kind not in plugins.names(FAMILIES):
        names = ", ".join(config.get("architectures") or ())
        raise Unfit(
            f'{folder}: unknown architecture "{kind}"{f" ({names})" if names else ""}; '
            f"known: {', '.join(plugins.names(FAMILIES))}"
        )
    return plugins.load(FAMILIES, kind)


def check_transformers(folder: Path) -> None:
    """UsageError when the installed transformers does not know the architecture of a folder, or would take weights that
    are not safetensors; its own says less."""
    transformers = need("transformers", "train")
    config = read_config(folder)
    if config["model_type"] not in transformers.CONFIG_MAPPING:
        names = ", ".join(config.get("architectures") or ())
        raise UsageError(
            f'{folder}: unknown architecture "{config["model_type"]}"{f" ({names})" if names else ""}; neither mirim '
            f"nor transformers {transformers.__version__} knows it; choose another base, or a newer transformers"
        )
    if not any(folder.glob("*.safetensors*")):
        open_weights(folder)  # says what is there instead


def check_complete(found: Mapping[str, Any], ref: str) -> None:
    """UsageError where `found`, which transformers says of what it loaded, lacks weights: it fills them by chance."""
    missing = sorted(found.get("missing_keys") or ())
    if missing:
        more = f" and {len(missing) - 1} more weights" if len(missing) > 1 else ""
        raise UsageError(
            f"{ref} lacks {missing[0]}{more} that its config.json asks for; mend that, or download the weights again"
        )


def metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """All GGUF keys of a checkpoint; UsageError when the architecture or tokenizer cannot be written."""
    config, family = checkpoint.config, checkpoint.family
    try:
        rows = family.metadata(config)
        height = checkpoint.weights.shape("model.embed_tokens.weight")[0]
    except KeyError as error:
        raise UsageError(f"{checkpoint.name}: {error} is missing from the checkpoint or its config.json") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UsageError(f"{checkpoint.name}: config.json holds a value of the wrong kind: {error}") from error
    rows["vocab_size"] = height
    if (chosen := pooling.of_folder(checkpoint.tokenizer)) != "mean":
        rows["pooling_type"] = pooling.NUMBERS[chosen]
    keys = {f"{family.ARCHITECTURE}.{k}": v for k, v in rows.items()}
    words = tokenizer.metadata(checkpoint.tokenizer, config, height)
    # A file travels without the card, and most licences want to be named.
    licence = {"general.license": checkpoint.licence} if checkpoint.licence else {}
    return {"general.name": checkpoint.name, **licence, **keys, **words}


def tensors(checkpoint: Checkpoint) -> list[gguf_writer.Tensor]:
    """Every tensor in file order, checked for completeness; data is read when it is written."""
    from mirim.models.families import _dense

    weights, config = checkpoint.weights, checkpoint.config
    try:
        rules = list(checkpoint.family.tensors(config, _names(checkpoint)))
        needed = _dense.required(config)
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise UsageError(f"{checkpoint.name}: config.json holds a value of the wrong kind: {error}") from error
    rules.sort(key=lambda r: _order(r.target))
    missing = sorted(set(needed) - {r.target for r in rules})
    if missing:
        raise UsageError(f"{checkpoint.name}: the checkpoint lacks {missing[0]} and {len(missing) - 1} more tensors")
    return [
        gguf_writer.Tensor(r.target, r.shape or weights.shape(r.source), _loader(weights, r.source, r.change))
        for r in rules
    ]


def write(checkpoint: Checkpoint, path: Path, quant: str, made_of: str = "") -> None:
    """Write one GGUF file, which says what it was made of where that is given."""
    # First, where it is soon found.
    keys = ({origin.KEY: made_of} if made_of else {}) | metadata(checkpoint)
    gguf_writer.write(path, checkpoint.family.ARCHITECTURE, keys, tensors(checkpoint), quant)


def cached(folder: Path, base: Path | None = None, quant: str = "") -> Path:
    """A GGUF file of the checkpoint, without loss or as `quant`, made once and kept under MIRIM_CACHE (~/.cache/mirim).

    The file's name is a digest of everything it was made of, and it appears whole or not at all, so that
    processes may convert the same model at the same time.
    """
    checkpoint = read(folder, base)
    made_of = [inputs(p) for p in (folder, *((base,) if base else ()))]
    kind = quant or checkpoint.dtype
    path = cache() / "gguf" / f"{sha256_json([4, kind, made_of])[:32]}.gguf"
    if not path.is_file():
        parts = metadata(checkpoint), tensors(checkpoint)
        note(f"converting {folder} to GGUF ({kind}), once")
        gguf_writer.write(path, checkpoint.family.ARCHITECTURE, *parts, kind)
    return path


def cache() -> Path:
    """Where converted models are kept."""
    # By the XDG rules an empty word is none.
    root = os.environ.get("MIRIM_CACHE") or (os.environ.get("XDG_CACHE_HOME") or "~/.cache") + "/mirim"
    return Path(root).expanduser()


def inputs(folder: Path) -> str:
    """A digest of all the files that a GGUF file is made of."""
    kept: tuple[str, ...] = ("*.json", "1_Pooling/*.json", "*.safetensors", "*.model", "*.jinja")
    if not any(folder.glob("*.safetensors*")):
        kept += ("gguf/*.gguf",)  # a packed model: these are its weights
    files = [p for pattern in kept for p in sorted(folder.glob(pattern)) if p.name != "bundle.json"]
    return fingerprint(*(part for p in files for part in (p.name, p)))


def _names(checkpoint: Checkpoint) -> list[str]:
    """The tensors to write: not a head that config.json ties to the embeddings and that is the same as they are."""
    import numpy as np

    names, read = checkpoint.weights.names(), checkpoint.weights.read
    tied = checkpoint.config.get("tie_word_embeddings") and {adapter.HEAD, adapter.EMBEDDINGS} <= set(names)
    if tied and np.array_equal(read(adapter.HEAD), read(adapter.EMBEDDINGS)):
        names.remove(adapter.HEAD)
    return names


def _order(name: str) -> tuple[int, int, str]:
    parts = name.split(".")
    return (1, int(parts[1]), name) if parts[0] == "blk" else (0, 0, name)


def _loader(weights: Weights, source: str, change: Any) -> Any:
    def load() -> Any:
        value = weights.read(source) if source else None
        return change(value) if change else value

    return load


__all__: Sequence[str] = ("Checkpoint", "cached", "metadata", "read", "read_config", "tensors", "write")
