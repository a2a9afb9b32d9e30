"""System prompts that are asked often, remembered over a restart and computed before anybody asks again.

What is kept is their text and how often they came, not the engine's numbers: those would be bound to one engine, one
model file and one context, and hold whole conversations. Computing a prompt anew is right whatever has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain, read_json
from mirim.core.types import Message, Sampling
from mirim.server.produce import Order, produce
from mirim.server.room import Room, Served
from mirim.server.scheduler import Stop, call
from mirim.server.wire import ApiError

if TYPE_CHECKING:
    from mirim.server.door import House

log = logging.getLogger("mirim.server")

#: Characters of a prompt that is worth remembering, and of one that is still remembered.
LEAST, MOST = 200, 65_536
#: Prompts remembered for each model, and seconds between looks at whether the file should be written.
KEPT, EVERY = 32, 5.0


class Warm:
    """How often each model was asked with which system prompt; `path` holds it between lives, for its owner alone."""

    def __init__(self, path: Path) -> None:
        """UsageError for a file that holds something else: it would be written over."""
        self.path = path
        self.counts: dict[str, dict[str, int]] = {}
        self._changed = False
        if path.exists():
            rows = read_json(path)
            try:
                self.counts = {m: {str(t): int(n) for t, n in known.items()} for m, known in rows["prompts"].items()}
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UsageError(f"{path} holds no remembered prompts; name another file after --warm") from error

    def note(self, order: Order) -> None:
        """Count the system prompt of a request, if it has one that is worth it."""
        prompt = order.prompt
        if isinstance(prompt, str) or order.tools or order.served.kind == "assistant" or len(prompt) < 2:
            return
        text = prompt[0].content
        if prompt[0].role != "system" or not LEAST <= len(text) <= MOST:
            return
        known = self.counts.setdefault(order.served.name, {})
        known[text] = known.get(text, 0) + 1
        self._changed = True
        if len(known) > KEPT:
            del known[min((t for t in known if t != text), key=known.__getitem__)]

    async def save(self) -> None:
        """Write the file, if there is something new to write. A full disk is logged and tried again."""
        if not self._changed:
            return
        self._changed = False
        rows = json.dumps({"prompts": self.counts}, ensure_ascii=False, indent=1)
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._write, rows)
        except MirimError as error:
            self._changed = True
            log.error("the prompts were not remembered: %s", error)

    def _write(self, rows: str) -> None:
        beside = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Never readable by others, not even before it has its name.
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
                out.write(rows)
                out.flush()
                os.fsync(out.fileno())
            os.replace(beside, self.path)
        except OSError as error:
            raise explain(error, self.path) from error

    async def keep(self) -> None:
        """Save now and then, for as long as the server runs."""
        while True:
            await asyncio.sleep(EVERY)
            await self.save()

    async def heat(self, room: Room) -> int:
        """Compute what was asked most, one prompt at a time in each model's own line; how many were."""
        done = 0
        for served, text in self._hottest(room):
            order = Order(served, (Message("system", text), Message("user", "")), Sampling(max_tokens=1, temperature=0))
            with contextlib.suppress(ApiError, MirimError, RuntimeError):
                await call(served.lane, "@warm", Stop(600.0), partial(_compute, order))
                done += 1
        return done

    def _hottest(self, room: Room) -> Iterator[tuple[Served, str]]:
        """For each engine as many prompts as it has places, those asked most first."""
        lanes: dict[int, list[tuple[int, Served, str]]] = {}
        for name, known in self.counts.items():
            served = room.models.get(name)
            if served is not None and served.kind != "assistant":
                lanes.setdefault(id(served.lane), []).extend((n, served, text) for text, n in known.items())
        for rows in lanes.values():
            rows.sort(key=lambda row: -row[0])
            yield from ((served, text) for _, served, text in rows[: rows[0][1].lane.slots])


def _compute(order: Order) -> None:
    for _ in produce(order):
        pass


@contextlib.asynccontextmanager
async def warmed(house: House) -> AsyncIterator[None]:
    """While the server runs: heat its room once, remember what is asked, write it down at the end."""
    if house.warm is None:
        yield
        return
    tasks = [asyncio.ensure_future(heated(house)), asyncio.ensure_future(house.warm.keep())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.warm.save()
        # A prompt that is being computed ends by itself; its engine must not be closed under it.
        for _ in range(200):
            if house.room.idle:
                break
            await asyncio.sleep(0.05)


async def heated(house: House) -> None:
    """Heat the present room, which is not given up meanwhile."""
    if house.warm is None:
        return
    room = house.room
    house.users[id(room)] = house.users.get(id(room), 0) + 1
    try:
        house.metrics.count("mirim_warmed_total", await house.warm.heat(room))
    finally:
        house.users[id(room)] -= 1
