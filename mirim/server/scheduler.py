"""Who is computed when: a bounded queue in front of each engine, fair between keys, work in threads.

An engine has `slots` places. A request waits in its key's line; a place that falls free goes to the key with the
fewest running, then to the one served longest ago, so that one busy key cannot hold up the others. A full queue
refuses at once (429 with Retry-After) rather than letting everybody wait for an answer that comes too late.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mirim.server.wire import ApiError

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in a lane. `waited` is in seconds."""

    owner: str
    since: float
    ready: asyncio.Future[None]
    waited: float = 0.0
    started: float = 0.0


@dataclass(slots=True)
class Lane:
    """The queue of one engine; the work itself runs in `slots` threads.

    A place is given back by the thread that worked in it, not by the event loop that asked: a loop may end
    before it hears of the thread's end, and the place would be lost for good. Hence the lock.
    """

    slots: int
    limit: int = 64
    patience: float = 60.0
    running: dict[str, int] = field(default_factory=dict)
    lines: dict[str, deque[Ticket]] = field(default_factory=dict)
    served: dict[str, float] = field(default_factory=dict)
    #: Mean seconds that a place is held, remembered over about ten requests.
    pace: float = 1.0
    closed: bool = False
    pool: ThreadPoolExecutor = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.slots, thread_name_prefix="mirim-lane")

    @property
    def busy(self) -> int:
        with self._lock:
            return sum(self.running.values())

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(map(len, self.lines.values()))

    async def enter(self, owner: str) -> Ticket:
        """Wait for a place; ApiError 429 when the queue is full or `patience` seconds were not enough."""
        loop = asyncio.get_running_loop()
        ticket = Ticket(owner, time.monotonic(), loop.create_future())
        with self._lock:
            if self.waiting >= self.limit:
                raise self._refusal(f"{self.waiting} requests are waiting already")
            self.lines.setdefault(owner, deque()).append(ticket)
            self._admit()
        try:
            async with asyncio.timeout(self.patience):
                await ticket.ready
        except TimeoutError as error:
            self._abandon(ticket)
            raise self._refusal(f"no place fell free in {self.patience:g} seconds") from error
        except BaseException:
            self._abandon(ticket)
            raise
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place back; from any thread."""
        with self._lock:
            self.running[ticket.owner] -= 1
            if not self.running[ticket.owner]:
                del self.running[ticket.owner]
            self.pace += 0.1 * (time.monotonic() - ticket.started - self.pace)
            self._admit()

    def close(self) -> None:
        self.closed = True
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _abandon(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket.started:
                self.leave(ticket)
                return
            line = self.lines.get(ticket.owner)
            if line is not None and ticket in line:
                line.remove(ticket)
                if not line:
                    del self.lines[ticket.owner]

    def _admit(self) -> None:
        """Hand free places out; with the lock held."""
        while self.busy < self.slots and self.lines:
            owner = min(
                self.lines, key=lambda o: (self.running.get(o, 0), self.served.get(o, 0.0), self.lines[o][0].since)
            )
            line = self.lines[owner]
            ticket = line.popleft()
            if not line:
                del self.lines[owner]
            if ticket.ready.done():
                continue
            # All of it first: the loop goes on as soon as it is woken, in another thread.
            now = time.monotonic()
            ticket.started, ticket.waited = now, now - ticket.since
            try:
                ticket.ready.get_loop().call_soon_threadsafe(_wake, ticket.ready)
            except RuntimeError:  # the loop that asked is gone: nobody has the place, and nobody gives it back
                ticket.started = 0.0
                continue
            self.running[owner] = self.running.get(owner, 0) + 1
            self.served[owner] = now
            if len(self.served) > 4096:
                self.served = {o: t for o, t in self.served.items() if o in self.running or o in self.lines}

    def _refusal(self, why: str) -> ApiError:
        seconds = math.ceil(min(120.0, max(1.0, (self.waiting + 1) * self.pace / self.slots)))
        return ApiError(
            429,
            f"the server is busy: {why}; try again in {seconds} s",
            code="server_busy",
            headers={"Retry-After": str(seconds)},
        )


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class Stop:
    """Says to a thread's work that nobody wants it any more, or that its time is up."""

    def __init__(self, seconds: float, parent: Stop | None = None) -> None:
        self._flag = threading.Event()
        self._parent = parent
        self._until: float = parent._until if parent else time.monotonic() + seconds
        self.seconds = seconds
        #: Seconds that the work stood in line; the longest of several.
        self.waited = 0.0

    def cancel(self) -> None:
        self._flag.set()

    def child(self) -> Stop:
        """One that can be cancelled by itself and is cancelled with this one."""
        return Stop(self.seconds, self)

    @property
    def cancelled(self) -> bool:
        return self._flag.is_set() or (self._parent is not None and self._parent.cancelled)

    @property
    def late(self) -> bool:
        return time.monotonic() > self._until

    def check(self) -> None:
        """Raise ApiError 408 when the time is up."""
        if self.late:
            raise ApiError(
                408, f"the answer took longer than {self.seconds:g} seconds; ask for less", code="deadline_exceeded"
            )


