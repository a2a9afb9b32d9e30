"""Questions as people type them in a hurry are read as the words that they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.assist.answer import Assistant
from mirim.assist.shorthand import written_out
from mirim.core.project import Project
from mirim.core.types import Message
from mirim.documents.ingest import ingest


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("vcs abrem q horas?", "vocês abrem que horas?"),
        ("Qto custa p/ fazer?", "quanto custa para fazer?"),
        ("pq ta fechado hj?", "por que está fechado hoje?"),
        ("QTO CUSTA?", "quanto custa?"),
        ("what are ur hrs pls", "what are your hours please"),
        ("how much w/o a card", "how much without a card"),
    ],
)
def test_short_forms_are_written_out(typed: str, whole: str) -> None:
    assert written_out(typed) == whole


@pytest.mark.parametrize(
    "typed",
    [
        "I want to go to the q desk",
        "como se trata a TB pulmonar?",
        "abrir conta c/c na agência",
        "escrevo para vc@correio.example?",
        "the to-do list of hs-2",
        "Quanto custa o exame?",
        "",
    ],
)
def test_what_is_something_else_stays(typed: str) -> None:
    assert written_out(typed) == typed


def test_the_language_of_the_documents_decides_where_a_question_does_not() -> None:
    assert written_out("q hrs", "pt") == "que horas"
    assert written_out("q hrs", "en") == "q hours"


@pytest.fixture
def workshop(tmp_path: Path) -> Project:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "oficina"\nlanguage = "pt"\n')
    (tmp_path / "sources" / "oficina.md").write_text(
        "# Oficina\n\n## Horário de sábado\n\nA oficina abre às 9h aos sábados.\n\n"
        "## Quanto custa a solda\n\nA solda custa R$ 35,00.\n\n"
        "## Por que fechamos em julho\n\nEm julho há inventário.\n"
    )
    project = Project.open(tmp_path)
    ingest(project, workers=1)
    return project


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("qto custa a solda", "quanto custa a solda"),
        ("QTO CUSTA A SOLDA", "quanto custa a solda"),
        ("pq vcs fecham em julho", "por que vocês fecham em julho"),
    ],
)
def test_a_hurried_question_is_answered_as_the_whole_one(workshop: Project, typed: str, whole: str) -> None:
    with Assistant.open(workshop, model="none") as assistant:
        hurried, careful = assistant.answer(typed), assistant.answer(whole)
        assert (hurried.answer, hurried.confidence) == (careful.answer, careful.confidence)
        # It is shown as it was typed.
        assert hurried.question == typed
        # Nor does what follows it know a difference.
        after = [
            assistant.answer("e aos sábados?", [Message("user", said), Message("assistant", careful.answer)])
            for said in (typed, whole)
        ]
        assert after[0].answer == after[1].answer
