"""mirim's own core: the same bits whatever computes them, and as near to the weights as llama.cpp's."""

from __future__ import annotations

import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Sampling
from mirim.models import gguf_check

sys.path.insert(0, str(Path(__file__).parent))
import toys
from cores import LONG, WINDOWS, opened

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_the_one_of_transformers_beyond_a_piece_of_attention(windowed, window):
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(windowed[window]).eval()
    with contextlib.closing(opened(windowed[window] / "f32.gguf", threads=2)) as engine:
        ids = (engine.encode(LONG) * 3)[:700]
        with torch.no_grad():
            expected = reference(torch.tensor([ids])).logits[0].numpy()
        assert np.abs(engine.logits(ids) - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_a_window_changes_no_bits_by_threads_chunks_or_drafts(windowed, window, kind):
    import numpy as np

    path, expected = windowed[window] / f"{kind}.gguf", None
    for kernels in core.kernels():
        for threads in (1, 2, 3):
            with contextlib.closing(opened(path, kernels=kernels, threads=threads, spare=0)) as engine:
                ids = (engine.encode(LONG) * 3)[:500]
                rows = engine.logits(ids, len(ids) - 60)
                expected = rows if expected is None else expected
                assert np.array_equal(rows, expected), (kernels, threads)
    with contextlib.closing(opened(path, threads=2)) as engine:
        # Prompts of every length around the ends of pages and pieces, most of it kept from before.
        for n in range(60):
            assert np.array_equal(engine.logits(ids[: len(ids) - n], len(ids) - n - 1)[0], expected[59 - n])
    plain, rich = opened(path, draft=0, spare=0), opened(path, draft=16, parallel=4, threads=2)
    try:
        asks = [(LONG * 2 + LONG[:n], Sampling(60, logprobs=2)) for n in (0, 1, 40, 200)]
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda a: list(rich.generate(*a)), asks))
        for answer, ask in zip(got, asks, strict=True):
            wanted = list(plain.generate(*ask))
            assert [p for d in answer for p in d.logprobs] == [p for d in wanted for p in d.logprobs]
    finally:
        plain.close()
        rich.close()


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_every_instruction_set_and_number_of_threads_gives_the_same_bits(core_files, kind):
    import numpy as np

    expected = None
    for kernels in core.kernels():
        for threads in (1, 2, 3):
            engine = opened(core_files[kind], kernels=kernels, threads=threads, spare=0)
            rows = engine.logits(engine.encode(LONG))
            assert np.isfinite(rows).all()
            expected = rows if expected is None else expected
            assert np.array_equal(rows, expected), (kernels, threads)
            engine.close()
    assert "portable" in core.kernels()


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_0"])
def test_drafted_cached_and_shared_answers_equal_the_plain_one(core_files, kind):
    """To the bit: the same tokens and the same log-probabilities."""
    plain = opened(core_files[kind], draft=0, spare=0)
    rich = opened(core_files[kind], draft=16, parallel=4, threads=2)
    # Hot answers are broken text; what they draw must not depend on how they came about either.
    ways = [Sampling(60, logprobs=2), Sampling(60, 0.7, seed=3, logprobs=0), Sampling(60, 0.9, 0.9, 40, 0.02, 1.1, 5)]
    asks = [(LONG[n:], way) for n in (0, 1, 40) for way in ways]
    try:
        expected = [list(plain.generate(t, w)) for t, w in asks]
        tokens = [[t for d in answer for t in d.token_ids] for answer in expected]
        with ThreadPoolExecutor(6) as pool:
            for _ in range(2):
                got = list(pool.map(lambda a: list(rich.generate(*a)), asks))
                assert [[t for d in answer for t in d.token_ids] for answer in got] == tokens
                for ours, theirs in zip(got, expected, strict=True):
                    assert [p for d in ours for p in d.logprobs] == [p for d in theirs for p in d.logprobs]
        # The second time every prompt but its last tokens was there.
        assert all(answer[-1].cached_tokens >= 32 for answer in got)
        assert all(answer[-1].cached_tokens == 0 for answer in expected[:1])
        counts = rich.counts()
        assert counts["accepted"] > 0
        assert counts["steps"] < counts["written"]
    finally:
        plain.close()
        rich.close()


