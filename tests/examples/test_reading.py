"""The passages and questions that a base learns to read from: well formed, and answered in the passage's own words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mirim.core.files import numbered_jsonl

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "reading"


@pytest.mark.parametrize(("name", "passages"), [("pt", 540), ("pt-plain", 600), ("en", 180), ("en-plain", 120)])
def test_every_answer_stands_in_its_passage(name: str, passages: int) -> None:
    rows = [row for _, row in numbered_jsonl(FOLDER / f"{name}.jsonl")]
    assert len(rows) == len({row["context"] for row in rows}) == passages
    for row in rows:
        assert row["lang"] == name[:2]
        assert 200 < len(row["context"]) < 1400
        asked = Counter(bool(said) for _, said in row["asked"])
        assert asked == {True: 6, False: 2}, row["title"]
        assert all(said in row["context"] for _, said in row["asked"])
        assert len({question for question, _ in row["asked"]}) == 8


@pytest.mark.parametrize("name", [*(f"pt-facts-{n}" for n in range(1, 11)), *(f"en-facts-{n}" for n in range(1, 5))])
def test_passages_of_several_facts_answer_all_of_their_questions(name: str) -> None:
    rows = [row for _, row in numbered_jsonl(FOLDER / f"{name}.jsonl")]
    assert len(rows) == len({row["context"] for row in rows}) > 300
    for row in rows:
        assert row["lang"] == name[:2]
        assert 400 < len(row["context"]) < 1200
        assert not any(question.startswith("?") for question, _ in row["asked"]), row["title"]
        assert all(0 < len(said) <= 120 and said in row["context"] for _, said in row["asked"]), row["title"]
        assert len({question for question, _ in row["asked"]}) == len(row["asked"]) >= 7
