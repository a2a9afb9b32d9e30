"""Which beginnings of prompts come up often, and their keys and values in a folder, for the core's next life.

A beginning is a chain of whole pages: what a system prompt or passages that come first have in common, whatever the
layout. Only the core writes and reads the files (`native/src/keep.hpp`); they belong to a seal, which names all that
the numbers depend on, and are of no use to anything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import threading
import time
from array import array
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mirim.core.types import Engine, Message
from mirim.models.engines._local import Local

if TYPE_CHECKING:
    from collections.abc import Callable

#: Prompts that must have begun alike for their beginning to be kept.
OFTEN = 2
#: Pages of beginnings that are counted, prompts after which all counts are halved, files written at once.
_COUNTED, _AGE, _AT_ONCE = 4096, 4096, 16
#: Prompts whose tokens are remembered while they are counted.
_REMEMBERED = 64
#: Whether the prompts of this context are counted.
_NOTING: ContextVar[bool] = ContextVar("noting", default=False)
#: Seconds in which a file that is being written has changed.
WRITING = 60
_NAME = re.compile(r"[0-9a-f]{32}\.kv")


@dataclass(slots=True)
class _Node:
    """A page of a beginning: the page before it, its tokens, and how many pages and prompts lead here."""

    before: bytes
    tokens: bytes
    length: int
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found in the folder. `ignored` says of each file that was not taken why."""

    files: int = 0
    tokens: int = 0
    ignored: tuple[str, ...] = ()


