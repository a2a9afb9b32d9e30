"""How well labels are told: shares by hand, fields as groups, what is mistaken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.evals import evaluate as verb
from mirim.evals import labels as module
from mirim.models import heads, meaning

ROWS = [
    {"text": "one", "label": "a", "town": "X", "id": 1},
    {"text": "two", "label": "a", "town": "X", "id": 2},
    {"text": "three", "label": "b", "town": "Y", "id": 3},
    {"text": "four", "label": "b", "town": "Y", "id": 4},
    {"text": "five", "label": "b", "town": "Y", "id": 5},
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first of each label is told as the other one."""
    monkeypatch.setattr(meaning, "available", lambda: False)
    logits = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    monkeypatch.setattr(heads, "crossed", lambda some: logits[: len(some.texts)])
    found = tmp_path / "rows.jsonl"
    found.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return found


def test_figures_are_those_by_hand(path: Path) -> None:
    report = module.measure(path)
    f1 = {"a": 2 * 1 / (2 + 2), "b": 2 * 2 / (3 + 3)}
    assert report.data == {
        "accuracy": 0.6,
        "macro_f1": pytest.approx(sum(f1.values()) / 2),
        "texts": 5,
        "by_names": None,
        "commonest": 0.6,
        "by": {"town": {"X": 0.5, "Y": pytest.approx(2 / 3)}},
    }
    tables = {table.title: table.rows for table in report.tables}
    assert tables["Labels"] == (
        ("a", "2", "0.500", "0.500", "0.500"),
        ("b", "3", "0.667", "0.667", "0.667"),
    )
    assert set(tables["Most often mistaken"]) == {("a", "b", "1"), ("b", "a", "1")}


def test_names_alone_stand_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Names:
        def logits(self, texts: list[str]) -> Any:
            return np.array([[1.0, 0.0]] * len(texts))

    monkeypatch.setattr(meaning, "available", lambda: True)
    monkeypatch.setattr(module.labels, "names", lambda names: Names())
    assert module.measure(path).data["by_names"] == 0.4


def test_the_verb_asks_no_model(path: Path) -> None:
    assert verb.evaluate(labels=path).data["texts"] == 5
    assert verb.evaluate(labels=path, limit=2).data["texts"] == 2
    with pytest.raises(UsageError, match=r"model says? nothing to --labels|model say nothing to --labels"):
        verb.evaluate(labels=path, model="mirim-base")
    with pytest.raises(UsageError, match="one of --pairs, --reading, --perplexity, --labels"):
        verb.evaluate(labels=path, pairs=path)


def test_a_file_that_is_typed_wins_over_a_configured_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text('[project]\nname = "shop"\n[evaluate]\npairs = "pairs.jsonl"\n', "utf-8")
    assert verb.evaluate(project=Project.open(tmp_path), labels=path).data["texts"] == 5
