"""The verb that labels texts: by names, by examples, by a model's words; one text or a file of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirim.assist import classify as module
from mirim.assist.classify import Choice, Choices, classify
from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.core.types import Message

LABELS = ("plumber", "locksmith")


class _Engine:
    """Finds a label likely whose first letter the prompt has often, and the first one whatever the text is."""

    name = "letters"

    def __init__(self) -> None:
        self.closed = 0

    def score(self, prompt: Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        said = prompt[0].content.partition("\n\n?")[0]
        return [[said.count(one[0]) - n * 100.0, 0.5] for n, one in enumerate(candidates)]

    def close(self) -> None:
        self.closed += 1


class _Names:
    """The second label twice as likely as the first for each "l" in a text."""

    labels = LABELS

    def shares(self, texts: Sequence[str]) -> Any:
        said = np.array([[1.0, 2.0 * text.count("l")] for text in texts])
        return said / said.sum(1, keepdims=True)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> _Engine:
    made = _Engine()
    monkeypatch.setattr("mirim.models.engine.open_engine", lambda *_, **__: made)
    return made


@pytest.fixture
def by_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirim.models.meaning.available", lambda: True)
    monkeypatch.setattr(module, "names", lambda labels, kind: _Names())


def _one(**given: Any) -> Choice:
    found = classify(**given)
    assert isinstance(found, Choice)
    return found


def test_words_that_a_model_would_write_count_beside_none(engine: _Engine) -> None:
    found = _one(text="all locks look locked", labels=LABELS, model="m")
    assert found.label == "locksmith"
    assert sum(found.shares.values()) == pytest.approx(1)
    assert _one(text="pipe, pump", labels=LABELS, model="m").label == "plumber"
    assert engine.closed == 2


@pytest.mark.usefixtures("by_names")
def test_labels_are_told_by_their_names() -> None:
    found = _one(text="lll", labels=LABELS)
    assert found.to_json() == {
        "label": "locksmith",
        "share": pytest.approx(6 / 7),
        "shares": {"plumber": pytest.approx(1 / 7), "locksmith": pytest.approx(6 / 7)},
    }
    assert found.to_text() == "locksmith\n  (locksmith 86%, plumber 14%)"


@pytest.mark.usefixtures("by_names")
def test_no_label_is_said_that_is_not_likely_enough() -> None:
    assert _one(text="l", labels=LABELS, least=0.7).to_text() == "(not sure)\n  (locksmith 67%, plumber 33%)"
    assert _one(text="ll", labels=LABELS, least=0.7).label == "locksmith"


@pytest.mark.usefixtures("by_names")
def test_a_file_is_labelled_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [{"text": "lll", "id": "a"}, {"text": "ppp", "more": 1}, *({"text": "l"} for _ in range(100))]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = classify(file=path, labels=LABELS)
    assert isinstance(found, Choices)
    told = [(one.id, one.label) for one in found.to_lines()]
    assert told[:3] == [("a", "locksmith"), (2, "plumber"), (3, "locksmith")]
    assert len(told) == 102


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("scipy")
    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr("mirim.models.meaning.available", lambda: False)
    path = tmp_path / "labelled.csv"
    path.write_text("text,label\n" + "".join(f"leaf {n},garden\nsoup {n},kitchen\n" for n in range(20)), "utf-8")
    return path


def _configured(folder: Path, **options: Any) -> Project:
    said = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
    (folder / "mirim.toml").write_text(f'[project]\nname = "shop"\n[classify]\n{said}', "utf-8")
    return Project.open(folder)


def test_examples_that_are_typed_win_over_configured_labels(tmp_path: Path, labelled: Path) -> None:
    project = _configured(tmp_path, labels=list(LABELS), kind="trade", model="m")
    assert set(_one(project=project, text="a leaf", examples=labelled).shares) == {"garden", "kitchen"}
    with pytest.raises(UsageError, match="--kind, --model and --engine go with --labels"):
        classify(project=project, text="a leaf", examples=labelled, kind="room")
    with pytest.raises(UsageError, match="not both and not neither"):
        classify(project=project, text="a leaf", examples=labelled, labels=LABELS)


@pytest.mark.parametrize("given", [{"labels": LABELS}, {"model": "other"}])
def test_labels_that_are_typed_win_over_configured_examples(
    tmp_path: Path, labelled: Path, engine: _Engine, given: dict[str, Any]
) -> None:
    configured = {"examples": str(labelled), "model": "m"} | ({} if "labels" in given else {"labels": list(LABELS)})
    assert set(_one(project=_configured(tmp_path, **configured), text="a leaf", **given).shares) == set(LABELS)
    assert engine.closed == 1


def test_what_is_configured_both_ways_is_refused_where_nothing_is_typed(tmp_path: Path, labelled: Path) -> None:
    project = _configured(tmp_path, labels=list(LABELS), examples=str(labelled))
    with pytest.raises(UsageError, match="not both and not neither"):
        classify(project=project, text="a leaf")


@pytest.mark.usefixtures("by_names")
def test_a_text_that_is_typed_wins_over_a_configured_file(tmp_path: Path) -> None:
    assert _one(project=_configured(tmp_path, file="texts.jsonl"), text="lll", labels=LABELS).label == "locksmith"


@pytest.mark.usefixtures("by_names")
def test_an_id_that_comes_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "l", "id": 2}\n{"text": "p"}\n', "utf-8")
    with pytest.raises(UsageError, match=r'line 2: the id "2" is that of line 1 too; give each its own'):
        classify(file=path, labels=LABELS)


def test_labels_are_learned_from_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    monkeypatch.setattr("mirim.models.meaning.available", lambda: False)
    path = tmp_path / "labelled.csv"
    path.write_text("text,label\n" + "".join(f"pipe {n},plumber\nkey {n},locksmith\n" for n in range(20)), "utf-8")
    found = _one(text="my pipe", examples=path)
    assert (found.label, set(found.shares)) == ("plumber", set(LABELS))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"texto": "x"}, '"text" is null'),
        ({"text": " "}, '"text" is " "'),
        ({"text": "x", "id": [1]}, r'"id" is \[1\]'),
    ],
)
def test_a_line_of_another_shape_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "fine"}\n' + json.dumps(row), "utf-8")
    with pytest.raises(UsageError, match=f"line 2: {said}"):
        classify(file=path, labels=LABELS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one text or --file"),
        ({"text": "x", "file": Path("y")}, "one text or --file"),
        ({"text": "x", "labels": ("a",)}, "give 2 to"),
        ({"text": "x", "labels": ()}, "--labels to choose from or --examples"),
        ({"text": "x", "examples": Path("y")}, "--labels to choose from or --examples"),
        ({"text": "x", "labels": (), "examples": Path("y"), "kind": "trade"}, "go with --labels"),
        ({"text": "x", "least": 1.5}, "--least 1.5 is no share"),
    ],
)
def test_what_cannot_be_labelled_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        classify(**({"labels": LABELS} | given))


def test_without_the_encoder_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirim.models.meaning.available", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'mirim\[meaning\]', or --model REF"):
        classify(text="x", labels=LABELS)
