"""A folder's weights quantised when it is opened."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.models import convert, export, gguf_check
from mirim.models.engine import open_engine
from mirim.models.generate import generate
from mirim.models.resolve import resolve

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))
import toys

_Q8 = 8  # ggml's number


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toys.model(tmp_path / "toy")


def _kinds(path: Path) -> set[int]:
    return {kind for kind, shape in gguf_check.check(path).tensors.values() if len(shape) > 1}


@pytest.mark.parametrize("engine", ["", "native", "llama_cpp"])
def test_weights_are_quantised_once(folder: Path, engine: str) -> None:
    made = set()
    for _ in range(2):
        running = open_engine(folder, engine=engine, quant="q8_0")
        try:
            assert _kinds(running.path) == {_Q8}
            made.add((running.path, running.path.stat().st_ino))
        finally:
            running.close()
    assert len(made) == 1
    # Without the word nothing is lost.
    plain = open_engine(folder, engine=engine)
    try:
        assert _Q8 not in _kinds(plain.path)
    finally:
        plain.close()


def test_a_file_that_passed_its_gate_comes_first(folder: Path) -> None:
    export.export(model=str(folder), quant=("q8_0", "f16"))
    for quant in ("q8_0", "f16"):
        running = open_engine(folder, quant=quant)
        running.close()
        assert running.path == folder / "gguf" / f"{quant}.gguf"
    assert not list((convert.cache() / "gguf").glob("*.gguf"))


def test_the_bundled_base_in_four_bits() -> None:
    said = generate(model="mirim-base", prompt="Good morning.", max_tokens=4, quant="q4_0")
    assert len(said.token_ids) <= 4
    (made,) = (convert.cache() / "gguf").glob("*.gguf")
    assert gguf_check.check(made).keys["general.file_type"] == 2


def test_other_packed_weights_are_another_file(tmp_path: Path) -> None:
    home = resolve("mirim-base").path
    assert home is not None
    digests = []
    for change in (b"", b"\0"):
        folder = shutil.copytree(home, tmp_path / f"base{len(change)}")
        with (folder / "gguf" / "q8_0.gguf").open("ab") as stream:
            stream.write(change)
        digests.append(convert.inputs(folder))
    assert digests[0] != digests[1]


def test_what_cannot_be_quantised_is_said(folder: Path, tmp_path: Path) -> None:
    made = convert.cached(folder)
    with pytest.raises(UsageError, match="runs as it is: --quant q8_0"):
        open_engine(made, quant="q8_0")
    with pytest.raises(UsageError, match="runs as it is: --quant q8_0"):
        open_engine("echo", quant="q8_0")
    with pytest.raises(UsageError, match='"q5_k"'):
        open_engine(folder, quant="q5_k")
    with pytest.raises(UsageError, match="hf engine"):
        open_engine(folder, engine="hf", quant="q8_0")
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    with pytest.raises(UsageError, match="mamba"):
        open_engine(other, quant="q8_0")
