"""Models for the core's tests, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cores
import toys


@pytest.fixture(scope="session")
def core_folder(tmp_path_factory):
    return toys.model(tmp_path_factory.mktemp("toy") / "m", **toys.WEAK)


@pytest.fixture(scope="session")
def core_files(core_folder):
    from mirim.models import convert

    checkpoint = convert.read(core_folder)
    for kind in ("f32", "f16", "bf16", "q8_0", "q4_0"):
        convert.write(checkpoint, core_folder / f"{kind}.gguf", kind)
    return {kind: core_folder / f"{kind}.gguf" for kind in ("f32", "f16", "bf16", "q8_0", "q4_0")}


@pytest.fixture(scope="session")
def windowed(tmp_path_factory):
    """Gemma 3 in seven layers, of which the sixth sees everything: folders with files in floats and eight bits."""
    from mirim.models import convert

    found = {}
    for window in cores.WINDOWS:
        folder = tmp_path_factory.mktemp("window") / "m"
        shape = {**toys.WEAK, "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32}
        toys.model(folder, "gemma3_text", **shape, sliding_window=window, tie_word_embeddings=True)
        for kind in ("f32", "q8_0"):
            convert.write(convert.read(folder), folder / f"{kind}.gguf", kind)
        found[window] = folder
    return found
