"""Texts whose tokens all see each other: transformers' numbers, the same bits whatever computes them, limits."""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Sampling

sys.path.insert(0, str(Path(__file__).parent))
import toys

pytestmark = pytest.mark.slow
core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")

#: Within a page and a tile of attention, at their ends, beyond a step of other work, beyond pieces of attention.
LENGTHS = (1, 3, 16, 17, 32, 70, 128, 129, 300, 512)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from mirim.models import convert

    folder = toys.model(tmp_path_factory.mktemp("toy") / "m", **toys.SMALL)
    for kind in ("f32", "q8_0"):
        convert.write(convert.read(folder), folder / f"{kind}.gguf", kind)
    return folder


def _open(path, **options):
    from mirim.models.engines import native

    return native.open(str(path), **options)


def _texts(vocabulary):
    rng = np.random.default_rng(3)
    return [rng.integers(0, vocabulary, n).tolist() for n in LENGTHS]


def _reference(folder, ids, adapter=None):
    """Of transformers, with a mask that hides nothing."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    with torch.no_grad():
        mask = torch.zeros(1, 1, len(ids), len(ids))
        return model.model(input_ids=torch.tensor([ids]), attention_mask=mask).last_hidden_state[0].numpy()


def _far(one, other):
    return np.abs(one - other).max() / np.abs(other).max()


def test_states_are_those_of_transformers_without_a_mask(files):
    with contextlib.closing(_open(files / "f32.gguf", threads=2)) as engine:
        texts = _texts(engine.words.vocabulary)
        for ids, states in zip(texts, engine.states(texts), strict=True):
            expected = _reference(files, ids)
            assert states.shape == expected.shape
            assert _far(states, expected) < 1e-3, len(ids)
        # And not those of a model that sees what is before a token only.
        masked = engine.embed(["um texto de algumas palavras que se repetem"])[0]
        seen = engine.states([engine.encode("um texto de algumas palavras que se repetem")])[0].mean(0)
        assert np.dot(masked, seen / np.linalg.norm(seen)) < 0.9999


def test_states_are_changed_by_an_adapter(files, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    parts = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(files),
        LoraConfig(r=8, lora_alpha=16, target_modules=parts, init_lora_weights=False),
    )
    tuned.save_pretrained(tmp_path / "a")
    with contextlib.closing(_open(files / "f32.gguf", threads=2, adapters=(str(tmp_path / "a"),))) as engine:
        texts = _texts(engine.words.vocabulary)[-2:]
        changed, plain = engine.states(texts, adapter=0), engine.states(texts)
        for ids, states, before in zip(texts, changed, plain, strict=True):
            assert _far(states, _reference(files, ids, tmp_path / "a")) < 1e-3
            assert _far(before, _reference(files, ids)) < 1e-3
            assert _far(states, before) > 0.01


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_states_have_the_same_bits_by_threads_company_and_kernels(files, kind):
    expected = None
    for kernels in core.kernels():
        for threads in (1, 2, 3):
            with contextlib.closing(_open(files / f"{kind}.gguf", kernels=kernels, threads=threads)) as engine:
                texts = _texts(engine.words.vocabulary)
                rows = engine.states(texts)
                expected = rows if expected is None else expected
                alone = [engine.states([ids])[0] for ids in texts]
                for a, b, c in zip(rows, alone, expected, strict=True):
                    assert np.array_equal(a, c), (kernels, threads)
                    assert np.array_equal(b, c), (kernels, threads)


def test_texts_and_answers_go_on_beside_each_other(files):
    prompt = "O paciente deve ficar em jejum por oito horas. " * 8
    with contextlib.closing(_open(files / "q8_0.gguf", threads=2, parallel=3)) as engine:
        texts = _texts(engine.words.vocabulary)
        states = engine.states(texts)
        answers = [list(engine.generate(prompt + str(n), Sampling(120))) for n in range(4)]
        with ThreadPoolExecutor(8) as pool:
            written = [pool.submit(lambda n=n: list(engine.generate(prompt + str(n), Sampling(120)))) for n in range(4)]
            seen = [pool.submit(engine.states, texts) for _ in range(4)]
            for n, one in enumerate(written):
                got = one.result(timeout=60)
                assert "".join(d.text for d in got) == "".join(d.text for d in answers[n])
            for one in seen:
                assert all(np.array_equal(a, b) for a, b in zip(one.result(timeout=60), states, strict=True))
        # What was seen whole must not serve a prompt that begins alike.
        ids = texts[-1]
        before = engine.logits(ids, len(ids) - 1)
    with contextlib.closing(_open(files / "q8_0.gguf", threads=2)) as fresh:
        assert np.array_equal(fresh.logits(ids, len(ids) - 1), before)


def test_texts_that_cannot_be_seen_whole_are_refused(files, tmp_path):
    from mirim.models import convert

    with contextlib.closing(_open(files / "q8_0.gguf", context=256)) as engine:
        assert engine.whole == 256
        for ids in ([], [1] * 257):
            with pytest.raises(UsageError, match=f"{len(ids)} tokens.* 1 to 256 tokens"):
                engine.states([[1, 2], ids])
        assert engine.states([]) == []
        with pytest.raises(UsageError, match="no adapter 0"):
            engine.states([[1]], adapter=0)
    with contextlib.closing(_open(files / "q8_0.gguf")) as engine:
        assert engine.whole == 512
    shape = {
        **toys.SMALL,
        "num_hidden_layers": 7,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "tie_word_embeddings": True,
    }
    folder = toys.model(tmp_path / "g", "gemma3_text", **shape, sliding_window=24)
    convert.write(convert.read(folder), folder / "q8_0.gguf", "q8_0")
    with contextlib.closing(_open(folder / "q8_0.gguf")) as engine:
        assert engine.whole == 0
        with pytest.raises(UsageError, match="1 to 0"):
            engine.states([[1]])
