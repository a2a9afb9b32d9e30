"""Every family against transformers: logits, tokens and greedy text of the F32 file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mirim.core import plugins
from mirim.core.errors import UsageError

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow
PROMPTS = ("The nurse opened the door 2024", "O paciente não há açúcar 🙂", "Once <|im_end|>\nagain")

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 500.0,
}
VARIANTS = [
    *((kind, {}) for kind in plugins.names("models.families")),
    *((kind, {"tie_word_embeddings": True}) for kind in ("llama", "granite", "qwen2", "qwen3", "granitemoehybrid")),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("llama", {"num_key_value_heads": 4}),
    ("llama", {"head_dim": 32}),
    ("llama", {"hidden_size": 60, "num_attention_heads": 3, "num_key_value_heads": 1}),
    # The shape of the smallest models that tell stories (llama2.c), and heads of 4.
    (
        "llama",
        {"num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 172, "tie_word_embeddings": True},
    ),
    ("llama", {"num_attention_heads": 16, "num_key_value_heads": 16, "attention_bias": True, "mlp_bias": True}),
    ("qwen2", {"num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 100}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
    ("llama", {"rope_parameters": YARN}),
    ("llama", {"rope_parameters": YARN | {"attention_factor": 0.8}}),
    ("llama", {"rope_parameters": LLAMA3}),
    ("granite", {"rope_parameters": LLAMA3}),
    ("mistral", {"rope_parameters": LLAMA3}),
    ("granite", {"attention_bias": True}),
    ("gemma", {"head_dim": 256, "num_key_value_heads": 2}),
]


@pytest.mark.parametrize(
    ("kind", "changes"), VARIANTS, ids=lambda v: v if isinstance(v, str) else "-".join(v) or "plain"
)
def test_gguf_equals_transformers(tmp_path, kind, changes):
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from mirim.core.types import Sampling
    from mirim.models import convert, gguf_check
    from mirim.models.engines import hf, llama_cpp, native

    folder = toys.model(tmp_path / "m", kind, **changes)
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f32")
    why = native.unsupported(gguf_check.check(tmp_path / "m.gguf"))
    assert not why
    engines = [engine.open(str(tmp_path / "m.gguf"), threads=1) for engine in (llama_cpp, *(() if why else (native,)))]
    theirs = hf.open(str(folder))
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    try:
        for text in PROMPTS:
            ids = theirs.encode(text)
            # Long enough that scaled rotations matter.
            long = (ids * 40)[:200]
            expected = theirs.logits(long)
            assert np.abs(expected).max() > 0.1
            short = long[:12]
            with torch.no_grad():
                greedy = reference.generate(torch.tensor([short]), max_new_tokens=12, do_sample=False)[0, 12:].tolist()
            said = "".join(d.text for d in theirs.generate(text, Sampling(max_tokens=12)))
            for ours in engines:
                assert ours.encode(text) == ids
                # llama.cpp reads gelu from a table in half precision.
                near = 5e-3 if kind.startswith("gemma") and ours is not engines[-1] else 1e-3
                assert np.abs(ours.logits(long) - expected).max() < near
                assert _greedy(ours, short, 12) == _without_end(greedy)
                assert ours.complete(text, Sampling(max_tokens=12)).text == said
    finally:
        for ours in engines:
            ours.close()


@pytest.mark.parametrize("own", [True, False])
def test_a_head_beside_tied_embeddings_is_the_models(tmp_path, own):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    from mirim.core.errors import Unfit
    from mirim.models import convert
    from mirim.models.engines import hf, native

    for kind in ("llama", "gemma"):
        folder = toys.model(tmp_path / kind, kind, tie_word_embeddings=True)
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"][:: -1 if own else 1].copy()
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        checkpoint = convert.read(folder)
        if own and kind == "gemma":
            with pytest.raises(Unfit, match="a head of its own"):
                convert.tensors(checkpoint)
            continue
        assert own == ("output.weight" in [t.name for t in convert.tensors(checkpoint)])
        convert.write(checkpoint, tmp_path / "m.gguf", "f32")
        ours, theirs = native.open(str(tmp_path / "m.gguf"), threads=1), hf.open(str(folder))
        ids = theirs.encode(PROMPTS[0])
        assert np.abs(ours.logits(ids) - theirs.logits(ids)).max() < 1e-3
        ours.close()


def test_rotating_more_than_a_head_holds_is_refused(tmp_path):
    from mirim.models import convert, gguf_check
    from mirim.models.engines import native

    folder = toys.model(tmp_path / "m", num_attention_heads=8, num_key_value_heads=4)
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f32")
    header = gguf_check.check(tmp_path / "m.gguf")
    assert not native.unsupported(header)
    for turned in (16, -2, "8"):
        header.keys["llama.rope.dimension_count"] = turned
        assert f"rotates {turned} values of heads of 8" in native.unsupported(header)
    del header.keys["llama.rope.dimension_count"]
    for key, value, says in (
        ("attention.causal", False, "see those behind them"),
        ("rope.scaling.attn_factor", 2.0, "scales attention by 2"),
    ):
        header.keys[f"llama.{key}"] = value
        assert says in native.unsupported(header)
        del header.keys[f"llama.{key}"]


def _greedy(engine, ids, count):
    seen, out = list(ids), []
    for _ in range(count):
        token = int(engine.logits(seen)[-1].argmax())
        if token == 2:
            break
        seen.append(token)
        out.append(token)
    return out


def _without_end(ids):
    return ids[: ids.index(2)] if 2 in ids else ids


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_checkpoints_keep_their_type(tmp_path, dtype):
    import numpy as np

    from mirim.models import convert
    from mirim.models.engines import hf, llama_cpp

    folder = toys.model(tmp_path / "m", dtype=dtype)
    checkpoint = convert.read(folder)
    assert checkpoint.dtype == {"bfloat16": "bf16", "float16": "f16"}[dtype]
    convert.write(checkpoint, tmp_path / "m.gguf", "f32")
    ours, theirs = llama_cpp.open(str(tmp_path / "m.gguf"), threads=1), hf.open(str(folder))
    ids = theirs.encode(PROMPTS[0])
    assert np.abs(ours.logits(ids) - theirs.logits(ids)).max() < 1e-2
    ours.close()


def test_shards_equal_one_file(tmp_path):
    from safetensors.numpy import load_file

    from mirim.models.weights import open_weights

    folder = toys.model(tmp_path / "m")
    whole = load_file(folder / "model.safetensors")
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "s", max_shard_size="100KB")
    assert (tmp_path / "s" / "model.safetensors.index.json").is_file()
    weights = open_weights(tmp_path / "s")
    assert weights.names() == sorted(whole)
    for name in whole:
        assert (weights.read(name) == whole[name]).all()


def test_unknown_architecture_is_named(tmp_path):
    from mirim.models import convert

    tmp_path.joinpath("config.json").write_text('{"model_type": "falcon_mamba", "architectures": ["FalconMamba"]}')
    with pytest.raises(UsageError, match=r'"falcon_mamba" \(FalconMamba\); known: .*granite.*llama.*qwen3'):
        convert.read(tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("llama", {"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, 'rope scaling "longrope"'),
        ("llama", {"hidden_act": "gelu"}, '"gelu"'),
        ("granitemoehybrid", {"layer_types": ["mamba", "attention"]}, "Mamba"),
        ("granitemoehybrid", {"num_local_experts": 4}, "mixture of experts"),
        ("gemma", {"hidden_activation": "relu"}, '"relu"'),
        ("gemma", {"attention_bias": True}, "biases of attention"),
    ],
)
def test_what_would_be_another_model_is_refused(kind, changes, message):
    family = plugins.load("models.families", kind)
    config = {"model_type": kind, "vocab_size": 9, "max_position_embeddings": 8, **family.SAMPLE, **changes}
    with pytest.raises(UsageError, match=message):
        family.metadata(config)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "mistral"])
def test_a_window_that_only_some_layers_have_bounds_the_context(kind):
    family = plugins.load("models.families", kind)
    config = {"model_type": kind, "vocab_size": 9, "max_position_embeddings": 64, **family.SAMPLE, "sliding_window": 32}
    assert family.metadata({**config, "use_sliding_window": True})["context_length"] == 32
    assert family.metadata({**config, "sliding_window": None})["context_length"] == 64
    del config["sliding_window"]
    wide = {**config, "max_position_embeddings": 32768, "use_sliding_window": True}
    assert family.metadata(wide)["context_length"] == 4096


def test_what_cannot_be_converted_runs_on_transformers_and_it_is_said(tmp_path, monkeypatch):
    from mirim.core.types import Sampling
    from mirim.models import engine as opening
    from mirim.models.engine import open_engine

    said = []
    monkeypatch.setattr(opening, "note", said.append)
    folder = toys.model(tmp_path / "m", "llama", hidden_act="gelu")
    engine = open_engine(folder)
    assert type(engine).__name__ == "HuggingFace"
    assert ["runs on transformers: hidden_act" in line for line in said] == [True]
    assert sum(len(d.token_ids) for d in engine.generate("Once", Sampling(max_tokens=3))) == 3
    with pytest.raises(UsageError, match=r'"gelu" is not supported.*use --engine hf$'):
        open_engine(folder, engine="native")
    with pytest.raises(UsageError, match="use --engine hf without --quant"):
        open_engine(folder, quant="q8_0")


@pytest.mark.parametrize(("heads", "says"), [(0, "head_count is 0"), (3, "3 heads, which 64 rows")])
def test_heads_that_the_weights_do_not_have_are_refused(tmp_path, heads, says):
    from mirim.models.engine import open_engine

    folder = toys.model(tmp_path / "m", "llama", head_dim=16)
    changed(folder, num_attention_heads=heads)
    with pytest.raises(UsageError, match=says):
        open_engine(folder, engine="native")


def test_weights_that_are_not_there_are_not_made_up(tmp_path):
    from mirim.models.engine import open_engine
    from mirim.training.adapt import load_base

    folder = toys.model(tmp_path / "m", "llama")
    changed(folder, num_hidden_layers=5)
    for load in (lambda: open_engine(folder, engine="hf"), lambda: load_base(str(folder))):
        with pytest.raises(UsageError, match=r"lacks model\.layers\.\d\.\S+ and \d+ more weights"):
            load()
    with pytest.raises(UsageError, match=r"the checkpoint lacks blk\.\d"):
        open_engine(folder, engine="native")


def changed(folder, **fields):
    import json

    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_hidden_layers": 10**9}, "block_count is 1000000000"),
        ({"num_hidden_layers": float("inf")}, "cannot convert float infinity"),
        ({"max_position_embeddings": -1}, "context_length is -1"),
        ({"hidden_size": 10**30}, "embedding_length is 1"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "'factor'"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": "x"}}, "could not convert"),
    ],
)
def test_figures_that_are_none_are_refused_before_anything_is_made(tmp_path, changes, says):
    """A number of layers alone could ask for all memory that there is."""
    from mirim.models import convert

    folder = toys.model(tmp_path / "m")
    row = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(row | changes))
    with pytest.raises(UsageError, match=says):
        convert.write(convert.read(folder), tmp_path / "m.gguf", "f32")
