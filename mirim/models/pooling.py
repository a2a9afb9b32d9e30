"""How a text's vector comes of its tokens' states: their mean, or the last one's, as the model was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mirim.core.files import read_json

#: GGUF's numbers for them (llama.cpp, enum llama_pooling_type); 0 and nothing leave it to us.
NUMBERS = {"mean": 1, "last": 3}

Pooling = Literal["mean", "last"]


def of_folder(folder: Path) -> Pooling:
    """As Sentence Transformers writes it down beside a model; the mean where nothing is said."""
    path = folder / "1_Pooling" / "config.json"
    row = read_json(path) if path.is_file() else {}
    return "last" if isinstance(row, dict) and row.get("pooling_mode_lasttoken") is True else "mean"


def of_keys(architecture: str, keys: dict[str, Any]) -> Pooling:
    """As a GGUF file says it."""
    return "last" if keys.get(f"{architecture}.pooling_type") == NUMBERS["last"] else "mean"
