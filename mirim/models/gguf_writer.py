"""GGUF files, written tensor by tensor so that memory stays at one tensor, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need
from mirim.core.files import explain
from mirim.core.progress import track
from mirim.models import quantise

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Tensor:
    """`load` gives float32 of `shape`, once, when its turn to be written comes."""

    name: str
    shape: tuple[int, ...]
    load: Callable[[], np.ndarray[Any, Any]]


def write(path: Path, architecture: str, metadata: dict[str, Any], tensors: Iterable[Tensor], quant: str) -> None:
    """Write a GGUF file of type `quant`. Metadata keys are full GGUF keys; int, float, bool, str or lists of them."""
    gguf = need("gguf", "train")
    import numpy as np

    tensors = list(tensors)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=".gguf")
        os.close(handle)
    except OSError as error:
        raise explain(error, path) from error
    writer = gguf.GGUFWriter(temporary, architecture)
    try:
        writer.add_uint32("general.quantization_version", 2)
        writer.add_uint32("general.file_type", quantise.FILE_TYPES[quant])
        for key, value in metadata.items():
            _add(writer, key, value)
        kinds = {t.name: quantise.choose(t.name, t.shape, quant) for t in tensors}
        for t in tensors:
            kind = gguf.GGMLQuantizationType[kinds[t.name].upper()]
            writer.add_tensor_info(
                t.name, t.shape, np.dtype(np.float32), quantise.size(t.shape, kinds[t.name]), raw_dtype=kind
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for t in track(tensors, f"write {path.name}"):
            weight = t.load()
            if weight.shape != t.shape:
                raise MirimError(f"{t.name} has shape {list(weight.shape)}, {list(t.shape)} was announced")
            if not np.isfinite(weight).all():
                raise MirimError(f"{t.name} holds values that are not numbers; the training that made it diverged")
            writer.write_tensor_data(quantise.encode(weight, kinds[t.name]))
        writer.flush()
        for stream in writer.fout or ():
            os.fsync(stream.fileno())
        writer.close()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(Exception):
            writer.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise explain(error, path) from error
        if isinstance(error, UnicodeEncodeError):
            raise UsageError(
                f"a text of this model holds {error.object[error.start]!r}, half a character, which no file can hold; "
                "download its tokenizer again"
            ) from error
        raise


def _add(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
