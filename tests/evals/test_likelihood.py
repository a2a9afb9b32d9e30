"""Pairs and perplexity: the contracts that scripts depend on."""

import gzip
import json
import math
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from evals_fakes import Letters

from mirim.core.errors import MirimError, UsageError
from mirim.evals import pairs, perplexity
from mirim.evals.evaluate import evaluate
from mirim.evals.likelihood import log_probabilities, start_tokens


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def pair(good: str, bad: str, **more: object) -> dict[str, object]:
    return {"sentence_good": good, "sentence_bad": bad, **more}


def test_pairs_count_ties_as_wrong_and_group_by_every_field(tmp_path: Path) -> None:
    rows = [
        pair("aaa", "abc", field="syntax", UID="one", hard=True, n=1),
        pair("abc", "aaa", field="syntax", UID="two", hard=False, n=2),
        pair("ab", "cd", field="other", UID="three", hard=False, n=3),
    ]
    report = pairs.measure(Letters(), write(tmp_path / "p.jsonl", rows), "letters")
    assert report.to_json() == {
        "accuracy": 1 / 3,
        "pairs": 3,
        "by": {
            "field": {"syntax": 0.5, "other": 0.0},
            "UID": {"one": 1.0, "two": 0.0, "three": 0.0},
            "hard": {"true": 1.0, "false": 0.0},
            "n": {"1": 1.0, "2": 0.0, "3": 0.0},
        },
    }


def test_pairs_compare_totals_not_means(tmp_path: Path) -> None:
    # means -1.67 and -1.4; totals -5 and -7
    rows = [pair("aaa", "aaaab" + "a" * 0, field="x")]
    assert pairs.measure(Letters(), write(tmp_path / "p.jsonl", rows), "m").data["accuracy"] == 1


def test_perplexity_counts_every_token_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", [{"text": "abab", "id": 1}, {"text": ""}, {"text": "çã"}])
    data = perplexity.measure(Letters(), path, "letters").to_json()
    assert data == {"bits_per_byte": (8 + 6) / math.log(2) / 8, "bytes": 8, "tokens": 6}


def test_a_model_without_a_start_token_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", [{"text": "abab"}])
    data = perplexity.measure(Letters(start=False), path, "letters").to_json()
    assert (data["tokens"], data["bytes"]) == (3, 4)
    assert "no start token" in data["findings"][0]["what"]


def test_a_declared_start_token_is_put_before_the_text() -> None:
    engine = Letters(start=False)
    engine.start_token = ord("^")  # type: ignore[attr-defined]
    assert log_probabilities(engine, ["a^"]) == [[-3.0, -1.0]]


@pytest.mark.parametrize(
    ("own", "configured", "start"),
    [(94, 97, [94]), (0, 97, [0]), (None, 97, [97]), (None, 0, [0]), (None, 200, []), (None, None, [])],
)
def test_the_start_token_is_the_tokenizers_else_the_configurations(
    own: int | None, configured: int | None, start: list[int]
) -> None:
    engine = Letters(start=False)
    engine.tokenizer = SimpleNamespace(bos_token_id=own)  # type: ignore[attr-defined]
    config = SimpleNamespace(bos_token_id=configured, vocab_size=128)
    engine.model = SimpleNamespace(config=config)  # type: ignore[attr-defined]
    assert start_tokens(engine) == start
    # An engine that says it itself, as those on GGUF files do, is believed.
    engine.start_token = None  # type: ignore[attr-defined]
    assert start_tokens(engine) == []


class Ended(Letters):
    """Its tokenizer ends every text with a token."""

    def encode(self, text: str) -> list[int]:
        return [*super().encode(text), 1]


@pytest.mark.parametrize("start", [True, False])
def test_a_token_that_the_tokenizer_puts_behind_is_no_part_of_the_text(start: bool) -> None:
    assert log_probabilities(Ended(start=start), ["abca"]) == log_probabilities(Letters(start=start), ["abca"])
    ended = Ended(start=False)
    ended.start_token = ord("^")  # type: ignore[attr-defined]
    assert log_probabilities(ended, ["a^"]) == [[-3.0, -1.0]]


@pytest.mark.parametrize("length", [1, 9, 10, 11, 14, 15, 23, 100])
def test_long_texts_are_read_in_windows_that_overlap_by_half(length: int) -> None:
    engine = Letters(context=10)
    text = "".join(chr(200 + n) for n in range(length))
    (row,) = log_probabilities(engine, [text])
    assert len(row) == length
    # No letter comes back, so each costs 3 however little a window sees.
    assert row == [-3.0] * length
    assert max(engine.scored) <= 10


