"""The bundled base back in Hugging Face layout: what fine-tuning and conversion need, made once from its GGUF file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from mirim.core.errors import Unfit
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

    packed = None if any(folder.glob("*.safetensors*")) else best_gguf(folder)
    if packed is None:
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
        try:
            for path in beside:
                shutil.copyfile(path, working / path.name)
            numpy_files.save_file(tensors(packed, folder, tune), working / "model.safetensors", {"format": "pt"})
            working.rename(target)
        except OSError:
            # Its name is a digest of what it holds: another process's is as good.
            if not (target / "model.safetensors").is_file():
                raise
        finally:
            shutil.rmtree(working, ignore_errors=True)
    except OSError as error:
        raise explain(error, target) from error
    return target


def tensors(packed: Path, folder: Path, dither: bool = False) -> dict[str, Any]:
    """{checkpoint name: float32 array} of a GGUF file, by the rules of its family read backwards; see `unpacked`."""
    gguf = need("gguf", "train")
    import numpy as np

    config = convert.read_config(folder)
    family = convert.find_family(config, folder)
    layer = getattr(family, "LAYER", _dense.LAYER)
    stored = {t.name: t for t in gguf.GGUFReader(packed).tensors}
    found = {}
    for rule in family.tensors(config, _names(layer, stored, packed)):
        if rule.source:
            value = gguf.dequantize(stored[rule.target].data, stored[rule.target].tensor_type).astype(np.float32)
            if dither:
                value += _dither(stored[rule.target], value.shape)
            found[rule.source] = np.ascontiguousarray(_back(value, rule))
    return found


def halves(packed: Path, config: dict[str, Any], where: Path) -> dict[str, tuple[Any, Any]]:
    """{checkpoint name: (A, B), float32 arrays} of a LoRA adapter in GGUF whose scales are in B, for a base of this
    config.json, which lies in `where`."""
    gguf = need("gguf", "train")
    import numpy as np

    stored = {t.name: t for t in gguf.GGUFReader(packed).tensors}
    changed = dict.fromkeys(name.rpartition(".")[0] for name in stored)
    found = {}
    family = convert.find_family(config, where)
    for rule in family.tensors(config, _names(getattr(family, "LAYER", _dense.LAYER), changed, packed)):
        if rule.target in changed:
            halves = [stored[f"{rule.target}.lora_{half}"] for half in "ab"]
            a, b = (gguf.dequantize(t.data, t.tensor_type).astype(np.float32) for t in halves)
            found[rule.source] = a, np.ascontiguousarray(_back(b, rule))
    return found


def _back(value: Any, rule: _dense.Rule) -> Any:
    """A tensor as it was before its family's change."""
    import numpy as np

    if rule.back or rule.change is None:
        return rule.back(value) if rule.back else value
    # The change only moves rows: it says itself where each came from.
    return value[np.argsort(rule.change(np.arange(len(value))))]


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


def _names(names_of: Mapping[str, str], stored: Iterable[str], packed: Path) -> list[str]:
    """The checkpoint's names of the tensors in a GGUF file; Unfit for one that its family has no name for."""
    top = {target: source for source, target in _dense.TOP.items()}
    layer = {target: source for source, target in names_of.items()}
    names = []
    for name in stored:
        stem, _, kind = name.rpartition(".")
        if stem in top:
            names.append(f"{top[stem]}.{kind}")
        elif stem.startswith("blk."):
            _, number, target = stem.split(".", 2)
            if target not in layer:
                raise Unfit(f"{packed} has a tensor {name}, of which its family knows no name in a checkpoint")
            names.append(f"model.layers.{number}.{layer[target]}.{kind}")
    return names
