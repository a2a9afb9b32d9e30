"""The scripts under bench/ and the MedQuAD recipe: their counting and comparing, not their long runs."""

import importlib.util
import json
import lzma
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.examples.held import read as read_held
from mirim.examples.imported import read as read_seeds

ROOT = Path(__file__).resolve().parents[2]


def script(path: str) -> ModuleType:
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(f"script_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def safetensors(path: Path, tensors: dict[str, bytes], pad: int = 0) -> None:
    header: dict[str, Any] = {"__metadata__": {"pad": "x" * pad}}
    at = 0
    for name, data in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(tensors.values()))


def built(root: Path, *, order: int = 1, weight: bytes = b"\1\2", word: str = "a", seconds: float = 1.0) -> Path:
    """What a build leaves, small: rows in either order, tensors, a report with a time."""
    for folder in ("data/documents", "models/m", "reports", "sources"):
        (root / folder).mkdir(parents=True)
    (root / "data" / "documents" / "a.md").write_text(word)
    (root / "sources" / "a.md").write_text(str(seconds))
    (root / "reports" / "evaluate.json").write_text(json.dumps({"f1": 0.5, "seconds": {"median": seconds}}))
    (root / "reports" / "evaluate.md").write_text(f"took {seconds}")
    safetensors(root / "models" / "m" / "model.safetensors", {"w": weight, "b": b"\0"}, pad=order)
    db = sqlite3.connect(root / "data" / "index.db")
    db.execute("CREATE TABLE passages (id INTEGER, text TEXT)")
    db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    for n in (1, 2)[::order]:
        db.execute("INSERT INTO passages VALUES (?, ?)", (n, f"passage {n}"))
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (n, f"passage {n}"))
    db.commit()
    db.close()
    return root


def test_kill_compares_content_not_layout(tmp_path: Path) -> None:
    kill = script("bench/kill.py")
    one = kill.artefacts(built(tmp_path / "one"))
    assert one == kill.artefacts(built(tmp_path / "two", order=-1, seconds=9.0))
    assert (tmp_path / "one/data/index.db").read_bytes() != (tmp_path / "two/data/index.db").read_bytes()
    other = kill.artefacts(built(tmp_path / "three", weight=b"\1\3", word="b"))
    assert kill.compare(one, other) == [
        "different: data/documents/a.md",
        "different: models/m/model.safetensors w",
    ]


def test_kill_sees_rows_files_left_behind_and_files_lost(tmp_path: Path) -> None:
    kill = script("bench/kill.py")
    root = built(tmp_path / "one")
    wanted = kill.artefacts(root)
    (root / "data" / ".tmp-half").write_text("half")
    (root / "data" / "documents" / "a.md").unlink()
    db = sqlite3.connect(root / "data" / "index.db")
    db.execute("UPDATE passages SET text = 'changed' WHERE id = 2")
    db.commit()
    db.close()
    assert kill.compare(wanted, kill.artefacts(root)) == [
        "missing: data/documents/a.md",
        "extra: data/.tmp-half",
        "different: data/index.db",
    ]


def test_kill_moments_are_early_more_often_and_cover_the_build() -> None:
    moments = script("bench/kill.py").moments(100.0, 10, 4)
    assert moments == sorted(moments)
    assert moments == script("bench/kill.py").moments(100.0, 10, 4)
    assert sum(m < 50 for m in moments) >= 6
    assert moments[0] < 10
    assert moments[-1] > 75


def test_kill_stops_the_whole_process_group(tmp_path: Path) -> None:
    kill = script("bench/kill.py")
    (tmp_path / "project").mkdir()
    ended = kill.build(tmp_path / "project", 0.01)
    assert ended.code == -9
    assert ended.seconds < 5


