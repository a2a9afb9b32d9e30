"""Reloads that meet, engines that are at work when they come, and documents that change without one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from server_fakes import Scripted, house
from waiting import until

import mirim
from mirim.new import new
from mirim.server import side
from mirim.server.assistants import Current
from mirim.server.room import Room, Running, Settings, open_room
from mirim.server.scheduler import Lane


class Engine(Scripted):
    def __init__(self) -> None:
        super().__init__()
        self.shut = 0

    def close(self) -> None:
        self.shut += 1


def _opened(engines: list[Engine]) -> Any:
    def open_room(settings: Any, former: Room) -> Room:
        time.sleep(0.05)
        engines.append(Engine())
        return Room({}, {"bare": Running(engines[-1], Lane(1), 1)})

    return open_room


def test_two_reloads_at_once_close_each_engine_but_the_last_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, made = Engine(), list[Engine]()
    monkeypatch.setattr(side, "open_room", _opened(made))
    monkeypatch.setattr(side, "heated", lambda house: asyncio.sleep(0))

    async def both() -> None:
        every = house(first)
        await asyncio.gather(side.reload_room(every), side.reload_room(every))
        await asyncio.gather(*every.retiring)

    asyncio.run(both())
    assert [engine.shut for engine in (first, *made)] == [1, 1, 0]


def test_an_engine_is_closed_when_its_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    first, made = Engine(), list[Engine]()
    monkeypatch.setattr(side, "open_room", _opened(made))
    monkeypatch.setattr(side, "heated", lambda house: asyncio.sleep(0))

    async def busy() -> tuple[int, int]:
        every = house(first)
        lane = every.room.engines["bare"].lane
        ticket = await lane.enter("somebody who left")
        await side.reload_room(every)
        await asyncio.sleep(0.3)
        during = first.shut
        lane.leave(ticket)
        await asyncio.gather(*every.retiring)
        return during, first.shut

    assert asyncio.run(busy()) == (0, 1)


@pytest.mark.slow
def test_documents_that_come_while_the_server_runs_are_answered_from(tmp_path: Path) -> None:
    new(tmp_path / "clinic")
    project = mirim.Project.open(tmp_path / "clinic")
    (project.root / "sources" / "hours.md").write_text("# Hours\n\nThe Lagoa branch opens at 7:00 on weekdays.\n")
    mirim.ingest(project)
    room = open_room(Settings(project=project))
    assistant, question = room.models["clinic"].assistant, "Who repairs the zeppelin engine?"
    assert assistant.answer(question).abstained
    text = "# Zeppelin\n\nThe zeppelin engine is repaired by the workshop in Praia Azul every Tuesday.\n"
    (project.root / "sources" / "zeppelin.md").write_text(text)
    mirim.ingest(project)
    answer = assistant.answer(question)
    room.close()
    assert "Praia Azul" in answer.answer, answer


def test_an_ingest_under_way_leaves_the_assistant_that_was_open(tmp_path: Path) -> None:
    """Then the next question opens it, with its model's own numbers kept."""
    from mirim.assist.answer import Assistant, Calibration

    opened: list[Assistant] = []
    index = tmp_path / "index.db"

    def open_() -> Assistant:
        if index.is_file() and index.read_text() == "half":
            raise mirim.core.errors.UsageError("an ingest was interrupted")
        opened.append(Assistant(None, None, "m", calibration=Calibration(bias=len(opened))))  # type: ignore[arg-type]
        return opened[-1]

    assistant = Current(open_, [index])
    index.write_text("half")
    assert assistant._now() is opened[0]
    index.write_text("whole")
    assert assistant._now() is assistant._now() is not opened[0]
    assert len(opened) == 2
    assert assistant._now().calibration == opened[0].calibration


def test_what_the_first_question_needs_is_read_beside_the_start(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mirim.assist.answer import Assistant

    ours = house()
    assistant = ours.room.models["clinic"].assistant
    with client(ours) as http:
        assert until(lambda: assistant.prepared == 1)
        assistant.prepare = lambda: pytest.fail("once is enough")
        assert http.get("/ready").status_code == 200
    # The encoder, where there are vectors to compare with; what cannot be read ends no server.
    read: list[str] = []
    monkeypatch.setattr("mirim.models.meaning.query", read.append)
    for near in (None, object()):
        opened = Assistant(None, None, "m", nearness=near)  # type: ignore[arg-type]
        Current(lambda opened=opened: opened, []).prepare()  # type: ignore[misc]
        assert bool(read) is bool(near)
    ours = house()

    def broken() -> None:
        raise mirim.core.errors.UsageError("weights are not what was made")

    ours.room.models["clinic"].assistant.prepare = broken
    with client(ours) as http:
        assert http.get("/ready").status_code == 200
