"""Labels learned from texts: rows in the shapes people have, what is learned, how sure it is, what is kept."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirim.core.errors import UsageError
from mirim.models import convert, heads, meaning

pytest.importorskip("scipy")
NAMES = {
    "tap": "drips leaks water pipe basin",
    "lock": "key door stuck opens hinge",
    "roof": "tiles rain ceiling gutter",
}


def _texts(count: int, seed: int = 1, noise: float = 0.0) -> list[dict[str, str]]:
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        label = rng.choice(list(NAMES))
        said = rng.sample(NAMES[label].split(), 3)
        shown = rng.choice(list(NAMES)) if rng.random() < noise else label
        rows.append({"text": f"The {said[0]} and the {said[1]}, {said[2]} ({n})", "label": shown, "town": "AB"[n % 2]})
    return rows


def _file(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(autouse=True)
def _words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "available", lambda: False)


def test_what_labelled_texts_teach_is_told_of_others(tmp_path: Path) -> None:
    head = heads.learn(heads.read(_file(tmp_path / "a.jsonl", _texts(120))))
    other = _texts(60, seed=2)
    shares = head.shares([row["text"] for row in other])
    assert head.labels == ("lock", "roof", "tap")
    assert shares.sum(1) == pytest.approx(np.ones(60))
    assert [head.labels[n] for n in shares.argmax(1)] == [row["label"] for row in other]
    assert head.shares(["nothing that was ever said"]).max() < 0.6


def test_it_is_no_surer_than_it_is_right(tmp_path: Path) -> None:
    head = heads.learn(heads.read(_file(tmp_path / "a.jsonl", _texts(400, noise=0.45))))
    other = _texts(400, seed=3, noise=0.45)
    shares = head.shares([row["text"] for row in other])
    right = np.mean([head.labels[n] == row["label"] for n, row in zip(shares.argmax(1), other, strict=True)])
    # Of 45 in a hundred that get any of the three labels 15 get their own.
    assert right > 0.6
    assert shares.max(1).mean() < right + 0.05
    bare = replace(head, heat=1.0).shares([row["text"] for row in other])
    assert bare.max(1).mean() > shares.max(1).mean() + 0.05


def test_none_is_told_by_itself_or_by_the_like_of_it(tmp_path: Path) -> None:
    # What says the same twice is in one part, so that labels drawn at random are told no better than by chance.
    rng = random.Random(4)
    rows = [{"text": f"word{n} thing{n}", "label": rng.choice("ab")} for n in range(150)]
    some = heads.read(_file(tmp_path / "a.jsonl", rows * 2))
    logits = heads.crossed(some)
    right = np.mean([some.names[n] == label for n, label in zip(logits.argmax(1), some.labels, strict=True)])
    assert 0.3 < right < 0.7


def test_a_file_is_learned_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path / "a.jsonl", _texts(60))
    first = heads.kept(path)
    with monkeypatch.context() as patch:
        patch.setattr(heads, "learn", lambda some: pytest.fail("it was learned before"))
        again = heads.kept(path)
    texts = [row["text"] for row in _texts(20, seed=5)]
    assert again.labels == first.labels
    assert again.shares(texts) == pytest.approx(first.shares(texts))
    (home,) = convert.cache().glob("labels/*.npz")
    assert home.stat().st_mode & 0o777 == 0o600
    home.write_bytes(home.read_bytes()[:500])
    assert heads.kept(path).shares(texts) == pytest.approx(first.shares(texts))
    _file(path, [row | {"label": row["label"].upper()} for row in _texts(60)])
    assert heads.kept(path).labels == ("LOCK", "ROOF", "TAP")


def test_tables_and_other_names_of_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "chamados.csv"
    rows = ["A torneira pinga;água;Serra", "A porta não abre;porta;Lagoa", "Vaza;água;Lagoa", "Chave presa;porta;Serra"]
    path.write_text("\n".join(["Texto;Categoria;cidade", *rows]), "utf-8")
    found = heads.read(path)
    assert (found.texts[1], found.labels[:2]) == ("A porta não abre", ["água", "porta"])
    assert [dict(group) for group in found.groups[:2]] == [{"cidade": "Serra"}, {"cidade": "Lagoa"}]


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    rows = [{"sentence": f"good {n}", "label": n % 2} for n in range(4)]
    assert heads.read(_file(tmp_path / "a.jsonl", rows)).labels == ["0", "1", "0", "1"]


def test_of_few_texts_it_is_not_sure(tmp_path: Path) -> None:
    rows = [{"text": f"{'good' if n % 2 else 'bad'} {n}", "label": "ab"[n % 2]} for n in range(6)]
    head = heads.learn(heads.read(_file(tmp_path / "a.jsonl", rows)))
    (share,) = head.shares(["good"])[:, 1]
    assert 0.6 < share < 0.9


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label": "a"}, 'line 2: it has no "text"'),
        ({"text": "x"}, 'line 2: it has no "label"'),
        ({"text": " ", "label": "a"}, "line 2: its \"text\" is ' '"),
        ({"text": "x", "label": 0.5}, 'line 2: its "label" is 0.5'),
        ({"text": "x", "label": "a"}, "1 different labels"),
        ({"text": "y", "label": "b"}, "more than one text of less than two of its labels"),
    ],
)
def test_rows_of_another_shape_are_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        heads.read(_file(tmp_path / "a.jsonl", [{"text": "x", "label": "a"}, row]))


def test_vectors_count_beside_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts without a common word, whose vectors tell."""
    monkeypatch.setattr(meaning, "available", lambda: True)
    monkeypatch.setattr(meaning, "name", lambda: "signs")
    monkeypatch.setattr(
        meaning,
        "vectors",
        lambda texts, *_: np.array([[1.0, 0.0] if "!" in t else [0.0, 1.0] for t in texts], np.float32),
    )
    rows = [{"text": f"w{n}{'!' * (n % 2)}", "label": "loud" if n % 2 else "calm"} for n in range(40)]
    head = heads.learn(heads.read(_file(tmp_path / "a.jsonl", rows)))
    assert [head.labels[n] for n in head.shares(["new!", "newer"]).argmax(1)] == ["loud", "calm"]


def test_a_layer_tells_texts_by_vectors_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(texts: list[str]) -> np.ndarray:
        raise AssertionError(f"{texts} have vectors already")

    monkeypatch.setattr(heads, "vectors", made)
    some = heads.Labelled([f"text {n}" for n in range(20)], ["left", "right"] * 10, [{}] * 20)
    said = np.array([[1.0, 0.0], [0.0, 1.0]] * 10, np.float32)
    head = heads.layer(some, said)
    assert [head.labels[n] for n in head.logits(["one", "two"], said[:2]).argmax(1)] == ["left", "right"]
