"""Which of a table's rows comes first in a conversation: that of the latest question that names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.assist.answer import Assistant, Calibration
from mirim.core.project import Project
from mirim.core.types import Message
from mirim.documents.ingest import ingest

BOATS = """# Boathouse

## Hiring a boat

| Boat | Hour | Day | Deposit |
| --- | --- | --- | --- |
| Canoe | £9 | £40 | £50 |
| Rowing boat | £12 | £55 | £80 |
| Pedal boat | £11 | £48 | £60 |
| Dinghy | £15 | £70 | £150 |

## Lessons

| Learners | Course |
| --- | --- |
| Children of 7 to 11 years | £60 |
| Youths of 12 to 17 years | £75 |
| Adults from 18 years | £95 |
"""


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        (("How much is the canoe for a day?", "and the dinghy?", "and the deposit?"), "Dinghy"),
        (("How much is the canoe for a day?", "and the dinghy?", "the rowing boat?", "what about an hour?"), "Rowing"),
        (("How much is the canoe for a day?", "and the deposit?"), "Canoe"),
        (("What does a course cost for children of 8 years?", "and for 15 years?"), "Youths"),
    ],
)
def test_the_row_of_the_latest_question_that_names_one_comes_first(
    tmp_path: Path, asked: tuple[str, ...], first: str
) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "boats"\nlanguage = "en"\n', "utf-8")
    (tmp_path / "sources" / "boats.md").write_text(BOATS, "utf-8")
    project = Project.open(tmp_path)
    ingest(project)
    history: list[Message] = []
    with Assistant.open(project, model="none") as assistant:
        assistant.calibration = Calibration(threshold=0.0)
        for question in asked:
            answer = assistant.answer(question, history).answer
            history += [Message("user", question), Message("assistant", answer)]
    assert answer.startswith(f"- {first}")
