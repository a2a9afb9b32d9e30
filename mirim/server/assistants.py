"""The assistant of a running server: its documents may change under it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirim.core.errors import MirimError
from mirim.core.types import Answer, Message, Policy
from mirim.models import meaning, reader

if TYPE_CHECKING:
    from mirim.assist.answer import Assistant


class Current:
    """An assistant that is opened anew when its files of passages and of vectors have changed.

    What it remembers of them, how often a word comes up and what passages mean, would be that of other documents. What
    was fitted to its model stays as it is until a reload, which is when the model changes.
    """

    def __init__(self, opened: Callable[[], Assistant], files: Sequence[Path]) -> None:
        self._open, self._files = opened, files
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._assistant = opened()

    def answer(self, question: str, history: Sequence[Message] = (), policy: Policy | None = None) -> Answer:
        return self._now().answer(question, history, policy)

    def prepare(self) -> None:
        """Read what the first question would wait for, where that is asked: the encoders of meaning and of reading."""
        if self._assistant.nearness:
            meaning.query("?")
            reader.read("?", [reader.Text("", [("", "!")])])

    @property
    def index(self) -> Any:
        return self._now().index

    def close(self) -> None:
        """Close the index; its engine is another's."""
        self._assistant.index.close()

    def _now(self) -> Assistant:
        with self._lock:
            if (stamp := self._look()) != self._stamp:
                # In the middle of an ingest nothing whole is there to open: the former goes on, the next question asks.
                with contextlib.suppress(MirimError):
                    fresh = self._open()
                    former = self._assistant
                    if bool(former.nearness) == bool(fresh.nearness):
                        fresh = replace(fresh, calibration=former.calibration)
                    # Others may still be reading the former one: it is closed when the last of them is done.
                    self._assistant, self._stamp = fresh, stamp
            return self._assistant

    def _look(self) -> list[tuple[int, ...]]:
        return [_stamp(path) for path in self._files]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
