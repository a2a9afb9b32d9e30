"""The passages and questions that a base learns to read from: well formed, and answered in the passage's own words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mirim.examples import sets

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "reading"


@pytest.mark.parametrize(("name", "passages"), [("pt", 540), ("pt-plain", 600), ("en", 180), ("en-plain", 120)])
def test_every_answer_stands_in_its_passage(name: str, passages: int) -> None:
    rows = [row for _, row in sets.lines(FOLDER / f"{name}.jsonl")]
    assert len(rows) == len({row["context"] for row in rows}) == passages
    for row in rows:
        assert row["lang"] == name[:2]
        assert 200 < len(row["context"]) < 1400
        asked = Counter(bool(said) for _, said in row["asked"])
        assert asked == {True: 6, False: 2}, row["title"]
        assert all(said in row["context"] for _, said in row["asked"])
        assert len({question for question, _ in row["asked"]}) == 8
