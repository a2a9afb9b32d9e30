"""Merging LoRA without torch equals PEFT's own merge."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mirim.core.errors import UsageError

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow


def _adapter(base, out, **changes):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings | changes))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora" in name or "modules_to_save" in name:
            parameter.data = torch.randn_like(parameter) * 0.1
    model.save_pretrained(out)
    return model.merge_and_unload()


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
