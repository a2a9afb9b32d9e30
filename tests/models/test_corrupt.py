"""Broken and lying files are messages, never a crash."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.models import gguf_check
from mirim.models.weights import open_weights

sys.path.insert(0, str(Path(__file__).parent))
import toys

FUZZ = Path(__file__).resolve().parents[2] / "bench" / "fuzz_files.py"


def _fuzz(*options: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(FUZZ), *options], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["llama_cpp", "native"])
@pytest.mark.parametrize("words", ["byte-level", "sentencepiece"])
def test_mutated_gguf_never_crashes(words, engine):
    """bench/fuzz_files.py without --count opens 5,000."""
    row = _fuzz("--kind", "gguf", "--engine", engine, "--words", words, "--count", "200")
    assert row["failed"] == 0
    assert 80 < row["gguf"]["refused"] < 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adapter", "safetensors"])
def test_mutated_adapters_and_checkpoints_never_crash(kind):
    row = _fuzz("--kind", kind, "--count", "100")
    assert row["failed"] == 0
    assert 20 < row[kind]["refused"] < 100


def test_gguf_lies(tmp_path):
    path = tmp_path / "x.gguf"
    for data, message in [
        (b"", "0 bytes"),
        (b"PNG" * 20, "begins with"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version is 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62), "beyond its end"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no general.architecture"),
    ]:
        path.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            gguf_check.check(path)
    with pytest.raises(UsageError, match="does not exist"):
        gguf_check.check(tmp_path / "none.gguf")


@pytest.mark.slow
def test_what_llama_cpp_takes_for_granted_is_looked_at(tmp_path):
    """It ends the process over such files."""
    from mirim.models import convert

    folder = toys.model(tmp_path / "m", "qwen2")
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f32")
    data = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "other.gguf").write_bytes(data.replace(b"gpt2", b"rwkv", 1))
    with pytest.raises(UsageError, match="a tokenizer of the kind rwkv; mirim opens those of the kinds gpt2 and llama"):
        gguf_check.check(tmp_path / "other.gguf")
    with pytest.raises(UsageError, match="values of which 6 rotate"):
        gguf_check.check(toys.rewritten(tmp_path / "m.gguf", tmp_path / "turned.gguf", rope__dimension_count=6))


def test_a_part_of_a_model_is_told_from_a_broken_one(tmp_path):
    def key(name, value):
        return struct.pack("<Q", len(name)) + name + struct.pack("<IH", 2, value)

    path = tmp_path / "m-00002-of-00003.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + key(b"split.no", 1) + key(b"split.count", 3))
    for check in (gguf_check.check, gguf_check.check_tensors):
        with pytest.raises(UsageError, match="part 2 of 3 of a model; join them with llama-gguf-split --merge"):
            check(path)
    # As the joined file says it.
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + key(b"split.no", 0) + key(b"split.count", 0))
    assert gguf_check.check_tensors(path).keys["split.count"] == 0


def _safetensors(header, data=b""):
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def test_safetensors_lies(tmp_path):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    file = tmp_path / "model.safetensors"
    file.write_bytes(_safetensors({"a": entry}, bytes(8)))
    assert open_weights(tmp_path).read("a").tolist() == [0.0, 0.0]
    for data, message in [
        (b"123", "claims"),
        (b"\xff" * 16, "claims"),
        (_safetensors([1]), "not a JSON object"),
        ((5).to_bytes(8, "little") + b"{{{{{", "not a JSON object"),
        (_safetensors({"a": entry}, bytes(7)), "outside the file"),
        (_safetensors({"a": entry | {"shape": [3]}}, bytes(8)), "does not fill"),
        (_safetensors({"a": entry | {"shape": [-2]}}, bytes(8)), "outside the file"),
        (_safetensors({"a": entry | {"data_offsets": [8, 0]}}, bytes(8)), "outside the file"),
        (_safetensors({"a": {"dtype": "F32"}}, bytes(8)), "not readable"),
        (_safetensors({"a": entry, "b": entry}, bytes(8)), "overlap"),
    ]:
        file.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            open_weights(tmp_path)
    file.write_bytes(_safetensors({"a": entry | {"dtype": "I8", "shape": [8]}}, bytes(8)))
    with pytest.raises(UsageError, match="type I8"):
        open_weights(tmp_path).read("a")


def test_random_safetensors_never_crash(tmp_path):
    entry = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}
    good = _safetensors({"a": entry, "b": entry | {"data_offsets": [8, 16]}}, bytes(16))
    refused = 0
    for number in range(300):
        dice = random.Random(number)
        data = bytearray(good)
        data[dice.randrange(len(data))] = dice.randrange(256)
        (tmp_path / "model.safetensors").write_bytes(data[: dice.choice((len(data), dice.randrange(len(data))))])
        try:
            weights = open_weights(tmp_path)
            for name in weights.names():
                weights.read(name)
        except MirimError:
            refused += 1
    assert refused > 150


def test_pickles_and_missing_shards_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match="pickle"):
        open_weights(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    with pytest.raises(UsageError, match="outside its folder"):
        open_weights(tmp_path)
    for name in ("", "a\\u0000b"):
        index.write_text(f'{{"weight_map": {{"a": "{name}"}}}}')
        with pytest.raises(UsageError, match="outside its folder"):
            open_weights(tmp_path)
    index.write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(UsageError, match="does not exist"):
        open_weights(tmp_path)


def test_of_shards_that_hold_the_same_tensor_the_index_names_one(tmp_path):
    np = pytest.importorskip("numpy")
    from safetensors.numpy import save_file

    for number, shard in enumerate(("1.safetensors", "2.safetensors")):
        save_file({name: np.full(3, number, np.float32) for name in "ab"}, tmp_path / shard)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}')
    weights = open_weights(tmp_path)
    assert [weights.read(name).tolist() for name in "ab"] == [[0.0] * 3, [1.0] * 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_mutated_folders_are_messages(tmp_path, name):
    """Damage to any file of a checkpoint: converted, or refused with a message; nothing else."""
    from mirim.models import convert

    folder = toys.model(tmp_path / "m")
    good = (folder / name).read_bytes()
    refused = 0
    for number in range(40):
        dice = random.Random(number)
        data = bytearray(good)
        for _ in range(dice.choice((1, 4))):
            data[dice.randrange(min(len(data), 3000))] = dice.randrange(256)
        (folder / name).write_bytes(data[: dice.choice((len(data), len(data), dice.randrange(len(data))))])
        try:
            convert.write(convert.read(folder), tmp_path / "out.gguf", "q8_0")
        except MirimError:
            refused += 1
        assert not list(tmp_path.glob(".tmp-*"))
    assert refused > 10
