"""Keys of the server: made, listed, revoked, checked. Only a salted digest is stored, never the key.

A key is `mk-<id>-<secret>`: the id finds its row, the secret is compared in constant time. Secrets are 256 random
bits, so that one round of SHA-256 with a salt of the key's own is enough (nothing to guess, unlike a password).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cyclopts import App, Parameter

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain, read_json, write_json
from mirim.core.project import Project
from mirim.core.report import Report, Table
from mirim.core.verbs import around

log = logging.getLogger("mirim.server")

PREFIX = "mk-"
_KEY = re.compile(r"mk-([0-9a-f]{12})-([A-Za-z0-9_-]{43})")
_RATE = re.compile(
    r"\s*([0-9]{1,9})\s*(?:/\s*(s|sec|seconds?|segundos?|m|min|minut[eo]s?|h|hours?|horas?|d|days?|dias?))?\s*"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Key:
    """A key as stored.

    models   names it may use; empty: all
    rate     requests a minute; 0: no limit of its own
    admin    may read /metrics and the admin view, and reload models
    """

    id: str
    name: str
    salt: str
    digest: str
    models: tuple[str, ...] = ()
    rate: float = 0.0
    admin: bool = False
    created: float = 0.0
    revoked: float = 0.0

    def allows(self, model: str) -> bool:
        return not self.models or model in self.models

    def public(self) -> dict[str, Any]:
        """What may be shown of it."""
        row = asdict(self)
        del row["salt"], row["digest"]
        return {**row, "models": [*self.models]}


def home() -> Path:
    """Where this user's own state lies: $MIRIM_HOME, otherwise ~/.mirim."""
    return Path(os.environ.get("MIRIM_HOME") or Path.home() / ".mirim")


def store(project: Project | Path | None) -> Path:
    """The file of keys: the project's (given, or the nearest above the current folder), otherwise the user's."""
    if project is None:
        project = around()
    elif not isinstance(project, Project):
        project = Project.open(project)
    return (project.root / "data" if project else home()) / "keys.json"


def load(path: Path) -> dict[str, Key]:
    """Keys by id; none when there is no file. UsageError when it is not a file of keys."""
    if not path.exists():
        return {}
    rows = read_json(path)
    try:
        keys = [Key(**{**row, "models": tuple(row["models"])}) for row in rows["keys"]]
        for key in keys:
            bytes.fromhex(key.salt + key.digest)
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path} is not a file of keys ({error}); restore it, or delete it and make keys anew"
        ) from error
    return {key.id: key for key in keys}


def find(keys: dict[str, Key], text: str) -> Key | None:
    """The key that `text` is, unless it is unknown or revoked. Takes as long either way."""
    match = _KEY.fullmatch(text.strip())
    key = keys.get(match.group(1)) if match else None
    salt, expected = (key.salt, key.digest) if key else ("00" * 16, "00" * 32)
    same = hmac.compare_digest(_digest(salt, match.group(2) if match else ""), expected)
    return key if key is not None and same and not key.revoked else None


def new(
    project: Project | Path | None = None,
    *,
    name: str = "",
    models: tuple[str, ...] = (),
    rate: str = "",
    admin: bool = False,
) -> Report:
    """Make a key and show it once: only its digest is kept.

    Args:
        name: Who or what it is for.
        models: Models it may use; all when left out.
        rate: Most requests, such as 60/min or 1000/h; no limit of its own when left out.
        admin: May also read /metrics and the admin view, and reload models.
    """
    match = _RATE.fullmatch(rate) if rate else None
    if rate and (not match or not int(match.group(1))):
        raise UsageError(f'rate "{rate}" is not a number of requests a time; write 60/min, 5/s, 1000/h or 5000/day')
    a_minute = int(match.group(1)) * 60 / _SECONDS[(match.group(2) or "min")[0]] if match else 0.0
    if len(name) > 200:
        raise UsageError("the name of a key holds at most 200 characters")
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    with _editing(store(project)) as keys:
        number = secrets.token_hex(6)
        keys[number] = Key(number, name, salt, _digest(salt, secret), tuple(models), a_minute, admin, time.time())
    text = f"{PREFIX}{number}-{secret}"
    row = {"key": text, **keys[number].public()}
    return Report("Key", f"{text}\n\nKeep it now: it is not stored and cannot be shown again.", data=row)


