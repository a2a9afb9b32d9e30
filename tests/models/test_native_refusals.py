"""What the core refuses, and what it tells of weights that are no numbers."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Sampling
from mirim.models import gguf_check

sys.path.insert(0, str(Path(__file__).parent))
import toys
from cores import opened

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")


@pytest.mark.parametrize("name", ["block_count", "embedding_length", "context_length", "rope__dimension_count"])
@pytest.mark.parametrize("value", [[2, 2], 2**32 - 1])
def test_figures_that_cannot_be_are_named(core_files, tmp_path, name, value):
    from mirim.models.engines import _graph

    path = toys.rewritten(core_files["f32"], tmp_path / "x.gguf", **{name: value})
    with pytest.raises(UsageError, match=name.replace("__", ".")):
        _graph.config(gguf_check.check(path), path)


def test_what_the_core_refuses_when_it_loads_runs_on_llama_cpp(core_files, monkeypatch):
    from mirim.core.errors import Unfit
    from mirim.models import engine as models

    def refuse(*_: object, **__: object) -> None:
        raise Unfit("one of its tensors is of a type that nobody reads")

    said: list[str] = []
    monkeypatch.setattr("mirim.models.engines.native.open", refuse)
    monkeypatch.setattr(models, "note", said.append)
    other = models.open_engine(core_files["f32"])
    assert type(other).__module__.endswith("llama_cpp")
    assert "nobody reads" in said[0]
    other.close()
    with pytest.raises(Unfit, match="nobody reads"):
        models.open_engine(core_files["f32"], engine="native")


def test_what_does_not_fit_is_refused(core_files, core_folder, tmp_path):
    engine = opened(core_files["q8_0"])
    try:
        for ids in ([], [10**6], [-1], [1] * 2000):
            with pytest.raises((ValueError, UsageError)):
                engine.logits(ids)
        with pytest.raises(UsageError, match="this processor has"):
            opened(core_files["q8_0"], kernels="mmx")
    finally:
        engine.close()
    good = {
        "vocab_size": 32,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    import numpy as np

    for key, value in [
        ("hidden_size", 0),
        ("head_dim", 4096),
        ("num_key_value_heads", 3),
        ("num_hidden_layers", 10**6),
    ]:
        with pytest.raises(RuntimeError, match=r"within|groups"):
            core.Core({**good, key: value})
    model = core.Core(good)
    data = np.zeros(32 * 32 * 4, np.uint8)
    model.add("token_embd.weight", 0, False, data, 32, 32)
    for name, kind, raw, rows, columns in [
        ("token_embd.weight", 0, data, 32, 32),
        ("blk.0.attn_q.weight", 0, data[:-4], 32, 32),
        ("blk.0.attn_q.weight", 8, data, 32, 32),
        ("blk.0.attn_q.weight", 0, data, 16, 64),
        ("blk.7.attn_q.weight", 0, data, 32, 32),
        ("blk.99999999999.attn_q.weight", 0, data, 32, 32),
        ("blk.x.attn_q.weight", 0, data, 32, 32),
        ("blk.0.attn_qq.weight", 0, data, 32, 32),
        ("output_norm.weight", 1, data, 1, 32),
    ]:
        with pytest.raises(RuntimeError):
            model.add(name, kind, False, raw, rows, columns)
    with pytest.raises(RuntimeError, match="missing"):
        model.open(64)
    with pytest.raises(ValueError, match="not open"):
        model.logits([1])


@pytest.mark.parametrize("masked", [False, True])
def test_weights_that_are_no_numbers_are_told(core_files, tmp_path, masked):
    from mirim.models.engines import native

    header = gguf_check.check(core_files["f32"])
    start, size = header.places["output_norm.weight"]
    data = bytearray(core_files["f32"].read_bytes())
    data[start : start + size] = b"\xff" * size
    (tmp_path / "nan.gguf").write_bytes(data)
    engine = native.open(str(tmp_path / "nan.gguf"), threads=1)
    schema = {"type": "object", "properties": {}, "additionalProperties": False} if masked else None
    try:
        for work in (
            lambda: list(engine.generate("The nurse", Sampling(max_tokens=4), schema=schema)),
            lambda: engine.embed(["hello"]),
            lambda: engine.score("a", ["b"]),
            lambda: engine.logits([5, 6]),
        ):
            with pytest.raises(MirimError, match="its weights are damaged"):
                work()
    finally:
        engine.close()


@pytest.mark.parametrize("how", [{"temperature": 1.0}, {"temperature": 1.0, "top_k": 50}, {"logprobs": 3}])
def test_one_row_of_weights_that_are_no_numbers_is_told(core_files, tmp_path, how):
    """A damaged word in a head: nothing can be drawn beside it, nor any probability told."""
    from mirim.models.engines import native

    start, size = gguf_check.check(core_files["f32"]).places["output.weight"]
    data = bytearray(core_files["f32"].read_bytes())
    wide = 4 * toys.WEAK["hidden_size"]
    data[start + 77 * wide : start + 78 * wide] = b"\xff" * wide
    (tmp_path / "nan.gguf").write_bytes(data)
    with contextlib.closing(native.open(str(tmp_path / "nan.gguf"), threads=1)) as engine:
        with pytest.raises(MirimError, match="its weights are damaged"):
            list(engine.generate("The nurse", Sampling(max_tokens=4, **how)))
        with pytest.raises(MirimError, match="its weights are damaged"):
            engine.score("a", ["b c"])
        assert size > 78 * wide
