"""tokenizer.model, SentencePiece's file, and what is added beside it."""

from __future__ import annotations

import json

import pytest

from mirim.core.errors import UsageError
from mirim.models import tokenizer, vocabulary
from tests.models.spelt import FIRST, FRONT, MARKS, TEXTS, encoder, local_of, marked


def _message(number, data):
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + data


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
    size = marked(tmp_path / "json", normalizer, pre_tokenizer)
    row = json.loads((tmp_path / "json" / "tokenizer.json").read_text())
    ranks = {merge.replace(" ", ""): -float(n) for n, merge in enumerate(row["model"]["merges"])}
    words = list(row["model"]["vocab"])[:-1]
    kinds = dict.fromkeys(words, 1) | {text: kind for text, _, kind in PIECES}
    pieces = [(text, ranks.get(text, -9.0), kinds[text]) for text in words]
    decoder = {str(size - 1): {"content": "<s>longer>", "special": True}}
    settings = ENDED | settings | {"added_tokens_decoder": decoder, "add_bos_token": False}
    _model_file(tmp_path / "m", pieces, settings, dummy_prefix)
    local = local_of(tmp_path / "m.gguf", tokenizer.metadata(tmp_path / "m", {}, size))
    encode = encoder(tmp_path / "json")
    for text in TEXTS:
        assert local.encode(text) == encode(text), text
    assert [local.words.text(t).decode() for t in local._tail("ab")] == ["ab"]
