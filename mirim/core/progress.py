"""How long work tells people what it is doing, without knowing whether anybody looks.

The command line installs a sink that draws bars on stderr; a library call stays silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """A running bar. `note` replaces the small text after it (a loss, a speed)."""

    def advance(self, amount: float = 1, note: str = "") -> None: ...


class Sink(Protocol):
    def bar(self, label: str, total: float | None) -> AbstractContextManager[Task]: ...

    def note(self, text: str) -> None: ...


class SilentTask:
    """A bar that nobody sees."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        pass


class _Silent:
    @contextmanager
    def bar(self, label: str, total: float | None) -> Iterator[Task]:
        yield SilentTask()

    def note(self, text: str) -> None:
        pass


_sink: Sink = _Silent()


def install(sink: Sink) -> Callable[[], None]:
    """Send progress to `sink` from now on; the returned function puts the former sink back."""
    global _sink
    former, _sink = _sink, sink

    def restore() -> None:
        global _sink
        _sink = former

    return restore


def bar(label: str, total: float | None = None) -> AbstractContextManager[Task]:
    """`with bar("train", steps) as task: ... task.advance(1, note="loss 2.31")`."""
    return _sink.bar(label, total)


def track(items: Iterable[T], label: str, total: float | None = None) -> Iterator[T]:
    """Iterate with a bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(label, total) as task:
        for item in items:
            yield item
            task.advance()


def note(text: str) -> None:
    """One line a person should see now: a warning, a choice made automatically, a file left out."""
    _sink.note(text)


@cache
def once(text: str) -> None:
    """`note`, the first time alone: for what is found each time that something is looked at."""
    note(text)
