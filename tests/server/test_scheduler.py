"""Admission, fairness, cancellation, deadlines."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mirim.server.scheduler import Box, Bucket, Lane, Stop, call, stream
from mirim.server.wire import ApiError


def test_never_more_at_work_than_slots_and_all_are_served() -> None:
    running = most = 0

    async def main() -> list[int]:
        lane = Lane(3, limit=100)

        def work(n: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.01)
            running -= 1
            return n

        out = await asyncio.gather(*(call(lane, "a", Stop(9), lambda n=n: work(n)) for n in range(20)))
        await asyncio.sleep(0.05)
        assert lane.busy == lane.waiting == 0
        return out

    assert asyncio.run(main()) == list(range(20))
    assert most <= 3


def test_a_busy_key_does_not_hold_up_another() -> None:
    order: list[str] = []

    async def main() -> None:
        lane = Lane(1, limit=100)
        jobs = [asyncio.ensure_future(call(lane, "greedy", Stop(9), lambda: order.append("greedy"))) for _ in range(10)]
        await asyncio.sleep(0)
        jobs.append(asyncio.ensure_future(call(lane, "modest", Stop(9), lambda: order.append("modest"))))
        await asyncio.gather(*jobs)

    asyncio.run(main())
    assert order.index("modest") <= 2


def test_a_full_queue_refuses_at_once_and_says_when_to_return() -> None:
    async def main() -> None:
        lane = Lane(1, limit=2, patience=0.2)
        jobs = [asyncio.ensure_future(call(lane, "a", Stop(9), lambda: time.sleep(0.5))) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(ApiError) as refused:
            await lane.enter("b")
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        done = await asyncio.gather(*jobs, return_exceptions=True)
        # Those that waited longer than the server's patience are told so, and leave no trace.
        assert [getattr(d, "status", 200) for d in done] == [200, 429, 429]
        assert lane.waiting == 0

    asyncio.run(main())


def test_leaving_cancels_the_work_and_frees_its_place() -> None:
    made: list[int] = []
    ended: list[bool] = []

    def work() -> Iterator[int]:
        try:
            for n in range(1000):
                time.sleep(0.002)
                made.append(n)
                yield n
        finally:
            ended.append(True)

    async def main() -> None:
        lane = Lane(1)
        source = stream(lane, "a", Stop(60), work)
        assert (await anext(source))[0] == 0
        await source.aclose()  # type: ignore[attr-defined]
        for _ in range(100):
            await asyncio.sleep(0.01)
            if not lane.busy:
                break
        assert lane.busy == 0

    asyncio.run(main())
    assert ended == [True]
    assert len(made) < 50


def test_cancelled_in_the_queue_never_runs() -> None:
    ran: list[str] = []

    async def main() -> None:
        lane = Lane(1)
        first = asyncio.ensure_future(call(lane, "a", Stop(9), lambda: time.sleep(0.1)))
        second = asyncio.ensure_future(call(lane, "a", Stop(9), lambda: ran.append("second")))
        await asyncio.sleep(0.02)
        second.cancel()
        await first
        await asyncio.sleep(0.05)
        assert lane.busy == lane.waiting == 0

    asyncio.run(main())
    assert ran == []


def test_a_deadline_ends_work() -> None:
    def work() -> Iterator[int]:
        for n in range(1000):
            time.sleep(0.01)
            yield n

    async def main() -> Any:
        async for _ in stream(Lane(1), "a", Stop(0.05), work):
            pass

    with pytest.raises(ApiError) as late:
        asyncio.run(main())
    assert late.value.status == 408


def test_a_key_s_rate() -> None:
    now = [0.0]
    bucket = Bucket(2, clock=lambda: now[0])
    assert [bucket.take(), bucket.take()] == [0.0, 0.0]
    assert bucket.take() == pytest.approx(30)
    now[0] = 30.0
    assert bucket.take() == 0.0


def test_the_place_is_free_when_the_answer_is_whole_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question in an event loop of its own: what is left to a loop after the last piece never happens."""
    lane = Lane(1, limit=4, patience=0.5)
    submit = lane.pool.submit

    def late(work: Any, /, *given: Any) -> Any:
        # Threads that take a while to end after their last piece, as on a busy machine.
        return submit(lambda: (work(*given), time.sleep(0.05)))

    monkeypatch.setattr(lane.pool, "submit", late)

    async def streamed() -> list[int]:
        return [piece async for ready in stream(lane, "a", Stop(5.0), lambda: iter([1, 2])) for piece in ready]

    async def called() -> int:
        return await call(lane, "a", Stop(5.0), lambda: 3)

    async def broken() -> int:
        return await call(lane, "a", Stop(5.0), lambda: 1 // 0)

    for _ in range(2):
        assert asyncio.run(streamed()) == [1, 2]
        assert lane.busy == 0
        assert asyncio.run(called()) == 3
        assert lane.busy == 0
        with pytest.raises(ZeroDivisionError):
            asyncio.run(broken())
        assert lane.busy == 0
    lane.close()


def test_a_loop_that_ends_in_the_middle_leaves_no_place_taken() -> None:
    """The client of a request may take its whole loop away: the place, and the line behind it, live on."""
    lane = Lane(1, limit=4, patience=5.0)
    go = threading.Event()
    asked: list[asyncio.Future[Any]] = []

    def work() -> Iterator[int]:
        yield 1
        go.wait(5)
        yield 2

    async def first() -> None:
        async for _ in stream(lane, "a", Stop(5.0), work):
            return

    async def waiting() -> None:
        asked.append(asyncio.ensure_future(lane.enter("b")))
        await asyncio.sleep(0)

    asyncio.run(first())
    assert lane.busy == 1
    loop = asyncio.new_event_loop()
    loop.run_until_complete(waiting())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    assert lane.waiting == 1
    go.set()
    assert asyncio.run(call(lane, "c", Stop(5.0), lambda: 3)) == 3
    # It never had the place, and gives none back when it is taken down.
    asked[0].get_coro().close()  # type: ignore[attr-defined]
    assert (lane.busy, lane.waiting) == (0, 0)
    lane.close()


def test_what_threads_put_into_boxes_comes_out_whole_and_in_order() -> None:
    """Many threads, many boxes, one loop that is woken once for all of them: nothing is lost, nothing waits."""
    boxes, each = 8, 500

    async def main() -> list[list[int]]:
        made = [Box() for _ in range(boxes)]

        def write(box: Box) -> None:
            for number in range(each):
                box.put(number)
                if number % 7 == 0:
                    time.sleep(0.0001)

        async def read(box: Box) -> list[int]:
            out: list[int] = []
            while len(out) < each:
                ready = await asyncio.wait_for(box.take(), 10)
                assert ready
                out += ready
            return out

        threads = [threading.Thread(target=write, args=(box,)) for box in made]
        for thread in threads:
            thread.start()
        return await asyncio.gather(*map(read, made))

    assert asyncio.run(main()) == [list(range(each))] * boxes


def test_a_box_whose_loop_is_gone_takes_what_comes_late() -> None:
    async def main() -> Box:
        return Box()

    box = asyncio.run(main())
    box.put(1)
    box.put(2)