def test_a_window_keeps_what_stands_before_its_tokens() -> None:
    # 9 letters a window: the second one begins 5 before its first counted token and has seen "e" there.
    (row,) = log_probabilities(Letters(context=10), ["abcdefghie" + "zyx"])
    assert row[9] == -1.0
    (short,) = log_probabilities(Letters(context=10), ["abcdefghia"])
    assert short[9] == -3.0


def test_a_text_of_one_token_adds_nothing_where_nothing_stands_before_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", [{"text": "long enough"}, {"text": "x"}])
    data = perplexity.measure(Letters(start=False), path, "letters").data
    assert (data["bytes"], data["tokens"]) == (12, 10)
    with pytest.raises(UsageError, match="has two tokens"):
        perplexity.measure(Letters(start=False), write(tmp_path / "x.jsonl", [{"text": "x"}]), "letters")
    with pytest.raises(UsageError, match="cannot score 'x'"):
        pairs.measure(Letters(start=False), write(tmp_path / "p.jsonl", [pair("x", "y")]), "letters")


def test_probabilities_that_are_no_numbers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Letters, "score_tokens", lambda *_, **__: [float("nan")])
    with pytest.raises(MirimError, match="probabilities that are no numbers"):
        perplexity.measure(Letters(), write(tmp_path / "t.jsonl", [{"text": "x"}]), "letters")


def test_compressed_files_are_read_frame_by_frame(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="zstandard comes with the train extra")
    frames = [zstandard.compress(b'{"text": "abab"}\n'), zstandard.compress(b'{"text": "abab"}\n')]
    path = tmp_path / "t.jsonl.zst"
    path.write_bytes(b"".join(frames))
    assert perplexity.measure(Letters(), path, "letters").data["tokens"] == 8
    path.write_bytes(b"no zstandard here")
    with pytest.raises(UsageError, match="not whole as Zstandard data"):
        perplexity.measure(Letters(), path, "letters")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('\n{"sentence_good": "a"}\n', 'line 2: "sentence_bad" is missing'),
        ('{"sentence_good": 3, "sentence_bad": "b"}', 'line 1: "sentence_good" is 3'),
        ('{"sentence_good": " ", "sentence_bad": "b"}', 'line 1: "sentence_good" is empty'),
        ("[1]", "line 1: not a JSON object: expected an object, found list"),
        ('{"sentence_good": "a", "sentence_bad": "b"}\n\n{oops', "line 3: not a JSON object"),
        ("", "holds no pairs"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=r"p\.jsonl") as caught:
        pairs.measure(Letters(), path, "letters")
    assert said in str(caught.value)


@pytest.mark.parametrize("content", ["A mill stands by the river.\n", '[{"text": "A mill"}]', "text\nA mill\n"])
def test_what_is_no_json_lines_is_told_how_to_write_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mill.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=r"mill\.txt line 1: not a JSON object: .+") as caught:
        perplexity.measure(Letters(), path, "letters")
    assert str(caught.value).endswith('; give JSON lines, each {"text", ...}')


def test_an_archive_is_told_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a b"}\n'))
    with pytest.raises(UsageError, match="is a gzip archive, not lines of JSON; unpack it"):
        perplexity.measure(Letters(), path, "letters")


def test_lines_that_another_program_writes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=('{"text": "ab"}\n',))
    writer.start()
    assert perplexity.measure(Letters(), path, "letters").data["tokens"] == 2
    writer.join()


def test_the_verb_works_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "p.jsonl", [pair("a b", "a b c")])
    assert evaluate(model="echo", pairs=path).to_json() == {"accuracy": 1.0, "pairs": 1, "by": {}}
    with pytest.raises(UsageError, match="one of --pairs"):
        evaluate(model="echo", pairs=path, perplexity=path)
    with pytest.raises(UsageError, match="does not exist"):
        evaluate(model="echo", pairs=tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match=r"no mirim\.toml"):
        evaluate(model="echo")
    with pytest.raises(UsageError, match="no probabilities"):
        evaluate(model="http://127.0.0.1:9/v1#m", pairs=path)


def test_the_limit_spreads_evenly(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [pair("aa", "ab", n=i) for i in range(10)])
    assert sorted(pairs.measure(Letters(), path, "m", limit=3).data["by"]["n"]) == ["0", "3", "6"]
