from __future__ import annotations

import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Document
from mirim.documents.indexing import Writer, rows
from mirim.documents.search import Hit, Index, _any

FASTING = """# Blood tests

Fast for eight hours before the test. Water is allowed.

## Price

It costs 40 reais.
"""
TEXTS = {
    "fasting.md": ("en", "Blood tests", FASTING),
    "jejum.md": ("pt", "Exame de sangue", "# Exame de sangue\n\nO jejum é de oito horas. Água é permitida.\n"),
    "hours.md": ("en", "Opening hours", "# Opening hours\n\nThe clinic opens at 7:00. Marcações pelo telefone.\n"),
}


def build(path: Path, texts: dict[str, tuple[str, str, str]] = TEXTS, order: int = 1) -> Path:
    writer = Writer(path, "test")
    for id in sorted(texts)[::order]:
        language, title, text = texts[id]
        document = Document(id, id, "text/markdown", title, text, language=language)
        about = {"id": id, "digest": id, "source": id, "title": title, "language": language}
        writer.put([(about, rows(document, 180))])
        writer.commit()
    writer.finish(tidy=False)
    writer.close()
    return path


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index.open(build(tmp_path / "index.db"))


def best(index: Index, query: str) -> str:
    hits = index.search(query)
    return hits[0].passage.document if hits else ""


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("Do I have to be fasted?", "fasting.md"),
        ("Posso beber agua antes do exame?", "jejum.md"),
        ("Posso beber ÁGUA antes dos exames?", "jejum.md"),
        ("when do you open", "hours.md"),
        ("MARCACOES", "hours.md"),
        ("what does it cost", "fasting.md"),
        ("price", "fasting.md"),
    ],
)
def test_finds(index: Index, query: str, document: str) -> None:
    assert best(index, query) == document


@pytest.mark.parametrize(
    "query",
    ["", "   ", "?!", '"', "AND OR NOT NEAR(", 'blood" OR "x', "title:blood", "*", "a" * 100_000, "😀🩸", "\x00",
     "blood " * 10_000, " ".join(f"w{i}" for i in range(10_000)), "the of and", "NEAR(blood test, 2)", "-water", "^x"],
)  # fmt: skip
def test_any_query_is_safe_and_quick(index: Index, query: str) -> None:
    started = time.process_time()
    hits = index.search(query)
    assert time.process_time() - started < 1
    assert all(isinstance(h, Hit) and 0 <= h.score <= 1.2 for h in hits)
    assert len({h.passage.id for h in hits}) == len(hits)


def test_scores_fall_with_what_is_missing(index: Index) -> None:
    exact = index.search("fast eight hours")[0].score
    strange = index.search("fast zeppelin quarks")[0].score
    assert exact > 2 * strange


def test_limit_and_order(index: Index) -> None:
    hits = index.search("hours horas test exame clinic", limit=2)
    assert len(hits) == 2
    assert hits[0].score >= hits[1].score
    assert index.search("hours", limit=0) == []


def test_statistics_and_passages(index: Index) -> None:
    assert index.count == 4
    assert index.frequency("fast") == 1
    assert index.frequency("zeppelin") == 0
    assert index.statistics().count == index.count
    found = index.passages("fasting.md")
    assert [p.heading for p in found] == ["Blood tests", "Blood tests > Price"]
    assert all(p.text == TEXTS["fasting.md"][2][p.start : p.end] for p in found)
    assert index.passages("nothing") == []


def test_order_of_arrival_does_not_matter(tmp_path: Path) -> None:
    a, b = Index.open(build(tmp_path / "a.db")), Index.open(build(tmp_path / "b.db", order=-1))
    assert a.fingerprint() == b.fingerprint()
    query = "hours horas test exame clinic water"
    assert a.search(query) == b.search(query)
    everything = "SELECT * FROM passages ORDER BY rowid"
    assert a._rows(everything) == b._rows(everything)


def test_removed_documents_leave_no_words(tmp_path: Path) -> None:
    path = build(tmp_path / "index.db")
    writer = Writer(path, "test")
    writer.remove("fasting.md")
    writer.finish(tidy=True)
    writer.close()
    with Index.open(path) as index:
        assert index.frequency("fast") == 0
        assert index.search("fasting price") == []
        assert index.count == 2
    rest = {k: v for k, v in TEXTS.items() if k != "fasting.md"}
    with Index.open(path) as index, Index.open(build(tmp_path / "fresh.db", rest)) as fresh:
        assert index.search("opens horas") == fresh.search("opens horas")


