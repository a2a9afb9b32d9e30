"""Questions that a model proposes: kept when it answers them from their sentence, and never over a person's work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirim.assist.propose import propose
from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.core.types import Delta, Message, Sampling
from mirim.documents.ingest import ingest
from mirim.examples import imported
from mirim.examples.synth import synth
from mirim.examples.tasks import answer

TEXT = """# Lantern museum

## Visits

The museum opens its doors at nine in the morning. Visitors below twelve years pay nothing at the desk.
Every guided tour takes about forty minutes and ends in the workshop.

## Collection

The oldest lantern was made of tin in Lisbon. Nobody knows who carried the copper lamp to the attic.
"""


class Asker:
    """Asks of a sentence by its third and fourth word, and answers with its last three, as a test wants it."""

    context = 2048

    def __init__(self, answers: Callable[[str, str], str], fails_after: int = 10**9) -> None:
        self.answers, self.fails_after, self.asked = answers, fails_after, 0

    def generate(self, prompt: tuple[Message, ...], sampling: Sampling, **_: Any) -> Iterator[Delta]:
        text = prompt[-1].content
        if text.endswith("question?"):
            self.asked += 1
            if self.asked > self.fails_after:
                raise MirimError("the power failed")
            words = re.findall(r"\w+", text.partition(": ")[2].rpartition("\n")[0])
            yield Delta(f"Which {words[1]} {words[2]} here?")
        else:
            passage, _, question = text.rpartition("\n\n? ")
            yield Delta(self.answers(passage, question))
        yield Delta("", finish_reason="stop")

    def count(self, prompt: tuple[Message, ...]) -> int:
        return len(prompt[-1].content.split())

    def close(self) -> None:
        pass


def _last_words(passage: str, question: str) -> str:
    first, second = question.split()[1:3]
    sentence = next(s for s in re.split(r"(?<=\.)\s", passage) if re.search(rf"\b{first} {second}\b", s))
    return " ".join(sentence.rstrip(".").split()[-3:])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "museum"\nlanguage = "en"\n')
    (tmp_path / "sources" / "lanterns.md").write_text(TEXT)
    opened = Project.open(tmp_path)
    ingest(opened)
    return opened


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Asker], Asker]:
    def with_asker(asker: Asker) -> Asker:
        monkeypatch.setattr("mirim.models.engine.open_engine", lambda *_, **__: asker)
        return asker

    return with_asker


def test_what_is_answered_from_its_sentence_is_proposed_and_learned(project: Project, play: Any) -> None:
    play(Asker(_last_words))
    report = propose(project)
    path = project.root / "seeds" / "proposed.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == report.data["questions"] == 5
    assert {"question": "Which museum opens here?", "document": rows[0]["document"],
            "answer": "The museum opens its doors at nine in the morning."} in rows  # fmt: skip
    assert all(seed.document for seed in imported.read(path))
    synth(project)
    made = (project.examples / "answer.jsonl").read_text()
    assert "Which museum opens here?" in made


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (lambda passage, question: answer.REFUSAL["en"], "not answered"),
        (lambda passage, question: "in the workshop", "answered from elsewhere"),
        (lambda passage, question: "gold and silver", "answered from elsewhere"),
        (lambda passage, question: " ".join(question.split()[1:3]), "answered by itself"),
    ],
)
def test_what_is_not_is_left_out(project: Project, play: Any, answers: Any, why: str) -> None:
    play(Asker(lambda passage, question: _last_words(passage, question) if "museum opens" in question
               else answers(passage, question)))  # fmt: skip
    report = propose(project)
    assert report.data["left_out"][why] >= 3
    assert report.data["questions"] + sum(report.data["left_out"].values()) == 5


def test_held_out_questions_are_not_proposed(project: Project, play: Any) -> None:
    (project.root / "evals").mkdir()
    held = {"id": "1", "question": "Which museum opens here?", "answer": "at nine", "answerable": True}
    (project.root / "evals" / "held.jsonl").write_text(json.dumps(held) + "\n")
    play(Asker(_last_words))
    report = propose(project)
    assert report.data["left_out"] == {"held out": 1}
    assert "Which museum opens here?" not in (project.root / "seeds" / "proposed.jsonl").read_text()


def test_what_answers_a_held_out_question_is_not_asked_about(project: Project, play: Any) -> None:
    text = TEXT.replace("## Visits", "## When may visitors come?")
    (project.root / "sources" / "lanterns.md").write_text(text)
    (project.root / "evals").mkdir()
    held = {"id": "1", "question": "When may visitors come?", "answer": "at nine", "answerable": True}
    (project.root / "evals" / "held.jsonl").write_text(json.dumps(held) + "\n")
    ingest(project)
    play(Asker(_last_words))
    propose(project)
    said = (project.root / "seeds" / "proposed.jsonl").read_text()
    assert "tin in Lisbon" in said
    assert "nine" not in said


def test_a_persons_changes_are_kept_and_broken_off_work_goes_on(project: Project, play: Any) -> None:
    second = TEXT.replace("museum", "archive").replace("lantern", "chart").replace("Lantern", "Chart")
    (project.root / "sources" / "charts.md").write_text(second)
    ingest(project)
    asker = play(Asker(_last_words, fails_after=7))
    with pytest.raises(MirimError, match="power"):
        propose(project)
    path = project.root / "seeds" / "proposed.jsonl"
    assert not path.exists()
    asker.asked, asker.fails_after = 0, 5  # one document was done
    assert propose(project).data["questions"] > 5
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(UsageError, match="there already"):
        propose(project)
    assert len(path.read_text().splitlines()) == 1


def test_a_model_that_cannot_ask_is_said(project: Project, play: Any) -> None:
    play(Asker(lambda passage, question: "nonsense"))
    with pytest.raises(UsageError, match=r"echo wrote no question .*5 answered from elsewhere"):
        propose(project, model="echo")
    assert not (project.root / "seeds").exists()
    with pytest.raises(UsageError, match="at least 1 each"):
        propose(project, per_document=0)
