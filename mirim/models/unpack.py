"""The bundled base back in Hugging Face layout: what fine-tuning and conversion need, made once from its GGUF file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

from mirim.core.extras import need
from mirim.core.files import explain
from mirim.core.progress import note
from mirim.core.stamp import fingerprint
from mirim.models import convert
from mirim.models.families import _dense

#: Files beside the weights that a folder in Hugging Face layout keeps.
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


def unpacked(folder: Path, tune: bool = False) -> Path:
    """`folder` itself when it holds safetensors; else a cached copy whose weights are read from its GGUF file.

    Weights that were stored as Q8_0 come back as the values that Q8_0 stands for. With `tune` each is moved by a random
    part of its rounding step, the same at every call: fine-tuning moves most weights by less than half a step, and
    from the middle of a step rounding would take every one of them back (dither; Schuchman 1964).
    """
    from mirim.models.engine import best_gguf

    packed = best_gguf(folder)
    if packed is None or any(folder.glob("*.safetensors*")):
        return folder
    beside = [folder / name for name in _BESIDE if (folder / name).is_file()]
    target = convert.cache() / "unpacked" / f"{fingerprint(packed, *beside)[:32]}{'-tune' * tune}"
    if (target / "model.safetensors").is_file():
        return target
    numpy_files = need("safetensors.numpy", "train")
    note(f"unpacking {packed.name}, once")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        for name in _BESIDE:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, working / name)
        numpy_files.save_file(tensors(packed, folder, tune), working / "model.safetensors", {"format": "pt"})
        shutil.rmtree(target, ignore_errors=True)
        working.rename(target)
    except OSError as error:
        raise explain(error, target) from error
    return target


def tensors(packed: Path, folder: Path, dither: bool = False) -> dict[str, Any]:
    """{checkpoint name: float32 array} of a GGUF file, by the rules of its family read backwards; see `unpacked`."""
    gguf = need("gguf", "train")
    import numpy as np

    config = convert.read_config(folder)
    family = convert.find_family(config, folder)
    stored = {t.name: t for t in gguf.GGUFReader(packed).tensors}
    found = {}
    for rule in family.tensors(config, _names(config, stored)):
        if rule.source:
            value = gguf.dequantize(stored[rule.target].data, stored[rule.target].tensor_type).astype(np.float32)
            if dither:
                value += _dither(stored[rule.target], value.shape)
            found[rule.source] = np.ascontiguousarray(_back(value, rule.change))
    return found


def halves(packed: Path, config: dict[str, Any], where: Path) -> dict[str, tuple[Any, Any]]:
    """{checkpoint name: (A, B), float32 arrays} of a LoRA adapter in GGUF whose scales are in B, for a base of this
    config.json, which lies in `where`."""
    gguf = need("gguf", "train")
    import numpy as np

    stored = {t.name: t for t in gguf.GGUFReader(packed).tensors}
    changed = dict.fromkeys(name.rpartition(".")[0] for name in stored)
    found = {}
    for rule in convert.find_family(config, where).tensors(config, _names(config, changed)):
        if rule.target in changed:
            halves = [stored[f"{rule.target}.lora_{half}"] for half in "ab"]
            a, b = (gguf.dequantize(t.data, t.tensor_type).astype(np.float32) for t in halves)
            found[rule.source] = a, np.ascontiguousarray(_back(b, rule.change))
    return found


def _back(value: Any, change: Any) -> Any:
    """Rows as they were before a family's change."""
    import numpy as np

    # A change only moves rows: it says itself where each came from.
    return value if change is None else value[np.argsort(change(np.arange(len(value))))]


def _dither(tensor: Any, shape: tuple[int, ...]) -> Any:
    """Uniform noise of one rounding step's width for what was rounded in blocks of 32 with a scale; otherwise 0."""
    import numpy as np

    if tensor.tensor_type.name not in ("Q8_0", "Q4_0"):
        return np.float32(0)
    # A block begins with its scale in half precision.
    blocks = tensor.data.reshape(-1, tensor.data.shape[-1] // (shape[-1] // 32))
    steps = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    noise = np.random.default_rng(crc32(tensor.name.encode())).random((len(blocks), 32), np.float32) - 0.5
    return (noise * np.abs(steps)).reshape(shape)


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