def test_threads_share_an_index(index: Index) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(best(index, "fasting"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["fasting.md"] * 8


def test_refuses_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mirim ingest"):
        Index.open(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("not a database, far from it" * 100)
    with pytest.raises(UsageError, match="not a search index"):
        Index.open(tmp_path / "text.db")
    writer = Writer(tmp_path / "half.db", "test")
    writer.close()
    with pytest.raises(UsageError, match="unfinished"):
        Index.open(tmp_path / "half.db")


def test_a_damaged_or_older_index_is_made_anew(tmp_path: Path) -> None:
    path = build(tmp_path / "index.db")
    Writer(path, "another recipe").close()
    path.write_bytes(b"garbage" * 1000)
    writer = Writer(path, "test")
    assert list(writer.ids()) == []
    writer.close()


@pytest.mark.slow
def test_looking_at_rare_words_first_finds_what_looking_at_all_finds(tmp_path: Path) -> None:
    rng = random.Random(1)
    # A word's rank is how seldom it is, as in any language; some never stand beside the commonest.
    words = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}x" for i in range(300)]
    batch = []
    for i in range(600):
        text = " ".join(rng.choices(words, [1 / (1 + k) for k in range(300)], k=rng.randint(3, 60))) + ".\n"
        document = Document(f"d{i}", f"d{i}", "text/plain", "Some title", text, language="en")
        about = {"id": f"d{i}", "digest": "x", "source": f"d{i}", "title": "Some title", "language": "en"}
        batch.append((about, rows(document, 180)))
    writer = Writer(tmp_path / "index.db", "test")
    writer.put(batch)
    writer.finish(tidy=True)
    writer.close()
    asked: list[str] = []

    class Watched(Index):
        def _scores(self, match: str, limit: int = -1) -> dict[int, float]:
            asked.append(match)
            return super()._scores(match, limit)

    skipped = 0
    with Watched.open(tmp_path / "index.db") as index:
        for _ in range(300):
            stems = {rng.choice(words[:5]), *rng.sample(words, rng.randint(1, 4))}
            stems = sorted(s for s in stems if index.frequency(s))
            asked.clear()
            found = index._best(stems, 10)
            skipped += _any(stems) not in asked
            whole = index._scores(_any(stems), 10)
            assert list(found) == list(whole)
            assert list(found.values()) == pytest.approx(list(whole.values()), abs=1e-8)
    assert skipped > 50


def test_an_older_index_without_a_table_of_frequencies_is_read(tmp_path: Path) -> None:
    path = build(tmp_path / "index.db")
    with Index.open(path) as index:
        wanted = [(h.passage.document, h.score) for h in index.search("water before the test")]
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE frequencies")
    with Index.open(path) as index:
        assert index.frequency("fast") == 1
        assert [(h.passage.document, h.score) for h in index.search("water before the test")] == wanted


@pytest.mark.slow
def test_twenty_thousand_passages_in_twenty_milliseconds(tmp_path: Path) -> None:
    words = [f"{a}{b}{c}" for a in ("ba", "co", "di", "fu") for b in ("ra", "le", "mi", "no") for c in ("s", "t", "n")]
    writer = Writer(tmp_path / "index.db", "test")
    batch = []
    for i in range(20_000):
        text = " ".join(words[(i * k + k * k) % len(words)] for k in range(1, 60)) + f" unique{i}."
        document = Document(f"d{i}", f"d{i}", "text/plain", f"Document {i}", text + "\n", language="en")
        about = {"id": f"d{i}", "digest": "x", "source": f"d{i}", "title": f"Document {i}", "language": "en"}
        batch.append((about, rows(document, 180)))
    writer.put(batch)
    writer.finish(tidy=True)
    writer.close()
    with Index.open(tmp_path / "index.db") as index:
        index.search("warm up")
        spent = []
        for i in range(0, 1000, 50):
            started = time.process_time()
            assert index.search(f"where is unique{i} baras")[0].passage.document == f"d{i}"
            spent.append(time.process_time() - started)
    # A word of most passages is the hard case. Processor time: other programs must not decide.
    assert sorted(spent)[len(spent) // 2] < 0.02, spent


def test_what_an_ingest_changes_is_counted_again(tmp_path: Path) -> None:
    path = build(tmp_path / "index.db")
    with Index.open(path) as index:
        count, changes = index.count, index.refresh()
        assert index.frequency("zebra") == 0
        build(path, {**TEXTS, "zoo.md": ("en", "Zoo", "# Zoo\n\nThe zebra sleeps at noon.\n")})
        assert best(index, "zebra") == "zoo.md"
        assert index.count == count + 1
        assert index.frequency("zebra") == 1
        assert index.refresh() == changes + 1


def test_an_index_made_anew_is_read_when_it_is_complete(tmp_path: Path) -> None:
    path = build(tmp_path / "index.db")
    with Index.open(path) as index:
        assert best(index, "zebra") == ""
        writer = Writer(path, "another")  # it deletes the file that the reader has open
        assert best(index, "price") == "fasting.md"
        about = {"id": "zoo", "digest": "1", "source": "zoo", "title": "Zoo", "language": "en"}
        zoo = Document("zoo", "zoo", "text/markdown", "Zoo", "The zebra sleeps at noon.\n", language="en")
        writer.put([(about, rows(zoo, 180))])
        writer.finish(tidy=False)
        writer.close()
        assert best(index, "zebra") == "zoo"
        assert best(index, "price") == ""
