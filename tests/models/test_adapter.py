"""Merging LoRA without torch equals PEFT's own merge."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

from mirim.core.errors import Unfit, UsageError
from mirim.core.types import Sampling

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow


def _tuned(base, out, config=None, **changes):
    """The model with an adapter that training has moved, as PEFT runs it; the adapter is in `out`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config or LoraConfig(**settings | changes))
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            # In place: parts that are tied stay so.
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(out)
    return model.eval()


def _adapter(base, out, **changes):
    return _tuned(base, out, **changes).merge_and_unload()


def _differs(engine, model):
    """The largest difference of their logits."""
    import numpy as np
    import torch

    ids = engine.encode("The nurse opened the door")
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    return float(np.abs(engine.logits(ids) - expected).max())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.q_proj": 3}},
        {"target_modules": ["embed_tokens", "v_proj", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": "all-linear"},
    ],
    ids=lambda c: "-".join(c) or "plain",
)
def test_merge_equals_peft(tmp_path, changes):
    from mirim.models import convert

    base = toys.model(tmp_path / "base")
    merged = _adapter(base, tmp_path / "adapter", **changes)
    weights = convert.read(tmp_path / "adapter", base).weights
    expected = {k: v.detach().numpy() for k, v in merged.state_dict().items()}
    changed = 0
    import numpy as np

    from mirim.models.weights import open_weights

    plain = open_weights(base)
    for name in weights.names():
        assert np.abs(weights.read(name) - expected[name]).max() < 1e-5, name
        changed += int(not np.array_equal(plain.read(name), weights.read(name)))
    assert changed >= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING"),
        ({"bias": "all"}, "biases"),
        ({"r": 3}, "rank of .* is 4"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"rank_pattern": {"(": 4}}, "patterns"),
        ({"alpha_pattern": "q_proj"}, "patterns"),
    ],
)
def test_what_is_not_plain_lora_is_refused(tmp_path, change, message):
    from mirim.models import convert

    base = toys.model(tmp_path / "base")
    _adapter(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UsageError, match=message):
        convert.write(convert.read(tmp_path / "adapter", base), tmp_path / "out.gguf", "f32")


def test_another_base_is_refused(tmp_path):
    from mirim.models import convert

    base = toys.model(tmp_path / "base")
    _adapter(base, tmp_path / "adapter")
    other = toys.model(tmp_path / "other", hidden_size=32)
    with pytest.raises(UsageError, match=r"is .* its base"):
        convert.read(tmp_path / "adapter", other)


