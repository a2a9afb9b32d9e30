"""mirim's own core: the same bits whatever computes them, llama.cpp's answers, limits, hostile sizes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Message, Sampling
from mirim.models import gguf_check

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")

#: Long enough for several pages and pieces of attention; it repeats itself, so that drafts are made.
LONG = "O paciente deve ficar em jejum por oito horas antes do exame de sangue. The nurse said so, 2024! " * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.model(tmp_path_factory.mktemp("toy") / "m", **toys.WEAK)


@pytest.fixture(scope="module")
def files(folder):
    from mirim.models import convert

    checkpoint = convert.read(folder)
    for kind in ("f32", "f16", "bf16", "q8_0", "q4_0"):
        convert.write(checkpoint, folder / f"{kind}.gguf", kind)
    return {kind: folder / f"{kind}.gguf" for kind in ("f32", "f16", "bf16", "q8_0", "q4_0")}


#: Windows that end within a page, at its end, and beyond a piece of attention.
WINDOWS = (24, 128, 200)


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    """Gemma 3 in seven layers, of which the sixth sees everything: folders with files in floats and eight bits."""
    from mirim.models import convert

    found = {}
    for window in WINDOWS:
        folder = tmp_path_factory.mktemp("window") / "m"
        shape = {**toys.WEAK, "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32}
        toys.model(folder, "gemma3_text", **shape, sliding_window=window, tie_word_embeddings=True)
        for kind in ("f32", "q8_0"):
            convert.write(convert.read(folder), folder / f"{kind}.gguf", kind)
        found[window] = folder
    return found


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_the_one_of_transformers_beyond_a_piece_of_attention(windowed, window):
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(windowed[window]).eval()
    with contextlib.closing(_open(windowed[window] / "f32.gguf", threads=2)) as engine:
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
            with contextlib.closing(_open(path, kernels=kernels, threads=threads, spare=0)) as engine:
                ids = (engine.encode(LONG) * 3)[:500]
                rows = engine.logits(ids, len(ids) - 60)
                expected = rows if expected is None else expected
                assert np.array_equal(rows, expected), (kernels, threads)
    with contextlib.closing(_open(path, threads=2)) as engine:
        # Prompts of every length around the ends of pages and pieces, most of it kept from before.
        for n in range(60):
            assert np.array_equal(engine.logits(ids[: len(ids) - n], len(ids) - n - 1)[0], expected[59 - n])
    plain, rich = _open(path, draft=0, spare=0), _open(path, draft=16, parallel=4, threads=2)
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


def _open(path, **options):
    from mirim.models.engines import native

    return native.open(str(path), **{"threads": 1, **options})


def _ids(engine, text, sampling, **more):
    return [t for d in engine.generate(text, sampling, **more) for t in d.token_ids]


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_every_instruction_set_and_number_of_threads_gives_the_same_bits(files, kind):
    import numpy as np

    expected = None
    for kernels in core.kernels():
        for threads in (1, 2, 3):
            engine = _open(files[kind], kernels=kernels, threads=threads, spare=0)
            rows = engine.logits(engine.encode(LONG))
            assert np.isfinite(rows).all()
            expected = rows if expected is None else expected
            assert np.array_equal(rows, expected), (kernels, threads)
            engine.close()
    assert "portable" in core.kernels()


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_0"])
def test_drafted_cached_and_shared_answers_equal_the_plain_one(files, kind):
    """To the bit: the same tokens and the same log-probabilities."""
    plain = _open(files[kind], draft=0, spare=0)
    rich = _open(files[kind], draft=16, parallel=4, threads=2)
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


def test_a_prompt_in_chunks_beside_answers_equals_one_alone(files):
    import numpy as np

    engine = _open(files["q8_0"], parallel=3, spare=0)
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
def test_rows_that_are_wanted_alone_are_those_of_all(files, kind, threads):
    import numpy as np

    # The last layer computes only what somebody wants: one row of a prompt, some of it, or none of a first chunk.
    with (
        contextlib.closing(_open(files[kind], threads=1)) as one,
        contextlib.closing(_open(files[kind], threads=threads)) as other,
    ):
        ids = one.encode(LONG)
        whole = one.logits(ids)
        for first in (len(ids) - 1, len(ids) - 3, len(ids) - 40, 1, len(ids) // 2):
            assert (np.asarray(other.logits(ids, first)) == np.asarray(whole)[first:]).all()


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_as_near_to_the_weights_as_llama_cpp(files, kind):
    """Against float32: no farther than llama.cpp with the same file, and the same greedy text where it is exact."""
    import numpy as np

    from mirim.models.engines import llama_cpp

    exact, ours, theirs = _open(files["f32"]), _open(files[kind]), llama_cpp.open(str(files[kind]), threads=1)
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


def test_keys_with_large_values_cost_the_others_little(folder, tmp_path):
    """A pair of values 40 times as large in keys, and as small in queries: the same model, coarser in eight bits."""
    import shutil

    import numpy as np
    from safetensors.torch import load_file, save_file

    from mirim.models import convert
    from mirim.models.engines import llama_cpp

    uneven = tmp_path / "m"
    shutil.copytree(folder, uneven, ignore=shutil.ignore_patterns("*.gguf"))
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
        contextlib.closing(_open(uneven / "f32.gguf")) as exact,
        contextlib.closing(_open(uneven / "q8_0.gguf")) as ours,
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
def test_a_gate_of_another_kind_than_its_up_is_read(folder, files, tmp_path, monkeypatch, other):
    """Blocks of both lie in turn where they are of one kind, and by themselves where not."""
    import numpy as np

    from mirim.models import convert, quantise

    usual = quantise.choose

    def mixed(name, shape, quant):
        return usual(name, shape, "f16" if f".0.{other}." in name else quant)

    monkeypatch.setattr(quantise, "choose", mixed)
    convert.write(convert.read(folder), tmp_path / "mixed.gguf", "q8_0")
    exact, ours = _open(files["f32"]), _open(tmp_path / "mixed.gguf")
    try:
        ids = exact.encode(LONG)
        reference, found = exact.logits(ids), ours.logits(ids)
        assert (found != _logits(files["q8_0"], ids)).any()
        assert np.corrcoef(reference.ravel(), found.ravel())[0, 1] > 0.995
    finally:
        exact.close()
        ours.close()


def _logits(path, ids):
    with contextlib.closing(_open(path)) as engine:
        return engine.logits(ids)


def test_types_that_are_quantised_again(files, tmp_path, monkeypatch):
    """K-quants become eight bits: what they stand for, within the rounding of eight bits."""
    import numpy as np

    said: list[str] = []
    monkeypatch.setattr("mirim.models.engines.native.note", said.append)
    toys.rewritten(files["f32"], tmp_path / "k.gguf", "Q5_1")
    from mirim.models.engines import llama_cpp

    ours, theirs = _open(tmp_path / "k.gguf"), llama_cpp.open(str(tmp_path / "k.gguf"), threads=1)
    ids = ours.encode(LONG)
    a, b = ours.logits(ids), theirs.logits(ids)
    assert said == ["k.gguf: weights of type Q5_1 are quantised again, to eight bits"]
    assert (a.argmax(1) == b.argmax(1)).mean() > 0.9
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995
    ours.close()
    theirs.close()


def test_json_is_held_to_its_schema_beside_free_answers(files):
    engine = _open(files["q8_0"], parallel=4)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "maximum": 99}},
        "required": ["name", "days"],
        "additionalProperties": False,
    }
    ask = (Message("user", "Jejum?"),)

    def one(seed):
        held = "".join(d.text for d in engine.generate(ask, Sampling(120, 1.5, seed=seed), schema=schema))
        free = list(engine.generate(LONG, Sampling(20, 1.0, seed=seed)))
        return held, free[-1].finish_reason

    try:
        with ThreadPoolExecutor(4) as pool:
            for held, reason in pool.map(one, range(12)):
                assert set(json.loads(held)) == {"name", "days"}
                assert reason in ("length", "stop")
        short = list(engine.generate(ask, Sampling(3), schema=schema))
        assert short[-1].finish_reason == "length"
        with pytest.raises(UsageError, match="simplify it"):
            engine.generate(ask, Sampling(3), schema={"$ref": "#/nowhere"})
    finally:
        engine.close()


def test_log_probabilities_and_ends(files):
    engine = _open(files["f32"])
    try:
        deltas = list(engine.generate("The nurse", Sampling(12, logprobs=3)))
        tokens = [t for d in deltas for t in d.token_ids]
        given = [p for d in deltas for p in d.logprobs]
        assert [p.id for p in given] == tokens
        ids = engine.encode("The nurse")
        scores = engine.score_tokens([*ids, *tokens], len(ids))
        assert [p.logprob for p in given] == pytest.approx(scores, abs=1e-5)
        for p in given:
            assert len(p.top) == 3
            assert p.top[0].id == p.id  # greedy
            assert p.top[0].logprob >= p.top[1].logprob >= p.top[2].logprob
        assert deltas[-1].completion_tokens == 12
        assert list(engine.generate("The", Sampling(0)))[-1].finish_reason == "length"
        assert engine.last["steps"] <= 12
        full = "nurse " * 1000
        while engine.count(full) >= engine.context:
            full = full[:-6]
        last = list(engine.generate(full, Sampling(5000)))[-1]
        assert last.finish_reason in ("length", "stop")
        assert last.prompt_tokens + last.completion_tokens <= engine.context
    finally:
        engine.close()


def test_closing_and_cancelling_in_the_middle(files):
    engine = _open(files["q8_0"], parallel=2, context=1024)
    streams = [engine.generate(LONG, Sampling(400, 1.0, seed=n)) for n in range(5)]
    for stream in streams:
        next(stream)
        stream.close()
    assert _ids(engine, "The nurse", Sampling(8))
    # Each token of a held answer waits for its reader, so this one cannot be over yet.
    left = engine.generate("The", Sampling(400, 1.0), schema={"type": "string", "minLength": 300})
    next(left)
    engine.close()
    with pytest.raises(MirimError, match="closed"):
        list(left)
    with pytest.raises(MirimError, match="closed"):
        engine.logits([1, 2])


def test_those_who_come_together_compute_their_beginning_once(files):
    plain, engine = _open(files["q8_0"], draft=0), _open(files["q8_0"], parallel=8, draft=0, threads=2)
    prompt = engine.encode(LONG)
    ends = [engine.encode(text) for text in ("one", "two and more", "three", "four", "five", "six", "seven", "eight")]
    asked = [engine._open.write([*prompt, *end], 8, temperature=0.0) for end in ends]
    for one, end in zip(asked, ends, strict=True):
        said, reason = [], ""
        while not reason:
            tokens, reason, _ = one.next(seconds=60.0)
            said += [t[0] if isinstance(t, tuple) else t for t in tokens]
        alone, expected, over = plain._open.write([*prompt, *end], 8, temperature=0.0), [], ""
        while not over:
            tokens, over, _ = alone.next(seconds=60.0)
            expected += [t[0] if isinstance(t, tuple) else t for t in tokens]
        assert said == expected
    # A step holds parts of two prompts at most that do not know of one another yet.
    assert engine.counts()["tokens"] < 2.5 * len(prompt)
    assert sum(one.cached > len(prompt) / 2 for one in asked) >= 6
    plain.close()
    engine.close()


def test_drafts_of_many_answers_leave_room_for_a_prompt(files):
    """Fifteen answers that propose as much as they may; a prompt beside them gets its share of every step."""
    engine = _open(files["q8_0"], parallel=16, draft=16)
    prompt = engine.encode(LONG)
    answers = [engine._open.write(engine.encode(LONG[n:]), 600, temperature=0.0, draft=16) for n in range(15)]
    for one in answers:
        one.next(seconds=60.0)
    before = engine.counts()["steps"]
    late = engine._open.write([5, *prompt], 2, temperature=0.0)
    assert late.next(seconds=60.0)[0]
    steps = engine.counts()["steps"] - before
    assert steps < len(prompt) / 8
    assert all(not one.next(seconds=0.0)[1] for one in answers[:2]), "the answers were over before the prompt was read"
    engine.close()


def test_more_answers_than_a_step_holds_take_turns(files):
    plain, crowded = _open(files["q8_0"], draft=0), _open(files["q8_0"], parallel=200, context=128, threads=2)
    asks = [LONG[n % 40 : n % 40 + 30] for n in range(200)]
    with ThreadPoolExecutor(200) as pool:
        got = list(pool.map(lambda text: _ids(crowded, text, Sampling(24)), asks))
    expected = {text: _ids(plain, text, Sampling(24)) for text in set(asks)}
    assert got == [expected[text] for text in asks]
    plain.close()
    crowded.close()


def test_what_is_too_unlikely_is_left_out_with_and_without_the_rest_in_order(files):
    engine = _open(files["q8_0"], draft=0)
    for seed in range(6):
        drawn = [_ids(engine, "The nurse", Sampling(40, 1.2, top_p, 0, 0.2, seed=seed)) for top_p in (1.0, 0.9999999)]
        assert drawn[0] == drawn[1]
    engine.close()


def test_a_factor_of_rotation_without_a_kind_is_linear(files, tmp_path):
    from mirim.models.engines import _graph

    plain = _graph.config(gguf_check.check(files["f32"]), files["f32"])["frequencies"]
    for name in ("rope__scaling__factor", "rope__scale_linear"):
        path = toys.rewritten(files["f32"], tmp_path / f"{name}.gguf", **{name: 4.0})
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


@pytest.mark.parametrize("name", ["block_count", "embedding_length", "context_length", "rope__dimension_count"])
@pytest.mark.parametrize("value", [[2, 2], 2**32 - 1])
def test_figures_that_cannot_be_are_named(files, tmp_path, name, value):
    from mirim.models.engines import _graph

    path = toys.rewritten(files["f32"], tmp_path / "x.gguf", **{name: value})
    with pytest.raises(UsageError, match=name.replace("__", ".")):
        _graph.config(gguf_check.check(path), path)


def test_what_the_core_refuses_when_it_loads_runs_on_llama_cpp(files, monkeypatch):
    from mirim.core.errors import Unfit
    from mirim.models import engine as models

    def refuse(*_: object, **__: object) -> None:
        raise Unfit("one of its tensors is of a type that nobody reads")

    said: list[str] = []
    monkeypatch.setattr("mirim.models.engines.native.open", refuse)
    monkeypatch.setattr(models, "note", said.append)
    other = models.open_engine(files["f32"])
    assert type(other).__module__.endswith("llama_cpp")
    assert "nobody reads" in said[0]
    other.close()
    with pytest.raises(Unfit, match="nobody reads"):
        models.open_engine(files["f32"], engine="native")


def test_who_waits_for_a_slot_gets_it_when_another_leaves(files):
    """One place for all: the next request comes before the core has noticed that the former one left."""
    engine = _open(files["q8_0"], parallel=1)
    prompt = engine.encode(LONG)

    def ask():
        return engine._open.write(prompt, 40, temperature=0.0)

    for _ in range(50):
        first = ask()
        first.next(seconds=5.0)
        second = ask()
        first.cancel()
        until, reason = time.monotonic() + 20, ""
        while not reason:
            assert time.monotonic() < until, "the second request was forgotten"
            _, reason, _ = second.next(seconds=0.2)
        assert reason == "length"
    engine.close()


def test_what_does_not_fit_is_refused(files, folder, tmp_path):
    engine = _open(files["q8_0"])
    try:
        for ids in ([], [10**6], [-1], [1] * 2000):
            with pytest.raises((ValueError, UsageError)):
                engine.logits(ids)
        with pytest.raises(UsageError, match="this processor has"):
            _open(files["q8_0"], kernels="mmx")
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
def test_weights_that_are_no_numbers_are_told(files, tmp_path, masked):
    from mirim.models.engines import native

    header = gguf_check.check(files["f32"])
    start, size = header.places["output_norm.weight"]
    data = bytearray(files["f32"].read_bytes())
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
def test_one_row_of_weights_that_are_no_numbers_is_told(files, tmp_path, how):
    """A damaged word in a head: nothing can be drawn beside it, nor any probability told."""
    from mirim.models.engines import native

    start, size = gguf_check.check(files["f32"]).places["output.weight"]
    data = bytearray(files["f32"].read_bytes())
    wide = 4 * toys.WEAK["hidden_size"]
    data[start + 77 * wide : start + 78 * wide] = b"\xff" * wide
    (tmp_path / "nan.gguf").write_bytes(data)
    with contextlib.closing(native.open(str(tmp_path / "nan.gguf"), threads=1)) as engine:
        with pytest.raises(MirimError, match="its weights are damaged"):
            list(engine.generate("The nurse", Sampling(max_tokens=4, **how)))
        with pytest.raises(MirimError, match="its weights are damaged"):
            engine.score("a", ["b c"])
        assert size > 78 * wide


def test_a_mask_that_forbids_everything_is_told(files):
    from mirim.models.engines import native

    with contextlib.closing(native.open(str(files["f32"]), threads=1)) as engine:
        for temperature in (0.0, 1.0, 1e30):
            request = engine._core.write([5, 6, 7], 4, temperature=temperature, masked=True)
            while not request.next(0.2)[2]:
                pass
            request.allow(bytes_of(0))
            while not (reason := request.next(0.2)[1]):
                pass
            assert reason == "!no token is allowed to come next"
            # At any temperature what is forbidden does not come.
            request = engine._core.write([5, 6, 7], 1, temperature=temperature, masked=True)
            while not request.next(0.2)[2]:
                pass
            request.allow(bytes_of(1 << 9))
            tokens, reason = [], ""
            while not reason:
                found, reason, _ = request.next(0.2)
                tokens += found
            assert (tokens[0][0], reason) == (9, "length")


def bytes_of(bits):
    import numpy as np

    return np.frombuffer(bits.to_bytes(64, "little"), np.uint8)


@pytest.mark.parametrize("penalty", [5e-324, 1e-300, 1e300])
def test_a_penalty_beyond_the_cores_numbers_is_one_within_them(files, penalty):
    from mirim.models.engines import native

    with contextlib.closing(native.open(str(files["f32"]), threads=1)) as engine:
        how = Sampling(max_tokens=8, repeat_penalty=penalty)
        deltas = list(engine.generate("The nurse opened the door", how))
    assert deltas[-1].finish_reason in ("length", "stop")


def test_a_temperature_beyond_the_cores_numbers_keeps_to_a_schema(files):
    from mirim.models.engines import native

    schema = {"enum": ["yes", "no"]}
    with contextlib.closing(native.open(str(files["f32"]), threads=1)) as engine:
        how = Sampling(max_tokens=30, temperature=1e300)
        text = "".join(d.text for d in engine.generate("The nurse", how, schema=schema))
    assert json.loads(text) in ("yes", "no")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_and_ends(files):
    """None of the threads are there: whatever waits for one waits for ever, at the end of the process too."""
    script = """
import os, sys, time
from mirim.core.errors import MirimError
from mirim.core.types import Sampling
from mirim.models.engines import native
engine = native.open(sys.argv[1], threads=2)
list(engine.generate("The nurse", Sampling(max_tokens=2)))
time.sleep(0.2)  # its thread waits for work
child = os.fork()
if not child:
    for work in (lambda: next(engine.generate("a", Sampling())), lambda: engine.score_tokens([1, 2]), engine.counts):
        try:
            work()
        except MirimError as error:
            assert "open it after the fork" in str(error), error
        else:
            os._exit(9)
    if sys.argv[2] == "close":
        engine.close()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
list(engine.generate("The nurse", Sampling(max_tokens=2)))
engine.close()
"""
    for way in ("close", "leave"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(files["q8_0"]), way], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
