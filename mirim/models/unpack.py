"""The bundled base back in Hugging Face layout: what fine-tuning and conversion need, made once from its GGUF file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from mirim.core.extras import need
from mirim.core.files import explain
from mirim.core.progress import note
from mirim.core.stamp import fingerprint
from mirim.models import convert
from mirim.models.families import _dense

#: Files beside the weights that a folder in Hugging Face layout keeps.
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


def unpacked(folder: Path) -> Path:
    """`folder` itself when it holds safetensors; else a cached copy whose weights are read from its GGUF file.

    Weights that were stored as Q8_0 come back as the values that Q8_0 stands for, so that fine-tuning starts from
    exactly the model that is served.
    """
    from mirim.models.engine import best_gguf

    packed = best_gguf(folder)
    if packed is None or any(folder.glob("*.safetensors*")):
        return folder
    target = convert.cache() / "unpacked" / fingerprint(packed, folder / "config.json")[:32]
    if (target / "model.safetensors").is_file():
        return target
    numpy_files = need("safetensors.numpy", "train")
    note(f"unpacking {packed.name} for fine-tuning, once")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        for name in _BESIDE:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, working / name)
        numpy_files.save_file(tensors(packed, folder), working / "model.safetensors", {"format": "pt"})
        shutil.rmtree(target, ignore_errors=True)
        working.rename(target)
    except OSError as error:
        raise explain(error, target) from error
    return target


def tensors(packed: Path, folder: Path) -> dict[str, Any]:
    """{checkpoint name: float32 array} of a GGUF file, by the rules of its family read backwards."""
    gguf = need("gguf", "train")
    import numpy as np

    config = convert.read_config(folder)
    family = convert.find_family(config, folder)
    stored = {t.name: t for t in gguf.GGUFReader(packed).tensors}
    found = {}
    for rule in family.tensors(config, _names(config, stored)):
        if rule.source:
            value = gguf.dequantize(stored[rule.target].data, stored[rule.target].tensor_type).astype(np.float32)
            if rule.change is not None:
                # A change only moves rows: it says itself where each came from.
                value = value[np.argsort(rule.change(np.arange(len(value))))]
            found[rule.source] = np.ascontiguousarray(value)
    return found


def _names(config: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """The checkpoint's names of the tensors in a GGUF file."""
    top = {target: source for source, target in _dense.TOP.items()}
    layer = {target: source for source, target in _dense.LAYER.items()}
    names = []
    for name in stored:
        stem, _, kind = name.rpartition(".")
        if stem in top:
            names.append(f"{top[stem]}.{kind}")
        elif stem.startswith("blk."):
            _, number, target = stem.split(".", 2)
            names.append(f"model.layers.{number}.{layer[target]}.{kind}")
    return names
