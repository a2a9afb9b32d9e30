"""Connections that say nothing: closed after a while, and never so many that none can be accepted any more.

A process that has used up its files can accept nobody; asyncio then tries again at once, and writes each try down.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections that wait to be accepted, and may all be at once.
BACKLOG = 128
#: Files that are kept for all else: asyncio accepts up to four times more before it has closed the first one.
KEPT = 4 * BACKLOG + 64
#: Files that are asked for where the system gives them.
_FILES = 65536


def most() -> int:
    """Connections that this process has files for, of which it takes as many as it may."""
    try:
        import resource
    except ImportError:
        return _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _FILES if soft == resource.RLIM_INFINITY else max(soft - KEPT, 16)


class Connection(H11Protocol):
    """uvicorn's, whose time between requests counts before the first one too, and until the head of each is here."""

    most = _FILES
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._calm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._calm()
        elif self._late is None:
            # Not put off by each byte: a head that trickles in is late all the same.
            self._late = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