@pytest.fixture
def medquad(tmp_path: Path) -> Path:
    """The data set in small: two training pages, one development page, two questions to a bank."""
    folder = tmp_path / "medquad"
    folder.mkdir()

    def row(doc: str, focus: str, qtype: str, answer: str) -> dict[str, str]:
        question = f"What about the {qtype} of {focus}?"
        return {
            "doc": doc,
            "focus": focus,
            "qtype": qtype,
            "qid": f"{doc.partition('/')[2]}-{qtype}-{len(answer)}",
            "question": question,
            "answer": answer,
        }

    train = [row("G/1", "Gout", "symptoms", "Pain."), row("G/2", "Mumps", "causes", "A virus.\n - It spreads.")]
    dev = [
        row("D/9", "Ague", t, a) for t, a in (("symptoms", "Fever."), ("treatment", "Rest."), ("symptoms", "Chills."))
    ]
    # Another collection numbers its questions the same way.
    dev.append(row("E/9", "Croup", "symptoms", "Cough!"))
    with lzma.open(folder / "train.jsonl.xz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(r) + "\n" for r in train)
    (folder / "dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in dev), "utf-8")
    (tmp_path / "banking77").mkdir()
    (tmp_path / "banking77" / "test.csv").write_text('text,category\nWhere is my card?,a\n"Fees, please?",b\n', "utf-8")
    return folder


def test_the_recipe_keeps_questions_out_of_pages_and_development_out_of_tuning(medquad: Path, tmp_path: Path) -> None:
    prepare = script("examples/medquad/prepare.py")
    root = tmp_path / "project"
    counts = prepare.prepare(medquad, root, questions=2)
    assert counts == {"documents": 4, "seeds": 2, "questions": 2, "outside": 2}
    page = (root / "sources" / "D" / "9.md").read_text("utf-8")
    assert page == "# Ague\n\n## Symptoms\n\nFever.\n\nChills.\n\n## Treatment\n\nRest.\n"
    assert not any("?" in p.read_text("utf-8") for p in (root / "sources").rglob("*.md"))
    seeds = list(read_seeds(root / "seeds" / "medquad.jsonl"))
    assert [s.document for s in seeds] == ["G--1.md", "G--2.md"]
    assert not any("Ague" in s.question for s in seeds)
    held = [h for name in ("development", "outside") for h in read_held(root / "evals" / f"{name}.jsonl")]
    assert [h.answerable for h in held] == [True, True, False, False]
    assert {h.document for h in held if h.answerable} <= {"D--9.md", "E--9.md"}
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    prepare.prepare(medquad, root, questions=2)
    assert before == {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    prepare.prepare(medquad, root, questions=0)
    asked = list(read_held(root / "evals" / "development.jsonl"))
    assert len({h.id for h in asked}) == len(asked) == 4
    with pytest.raises(UsageError, match=r"train\.jsonl\.xz cannot be read"):
        prepare.prepare(tmp_path / "nowhere", root)


def test_the_baseline_gets_the_same_length() -> None:
    from mirim.core.types import Answer, Citation, Passage

    bench = script("bench/medquad.py")
    text = "First of all. Then this.\n\nAt last that."
    passage = Passage("d", "d", 0, len(text), "D", text, None, "en")
    assert bench.first_sentences(passage, 2) == "First of all. Then this."
    assert bench.first_words(passage, 4) == "First of all. Then"
    cited = (Citation("d", "d", None, 0, 24, text[:24]), Citation("d", "d", None, 26, 39, text[26:]))
    answer = Answer("First of all. Then this. At last that.", False, 0.9, "quote", cited, "m", 0.0)
    assert bench.length(answer, 5) == (3, 8)
    assert bench.length(Answer("I don't know.", True, 0.1, "quote", (), "m", 0.0), 5) == (5, 0)


def test_the_clinic_table_names_what_is_missed() -> None:
    clinic = script("bench/clinic.py")
    row = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 70}
    figures = {k: dict(row) for k in (*clinic.GOALS, *clinic.ALSO)}
    figures["key_fact"]["value"] = 0.8
    text, missed = clinic.table({"figures": figures, "seconds": {"median": 0.1, "p95": 0.2}})
    assert len({line.count("|") for line in text.splitlines()}) == 1
    assert [m.split(":")[0] for m in missed] == [clinic.GOALS["key_fact"][0], clinic.GOALS["citations_verified"][0]]
