"""Which files there are: what lies in sources/ and what is to be brought in, as a sorted list on disk.

The list is a temporary SQLite table, so that a hundred thousand names take no memory.
"""

from __future__ import annotations

import filecmp
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from mirim.core.errors import UsageError
from mirim.core.files import explain
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.documents.store import identify

_SKIPPED = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
#: Folders beside source code that hold other people's, or what was made of it.
_MADE = frozenset({"node_modules", "bower_components", "site-packages", "__pycache__"})


class Intake:
    """`source` (path below sources/) → `origin` (the file), sorted by source; refusals in `findings`."""

    def __init__(self, project: Project, replace: bool) -> None:
        self.project, self.replace = project, replace
        self.findings: list[Finding] = []
        #: Links in sources/ that lead out of the project.
        self._outward: set[str] = set()
        #: Folders of sources/ that could not be looked into, with '/' at the end; '' is sources/ itself.
        self._unread: list[str] = []
        # An empty name is a private database in a temporary file.
        self._db = sqlite3.connect("")
        self._db.execute("CREATE TABLE files (source TEXT PRIMARY KEY, id TEXT, origin TEXT) WITHOUT ROWID")
        self._db.execute("CREATE INDEX by_id ON files (id)")

    def close(self) -> None:
        self._db.close()

    def scan(self) -> None:
        """List what lies in sources/."""
        root, real = self.project.sources, os.path.realpath(self.project.sources)
        if root.is_dir():
            if not _within(real, [str(self.project.root)]):
                what = f"is a link to {_shown(real)}; what lies there is taken"
                self.findings.append(Finding("info", "sources/", what))
            # What lies elsewhere in the project came with it, as sources/ itself did.
            for path in self._walk(root, "", [real, str(self.project.root)]):
                self._put(path.relative_to(root).as_posix(), path)
        elif root.is_symlink():
            self._unread.append("")
            self.refuse("sources/", f"is a link to {_shown(real)}, which is not there; its documents are kept")

    def bring(self, given: Path) -> None:
        """List a file or folder from outside for copying: a file by its name, a folder with its layout.

        What is named is taken, be it a link; links inside a folder are as long as they stay in it. A file whose place
        in sources/ holds another file is refused unless `replace`; equal files are one.
        """
        path = Path(os.path.abspath(given.expanduser()))
        sources = self.project.sources
        try:
            if not path.exists() and not path.is_symlink():
                hint = "; download it, and name the file" * bool(re.match(r"\w+:/", str(given)))
                raise UsageError(f"{path} does not exist{hint}")
            if path.is_dir():
                os.listdir(path)
        except OSError as error:
            raise explain(error, path) from error
        if _passed_over(path.name) and path != sources:
            raise UsageError(f"{path} is named as hidden and temporary files are, which sources/ leaves out; rename it")
        if below(path, sources):
            return
        if path.is_dir() and sources.is_relative_to(os.path.realpath(path)):
            raise UsageError(f"{path} holds the project {self.project.root}; name the folder of documents inside it")
        if path.is_dir():
            name = path.name or "sources"
            for file in self._walk(path, f"{name}/", [os.path.realpath(path)]):
                self._bring(file, f"{name}/{file.relative_to(path).as_posix()}")
        else:
            self._bring(path, path.name)

    def _bring(self, file: Path, source: str) -> None:
        if not self._named(source):
            return
        if what := self._in_the_way(source):
            self.refuse(_shown(str(file)), f"was not taken: sources/{what}", "rename or remove one")
            return
        target = self.project.sources / source
        row = self._db.execute("SELECT origin FROM files WHERE source = ?", (source,)).fetchone()
        held = Path(row[0]) if row else target if os.path.lexists(target) else None
        if held is None:
            self._put(source, file)
        elif not _same(held, file):
            if self.replace and held == target and target.is_file():
                self._put(source, file)
                return
            self.refuse(
                source if held == target else _shown(str(file)),
                f"{file} was not taken: {held} is another file of the same name",
                "rename one, or use --replace to take the new one" if held == target else "rename one",
            )

    def _in_the_way(self, source: str) -> str:
        """What stands in sources/ where a file could not be copied to, '' when nothing does."""
        for link in self._outward:
            if f"{source}/".startswith(f"{link}/"):
                # Copying would write where the link leads.
                return f"{link} is a link that leads out of the project"
        place = self.project.sources
        for above in map(str, list(PurePosixPath(source).parents)[:-1]):
            known = self._db.execute("SELECT 1 FROM files WHERE source = ?", (above,)).fetchone()
            if known or (os.path.lexists(place / above) and not os.path.isdir(place / above)):
                return f"{above} is a file, not a folder"
        # '0' is the character after '/'.
        inside = self._db.execute("SELECT 1 FROM files WHERE source > ? AND source < ?", (f"{source}/", f"{source}0"))
        return f"{source} is a folder" if inside.fetchone() or os.path.isdir(place / source) else ""

    def refuse(self, where: str, what: str, do: str = "") -> None:
        self.findings.append(Finding("error", where, what, do))

    def _refuse_link(self, path: str, source: str, copied: bool) -> None:
        link, to = shlex.quote(_shown(path)), _shown(os.path.realpath(path))
        if copied:
            what, do = "the folder that was named", f"type: mirim ingest {link} {self.project.flag}"
        else:
            what, do = "the project", f"type: rm {link} && mirim ingest {shlex.quote(to)} {self.project.flag}"
            self._outward.add(source)
        self.refuse(_shown(source), f"is a link that leads out of {what}, to {to}", f"to take it all the same, {do}")

    def _named(self, source: str) -> bool:
        """Whether a name can be stored as text; refused where it cannot."""
        try:
            source.encode()
        except UnicodeEncodeError:
            self.refuse(_shown(source), "has a name that is not UTF-8", "rename it")
            return False
        return True

    def _put(self, source: str, origin: Path) -> None:
        if self._named(source):
            self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (source, identify(source), str(origin)))

    def _walk(self, root: Path, prefix: str, bounds: list[str]) -> Iterator[Path]:
        """Files below a folder, hidden and temporary ones left out; `prefix` stands before their names in sources/.

        Links are followed once, and only to what lies below `bounds`: a folder of somebody else's may hold links to
        private files of this machine. One that leads back to the project must not bring in what was made of it.
        """
        waiting, seen = [str(root)], set()
        for own in (self.project.root, self.project.root / "data"):
            with suppress(OSError):
                facts = os.stat(own)
                seen.add((facts.st_dev, facts.st_ino))
        while waiting:
            folder = waiting.pop()
            try:
                facts = os.stat(folder)
                if (facts.st_dev, facts.st_ino) in seen:
                    continue
                seen.add((facts.st_dev, facts.st_ino))
                names = sorted(os.listdir(folder))
            except OSError as error:
                place = os.path.relpath(folder, root)
                kept = "" if prefix else "; its documents are kept"
                self.refuse(_shown(prefix + place), f"cannot be read: {error.strerror}{kept}")
                if not prefix:
                    self._unread.append("" if place == "." else f"{place}/")
                continue
            below = []
            for name in names:
                if _passed_over(name):
                    continue
                path = os.path.join(folder, name)
                # One that leads nowhere is refused as that.
                if os.path.islink(path) and os.path.exists(path) and not _within(os.path.realpath(path), bounds):
                    self._refuse_link(path, prefix + os.path.relpath(path, root), bool(prefix))
                elif os.path.isdir(path) and name in _MADE:
                    what = "was left out: it holds libraries, or what programs made"
                    self.findings.append(Finding("info", f"{_shown(prefix + os.path.relpath(path, root))}/", what))
                elif os.path.isdir(path):
                    below.append(path)
                else:
                    yield Path(path)
            waiting += reversed(below)

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM files").fetchone()[0])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(source, origin), sorted by source."""
        last = ""
        while True:
            page = self._db.execute(
                "SELECT source, origin FROM files WHERE source > ? ORDER BY source LIMIT 500", (last,)
            ).fetchall()
            if not page:
                return
            yield from page
            last = page[-1][0]

    def holds(self, id: str) -> bool:
        """Whether some listed file has this document id."""
        return self._db.execute("SELECT 1 FROM files WHERE id = ? LIMIT 1", (id,)).fetchone() is not None

    def unknown(self, source: str) -> bool:
        """Whether a source that is not listed may still be there."""
        return source.startswith(tuple(self._unread))

    def size(self, most: int) -> int:
        """Bytes of all files together, counted until they exceed `most`."""
        total = 0
        for _, origin in self:
            with suppress(OSError):
                total += os.stat(origin).st_size
            if total > most:
                break
        return total


def below(path: Path, sources: Path) -> str:
    """Where a path lies in sources/, links followed; '' when it lies elsewhere, '.' when it is the folder itself."""
    for one, folder in ((path, sources), (Path(os.path.realpath(path)), Path(os.path.realpath(sources)))):
        if one.is_relative_to(folder):
            return one.relative_to(folder).as_posix()
    return ""


def _passed_over(name: str) -> bool:
    """Whether a file is one of those that systems and programs keep for themselves."""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in _SKIPPED


def _within(path: str, bounds: list[str]) -> bool:
    return any(Path(path).is_relative_to(bound) for bound in bounds)


def _shown(path: str) -> str:
    """A path as it can be printed, whatever its bytes."""
    return os.fsencode(path).decode("utf-8", "replace")


def _same(a: Path, b: Path) -> bool:
    try:
        return filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False
