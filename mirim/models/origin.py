"""What a GGUF file in a model's folder was made of, so that a file of older weights is not taken for the present ones.

Asked each time that a model is opened, so nothing large is read whole; and of contents alone, so that a copy of the
folder, or one that was moved, says the same.
"""

from __future__ import annotations

from pathlib import Path

from mirim.core.errors import UsageError
from mirim.core.files import read_json
from mirim.core.stamp import fingerprint
from mirim.models import adapter, gguf_check
from mirim.models.weights import open_weights

KEY = "mirim.made_of"

_BESIDE = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"),
    *("added_tokens.json", "special_tokens_map.json", "chat_template.jinja", "1_Pooling/config.json"),
)


def made_of(folder: Path) -> str:
    """A digest of the weights in `folder`, glanced at, and of the files beside them that go into GGUF.

    '' where it holds no weights that can be read. Of an adapter it says nothing about the base.
    """
    settings = folder / adapter.CONFIG
    lora = settings.is_file()
    try:
        weights = open_weights(folder, "adapter_model" if lora else "model").glance()
        row = read_json(settings) if lora else {}
    except UsageError:
        return ""
    # Where the base lies may be corrected, and changes nothing.
    kept = {k: v for k, v in row.items() if k != "base_model_name_or_path"} if isinstance(row, dict) else {}
    return fingerprint(weights, kept, *(folder / name for name in _BESIDE))


def stale(path: Path, folder: Path) -> bool:
    """Whether the GGUF file at `path` says that it was made of another model than lies in `folder` now.

    Files that say nothing of it, or cannot be read, and folders without weights leave it open: False.
    """
    try:
        said = gguf_check.value(path, KEY)
    except UsageError:
        return False
    return bool(said) and said != (made_of(folder) or said)