def test_a_prompt_in_chunks_beside_answers_equals_one_alone(core_files):
    import numpy as np

    engine = opened(core_files["q8_0"], parallel=3, spare=0)
    ids = engine.encode(LONG)
    alone = engine.logits(ids, len(ids) - 3)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            list(engine.generate("The nurse", Sampling(50, 1.0)))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            assert np.array_equal(engine.logits(ids, len(ids) - 3), alone)
            one = [engine.logits(ids[: len(ids) - n], len(ids) - n - 1)[0] for n in (2, 1, 0)]
            assert np.array_equal(np.stack(one), alone)
    finally:
        stop.set()
        thread.join()
        engine.close()


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_0"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_that_are_wanted_alone_are_those_of_all(core_files, kind, threads):
    import numpy as np

    # The last layer computes only what somebody wants: one row of a prompt, some of it, or none of a first chunk.
    with (
        contextlib.closing(opened(core_files[kind], threads=1)) as one,
        contextlib.closing(opened(core_files[kind], threads=threads)) as other,
    ):
        ids = one.encode(LONG)
        whole = one.logits(ids)
        for first in (len(ids) - 1, len(ids) - 3, len(ids) - 40, 1, len(ids) // 2):
            assert (np.asarray(other.logits(ids, first)) == np.asarray(whole)[first:]).all()


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_as_near_to_the_weights_as_llama_cpp(core_files, kind):
    """Against float32: no farther than llama.cpp with the same file, and the same greedy text where it is exact."""
    import numpy as np

    from mirim.models.engines import llama_cpp

    exact, ours, theirs = (
        opened(core_files["f32"]),
        opened(core_files[kind]),
        llama_cpp.open(str(core_files[kind]), threads=1),
    )
    try:
        ids = exact.encode(LONG)
        reference = exact.logits(ids)
        mine, other = (np.abs(e.logits(ids) - reference).mean() for e in (ours, theirs))
        assert mine <= other * 1.05 + 1e-5
        # With bf16 llama.cpp rounds the activations too.
        for start in (0, 7, 30) if kind in ("f32", "f16") else ():
            text = LONG[start : start + 60]
            assert ours.complete(text, Sampling(40)).text == theirs.complete(text, Sampling(40)).text
    finally:
        for engine in (exact, ours, theirs):
            engine.close()


def test_keys_with_large_values_cost_the_others_little(core_folder, tmp_path):
    """A pair of values 40 times as large in keys, and as small in queries: the same model, coarser in eight bits."""
    import shutil

    import numpy as np
    from safetensors.torch import load_file, save_file

    from mirim.models import convert
    from mirim.models.engines import llama_cpp

    uneven = tmp_path / "m"
    shutil.copytree(core_folder, uneven, ignore=shutil.ignore_patterns("*.gguf"))
    weights = load_file(uneven / "model.safetensors")
    for name, values in weights.items():
        if by := {"k_proj": 40.0, "q_proj": 1 / 40}.get(name.split(".")[-2]):
            for row in (15, 31):  # a pair of every head of 32, turned by the same angle
                values[row::32] *= by
    save_file(weights, uneven / "model.safetensors", {"format": "pt"})
    checkpoint = convert.read(uneven)
    for kind in ("f32", "q8_0"):
        convert.write(checkpoint, uneven / f"{kind}.gguf", kind)
    with (
        contextlib.closing(opened(uneven / "f32.gguf")) as exact,
        contextlib.closing(opened(uneven / "q8_0.gguf")) as ours,
        contextlib.closing(llama_cpp.open(str(uneven / "q8_0.gguf"), threads=1)) as theirs,
    ):
        ids = exact.encode(LONG)
        reference = exact.logits(ids)
        mine, other = (np.abs(e.logits(ids) - reference).mean() for e in (ours, theirs))
        # 1.35 where the steps of a whole key are those of its largest value.
        assert mine <= other * 1.15


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_a_checkpoint_in_half_precision_answers_as_its_weights_do_in_float32(tmp_path, kind):
    import numpy as np
    import torch
    import transformers

    from mirim.models.engine import open_engine

    folder = toys.model(tmp_path / "m", dtype=kind, **toys.WEAK)
    trained = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = open_engine(folder, engine="native", threads=1, exact=True)
    ids = ours.encode(LONG)
    with torch.no_grad():
        theirs = trained(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(ours.logits(ids) - theirs).max() < 1e-4
    ours.close()


@pytest.mark.parametrize("other", ["ffn_gate", "ffn_up"])
def test_a_gate_of_another_kind_than_its_up_is_read(core_folder, core_files, tmp_path, monkeypatch, other):
    """Blocks of both lie in turn where they are of one kind, and by themselves where not."""
    import numpy as np

    from mirim.models import convert, quantise

    usual = quantise.choose

    def mixed(name, shape, quant):
        return usual(name, shape, "f16" if f".0.{other}." in name else quant)

    monkeypatch.setattr(quantise, "choose", mixed)
    convert.write(convert.read(core_folder), tmp_path / "mixed.gguf", "q8_0")
    exact, ours = opened(core_files["f32"]), opened(tmp_path / "mixed.gguf")
    try:
        ids = exact.encode(LONG)
        reference, found = exact.logits(ids), ours.logits(ids)
        assert (found != _logits(core_files["q8_0"], ids)).any()
        assert np.corrcoef(reference.ravel(), found.ravel())[0, 1] > 0.995
    finally:
        exact.close()
        ours.close()


def _logits(path, ids):
    with contextlib.closing(opened(path)) as engine:
        return engine.logits(ids)


def test_types_that_are_quantised_again(core_files, tmp_path, monkeypatch):
    """K-quants become eight bits: what they stand for, within the rounding of eight bits."""
    import numpy as np

    said: list[str] = []
    monkeypatch.setattr("mirim.models.engines.native.note", said.append)
    toys.rewritten(core_files["f32"], tmp_path / "k.gguf", "Q5_1")
    from mirim.models.engines import llama_cpp

    ours, theirs = opened(tmp_path / "k.gguf"), llama_cpp.open(str(tmp_path / "k.gguf"), threads=1)
    ids = ours.encode(LONG)
    a, b = ours.logits(ids), theirs.logits(ids)
    assert said == ["k.gguf: weights of type Q5_1 are quantised again, to eight bits"]
    assert (a.argmax(1) == b.argmax(1)).mean() > 0.9
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995
    ours.close()
    theirs.close()


def test_a_factor_of_rotation_without_a_kind_is_linear(core_files, tmp_path):
    from mirim.models.engines import _graph

    plain = _graph.config(gguf_check.check(core_files["f32"]), core_files["f32"])["frequencies"]
    for name in ("rope__scaling__factor", "rope__scale_linear"):
        path = toys.rewritten(core_files["f32"], tmp_path / f"{name}.gguf", **{name: 4.0})
        assert _graph.config(gguf_check.check(path), path)["frequencies"] == pytest.approx([f / 4 for f in plain])


def test_a_window_of_each_layer_is_read(windowed, tmp_path):
    from mirim.models.engines import _graph

    source = windowed[24] / "q8_0.gguf"
    pattern = [True, False, True, True, False, True, False]
    path = toys.rewritten(source, tmp_path / "own.gguf", attention__sliding_window_pattern=pattern)
    assert _graph.config(gguf_check.check(path), path)["local_layers"] == pattern
    short = toys.rewritten(source, tmp_path / "short.gguf", attention__sliding_window_pattern=pattern[:3])
    with pytest.raises(UsageError, match="says something of 3 layers, and there are 7"):
        _graph.config(gguf_check.check(short), short)
