"""Questions in the other language than the documents: those that answering learns from are what they say."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from mirim.documents.words import detect

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_organisations_are_asked_in_the_other_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "organisations", raising=False)
    from organisations import organisations, translated

    put = translated(BENCH / "organisations_across.jsonl")
    found = {one.slug: one for one in organisations(BENCH.parent / "recipes" / "organisations")}
    assert len(put) == 48
    assert put.keys() <= found.keys()
    for slug, questions in put.items():
        one = found[slug]
        assert len({number for number, _ in questions}) == len(questions) >= 20, slug
        kinds = Counter(one.questions[number].kind for number, _ in questions)
        assert kinds["answered"] >= 15, slug
        assert not [text for _, text in questions if detect(text) == one.language], slug
