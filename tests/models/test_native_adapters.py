"""Adapters per request: PEFT's logits, the same bits in any company, keys and values apart, what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Sampling

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")

LONG = "O paciente deve ficar em jejum por oito horas antes do exame de sangue. The nurse said so, 2024! " * 2


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _adapter(base, out, seed=1, **changes):
    """A PEFT adapter with random weights; the model with it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings | changes))
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora" in name or "modules_to_save" in name:
            parameter.data = torch.randn_like(parameter) * 0.1
    model.save_pretrained(out)
    return model.eval()


def _base(folder, kind="llama", quants=("f32",), **changes):
    from mirim.models import convert

    toys.model(folder, kind, **changes)
    for quant in quants:
        convert.write(convert.read(folder), folder / f"{quant}.gguf", quant)
    return folder


def _open(path, **options):
    from mirim.models.engines import native

    return native.open(str(path), **{"threads": 1, **options})


CASES = [
    ("llama", {}, {}),
    ("llama", {"head_dim": 48, "attention_bias": True}, {"r": 40}),
    ("llama", {}, {"use_rslora": True, "target_modules": ["q_proj", "down_proj"]}),
    ("llama", {}, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.q_proj": 3}}),
    ("granite", {}, {}),
    ("granitemoehybrid", {}, {}),
    ("qwen2", {}, {}),
    ("qwen3", {}, {"target_modules": ["k_proj", "v_proj", "o_proj", "gate_proj"]}),
    ("mistral", {}, {}),
]


@pytest.mark.parametrize(("kind", "shape", "changes"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_logits_are_those_of_peft(tmp_path, kind, shape, changes):
    import numpy as np
    import torch

    base = _base(tmp_path / "base", kind, **shape)
    tuned = _adapter(base, tmp_path / "adapter", **changes)
    from mirim.models.engines import llama_cpp, native

    adapters = [str(tmp_path / "adapter")]
    ours, theirs = (e.open(str(base / "f32.gguf"), threads=1, adapters=adapters) for e in (native, llama_cpp))
    try:
        ids = (ours.encode(LONG) * 2)[:200]
        with torch.no_grad():
            expected = tuned(torch.tensor([ids])).logits[0].numpy()
            with tuned.disable_adapter():
                plain = tuned(torch.tensor([ids])).logits[0].numpy()
        assert np.abs(expected - plain).max() > 0.1
        assert np.abs(ours.logits(ids, adapter=0) - expected).max() < 1e-3
        assert np.abs(ours.logits(ids) - plain).max() < 1e-3
        ask = (LONG[:50], Sampling(12))
        for adapter in (0, None):
            one, other = ("".join(d.text for d in e.generate(*ask, adapter=adapter)) for e in (ours, theirs))
            # llama.cpp's stream ends before bytes that are no whole character.
            assert one.startswith(other.rstrip("\ufffd"))
            assert len(other) > 2
    finally:
        ours.close()
        theirs.close()


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A base in several types, and three adapters of different ranks and reach."""
    folder = tmp_path_factory.mktemp("family")
    shape = {
        "hidden_size": 128,
        "intermediate_size": 224,
        "num_hidden_layers": 3,
        "max_position_embeddings": 1024,
        "initializer_range": 0.05,
    }
    base = _base(folder / "base", quants=("f32", "q8_0", "q4_0"), **shape)
    ways = [{}, {"r": 36, "lora_alpha": 20}, {"r": 1, "target_modules": ["q_proj", "up_proj"]}]
    for number, way in enumerate(ways):
        _adapter(base, folder / f"a{number}", seed=number, **way)
    return base, [str(folder / f"a{n}") for n in range(3)]


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_0"])
def test_the_same_bits_alone_and_beside_others(family, kind):
    """Whatever the instruction set, the threads, the company, the drafts and what was kept of earlier prompts."""
    import numpy as np

    base, adapters = family
    path = base / f"{kind}.gguf"
    plain = _open(path, adapters=adapters, draft=0, spare=0)
    ways = [Sampling(24, logprobs=1), Sampling(24, 0.8, seed=4, logprobs=1)]
    asks = [(LONG, way, adapter) for way in ways for adapter in (None, 0, 1, 2)]

    def ask(engine, text, way, adapter):
        deltas = list(engine.generate(text, way, adapter=adapter))
        return [p for d in deltas for p in d.logprobs], deltas[-1].cached_tokens

    try:
        expected = [ask(plain, *a)[0] for a in asks]
        for one, other in itertools.combinations(expected[:4], 2):
            assert one != other
        rows = [plain.logits(plain.encode(LONG), adapter=a) for a in (None, 0, 1, 2)]
        # One adapter of several is the one that is alone.
        alone = _open(path, adapters=adapters[1:2])
        assert np.array_equal(alone.logits(alone.encode(LONG), adapter=0), rows[2])
        alone.close()
    finally:
        plain.close()
    for kernels, threads in [*((k, 1) for k in core.kernels()), ("", 2), ("", 3)]:
        rich = _open(path, adapters=adapters, parallel=5, threads=threads, kernels=kernels)
        try:
            with ThreadPoolExecutor(8) as pool:
                for turn in range(2):
                    got = list(pool.map(ask, [rich] * len(asks), *zip(*asks, strict=True)))
                    assert [g for g, _ in got] == expected, (kernels, threads)
                    # The second time every prompt was there, each as its adapter computed it.
                    assert turn == 0 or all(cached >= 32 for _, cached in got)
            for adapter, row in zip((None, 0, 1, 2), rows, strict=True):
                assert np.array_equal(rich.logits(rich.encode(LONG), adapter=adapter), row)
        finally:
            rich.close()


def test_keys_and_values_of_an_adapter_are_not_kept_on_disk(family, tmp_path):
    base, adapters = family
    engine = _open(base / "q8_0.gguf", adapters=adapters)
    try:
        engine.restore_prefixes(tmp_path / "kept", 1 << 24)
        for _ in range(3):
            list(engine.remembering().generate(LONG, Sampling(2), adapter=0))
        assert engine.save_prefixes() == 0
        for _ in range(3):
            list(engine.remembering().generate(LONG, Sampling(2)))
        assert engine.save_prefixes() == 1
    finally:
        engine.close()


def test_an_engine_is_chosen_by_what_the_adapters_change(family, tmp_path):
    from mirim.models.engine import open_engine

    base, adapters = family
    engine = open_engine(base / "f32.gguf", adapters=adapters, threads=1)
    assert type(engine).__name__ == "Native"
    with pytest.raises(UsageError, match="there is no adapter 3; 3 are loaded"):
        engine.generate("a", Sampling(1), adapter=3)
    engine.close()


@pytest.mark.parametrize("engine", ["native", "llama_cpp"])
def test_what_does_not_fit_is_refused(family, tmp_path, engine):
    from mirim.core import plugins

    module = plugins.load("models.engines", engine)
    base, adapters = family

    def refused(adapter, message):
        with pytest.raises(UsageError, match=message):
            module.open(str(base / "f32.gguf"), threads=1, adapters=[str(adapter)])

    refused(tmp_path / "none", "no adapter")
    refused(base / "f32.gguf", "is no adapter")
    other = _base(tmp_path / "other", hidden_size=96)
    _adapter(other, tmp_path / "wide")
    refused(tmp_path / "wide", "is it an adapter of this base")
    _adapter(base, tmp_path / "head", target_modules=["q_proj", "lm_head"])
    refused(tmp_path / "head", r"lm_head.* too.*serve it merged")
    _adapter(base, tmp_path / "whole", modules_to_save=["lm_head"])
    refused(tmp_path / "whole", "per request")
    deep = _base(tmp_path / "deep", hidden_size=128, intermediate_size=224, num_hidden_layers=5)
    _adapter(deep, tmp_path / "far")
    refused(tmp_path / "far", "has no place")
    kind = _base(tmp_path / "kind", "qwen3")
    _adapter(kind, tmp_path / "qwen")
    from mirim.models import gguf_check, lora

    file = lora.as_gguf(tmp_path / "qwen", gguf_check.check(kind / "f32.gguf"))
    refused(file, "of a qwen3 model, the base is llama")
    half = shutil.copytree(adapters[0], tmp_path / "half")
    row = json.loads((half / "adapter_config.json").read_text())
    (half / "adapter_config.json").write_text(json.dumps(row | {"use_dora": True}))
    refused(half, "DoRA")
    raw = lora.as_gguf(adapters[0], gguf_check.check(base / "f32.gguf")).read_bytes()
    for name, data in [("cut", raw[:-100]), ("renamed", raw.replace(b".lora_b", b".lora_x"))]:
        (tmp_path / f"{name}.gguf").write_bytes(data)
        refused(tmp_path / f"{name}.gguf", "cut off|no half")
