"""GGUF tokenizers against the tokenizers they were made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirim.core.errors import Unfit, UsageError
from mirim.models import golden, preparation, tokenizer
from tests.models import toys
from tests.models.spelt import MARKS, encoder, local_of, marked, plain

CONFORMANCE = Path(__file__).resolve().parents[3] / "shared" / "data" / "gguf_vocab"


def _engine(folder, tmp_path, size, **changes):
    from mirim.models import convert
    from mirim.models.engines import llama_cpp

    toys.model(folder, vocabulary=size, **changes)
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f16")
    return llama_cpp.open(str(tmp_path / "m.gguf"), threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2"])
@pytest.mark.parametrize("bos", [False, True])
def test_byte_level(tmp_path, style, bos):
    folder = tmp_path / "m"
    size = toys.byte_level(folder, style, bos=bos)
    assert tokenizer.metadata(folder, {}, size)["tokenizer.ggml.pre"] == style
    engine = _engine(folder, tmp_path, size)
    encode = encoder(folder)
    try:
        assert engine.scorer.adds_bos == bos
        for text in golden.fuzz(toys.SPECIAL):
            assert engine.encode(text) == encode(text), text
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab": {}, "merges": []}, "holds no tokens"),
        # JSON may hold half a character, and GGUF a zero, up to which llama.cpp reads: it ends the process over twins.
        ({"vocab": {"\ud800": 0}}, "half a character"),
        ({"vocab": {"a\0b": 0}}, "hold zero bytes"),
    ],
)
def test_words_that_cannot_be_are_refused(tmp_path, changes, message):
    np = pytest.importorskip("numpy")
    from mirim.models import gguf_check, gguf_writer

    toys.byte_level(tmp_path)
    row = json.loads((tmp_path / "tokenizer.json").read_text())
    changes = {**changes, "vocab": changes["vocab"] and row["model"]["vocab"] | changes["vocab"]}
    row = row | {"model": row["model"] | changes, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(row))
    tensor = gguf_writer.Tensor("token_embd.weight", (480, 32), lambda: np.zeros((480, 32), np.float32))

    def make():
        keys = tokenizer.metadata(tmp_path, {}, 480)
        gguf_writer.write(tmp_path / "m.gguf", "llama", keys, [tensor], "f32")
        return gguf_check.check(tmp_path / "m.gguf")

    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("merge", ["abc", ["a", "b", "c"], 5])
def test_merges_that_are_no_pairs_are_refused(tmp_path, merge):
    toys.byte_level(tmp_path)
    row = json.loads((tmp_path / "tokenizer.json").read_text())
    row["model"]["merges"].append(merge)
    (tmp_path / "tokenizer.json").write_text(json.dumps(row))
    with pytest.raises(UsageError, match=r"not a tokenizer\.json that can be read"):
        tokenizer.metadata(tmp_path, {}, 480)


def test_what_stands_around_a_text_must_be_named(tmp_path):
    toys.byte_level(tmp_path)
    row = json.loads((tmp_path / "tokenizer.json").read_text())
    row["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "none"}}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(row))
    with pytest.raises(UsageError, match=r"not a tokenizer\.json that can be read"):
        tokenizer.metadata(tmp_path, {}, 480)


@pytest.mark.slow
def test_sentencepiece_like(tmp_path):
    folder = tmp_path / "m"
    size = toys.sentencepiece_like(folder)
    engine = _engine(folder, tmp_path, size)
    encode = encoder(folder)
    try:
        assert engine.scorer.adds_bos
        for text in golden.fuzz([]):
            if text:
                assert engine.encode(text) == encode(text), text
        assert engine.encode("The nurse <unk> opened")[0] == 1
        # A continuation must not get the space that a text gets.
        assert b"".join(engine.scorer.piece(t) for t in engine._tail("opened")) == b"opened"
        assert b"".join(engine.scorer.piece(t) for t in engine._tail(" yes")) == b" yes"
    finally:
        engine.close()


def test_types_and_padding(tmp_path):
    keys = tokenizer.metadata(plain(tmp_path), {}, 6)
    assert keys["tokenizer.ggml.tokens"] == ["a", "b", "</s>", "ab", "[PAD4]", "[PAD5]"]
    assert keys["tokenizer.ggml.token_type"] == [1, 1, 3, 1, 5, 5]
    assert keys["tokenizer.ggml.merges"] == ["a b"]
    assert keys["tokenizer.ggml.pre"] == "gpt-2"
    assert not keys["tokenizer.ggml.add_bos_token"]
    assert keys[preparation.ENDS] == "2"
    with pytest.raises(UsageError, match="4 tokens, the embedding only 3 rows"):
        tokenizer.metadata(tmp_path, {}, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, "Unigram tokenizer; only BPE"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "prefix space"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
        ({"pre_tokenizer": {"type": "Nonsense"}, "model": 3}, "not a tokenizer.json"),
    ],
)
def test_what_llama_cpp_cannot_do_is_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        tokenizer.metadata(plain(tmp_path, **changes), {}, 9)


def test_unknown_pattern_is_refused(tmp_path):
    split = {"type": "Split", "pattern": {"Regex": r"\w+"}, "behavior": "Isolated", "invert": False}
    steps = {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "use_regex": False}]}
    with pytest.raises(Unfit, match=r"no pre-tokenizer for the patterns .*w\+"):
        tokenizer.metadata(plain(tmp_path, pre_tokenizer=steps), {}, 9)


def test_no_tokenizer_and_no_end(tmp_path):
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        tokenizer.metadata(tmp_path, {}, 9)
    plain(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="no token that ends a text"):
        tokenizer.metadata(tmp_path, {}, 9)


@pytest.mark.parametrize(
    ("own", "config", "named", "bos", "start"),
    [
        ({"bos_token": "<s>"}, {"bos_token_id": 2}, None, "<s>", 1),
        ({"bos_token": None}, {"bos_token_id": 1}, "config", "", 1),
        ({}, {"bos_token_id": 1}, None, "<s>", 1),
        ({"bos_token": None}, {}, "none", "", None),
        ({}, {}, "none", "", None),
    ],
)
def test_no_start_token_is_invented(tmp_path, own, config, named, bos, start):
    size = marked(tmp_path, MARKS, None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", **own}))
    keys = tokenizer.metadata(tmp_path, config, size)
    assert keys.get(preparation.BOS) == named
    # llama.cpp always needs one.
    assert keys["tokenizer.ggml.bos_token_id"] == (start or 2)
    local = local_of(tmp_path / "m.gguf", keys)
    assert (local.bos, local.start_token) == (bos, start)


@pytest.mark.parametrize("config", [{}, {"bos_token_id": 0}])
def test_what_the_tokenizer_puts_in_front_is_what_llama_cpp_puts_there(tmp_path, config):
    front = {"id": "<s>", "ids": [4], "tokens": ["<s>"]}
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    processor = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": {"<s>": front}}
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "</s>": 2, "ab": 3, "<s>": 4}, "merges": ["a b"]}
    added = [{"id": n, "content": text, "special": True} for n, text in ((2, "</s>"), (4, "<s>"))]
    folder = plain(tmp_path, post_processor=processor, model=model, added_tokens=added)
    (folder / "generation_config.json").write_text('{"bos_token_id": 4}')
    keys = tokenizer.metadata(folder, config, 5)
    assert (keys["tokenizer.ggml.add_bos_token"], keys["tokenizer.ggml.bos_token_id"]) == (True, 4)
    assert not [key for key in keys if key.startswith("_")]


@pytest.mark.parametrize(
    ("generation", "config", "ends"),
    [
        ({"eos_token_id": [3, 2]}, {}, "2,3"),
        ({"eos_token_id": 3}, {}, "2,3"),
        ({}, {"eos_token_id": 3}, "2,3"),
        ({"eos_token_id": [0, 3]}, {"eos_token_id": 1}, "2,0,3"),
        ({"eos_token_id": [2, 99, None]}, {}, "2"),
        ([], {}, "2"),
    ],
)
def test_the_tokenizers_own_end_is_what_templates_write_and_an_end(tmp_path, generation, config, ends):
    (plain(tmp_path) / "generation_config.json").write_text(json.dumps(generation))
    keys = tokenizer.metadata(tmp_path, config, 4)
    assert (keys["tokenizer.ggml.eos_token_id"], keys[preparation.ENDS]) == (2, ends)
    assert keys.get("tokenizer.ggml.eot_token_id") == (int(ends.split(",")[1]) if "," in ends else None)


def test_generations_end_stands_in_for_a_tokenizer_without_one(tmp_path):
    (plain(tmp_path) / "generation_config.json").write_text('{"eos_token_id": [0, 3]}')
    (tmp_path / "tokenizer_config.json").write_text("{}")
    keys = tokenizer.metadata(tmp_path, {}, 4)
    assert (keys["tokenizer.ggml.eos_token_id"], keys[preparation.ENDS]) == (0, "0,3")


def test_a_template_in_other_letters_is_named(tmp_path):
    (plain(tmp_path) / "chat_template.jinja").write_bytes("{# não #}".encode("latin-1"))
    with pytest.raises(UsageError, match=r"chat_template\.jinja is not a chat template in UTF-8 .*save it as UTF-8"):
        tokenizer.metadata(tmp_path, {}, 4)


@pytest.mark.slow
@pytest.mark.skipif(not CONFORMANCE.is_dir(), reason="the conformance vocabularies are not beside this checkout")
def test_conformance_with_published_ids(tmp_path):
    """GPT-2's real vocabulary, as tokenizer.json, through our writer and llama.cpp, gives the published ids."""
    import gguf

    fields = gguf.GGUFReader(CONFORMANCE / "ggml-vocab-gpt-2.gguf").fields
    words = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    folder = tmp_path / "m"
    folder.mkdir()
    model = {"type": "BPE", "vocab": {w: n for n, w in enumerate(words)}, "merges": merges}
    added = [{"id": 50256, "content": "<|endoftext|>", "special": True}]
    plain(folder, model=model, added_tokens=added)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    engine = _engine(folder, tmp_path, len(words), hidden_size=32, num_attention_heads=2, num_key_value_heads=2)
    texts = (CONFORMANCE / "ggml-vocab-gpt-2.gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    lines = (CONFORMANCE / "ggml-vocab-gpt-2.gguf.out").read_text("utf-8").split("\n")
    try:
        for text, line in zip(texts, lines, strict=False):
            assert engine.encode(text) == [int(n) for n in line.split()], text
    finally:
        engine.close()
    assert len(texts) == 47
