"""A GGUF file of older weights is not served for the present ones."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from mirim.core import progress
from mirim.core.errors import UsageError
from mirim.models import convert, engine, gguf_check, origin

np = pytest.importorskip("numpy")
pytest.importorskip("safetensors")
pytest.importorskip("gguf")


def _weights(folder: Path, value: float = 0.0, name: str = "model") -> None:
    """Two tensors of which the second, of 96 kB, holds `value` in its last place."""
    from safetensors.numpy import save_file

    large = np.zeros(24_000, np.float32)
    large[-1] = value
    folder.mkdir(exist_ok=True)
    save_file({"a": np.ones(3, np.float32), "b": large}, folder / f"{name}.safetensors")


def _exported(folder: Path, quant: str, made_of: str | None = None) -> Path:
    from mirim.models import gguf_writer

    said = {origin.KEY: origin.made_of(folder) if made_of is None else made_of}
    path = folder / "gguf" / f"{quant}.gguf"
    gguf_writer.write(path, "llama", {k: v for k, v in said.items() if v} | {"llama.block_count": 1}, [], "f32")
    return path


@pytest.fixture
def folder(tmp_path):
    _weights(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{}")
    return tmp_path / "m"


@pytest.fixture
def said(monkeypatch):
    notes: list[str] = []
    monkeypatch.setattr(progress._sink, "note", notes.append)
    return notes


def test_a_file_of_other_weights_is_passed_over(folder, said):
    old = _exported(folder, "q4_0")
    assert engine.best_gguf(folder) == old
    _weights(folder, 1.0)
    assert engine.best_gguf(folder) is engine.best_gguf(folder, "q4_0") is None
    assert len(said) == 1
    assert f"{old} is passed over" in said[0]
    assert "--quant q4_0" in said[0]
    new = _exported(folder, "q8_0")
    assert engine.best_gguf(folder) == new
    _weights(folder)
    assert engine.best_gguf(folder) == old


@pytest.mark.parametrize("where", [0, 5_000, 11_111, 23_000])
def test_any_place_counts_and_times_that_were_put_back_hide_nothing(folder, monkeypatch, where):
    monkeypatch.setattr(origin, "_SETTLED", 0)  # files of a test are young
    path = folder / "model.safetensors"
    before, status = origin.made_of(folder), path.stat()
    time.sleep(0.02)  # longer than a file system's clock stands still
    assert origin.made_of(folder) == before
    data = bytearray(path.read_bytes())
    data[-4 * (24_000 - where) + 2] ^= 1
    with path.open("r+b") as stream:
        stream.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert origin.made_of(folder) != before


def test_a_large_file_is_read_once(folder, monkeypatch):
    monkeypatch.setattr(origin, "_SETTLED", 0)
    read = []
    whole = origin.sha256_file
    monkeypatch.setattr(origin, "sha256_file", lambda path: read.append(path) or whole(path))
    time.sleep(0.02)
    assert origin.made_of(folder) == origin.made_of(folder)
    assert read == [folder / "model.safetensors"]
    # What lies in the cache is no more than a help.
    for kept in (convert.cache() / "digests").iterdir():
        kept.write_text("[]")
    origin.made_of(folder)
    assert len(read) == 2
    # And a file that is still young may change unseen.
    monkeypatch.setattr(origin, "_SETTLED", 10**18)
    os.utime(folder / "model.safetensors")
    origin.made_of(folder), origin.made_of(folder)
    assert len(read) == 4


def test_so_is_one_with_another_template(folder, said):
    made = _exported(folder, "q8_0")
    assert engine.best_gguf(folder) == made
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert engine.best_gguf(folder) is None


def test_a_copy_of_the_folder_is_the_same_model(folder, tmp_path, said):
    _exported(folder, "q4_0")
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert engine.best_gguf(tmp_path / "copy") == tmp_path / "copy" / "gguf" / "q4_0.gguf"
    # Without its weights there is nothing that the file could be held against.
    (tmp_path / "copy" / "model.safetensors").unlink()
    assert engine.best_gguf(tmp_path / "copy") == tmp_path / "copy" / "gguf" / "q4_0.gguf"
    assert not said


def test_a_file_that_does_not_say_is_taken(folder, said):
    made = _exported(folder, "q8_0", "")
    _weights(folder, 1.0)
    assert engine.best_gguf(folder) == made
    # What is broken is said where it is opened.
    made.write_bytes(b"cut off")
    assert engine.best_gguf(folder) == made
    assert not said


def test_an_adapters_base_may_be_corrected(tmp_path, said):
    folder = tmp_path / "tuned"
    _weights(folder, name="adapter_model")
    row = {"r": 4, "base_model_name_or_path": "/old/base"}
    (folder / "adapter_config.json").write_text(json.dumps(row))
    made = _exported(folder, "q8_0")
    (folder / "adapter_config.json").write_text(json.dumps(row | {"base_model_name_or_path": "/new/base"}))
    assert engine.best_gguf(folder) == made
    (folder / "adapter_config.json").write_text(json.dumps(row | {"r": 8}))
    assert engine.best_gguf(folder) is None


def test_one_key_is_read_without_the_rest(folder):
    made = _exported(folder, "q8_0", "abc")
    assert gguf_check.value(made, origin.KEY) == "abc"
    assert gguf_check.value(made, "none.such") is None
    made.write_bytes(made.read_bytes()[:-10])
    assert gguf_check.value(made, origin.KEY) == "abc"
    with pytest.raises(UsageError, match=r"cut off|beyond its end"):
        gguf_check.value(made, "none.such")
