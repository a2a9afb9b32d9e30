"""What the numbers say of a sentence and a question."""

from __future__ import annotations

from pathlib import Path

from mirim.assist.answer import Assistant
from mirim.assist.candidates import candidates
from mirim.assist.features import NAMES, Featurizer
from mirim.core.project import Project
from mirim.core.types import Passage
from mirim.documents.ingest import ingest
from mirim.documents.search import Hit


def measured(question: str, text: str, language: str = "en", at: int = 0) -> dict[str, float]:
    """The features of a text's sentence for a question, every word equally rare."""
    passage = Passage("d", "d.md", 0, len(text), "Guide", text, None, language)
    featurizer = Featurizer(lambda stem: 1, 100)
    candidate = candidates([Hit(passage, 1.0)])[at]
    values = featurizer.features(featurizer.question(question, language), candidate, 1.0)
    return dict(zip(NAMES, values, strict=True))


def test_a_story_before_the_question_takes_little_away() -> None:
    text = "Umbrellas, scarves and gloves left in the lobby wait forty-five days."
    asked = "Are gloves, scarves and umbrellas left in the lobby?"
    told = "My cousin drove us across the snowy mountains in his rusty van. " + asked
    assert measured(asked, text)["sentence"] == 1.0
    assert measured(told, text)["sentence"] > 0.9
    assert measured("Where are trombones, pianos, violins, flutes and gloves?", text)["sentence"] < 0.5


def test_kindred_forms_count_apart_from_the_word_itself() -> None:
    same = measured("optician lamps", "The optician sells lamps.")
    kin = measured("optician lamps", "Some optical lamps.")
    assert (same["kin_sentence"], same["sentence"]) == (0.0, 1.0)
    assert kin["kin_sentence"] > 0.3
    assert kin["sentence"] < 0.7


def test_the_header_of_a_table_speaks_for_its_rows() -> None:
    table = "| Unit | Saturday |\n| --- | --- |\n| Lagoa | 8:00 |"
    found = measured("Lagoa on Saturday?", table)
    assert found["lead"] > found["sentence"] > 0


def test_the_questions_language_comes_first(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "two"\n', "utf-8")
    (tmp_path / "sources" / "en.md").write_text("# Tests\n\nVitamin B12 needs fasting for 4 hours.\n", "utf-8")
    (tmp_path / "sources" / "pt.md").write_text("# Exames\n\nPara a vitamina B12 faça jejum de 4 horas.\n", "utf-8")
    project = Project.open(tmp_path)
    ingest(project)
    with Assistant.open(project, model="none") as assistant:
        for question, source in (("How long for B12?", "en.md"), ("Quanto tempo para a B12?", "pt.md")):
            assert assistant.rank(question)[0].candidate.passage.source == source
