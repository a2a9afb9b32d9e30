"""Everything beside generating: models, health, metrics, the sources of citations, feedback, the admin view."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from mirim import __version__
from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain
from mirim.server import schemas, wire
from mirim.server.door import Answer, House, Visit
from mirim.server.keys import home
from mirim.server.room import open_room
from mirim.server.scheduler import Stop, call
from mirim.server.warm import heated
from mirim.server.wire import ApiError, invalid

#: Characters shown before and after a citation.
AROUND = 6_000

_feedback = threading.Lock()


async def models(visit: Visit) -> Answer:
    rows = [m.to_json() for m in visit.room.models.values() if visit.key is None or visit.key.allows(m.name)]
    return {"object": "list", "data": sorted(rows, key=lambda r: (r["mirim"]["kind"] != "assistant", r["id"]))}


async def model(visit: Visit) -> Answer:
    return visit.served(visit.request.path_params["id"]).to_json()


async def health(visit: Visit) -> Answer:
    return {"status": "ok", "version": __version__}


async def ready(visit: Visit) -> Answer:
    if visit.house.draining:
        raise ApiError(503, "the server is shutting down", code="shutting_down")
    return {"status": "ready", "models": sorted(visit.room.models) if not visit.house.demand_keys else None}


async def metrics(visit: Visit) -> Answer:
    visit.admin()
    gauges: list[tuple[str, str, Any, float]] = [
        ("mirim_uptime_seconds", "Seconds since the start.", (), time.monotonic() - visit.house.metrics.started)
    ]
    for name, lane in _lanes(visit.house).items():
        labels = (("model", name),)
        gauges += [
            ("mirim_running", "Requests being computed.", labels, lane.busy),
            ("mirim_waiting", "Requests that wait for a place.", labels, lane.waiting),
            ("mirim_slots", "Requests that can be computed side by side.", labels, lane.slots),
        ]
    gauges.append(("mirim_resident_bytes", "Memory of this process.", (), resident()))
    return 200, visit.house.metrics.text(gauges).encode(), "text/plain; version=0.0.4"


async def status(visit: Visit) -> Answer:
    visit.admin()
    house = visit.house
    lanes = [
        {"model": name, "running": lane.busy, "waiting": lane.waiting, "slots": lane.slots, "queue": lane.limit}
        for name, lane in _lanes(house).items()
    ]
    counters = house.metrics.counters
    requests: dict[str, float] = {}
    for labels, number in counters["mirim_requests_total"].items():
        key = dict(labels)["status"]
        requests[key] = requests.get(key, 0) + number
    return {
        "version": __version__,
        "load": house.metrics.snapshot(),
        "lanes": lanes,
        "models": [m.to_json() for m in house.room.models.values()],
        "requests": requests,
        "resident_bytes": resident(),
        "process_load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _lanes(house: House) -> dict[str, Any]:
    """Each lane once, under the first name that runs on it."""
    seen: dict[int, tuple[str, Any]] = {}
    for name, served in house.room.models.items():
        seen.setdefault(id(served.lane), (name, served.lane))
    return dict(seen.values())


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


async def source(visit: Visit) -> Answer:
    """The text around a citation: `text[mark_start:mark_end]` is what was cited."""
    served = visit.served(visit.request.path_params["model"])
    if served.kind != "assistant":
        raise ApiError(404, f"{served.name} has no documents", param="model", code="no_documents")
    document = visit.request.path_params["document"]
    start, end = (_offset(visit, name) for name in ("start", "end"))
    if end < start:
        raise invalid(f"end {end} lies before start {start}", "end")
    lane = served.lane
    row = await call(
        lane, visit.owner, Stop(60.0), lambda: _window(served.assistant.index, visit.room.project, document, start, end)
    )
    if row is None:
        raise ApiError(404, f'there is no document "{document[:100]}"', param="document", code="document_not_found")
    return row


def _offset(visit: Visit, name: str) -> int:
    word = visit.request.query_params.get(name, "")
    if not (word.isascii() and word.isdigit() and len(word) <= 12):
        raise invalid(f"{name} must be a number of characters, got {word[:20]!r}", name)
    return int(word)


def _window(index: Any, project: Any, document: str, start: int, end: int) -> dict[str, Any] | None:
    # Only what the index lists is ever opened: a name with dots and slashes finds nothing there.
    known = {id: (name, title) for id, name, title in index.documents()}
    if document not in known:
        return None
    name, title = known[document]
    text, first = None, 0
    if project is not None:
        from mirim.documents import store

        try:
            text = store.load(project.documents, document).text
        except MirimError:
            text = None
    if text is None:
        near = [p for p in index.passages(document) if p.end > start - AROUND and p.start < end + AROUND]
        first = near[0].start if near else 0
        text = _joined(near, first)
    low, high = max(0, start - first - AROUND), min(len(text), end - first + AROUND)
    if end - first > len(text):
        return None
    return {
        "document": document,
        "source": name,
        "title": title,
        "text": text[low:high],
        "offset": low + first,
        "mark_start": start - first - low,
        "mark_end": end - first - low,
        "before": low + first > 0,
        "after": high < len(text),
    }


def _joined(passages: list[Any], first: int) -> str:
    """Passages laid out at their offsets; headings between them are blanks, so that offsets stay true."""
    out = ""
    for p in passages:
        gap = p.start - first - len(out)
        out += ("\n" + " " * (gap - 1) if gap > 0 else "") + p.text
    return out


async def feedback(visit: Visit) -> Answer:
    row = await visit.body(schemas.FEEDBACK)
    visit.served(row["model"])
    project = visit.room.project
    path = (project.root / "data" if project else home()) / "feedback.jsonl"
    row = {"id": wire.new_id("fb"), "time": round(time.time(), 3), "key": visit.key.id if visit.key else None, **row}
    await asyncio.get_running_loop().run_in_executor(None, _append, path, row)
    return {"id": row["id"], "stored": True}


def _append(path: Path, row: dict[str, Any]) -> None:
    """One line, on the disk before it is confirmed."""
    line = (json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n").encode()
    try:
        with _feedback:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        # Whatever it is, the visitor did nothing wrong.
        raise MirimError(str(explain(error, path))) from error


async def reload(visit: Visit) -> Answer:
    visit.admin()
    if "origin" not in visit.request.headers and visit.request.headers.get("content-type") != "application/json":
        raise ApiError(415, "send application/json", code="unsupported_media_type")
    await reload_room(visit.house)
    return {"models": sorted(visit.house.room.models)}


async def reload_room(house: House) -> None:
    """Open what is on the disk now, then let it answer; requests that are under way end where they began."""
    loop = asyncio.get_running_loop()
    # One at a time: two that begin with the same room would close it twice, and one of the new ones never.
    async with house.reloading:
        former = house.room
        try:
            fresh = await loop.run_in_executor(None, open_room, house.settings, former)
        except UsageError as error:
            raise ApiError(409, f"nothing was changed: {error}", code="reload_failed") from error
        house.room = fresh
    kept = {id(one.engine) for one in fresh.engines.values()}
    lanes = [one.lane for one in former.engines.values() if id(one.engine) not in kept]

    async def retire() -> None:
        # The work of a client that left goes on for a while without one.
        while house.users.get(id(former), 0) or any(lane.busy for lane in lanes):
            await asyncio.sleep(0.05)
        await loop.run_in_executor(None, former.close, fresh)

    for task in (asyncio.ensure_future(retire()), asyncio.ensure_future(heated(house))):
        house.retiring.add(task)
        task.add_done_callback(house.retiring.discard)
