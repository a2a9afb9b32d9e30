"""Processes that do jobs side by side; one that crashes, hangs or eats memory costs its file, nothing else.

A worker is `python -m mirim.documents.workers`: one JSON job a line in, one JSON result a line out.
That needs no fork and no import of the caller's main module, so it works from any script and system.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from mirim.documents.job import Done, Job, to_json, work
from mirim.documents.store import identify

#: Address space of a worker, in bytes: far above any honest file, below what would hurt the machine.
MEMORY = 6 << 30
with suppress(AttributeError, ValueError, OSError):
    MEMORY = max(2 << 30, min(MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2))


def run(jobs: Iterable[Job], workers: int, seconds: float) -> Iterator[Done]:
    """Results in the order in which they come. 0 workers: in this process. `seconds` bounds each job."""
    if workers < 1:
        yield from map(work, jobs)
        return
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
    crew = [_Worker(seconds) for _ in range(workers)]
    stop = threading.Event()

    def serve(worker: _Worker) -> None:
        try:
            while (job := waiting.get()) is not None:
                results.put(worker.do(job))
        except BaseException as error:
            results.put(error)
        finally:
            worker.close()

    threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in crew]
    threads.append(threading.Thread(target=_watch, args=(crew, stop), daemon=True))
    for thread in threads:
        thread.start()
    source, under_way = iter(jobs), 0
    try:
        while True:
            # Few jobs are out at a time: whoever reads the results sets the pace, and memory stays flat.
            for job in itertools.islice(source, 2 * workers - under_way):
                waiting.put(job)
                under_way += 1
            if not under_way:
                return
            item = results.get()
            under_way -= 1
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        for worker in crew:
            waiting.put(None)
            if under_way:
                worker.kill()
        for thread in threads:
            thread.join(timeout=5)


def _watch(crew: list[_Worker], stop: threading.Event) -> None:
    while not stop.wait(0.25):
        for worker in crew:
            if worker.deadline and time.monotonic() > worker.deadline:
                worker.late = True
                worker.kill()


class _Worker:
    """One process, started at its first job and again after it died."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.deadline, self.late = seconds, 0.0, False
        self._process: subprocess.Popen[bytes] | None = None

    def do(self, job: Job) -> Done:
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        self.late, self.deadline = False, time.monotonic() + self.seconds
        line = b""
        try:
            process.stdin.write(json.dumps(to_json(job)).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            pass
        self.deadline = 0.0
        if line.endswith(b"\n"):
            return Done(**json.loads(line))
        code = self.close()
        reason = (
            f"took longer than {self.seconds:.0f} s to read"
            if self.late
            else f"crashed its reader ({_name(code)}): it is damaged or needs more than {MEMORY >> 30} GB of memory"
        )
        return Done(job.source, identify(job.source), "refused", [("error", reason, "")], {})

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mirim.documents.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        return self._process

    def kill(self) -> None:
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()

    def close(self) -> int:
        """End the process; its exit code, negative for a signal."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()
        try:
            return process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _name(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def main() -> None:
    """The worker's side: jobs from stdin until it ends."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not be taken for a result.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin.buffer:
        row: dict[str, Any] = to_json(work(Job(**json.loads(line))))
        out.write(json.dumps(row).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