def seal(build: str, core: Any, figures: dict[str, Any]) -> bytes:
    """Everything that keys and values depend on, as 32 bytes: code, weights, layout, the model's figures."""
    libc = ""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""  # its sine and cosine
    pages = {k: v for k, v in core.pages().items() if k != "spare"}
    text = json.dumps([build, libc, pages, f"{core.digest():016x}", figures], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


class Keep:
    """Counts beginnings in memory (at most some megabytes) and holds the hot ones in `folder`, at most `limit` bytes.

    Methods may be called from any thread.
    """

    def __init__(self, core: Any, seal: bytes, folder: Path, limit: int) -> None:
        self._core, self._seal, self.folder, self.limit = core, seal, folder, limit
        pages = core.pages()
        self._page, self._bytes, self._spare = pages["tokens"], pages["bytes"], pages["spare"]
        self._nodes: dict[bytes, _Node] = {}
        self._due: set[bytes] = set()
        self._noted = 0
        #: Files that are known to be whole and ours.
        self._there: set[str] = set()
        self._counting, self._disk = threading.Lock(), threading.Lock()

    # -- counting -------------------------------------------------------------------------------------

    def note(self, ids: Sequence[int], times: int = 1) -> None:
        """So many more prompts began with `ids`; what is no whole page of them does not count."""
        words = array("i", ids)
        with self._counting:
            self._noted += times
            before = b""
            for n in range(min(len(words) // self._page, self._spare)):
                tokens = words[n * self._page : (n + 1) * self._page].tobytes()
                key = hashlib.blake2b(before + tokens, digest_size=16).digest()
                node = self._nodes.get(key)
                if node is None:
                    node = self._nodes[key] = _Node(before, tokens, n + 1)
                node.uses += times
                self._due.add(key)
                before = key
            if len(self._nodes) > _COUNTED or self._noted > _AGE:
                self._age()

    def _age(self) -> None:
        """Halve the counts, so that what was hot once makes room. No page is used more than the one before it, so
        whatever is forgotten is forgotten with all that follows it."""
        self._noted = 0
        self._due.clear()
        for node in self._nodes.values():
            node.uses //= 2
        self._nodes = {key: node for key, node in self._nodes.items() if node.uses}
        if len(self._nodes) > _COUNTED:
            self._nodes.clear()

    def _hot(self) -> list[array[int]]:
        """Beginnings to be on disk that were used since the last time, those that save most first."""
        with self._counting:
            hot = {key for key, node in self._nodes.items() if node.uses >= OFTEN}
            ends = hot - {self._nodes[key].before for key in hot}
            # Those used now: where the prompts of late ended in what is hot, which may be short of an end.
            now = self._due & hot
            now -= {self._nodes[key].before for key in now}
            self._due.clear()
            worth = sorted(ends | now, key=lambda key: -self._nodes[key].uses * self._nodes[key].length)
            room, out = self.limit, []
            for key in worth:
                room -= self._size(self._nodes[key].length)
                if room < 0:
                    break
                if key in now:
                    out.append(self._chain(key))
            return out

    def _chain(self, key: bytes) -> array[int]:
        parts = []
        while key:
            node = self._nodes[key]
            parts.append(node.tokens)
            key = node.before
        return array("i", b"".join(reversed(parts)))

    def _size(self, pages: int) -> int:
        return int(72 + pages * (4 * self._page + self._bytes))

    # -- the folder -----------------------------------------------------------------------------------

    def restore(self) -> Restored:
        """Make what was kept ready to be found, the last used as far as there is room. OSError for a folder that
        cannot be made or read."""
        with self._disk:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self.folder.glob("*.kv.new"):  # of a life that was ended while it wrote
                with contextlib.suppress(FileNotFoundError):
                    # Another process may be writing what is young.
                    if time.time() - left.stat().st_mtime > WRITING:
                        left.unlink()
            room, chosen, ignored, tokens = self._spare, [], [], 0
            for path, size, _ in reversed(self._files()):
                pages = max(1, size // int(self._bytes))
                if pages > room:
                    break
                room -= pages
                chosen.append(path)
            # The last used come last: they are forgotten last.
            for path in reversed(chosen):
                try:
                    tokens += self._core.restore(str(path), self._seal) * self._page
                    self._there.add(path.name)
                except RuntimeError as error:
                    ignored.append(f"{path.name}: {error}")
            return Restored(len(chosen) - len(ignored), tokens, tuple(ignored))

    def save(self) -> int:
        """Write what became hot since the last time, and drop what was not used for longest beyond the limit.

        How many files were written. OSError or RuntimeError for what the disk does not do.
        """
        written = 0
        with self._disk:
            for ids in self._hot():
                name = hashlib.sha256(self._seal + ids.tobytes()).hexdigest()[:32] + ".kv"
                path = self.folder / name
                if name in self._there:
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(path)
                        continue
                    self._there.discard(name)
                if written < _AT_ONCE and self._core.save(ids.tolist(), str(path), self._seal):
                    self._there.add(name)
                    written += 1
            if written:
                self._trim()
        return written

    def _trim(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        for path, size, _ in files:
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            self._there.discard(path.name)
            total -= size

    def _files(self) -> list[tuple[Path, int, int]]:
        """Path, bytes and time of each kept file, the longest unused first."""
        rows = []
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    rows.append((path, status.st_size, status.st_mtime_ns))
        return sorted(rows, key=lambda row: (row[2], row[0].name))


class Prefixes(Local):
    """What the core's engine has besides: beginnings of prompts outlive it."""

    _figures: dict[str, Any]
    _open: Any
    _known: dict[tuple[Message, ...], list[int]]
    _keep: Keep | None = None

    def restore_prefixes(self, folder: Path, limit: int) -> Restored:
        """Take the keys and values of an earlier life from `folder`, and count from now on what should lie there.

        limit      most bytes in the folder. It holds what prompts said: nobody but this user may read it.

        Answers are the same to the bit, only sooner. A file that is torn, changed or of another model, another
        quantisation or another build is not taken, and the result says so. OSError when the folder cannot be used.
        """
        from mirim import _core

        core = self._open
        keep = Keep(core, seal(_core.build, core, self._figures), folder, limit)
        found = keep.restore()
        self._keep, self._known = keep, {}
        return found

    def note_prefix(self, prompt: Sequence[Message], times: int = 1) -> None:
        """So many more conversations began with these messages. UsageError when the template refuses them."""
        if self._keep is not None:
            self._keep.note(self._alike(tuple(prompt)), times)

    def _alike(self, prompt: tuple[Message, ...]) -> list[int]:
        """Tokens that conversations share which begin with `prompt`."""
        ids = self._known.get(prompt)
        if ids is None:
            one, other = (self._encode([*prompt, Message("user", text)]) for text in ("a", "1"))
            pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            ids = [token for token, _ in pairs]
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[prompt] = ids
        return ids

    def save_prefixes(self) -> int:
        """Write what came up often and is not on disk yet; how many files. OSError for what the disk does not do."""
        try:
            return self._keep.save() if self._keep is not None else 0
        except RuntimeError as error:
            raise OSError(str(error)) from error
        except ValueError:  # it was closed meanwhile
            return 0

    def remembering(self) -> Engine:
        """This engine, for prompts whose beginnings are worth keeping: those that start with passages."""
        return cast(Engine, _Remembering(self))

    def _encode(
        self, prompt: str | Sequence[Message], tools: Sequence[dict[str, Any]] = (), scored: bool = False
    ) -> list[int]:
        ids = super()._encode(prompt, tools, scored)
        if self._keep is not None and _NOTING.get():
            self._keep.note(ids)
        return ids


class _Remembering:
    """The engine; every prompt that goes through here is counted."""

    def __init__(self, engine: Prefixes) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        return partial(self._noting, found) if name in ("generate", "score", "score_many") else found

    def _noting(self, work: Callable[..., Any], *words: Any, **more: Any) -> Any:
        # A prompt is read in this call, also by `generate`, whose words come later.
        before = _NOTING.set(True)
        try:
            return work(*words, **more)
        finally:
            _NOTING.reset(before)
