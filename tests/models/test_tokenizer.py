"""GGUF tokenizers against the tokenizers they were made from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mirim.core.errors import Unfit, UsageError
from mirim.models import golden, preparation, tokenizer, vocabulary

sys.path.insert(0, str(Path(__file__).parent))
import toys

CONFORMANCE = Path(__file__).resolve().parents[3] / "shared" / "data" / "gguf_vocab"


def _encoder(folder):
    import tokenizers

    loaded = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: loaded.encode(text).ids


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
    encode = _encoder(folder)
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
    encode = _encoder(folder)
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


def _message(number, data):
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + data


def _plain(tmp_path, **changes):
    row = {
        "added_tokens": [{"id": 2, "content": "</s>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "</s>": 2, "ab": 3}, "merges": ["a b"]},
    } | changes
    (tmp_path / "tokenizer.json").write_text(json.dumps(row))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    return tmp_path


def test_types_and_padding(tmp_path):
    keys = tokenizer.metadata(_plain(tmp_path), {}, 6)
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
        tokenizer.metadata(_plain(tmp_path, **changes), {}, 9)


def test_unknown_pattern_is_refused(tmp_path):
    split = {"type": "Split", "pattern": {"Regex": r"\w+"}, "behavior": "Isolated", "invert": False}
    steps = {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "use_regex": False}]}
    with pytest.raises(Unfit, match=r"no pre-tokenizer for the patterns .*w\+"):
        tokenizer.metadata(_plain(tmp_path, pre_tokenizer=steps), {}, 9)


def test_no_tokenizer_and_no_end(tmp_path):
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        tokenizer.metadata(tmp_path, {}, 9)
    _plain(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="no token that ends a text"):
        tokenizer.metadata(tmp_path, {}, 9)


MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
FRONT = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, MARKS]}
GEMMA = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
FIRST = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
TEXTS = [
    *(
        "",
        " ",
        "ab",
        " ab  a",
        "  ab",
        "\u2581ab",
        "<s>ab",
        "<s> ab",
        "a\nb <s> ab",
        "<s><s> <s>",
        " <s>ab",
        "ab</s>  b",
    ),
    *("\n\n ab", "a\u0301b <s>\u0301ab", "<s>\u0338", "\u1112\u1161\u11ab", "<s>longer>ab", "ab <s>longer>\u0301"),
]


def _marked(folder, normalizer, pre_tokenizer, *merges):
    """A SentencePiece-style tokenizer over a and b."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "\u2581", "a", "b", "ab", "\u2581ab"]
    merges = ["a b", "\u2581 ab", *merges]
    words += [m.replace(" ", "") for m in merges[2:]] + ["<s>longer>"]
    model = {"type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>", "merges": merges}
    model["vocab"] = {w: n for n, w in enumerate(words)}
    return _tokenizer(folder, words, model, normalizer, pre_tokenizer)


def _composing(folder, normalizer):
    """A byte-level tokenizer with Qwen2's pattern and the letter é as one token."""
    from tokenizers import pre_tokenizers

    words = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "\u00c3\u00a9", "<s>longer>"]
    split = {"type": "Split", "pattern": {"Regex": toys.QWEN2}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    steps = {"type": "Sequence", "pretokenizers": [split, level]}
    model = {"type": "BPE", "merges": ["\u00c3 \u00a9"], "vocab": {w: n for n, w in enumerate(words)}}
    return _tokenizer(folder, words, model, normalizer, steps)


def _tokenizer(folder, words, model, normalizer, pre_tokenizer):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": words.index(t), "content": t, **flags} for t in ("<unk>", "<s>", "</s>", "<s>longer>")]
    folder.mkdir(exist_ok=True)
    _plain(folder, model=model, added_tokens=added, normalizer=normalizer, pre_tokenizer=pre_tokenizer)
    return len(words)


def _local(path, keys):
    """What engines on GGUF files share, over a file of nothing but a vocabulary."""
    from mirim.models import gguf_check, gguf_writer
    from mirim.models.engines import _llama, _local

    pytest.importorskip("xllamacpp", reason="llama.cpp comes with the serve extra")
    gguf_writer.write(path, "llama", keys | {"llama.context_length": 64}, [], "f32")
    local = _local.Local(path, gguf_check.check_tensors(path), 0, "")
    local.words = _llama.Vocabulary(path)
    return local


def _model_file(folder, pieces, settings, dummy_prefix=True):
    """tokenizer.model with `pieces` (text, score, type), and tokenizer_config.json; the file's bytes."""
    import struct

    body = b""
    for text, score, kind in pieces:
        body += _message(1, _message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([3 << 3, kind]))
    body += _message(2, bytes([3 << 3, 2])) + _message(3, bytes([3 << 3, dummy_prefix]))
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(body)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return body


PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), *((f"<0x{n:02X}>", 0.0, 6) for n in range(256))]
ENDED = {"bos_token": "<s>", "eos_token": {"content": "</s>"}}


