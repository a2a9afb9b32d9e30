"""System prompts that are asked often, remembered over a restart and computed before anybody asks again.

What is remembered for every engine is their text and how often they came: computing a prompt anew is right whatever
has changed. mirim's own core keeps keys and values beside it, in `FILE.kv/`, one folder a model: those of system
prompts and of what the assistant's prompts begin with, never of a conversation. It takes them back before the server
says that it is ready, and only when they are exactly what it would compute itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain, read_json
from mirim.core.types import Message, Sampling
from mirim.server.pieces import Order
from mirim.server.produce import produce
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
#: Megabytes of keys and values for each model.
SIZE = 64


class Warm:
    """How often each model was asked with which system prompt; `path` holds it between lives, for its owner alone."""

    def __init__(self, path: Path, limit: int = SIZE << 20) -> None:
        """At most `limit` bytes of keys and values for each model lie beside `path`.

        UsageError for a file that holds something else: it would be written over.
        """
        self.path, self.limit = path, limit
        #: Engines whose keys and values were taken back, by model; prompts asked since those were last written.
        self._restored: dict[str, Any] = {}
        self._asked: dict[str, Counter[str]] = {}
        self._complaint = ""
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
        self._again(order.served.name, text, 1)
        if len(known) > KEPT:
            del known[min((t for t in known if t != text), key=known.__getitem__)]

    def _again(self, model: str, text: str, times: int) -> None:
        if model in self._restored:
            self._asked.setdefault(model, Counter())[text] += times

    async def restore(self, room: Room) -> None:
        """Take back keys and values for the engines of this room that can, unless they have them already."""
        there = {
            served.name: served.engine
            for served in room.models.values()
            if served.kind == "model" and hasattr(served.engine, "restore_prefixes") and self.limit
        }
        self._restored = {name: engine for name, engine in self._restored.items() if there.get(name) is engine}
        for name, engine in there.items():
            if name not in self._restored:
                self._restored[name] = engine
                await asyncio.get_running_loop().run_in_executor(None, self._restore, name, engine)

    def _restore(self, name: str, engine: Any) -> None:
        folder = self.path.with_name(f"{self.path.name}.kv") / quote(name, safe="").replace(".", "%2E")
        started = time.perf_counter()
        try:
            found = engine.restore_prefixes(folder, self.limit)
        except (OSError, MirimError) as error:
            log.error("%s: keys and values are not kept: %s", name, error)
            return
        if found.files:
            took = 1000 * (time.perf_counter() - started)
            log.info("%s: %d tokens of keys and values taken back in %.0f ms", name, found.tokens, took)
        if found.ignored:
            reasons = Counter(line.partition(": ")[2] for line in found.ignored)
            why = "; ".join(f"{n} because {reason}" for reason, n in reasons.most_common())
            log.warning("%s: files in %s were not used: %s", name, folder, why)

    async def save_prefixes(self) -> None:
        """Have each engine write the keys and values that came up often. A full disk is logged and tried again."""
        asked, self._asked = self._asked, {}
        for name, engine in list(self._restored.items()):
            rows = asked.get(name, Counter())
            await asyncio.get_running_loop().run_in_executor(None, self._save_prefixes, name, engine, rows)

    def _save_prefixes(self, name: str, engine: Any, asked: Counter[str]) -> None:
        try:
            for text, times in asked.items():
                with contextlib.suppress(MirimError):  # a template without a place for it
                    engine.note_prefix((Message("system", text),), times)
            engine.save_prefixes()
            self._complaint = ""
        except OSError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error("%s: keys and values were not kept: %s", name, error)

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
            await self.save_prefixes()

    async def heat(self, room: Room) -> int:
        """Compute what was asked most, one prompt at a time in each model's own line; how many were."""
        done = 0
        for served, text, times in self._hottest(room):
            order = Order(served, (Message("system", text), Message("user", "")), Sampling(max_tokens=1, temperature=0))
            with contextlib.suppress(ApiError, MirimError, RuntimeError):
                await call(served.lane, "@warm", Stop(600.0), partial(_compute, order))
                done += 1
                # Asked often in a former life, but its keys and values may not be there.
                self._again(served.name, text, min(times, KEPT))
        return done

    def _hottest(self, room: Room) -> Iterator[tuple[Served, str, int]]:
        """For each engine as many prompts as it has places, those asked most first, with how often that was."""
        lanes: dict[int, list[tuple[int, Served, str]]] = {}
        for name, known in self.counts.items():
            served = room.models.get(name)
            if served is not None and served.kind != "assistant":
                lanes.setdefault(id(served.lane), []).extend((n, served, text) for text, n in known.items())
        for rows in lanes.values():
            rows.sort(key=lambda row: -row[0])
            yield from ((served, text, n) for n, served, text in rows[: rows[0][1].lane.slots])


def _compute(order: Order) -> None:
    for _ in produce(order):
        pass


@contextlib.asynccontextmanager
async def warmed(house: House) -> AsyncIterator[None]:
    """While the server runs: take back what was kept, heat its room once, remember what is asked, write it down."""
    if house.warm is None:
        yield
        return
    await house.warm.restore(house.room)
    tasks = [asyncio.ensure_future(heated(house)), asyncio.ensure_future(house.warm.keep())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.warm.save()
        await house.warm.save_prefixes()
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
        await house.warm.restore(room)
        house.metrics.count("mirim_warmed_total", await house.warm.heat(room))
    finally:
        house.users[id(room)] -= 1
