"""Progress bars on stderr, drawn by rich."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from mirim.core import progress
from mirim.core.report import visible


class Bars:
    """One line a running task; on a terminal it moves, in a log it is written once when it ends."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self._live: object | None = None

    @contextlib.contextmanager
    def bar(self, label: str, total: float | None) -> Iterator[progress.Task]:
        started = time.monotonic()
        if not self.console.is_terminal or self._live is not None:
            task = _Plain()
            yield task
            if not self.console.is_terminal and (spent := time.monotonic() - started) > 1:
                self.note(f"{label}: {spent:.1f} s{'; ' + task.last if task.last else ''}")
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as bars:
            self._live = bars
            try:
                yield _Bar(bars, bars.add_task(label, total=total, note=""))
            finally:
                self._live = None

    def note(self, text: str) -> None:
        text = visible(text)
        if self.console.is_terminal:
            self.console.print(text, style="dim", markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


class _Plain:
    def __init__(self) -> None:
        self.last = ""

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.last = note or self.last


class _Bar:
    def __init__(self, bars: object, task: object) -> None:
        self.bars, self.task = bars, task

    def advance(self, amount: float = 1, note: str = "") -> None:
        changes = {"note": visible(note)} if note else {}
        self.bars.update(self.task, advance=amount, **changes)  # type: ignore[attr-defined]