def test_sentencepiece_model_file(tmp_path):
    pieces = [*PIECES, ("\u2581the", -0.0, 1), ("\u2581", -1.0, 1), ("\u00e9", -2.0, 1)]
    body = _model_file(tmp_path, pieces, ENDED)
    keys = tokenizer.metadata(tmp_path, {}, len(pieces) + 2)
    assert keys["tokenizer.ggml.model"] == "llama"
    assert keys["tokenizer.ggml.tokens"][259:] == ["\u2581the", "\u2581", "\u00e9", "[PAD262]", "[PAD263]"]
    assert keys["tokenizer.ggml.scores"][259:262] == [0.0, -1.0, -2.0]
    assert keys["tokenizer.ggml.token_type"][:4] == [2, 3, 3, 6]
    assert keys["tokenizer.ggml.token_type"][-1] == vocabulary.UNUSED
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.eos_token_id"]) == (1, 2)
    for cut in range(1, len(body), 97):
        (tmp_path / "tokenizer.model").write_bytes(body[:cut])
        with pytest.raises(UsageError):
            tokenizer.metadata(tmp_path, {}, 300)


def _end(keys, count):
    return list(zip(keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"], strict=True))[-count:]


def test_tokens_added_beside_a_model_file(tmp_path):
    """By their own numbers, with placeholders where these leave a gap; text that is not special stays text."""
    decoder = {"260": {"content": "<call>", "special": False}, "262": {"content": "<|end|>", "special": True}}
    pieces = [*PIECES, ("\u2581", -1.0, 1)]
    _model_file(tmp_path, pieces, ENDED | {"eos_token": "<|end|>", "added_tokens_decoder": decoder})
    keys = tokenizer.metadata(tmp_path, {}, 263)
    added = [("<call>", vocabulary.USER_DEFINED), ("[PAD261]", vocabulary.UNUSED), ("<|end|>", vocabulary.CONTROL)]
    assert _end(keys, 4) == [("\u2581", vocabulary.NORMAL), *added]
    assert (keys["tokenizer.ggml.eos_token_id"], len(keys["tokenizer.ggml.scores"])) == (262, 263)


def test_tokens_added_in_a_file_of_their_own(tmp_path):
    pieces = [*PIECES, ("<call>", 0.0, 3)]
    _model_file(tmp_path, pieces, ENDED)
    (tmp_path / "added_tokens.json").write_text(
        '{"<|end|>": 260, "<call>": 259, "<extra>": 261, "<unk>": 0, "<b>": 262}'
    )
    said = {"eos_token": "<|end|>", "additional_special_tokens": ["<extra>"]}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(said))
    keys = tokenizer.metadata(tmp_path, {}, 263)
    plain, special = vocabulary.USER_DEFINED, vocabulary.CONTROL
    assert _end(keys, 4) == [("<call>", plain), ("<|end|>", special), ("<extra>", special), ("<b>", plain)]
    assert (keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.token_type"][0]) == (260, vocabulary.UNKNOWN)
    for text in ('{"<b>": "x"}', '{"<b>": null}'):
        (tmp_path / "added_tokens.json").write_text(text)
        with pytest.raises(UsageError, match="copy both from its base again"):
            tokenizer.metadata(tmp_path, {}, 263)


def test_a_token_that_the_vocabulary_lacks_is_refused(tmp_path):
    for role in ("bos", "eos"):
        _model_file(tmp_path, PIECES, ENDED | {f"{role}_token": "<|im_end|>"})
        with pytest.raises(UsageError, match=rf'its {role}_token "<\|im_end\|>" is not in its vocabulary'):
            tokenizer.metadata(tmp_path, {"eos_token_id": 2, "bos_token_id": 1}, len(PIECES))


@pytest.mark.parametrize(
    ("settings", "dummy_prefix", "normalizer", "pre_tokenizer"),
    [
        ({}, True, FRONT, None),
        ({"legacy": True}, True, FRONT, None),
        ({"legacy": False}, True, None, FIRST),
        ({"legacy": False}, False, MARKS, None),
        ({"legacy": False, "add_prefix_space": False}, True, MARKS, None),
        ({}, False, MARKS, None),
    ],
)
def test_blanks_of_a_model_file(tmp_path, settings, dummy_prefix, normalizer, pre_tokenizer):
    """The same tokenizer as tokenizer.json says what is right."""
    size = _marked(tmp_path / "json", normalizer, pre_tokenizer)
    row = json.loads((tmp_path / "json" / "tokenizer.json").read_text())
    ranks = {merge.replace(" ", ""): -float(n) for n, merge in enumerate(row["model"]["merges"])}
    words = list(row["model"]["vocab"])[:-1]
    kinds = dict.fromkeys(words, 1) | {text: kind for text, _, kind in PIECES}
    pieces = [(text, ranks.get(text, -9.0), kinds[text]) for text in words]
    decoder = {str(size - 1): {"content": "<s>longer>", "special": True}}
    settings = ENDED | settings | {"added_tokens_decoder": decoder, "add_bos_token": False}
    _model_file(tmp_path / "m", pieces, settings, dummy_prefix)
    local = _local(tmp_path / "m.gguf", tokenizer.metadata(tmp_path / "m", {}, size))
    encode = _encoder(tmp_path / "json")
    for text in TEXTS:
        assert local.encode(text) == encode(text), text
    assert [local.words.text(t).decode() for t in local._tail("ab")] == ["ab"]


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"),
    [
        (MARKS, None),
        (MARKS, GEMMA),
        (FRONT, None),
        (None, FIRST),
        (None, FIRST | {"prepend_scheme": "always"}),
        (None, FIRST | {"prepend_scheme": "never"}),
        (None, FIRST | {"split": True}),
        (FRONT, FIRST),
    ],
)
def test_blanks_go_where_the_tokenizer_puts_them(tmp_path, normalizer, pre_tokenizer):
    size = _marked(tmp_path, normalizer, pre_tokenizer)
    local, encode = _local(tmp_path / "m.gguf", tokenizer.metadata(tmp_path, {}, size)), _encoder(tmp_path)
    for text in TEXTS:
        assert local.encode(text) == encode(text), text
    # A continuation gets none.
    assert [local.words.text(t).decode() for t in local._tail("ab")] == ["ab"]
    assert [local.words.text(t).decode() for t in local._tail(" ab")] == ["\u2581ab"]


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "message"),
    [
        (None, GEMMA, "Split"),
        (None, None, "blanks stay blanks"),
        (MARKS, GEMMA | {"behavior": "Isolated"}, "Split"),
        (MARKS, GEMMA | {"pattern": {"String": "a"}}, "Split"),
        (MARKS, GEMMA | {"invert": True}, "Split"),
        (MARKS | {"content": "_"}, None, "Replace"),
        (MARKS | {"pattern": {"String": "a"}}, None, "Replace"),
        (None, FIRST | {"replacement": "_"}, "Metaspace"),
        (None, FIRST | {"split": True}, "splits its text at every blank"),
    ],
)
def test_what_else_is_done_with_blanks_is_refused(tmp_path, normalizer, pre_tokenizer, message):
    size = _marked(tmp_path, normalizer, pre_tokenizer, "\u2581 \u2581")
    with pytest.raises(Unfit, match=message):
        tokenizer.metadata(tmp_path, {}, size)