_END = object()


async def stream(lane: Lane, owner: str, stop: Stop, work: Callable[[], Iterator[T]]) -> AsyncIterator[list[T]]:
    """Run an iterator in one of the lane's threads and hand out what it gives: each time all that is there.

    Leaving the loop early cancels the work at its next piece; its place is given back when the thread is
    really done, so that an engine never has more to do than it has slots for. Whoever has the last piece finds
    the place free for the next question.
    """
    ticket = await lane.enter(owner)
    stop.waited = max(stop.waited, ticket.waited)
    stop = stop.child()
    pieces = Box()

    def run() -> None:
        end: Any = _END
        try:
            if not stop.cancelled:
                source = work()
                try:
                    for item in source:
                        if stop.cancelled:
                            break
                        stop.check()
                        pieces.put(item)
                finally:
                    if hasattr(source, "close"):
                        source.close()
        except BaseException as error:
            end = error
        finally:
            lane.leave(ticket)
            pieces.put(end)

    context = contextvars.copy_context()
    try:
        lane.pool.submit(context.run, run)
    except BaseException:
        lane.leave(ticket)
        raise
    try:
        while True:
            ready = await pieces.take()
            end = ready.pop() if ready[-1] is _END or isinstance(ready[-1], BaseException) else None
            if ready:
                yield ready
            if isinstance(end, BaseException):
                raise end
            if end is _END:
                return
    finally:
        stop.cancel()


class Box:
    """What threads put in, a loop takes out: each time all that is there.

    A loop is woken once for everything that was put in meanwhile, into whichever box: a wake-up costs as much as
    all the rest of a token's way, and many answers get their tokens in the same step.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._post = _POSTS.setdefault(self._loop, _Post())
        self._items: deque[Any] = deque()
        self._taker: asyncio.Future[None] | None = None

    def put(self, item: Any) -> None:
        """From any thread. Nothing happens when the loop is gone: the server is being stopped."""
        self._items.append(item)
        self._post.wake(self, self._loop)

    async def take(self) -> list[Any]:
        """Wait until something is there, and take it all."""
        while not self._items:
            self._taker = self._loop.create_future()
            await self._taker
        return [self._items.popleft() for _ in range(len(self._items))]

    def notice(self) -> None:
        """In the loop: somebody may be waiting for what was put in."""
        taker, self._taker = self._taker, None
        if taker is not None and not taker.done():
            taker.set_result(None)


class _Post:
    """The boxes of one loop that something was put into."""

    def __init__(self) -> None:
        self._boxes: deque[Box] = deque()
        self._called = False

    def wake(self, box: Box, loop: asyncio.AbstractEventLoop) -> None:
        self._boxes.append(box)
        if not self._called:
            self._called = True
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First this: a thread that still sees it set has put its box in before the loop below looks.
        self._called = False
        while self._boxes:
            self._boxes.popleft().notice()


_POSTS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Post] = weakref.WeakKeyDictionary()


async def call(lane: Lane, owner: str, stop: Stop, work: Callable[[], T]) -> T:
    """One value computed in one of the lane's threads."""

    def once() -> Iterator[T]:
        yield work()

    results = [result async for ready in stream(lane, owner, stop, once) for result in ready]
    return results[0]


class Bucket:
    """Requests a minute of one key: a token bucket that holds a minute's worth at most, and at least one."""

    def __init__(self, a_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self._clock = a_minute / 60, clock
        self.size = max(1.0, a_minute)
        self.level, self._at = self.size, clock()

    def take(self) -> float:
        """0 when the request may go on, otherwise the seconds to wait."""
        now = self._clock()
        self.level = min(self.size, self.level + (now - self._at) * self.rate)
        self._at = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.rate
