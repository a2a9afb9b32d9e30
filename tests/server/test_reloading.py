"""Reloads that meet, and engines that are at work when they come."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from server_fakes import Scripted, house

from mirim.server import side
from mirim.server.room import Room, Running
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