@pytest.mark.parametrize(
    ("normalizer", "composes"),
    [
        (None, False),
        ({"type": "Sequence", "normalizers": []}, False),
        ({"type": "NFC"}, True),
        ({"type": "Sequence", "normalizers": [{"type": "NFC"}]}, True),
    ],
)
def test_text_is_composed_where_the_tokenizer_composes_it(tmp_path, normalizer, composes):
    size = _composing(tmp_path, normalizer)
    local, encode = _local(tmp_path / "m.gguf", tokenizer.metadata(tmp_path, {}, size)), _encoder(tmp_path)
    for text in (*TEXTS, "ame\u0301m"):
        assert local.encode(text) == encode(text), text
    assert len(local._tail("e\u0301")) == (1 if composes else 3)


def test_what_other_files_leave_unsaid(tmp_path):
    composed = preparation.preparation({"tokenizer.ggml.pre": "qwen2"})
    assert composed("e\u0301", True) == composed("e\u0301", False) == "\u00e9"
    for keys in ({}, {"tokenizer.ggml.pre": "llama-bpe"}, {"tokenizer.ggml.pre": "qwen2", preparation.ENDS: "1"}):
        assert preparation.preparation(keys)("e\u0301", True) == "e\u0301"


@pytest.mark.parametrize(
    "said",
    ["{", "[]", "3", '{"normalize": "NFD"}', '{"space": "last"}', '{"special": [1]}', '{"special": 1}', "[" * 9999],
)
def test_a_file_that_says_nonsense_is_refused(said):
    with pytest.raises(UsageError, match=r"mirim\.prepare .* export it again"):
        preparation.preparation({preparation.PREPARE: said})


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
    size = _marked(tmp_path, MARKS, None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", **own}))
    keys = tokenizer.metadata(tmp_path, config, size)
    assert keys.get(preparation.BOS) == named
    # llama.cpp always needs one.
    assert keys["tokenizer.ggml.bos_token_id"] == (start or 2)
    local = _local(tmp_path / "m.gguf", keys)
    assert (local.bos, local.start_token) == (bos, start)


@pytest.mark.parametrize("config", [{}, {"bos_token_id": 0}])
def test_what_the_tokenizer_puts_in_front_is_what_llama_cpp_puts_there(tmp_path, config):
    front = {"id": "<s>", "ids": [4], "tokens": ["<s>"]}
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    processor = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": {"<s>": front}}
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "</s>": 2, "ab": 3, "<s>": 4}, "merges": ["a b"]}
    added = [{"id": n, "content": text, "special": True} for n, text in ((2, "</s>"), (4, "<s>"))]
    folder = _plain(tmp_path, post_processor=processor, model=model, added_tokens=added)
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
    (_plain(tmp_path) / "generation_config.json").write_text(json.dumps(generation))
    keys = tokenizer.metadata(tmp_path, config, 4)
    assert (keys["tokenizer.ggml.eos_token_id"], keys[preparation.ENDS]) == (2, ends)
    assert keys.get("tokenizer.ggml.eot_token_id") == (int(ends.split(",")[1]) if "," in ends else None)


def test_generations_end_stands_in_for_a_tokenizer_without_one(tmp_path):
    (_plain(tmp_path) / "generation_config.json").write_text('{"eos_token_id": [0, 3]}')
    (tmp_path / "tokenizer_config.json").write_text("{}")
    keys = tokenizer.metadata(tmp_path, {}, 4)
    assert (keys["tokenizer.ggml.eos_token_id"], keys[preparation.ENDS]) == (0, "0,3")


def test_a_template_in_other_letters_is_named(tmp_path):
    (_plain(tmp_path) / "chat_template.jinja").write_bytes("{# não #}".encode("latin-1"))
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
    _plain(folder, model=model, added_tokens=added)
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
