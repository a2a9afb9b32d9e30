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

    folder = BENCH.parent / "recipes" / "organisations"
    put = translated(folder / "across.jsonl")
    found = {one.slug: one for one in organisations(folder)}
    assert put.keys() == found.keys()
    for slug, questions in put.items():
        one = found[slug]
        assert len({number for number, _ in questions}) == len(questions) >= 20, slug
        kinds = Counter(one.questions[number].kind for number, _ in questions)
        assert kinds["answered"] >= 13, slug
        # A few words of a keyword search are taken for either.
        assert not [t for _, t in questions if len(t.split()) > 6 and detect(t) == one.language], slug