def list(project: Project | Path | None = None) -> Report:
    """List the keys, without their secrets."""
    keys = sorted(load(store(project)).values(), key=lambda k: (k.created, k.id))
    rows = tuple(
        (
            k.id,
            k.name,
            ", ".join(k.models) or "all",
            f"{k.rate:g}/min" if k.rate else "no limit",
            "yes" if k.admin else "no",
            time.strftime("%Y-%m-%d", time.gmtime(k.created)),
            "revoked" if k.revoked else "valid",
        )
        for k in keys
    )
    summary = f"{len(rows)} key(s)." if rows else "There are no keys; type: mirim keys new"
    table = Table("", ("id", "name", "models", "rate", "admin", "made", "state"), rows)
    return Report("Keys", summary, (table,) if rows else (), data={"keys": [k.public() for k in keys]})


def revoke(id: str, project: Project | Path | None = None) -> Report:
    """Make a key useless from now on; running servers notice within a second.

    Args:
        id: The key's id, or the key itself.
    """
    match = _KEY.fullmatch(id.strip())
    wanted = match.group(1) if match else id.strip().removeprefix(PREFIX)
    with _editing(store(project)) as keys:
        if wanted not in keys:
            raise UsageError(f'no key "{wanted[:40]}" in {store(project)}; mirim keys list shows them')
        if not keys[wanted].revoked:
            keys[wanted] = replace(keys[wanted], revoked=time.time())
    return Report("Key revoked", f"{wanted} is revoked.", data=keys[wanted].public())


def _digest(salt: str, secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode("utf-8", "replace")).hexdigest()


@contextlib.contextmanager
def _editing(path: Path) -> Iterator[dict[str, Key]]:
    """The keys to change, written back at the end; one process at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        raise explain(error, path) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = load(path)
        yield keys
        rows = [{**asdict(k), "models": [*k.models]} for k in sorted(keys.values(), key=lambda k: k.id)]
        write_json(path, {"keys": rows})
        os.chmod(path, 0o600)


class Watched:
    """The keys of a running server: files are read again when they change, looked at once a second."""

    def __init__(self, *paths: Path, interval: float = 1.0) -> None:
        self.paths, self._interval = tuple(dict.fromkeys(paths)), interval
        self._looked = 0.0
        self._states: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, dict[str, Key]] = {}
        #: Files that are there and cannot be read: who shows one of their keys has done nothing wrong.
        self.broken: set[Path] = set()

    def find(self, text: str) -> Key | None:
        """The valid key that `text` is. A file that cannot be read grants nothing: former keys do not live on."""
        now = time.monotonic()
        if now - self._looked >= self._interval or not self._looked:
            self._looked = now
            for path in self.paths:
                self._refresh(path)
        return find({id: key for keys in self._keys.values() for id, key in keys.items()}, text)

    def any(self) -> bool:
        """Whether there is a key that is not revoked."""
        return any(not key.revoked for path in self.paths for key in load(path).values())

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
            state = (status.st_mtime_ns, status.st_ino)
        except OSError:
            state = (0, 0)
        if state != self._states.get(path):
            # Not the former state either: the former file may come back.
            self._keys[path] = {}
            self._states.pop(path, None)
            try:
                self._keys[path], self._states[path] = load(path), state
                self.broken.discard(path)
            except MirimError as error:
                if path not in self.broken:
                    log.error("no key of %s counts: %s", path.name, error)
                self.broken.add(path)


app = App(
    name="keys",
    help="Keys of the server.",
    help_format="plaintext",
    default_parameter=Parameter(parse="^(?!project$)"),
)
for _function in (new, list, revoke):
    app.command(_function)
