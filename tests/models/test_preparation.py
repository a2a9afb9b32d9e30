"""What is done to a text before llama.cpp sees it, so that it reads it as the tokenizer does."""

from __future__ import annotations

import pytest

from mirim.core.errors import Unfit, UsageError
from mirim.models import preparation, tokenizer
from tests.models.spelt import FIRST, FRONT, GEMMA, MARKS, TEXTS, composing, encoder, local_of, marked


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
    size = marked(tmp_path, normalizer, pre_tokenizer)
    local, encode = local_of(tmp_path / "m.gguf", tokenizer.metadata(tmp_path, {}, size)), encoder(tmp_path)
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
    size = marked(tmp_path, normalizer, pre_tokenizer, "\u2581 \u2581")
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
    size = composing(tmp_path, normalizer)
    local, encode = local_of(tmp_path / "m.gguf", tokenizer.metadata(tmp_path, {}, size)), encoder(tmp_path)
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
