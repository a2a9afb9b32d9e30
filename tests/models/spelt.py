"""Small tokenizers as Hugging Face's files hold them, and what engines on GGUF files make of these."""

from __future__ import annotations

import json

import pytest

from tests.models import toys


def encoder(folder):
    import tokenizers

    loaded = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: loaded.encode(text).ids


def plain(tmp_path, **changes):
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


def marked(folder, normalizer, pre_tokenizer, *merges):
    """A SentencePiece-style tokenizer over a and b."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "\u2581", "a", "b", "ab", "\u2581ab"]
    merges = ["a b", "\u2581 ab", *merges]
    words += [m.replace(" ", "") for m in merges[2:]] + ["<s>longer>"]
    model = {"type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>", "merges": merges}
    model["vocab"] = {w: n for n, w in enumerate(words)}
    return written(folder, words, model, normalizer, pre_tokenizer)


def composing(folder, normalizer):
    """A byte-level tokenizer with Qwen2's pattern and the letter é as one token."""
    from tokenizers import pre_tokenizers

    words = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "\u00c3\u00a9", "<s>longer>"]
    split = {"type": "Split", "pattern": {"Regex": toys.QWEN2}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    steps = {"type": "Sequence", "pretokenizers": [split, level]}
    model = {"type": "BPE", "merges": ["\u00c3 \u00a9"], "vocab": {w: n for n, w in enumerate(words)}}
    return written(folder, words, model, normalizer, steps)


def written(folder, words, model, normalizer, pre_tokenizer):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": words.index(t), "content": t, **flags} for t in ("<unk>", "<s>", "</s>", "<s>longer>")]
    folder.mkdir(exist_ok=True)
    plain(folder, model=model, added_tokens=added, normalizer=normalizer, pre_tokenizer=pre_tokenizer)
    return len(words)


def local_of(path, keys):
    """What engines on GGUF files share, over a file of nothing but a vocabulary."""
    from mirim.models import gguf_check, gguf_writer
    from mirim.models.engines import _llama, _local

    pytest.importorskip("xllamacpp", reason="llama.cpp comes with the serve extra")
    gguf_writer.write(path, "llama", keys | {"llama.context_length": 64}, [], "f32")
    local = _local.Local(path, gguf_check.check_tensors(path), 0, "")
    local.words = _llama.Vocabulary(path)
    return local