def test_engine_runs_an_adapter(tmp_path, monkeypatch):
    import numpy as np
    import torch

    from mirim.models.engine import open_engine

    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    base = toys.model(tmp_path / "base")
    merged = _adapter(base, tmp_path / "adapter").eval()
    engine = open_engine(tmp_path / "adapter", threads=1)
    ids = engine.encode("The nurse opened")
    with torch.no_grad():
        expected = merged(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(engine.logits(ids) - expected).max() < 1e-2
    engine.close()
    made = list((tmp_path / "cache" / "gguf").iterdir())
    open_engine(tmp_path / "adapter", threads=1).close()
    assert list((tmp_path / "cache" / "gguf").iterdir()) == made


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What is said while an engine is chosen."""
    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    monkeypatch.setattr("mirim.models.engine.note", said.append)
    return said


@pytest.mark.parametrize(
    "changes",
    [
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": ["lm_head", "q_proj"]},
        {"target_modules": ["lm_head", "embed_tokens"]},
        {"target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True},
        {"target_modules": "all-linear"},
    ],
    ids=lambda c: "-".join(str(v) for v in c.values()),
)
def test_of_embeddings_that_are_the_head_one_is_changed(tmp_path, told, changes):
    """PEFT trains the two apart from each other, and says with ensure_weight_tying where it does not."""
    from mirim.models.engine import open_engine

    base = toys.model(tmp_path / "base", tie_word_embeddings=True)
    tuned = _tuned(base, tmp_path / "adapter", **changes)
    for name in ("native", "hf"):
        with contextlib.closing(open_engine(tmp_path / "adapter", engine=name, threads=1)) as engine:
            assert _differs(engine, tuned) < 1e-4, name


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"init_lora_weights": "olora"}, "olora"),
        ({"use_dora": True}, "DoRA"),
        ({"trainable_token_indices": [5, 6]}, "has no place"),
        ({"lora_bias": True}, "biases"),
        # Layers that share their weights are told apart only as long as nothing is merged.
        ({"layer_replication": [[0, 2], [1, 2]]}, "replicated layers"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_only_peft_loads_runs_on_transformers(tmp_path, told, changes, why):
    from mirim.models.engine import open_engine

    base = toys.model(tmp_path / "base")
    tuned = _tuned(base, tmp_path / "adapter", **changes)
    with contextlib.closing(open_engine(tmp_path / "adapter", threads=1)) as engine:
        assert type(engine).__module__.endswith("hf")
        assert _differs(engine, tuned) < 1e-4
        assert engine.generate("The nurse", Sampling(max_tokens=4))
    assert "runs on transformers" in told[0]
    assert why in told[0]
    with pytest.raises(Unfit, match=f"{why}.*use --engine hf"):
        open_engine(tmp_path / "adapter", engine="native")


def test_an_adapter_runs_where_its_base_does(tmp_path, told):
    import transformers

    from mirim.models.engine import open_engine

    size = toys.byte_level(tmp_path / "base")
    shape = transformers.GPT2Config(vocab_size=size, n_embd=64, n_layer=2, n_head=4, n_positions=64, eos_token_id=2)
    transformers.GPT2LMHeadModel(shape).save_pretrained(tmp_path / "base")
    tuned = _tuned(tmp_path / "base", tmp_path / "adapter", target_modules=["c_attn"], fan_in_fan_out=True)
    with contextlib.closing(open_engine(tmp_path / "adapter", threads=1)) as engine:
        assert _differs(engine, tuned) < 1e-4
    assert "architecture gpt2 is not one that mirim converts" in told[0]
    with pytest.raises(Unfit, match=r'architecture "gpt2".*use --engine hf'):
        open_engine(tmp_path / "adapter", engine="native")


def test_an_adapter_that_needs_peft_is_refused_per_request(tmp_path, told, monkeypatch):
    from mirim.models import convert
    from mirim.models.engine import open_engine

    base = toys.model(tmp_path / "base")
    convert.write(convert.read(base), tmp_path / "base.gguf", "f32")
    _tuned(base, tmp_path / "adapter", init_lora_weights="pissa")
    for engine in ("", "native", "llama_cpp"):
        with pytest.raises(UsageError, match=r"pissa.*merge it with PEFT"):
            open_engine(tmp_path / "base.gguf", engine=engine, adapters=[str(tmp_path / "adapter")])
    assert not told
    monkeypatch.setattr("mirim.models.engines.native.unsupported", lambda *_: "it is of another kind")
    with pytest.raises(UsageError, match="merge it with PEFT"):
        open_engine(tmp_path / "base.gguf", adapters=[str(tmp_path / "adapter")])
    assert len(told) == 1


def test_what_transformers_cannot_load_is_told(tmp_path):
    from peft import PromptTuningConfig
    from safetensors.numpy import load_file, save_file

    from mirim.models.engine import open_engine

    base, folder = toys.model(tmp_path / "base"), tmp_path / "adapter"
    _tuned(base, folder)
    file = folder / "adapter_model.safetensors"
    raw, weights = file.read_bytes(), load_file(file)

    def refused(message):
        with pytest.raises(UsageError, match=message):
            open_engine(folder, engine="hf")

    file.write_bytes(raw[:-1000])
    refused("PEFT cannot load .*not fully covered.*save it again")
    first = next(name for name in weights if "lora_B" in name)
    save_file({name: w for name, w in weights.items() if name != first}, file)
    refused("differ in .*lora_B.*is that its base")
    save_file(weights | {first.replace("layers.0", "layers.7"): weights[first]}, file)
    refused(r"differ in .*layers\.7.*is that its base")
    file.write_bytes(raw)
    toys.model(base, hidden_size=32)
    refused("PEFT cannot load .*size mismatch.*is .* its base")
    toys.model(base)
    _tuned(base, folder, init_lora_weights="pissa_niter_4")
    refused("pissa_niter_4.*does not repeat")
    _tuned(base, folder, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    refused("changes what the prompt says")
