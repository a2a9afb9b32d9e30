"""Whether somebody is open is asked as documents say it, where it would be refused as it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.assist.answer import Assistant
from mirim.assist.opening import opening
from mirim.core.project import Project
from mirim.documents.ingest import ingest


@pytest.mark.parametrize(
    ("question", "language", "day"),
    [
        ("vocês abrem segunda?", "pt", "na segunda-feira?"),
        ("Fecham aos sábados à tarde?", "pt", "no sábado?"),
        ("está aberto no fim de semana?", "pt", "no sábado e no domingo?"),
        ("are you open on Tuesdays", "en", "on Tuesday?"),
    ],
)
def test_days_are_asked_for_by_their_hours(question: str, language: str, day: str) -> None:
    named, any_day = opening(question, language)
    assert named.endswith(day)
    assert named.replace(day, "").rstrip() == any_day.rstrip("?")


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("a piscina abre segunda?", "pt"),
        ("como abrir um chamado?", "pt"),
        ("a segunda via custa quanto?", "pt"),
        ("can I open the window on Monday?", "en"),
        ("how do I close my account?", "en"),
        ("are you open?", "fr"),
    ],
)
def test_what_names_something_else_is_left_alone(question: str, language: str) -> None:
    assert opening(question, language) == []


@pytest.mark.parametrize("question", ["vcs abrem segunda?", "abre na quarta-feira?", "fecham que horas?"])
def test_a_short_question_finds_the_hours(tmp_path: Path, question: str) -> None:
    root = tmp_path / "oficina"
    (root / "sources").mkdir(parents=True)
    (root / "mirim.toml").write_text('[project]\nname = "oficina"\nlanguage = "pt"\n', "utf-8")
    texts = {
        "horas": "# Horário de funcionamento\n\nA oficina funciona de segunda a sexta, das 8h às 17h30.",
        "pecas": "# Peças\n\nA segunda via da nota de uma peça custa R$ 9,00. Peças novas chegam em dez dias.",
        "garantia": "# Garantia\n\nO conserto tem garantia de três meses, contados da entrega da bicicleta.",
    }
    for name, text in texts.items():
        (root / "sources" / f"{name}.md").write_text(text, "utf-8")
    project = Project.open(root)
    ingest(project)
    with Assistant.open(project, model="none") as assistant:
        answer = assistant.answer(question)
        assert "das 8h às 17h30" in answer.answer
        assert assistant.answer("a piscina abre segunda?").abstained
