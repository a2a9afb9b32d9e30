"""Reading corpora needs no torch: formats, duplicates, mixing weights, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirim.core import progress
from mirim.core.errors import UsageError
from mirim.training.corpus import Corpus, Rule, files, rows
from mirim.training.schedule import factor


def _jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def _texts(corpus: Corpus) -> list[str]:
    return [t.text for t in corpus]


def test_every_format_is_read_once_and_alike_each_time(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    _jsonl(tmp_path / "a.jsonl", [{"text": "um"}, {"text": "dois\u2028três"}, {"text": "UM  "}, {"text": " "}])
    packed = zstandard.ZstdCompressor().compress(b'{"text": "quatro"}\n')
    # Two frames one after the other are one file.
    (tmp_path / "b.jsonl.zst").write_bytes(packed + zstandard.ZstdCompressor().compress(b'{"text": "cinco"}\n'))
    (tmp_path / "c.txt").write_bytes("\ufeffseis\r\nsete".encode())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.md").write_text('---\nid: "d"\n---\noito\n\n---\nnove\n')
    (tmp_path / "ignored.csv").write_text("x")
    corpus = Corpus(files([tmp_path, tmp_path / "c.txt"]))
    expected = ["um", "dois\u2028três", "quatro", "cinco", "seis\nsete", "oito\n\n---\nnove\n"]
    assert _texts(corpus) == expected
    assert _texts(corpus) == expected
    assert (corpus.documents, corpus.exact) == (6, 1)


def test_what_a_run_writes_is_not_its_corpus(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    for folder in (".train-model/text", "model/reports"):
        (tmp_path / folder).mkdir(parents=True)
        _jsonl(tmp_path / folder / "training.jsonl", [{"step": 1}])
    assert files([tmp_path], tmp_path / "model") == [tmp_path / "a.txt"]
    # Of another run, too: its card would be read as text, and its log refused.
    (tmp_path / "model" / "bundle.json").write_text("{}")
    (tmp_path / "model" / "README.md").write_text("A card.")
    assert files([tmp_path], tmp_path / "another") == [tmp_path / "a.txt"]


def test_files_that_are_no_corpus_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress._sink, "note", said.append)
    progress.once.cache_clear()
    for name in ("a.py", "b.py", "c.txt.gz", ".DS_Store"):
        (tmp_path / name).write_text("x")
    with pytest.raises(
        UsageError, match=r"no corpus files in .*there are 2 \.py, 1 \.gz: unpack archives.*such as code"
    ):
        files([tmp_path])
    (tmp_path / "d.txt").write_text("x")
    assert files([tmp_path]) == files([tmp_path]) == [tmp_path / "d.txt"]
    assert len(said) == 1
    assert said[0].endswith(": 2 .py, 1 .gz")


def test_rows_of_tasks_are_left_out_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("mirim.training.corpus.note", said.append)
    path = _jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two", "task": "qa"}])
    assert _texts(Corpus([path])) == ["one"]
    assert said == [f'{path}: 1 rows whose "task" is not "text" are examples, not running text; left out']


def test_halves_of_surrogate_pairs_are_replaced_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("mirim.training.corpus.note", said.append)
    path = tmp_path / "a.jsonl"
    lines = [
        r'{"text": "a \ud800 b \udc00"}',
        r'{"text": "\ud83d\ude00 \\ud800"}',
        r'{"text": "\udfff", "source": "\ud800"}',
    ]
    path.write_text("\n".join(lines))
    corpus = Corpus([path])
    for _ in range(2):
        assert _texts(corpus) == ["a \ufffd b \ufffd", "\U0001f600 \\ud800", "\ufffd"]
    *_, (_, last) = rows(path)
    assert last == {"text": "\ufffd", "source": "\ufffd"}
    assert said == [f"{path}: 2 rows hold halves of surrogate pairs, which are no characters; replaced by U+FFFD"]


def test_files_of_one_name_keep_their_weights(tmp_path: Path) -> None:
    for folder, text in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        _jsonl(tmp_path / folder / "x.jsonl", [{"text": text}])
    corpus = Corpus(files([tmp_path]), weights=[0.5, 2.0])
    assert [(t.text, t.weight) for t in corpus] == [("one", 0.5), ("two", 2.0)]


def test_near_duplicates_go_only_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("datasketch")
    words = [f"word{i}" for i in range(200)]
    other = [f"term{i}" for i in range(200)]
    rows = [{"text": " ".join(w)} for w in (words, [*words[:-1], "changed"], other)]
    path = _jsonl(tmp_path / "a.jsonl", rows)
    assert len(_texts(Corpus([path]))) == 3
    near = Corpus([path], near=True)
    assert _texts(near) == [rows[0]["text"], rows[2]["text"]]
    assert near.alike == 1
    assert _texts(near) == [rows[0]["text"], rows[2]["text"]]


def test_mixing_weights_multiply_and_zero_leaves_out(tmp_path: Path) -> None:
    one = _jsonl(tmp_path / "novels.jsonl", [{"text": "a", "lang": "pt"}, {"text": "b", "lang": "en"}])
    two = _jsonl(tmp_path / "manuals.jsonl", [{"text": "c", "lang": "pt"}, {"text": "d", "lang": "xx"}])
    corpus = Corpus([one, two], ["novels*=0.5", "lang:pt=4", "lang:xx=0"])
    for _ in range(2):
        assert [(t.text, t.weight) for t in corpus] == [("a", 2.0), ("b", 0.5), ("c", 4.0)]


def test_a_sample_is_even_and_all_of_a_small_corpus(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a.jsonl", [{"text": f"{n:05d} " * 10} for n in range(2000)])
    corpus = Corpus([path])
    assert len(list(corpus.sample(10**9))) == 2000
    drawn = list(Corpus([path]).sample(12_000))
    assert 120 < len(drawn) < 290
    firsts = [int(t[:5]) for t in drawn]
    assert min(firsts) < 200 < 1800 < max(firsts)


@pytest.mark.parametrize("word", ["novels", "=2", "novels=", "novels=-1", "novels=x", "lang:=2", "a=1000"])
def test_a_weight_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is not a weight"):
        Rule.parse(word)


def test_a_weight_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    with pytest.raises(UsageError, match="nothing in the corpus fits"):
        list(Corpus([path], ["novel*=2"]))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2"),
        ('{"txt": "a"}', 'no "text"; rename .* here are "txt"'),
        ('{"text": 3}', "not a string"),
        ("[1]", "line 2"),
    ],
)
def test_broken_rows_name_their_line(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(UsageError, match=says):
        list(Corpus([tmp_path / "a.jsonl"]))


def test_broken_zstandard_is_a_message(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    good = zstandard.ZstdCompressor().compress(b'{"text": "a"}\n' * 1000)
    for number, data in enumerate((b"not zstandard at all", good[:8] + b"\xff" * 20)):
        path = tmp_path / f"{number}.jsonl.zst"
        path.write_bytes(data)
        with pytest.raises(UsageError, match="not whole as Zstandard"):
            list(Corpus([path]))


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    for path, says in (
        (tmp_path / "a.pdf", "mirim ingest"),
        (tmp_path / "b", "does not exist"),
        (tmp_path, "no corpus"),
    ):
        with pytest.raises(UsageError, match=says):
            files([path])


def test_schedules_rise_hold_and_fall() -> None:
    for kind in ("cosine", "wsd", "constant"):
        course = [factor(step, 1000, kind) for step in range(1000)]
        assert course[0] == pytest.approx(0.02)
        assert max(course) == 1.0
        assert course[:50] == sorted(course[:50])
        assert all(0 < f <= 1 for f in course)
    assert factor(999, 1000, "cosine") == pytest.approx(0.1, abs=1e-3)
    assert factor(600, 1000, "wsd") == 1.0
    assert factor(999, 1000, "wsd") == pytest.approx(1 / 300)
    assert factor(0, 1, "cosine") == 1.0


def test_texts_are_read_in_the_encoding_that_they_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("mirim.training.corpus.note", said.append)
    for name, encoding in (("a.txt", "cp1252"), ("b.md", "utf-16"), ("c.txt", "utf-8")):
        (tmp_path / name).write_bytes(f"Atenção: não abre às segundas, {name}.".encode(encoding))
    corpus = Corpus(files([tmp_path]))
    for _ in range(2):
        assert _texts(corpus) == [f"Atenção: não abre às segundas, {name}." for name in ("a.txt", "b.md", "c.txt")]
    assert said == [f"{tmp_path / 'a.txt'}: not UTF-8: read as cp1252"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UsageError, match=r"a\.txt holds binary data.*take it out of the corpus"):
        _texts(Corpus([tmp_path / "a.txt"]))
    (tmp_path / "a.jsonl").write_bytes('{"text": "não"}\n{"text": "yes"}\n'.encode("cp1252"))
    with pytest.raises(UsageError, match="not UTF-8, as JSON is: 1 of its 2 lines"):
        _texts(Corpus([tmp_path / "a.jsonl"]))
    # One damaged line of many is replaced, aloud.
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n' * 200 + '{"text": "não"}\n'.encode("cp1252"))
    assert _texts(Corpus([tmp_path / "a.jsonl"])) == ["a", "n\ufffdo"]


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        ("---\ntitle: Contacts\n" + "  phone: 555\n" * 40 + "\nbody\n", ""),
        ("---\n" + "- Unit 3: open\n" * 40, ""),
        ("---\n# Chapter one\n- alpha\n---\nrest", ""),
        ("---\nid: x\ntags:\n  - a: b\n---\n", "rest"),
    ],
)
def test_only_front_matter_is_left_out(tmp_path: Path, head: str, rest: str) -> None:
    (tmp_path / "a.md").write_text(head + rest)
    assert _texts(Corpus([tmp_path / "a.md"])) == [rest or head]


def test_letters_of_one_form_are_not_almost_equal(tmp_path: Path) -> None:
    """Two thirds of their words are the same, where four fifths would be too many."""
    pytest.importorskip("datasketch")
    form = " ".join(f"word{i}" for i in range(140))
    rows = [{"text": f"{form} {' '.join(f'own{n}of{i}' for i in range(35))}"} for n in range(200)]
    rows += [{"text": rows[n]["text"].replace("word70", "other")} for n in range(50)]
    corpus = Corpus([_jsonl(tmp_path / "a.jsonl", rows)], near=True)
    for _ in corpus:
        pass
    assert corpus.documents < 205
    assert 45 <= corpus.alike <= 55


def test_a_corpus_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    corpus = Corpus([_jsonl(tmp_path / "a.jsonl", [{"text": "one"}])])
    assert _texts(corpus) == ["one"]
    _jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two"}])
    with pytest.raises(UsageError, match="changed while it was read"):
        _texts(corpus)
