"""Files written whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from mirim.core.errors import MirimError, UsageError
from mirim.core.extras import need


@contextlib.contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary sibling of `path`; on a clean exit sync it and rename it into place.

    On any error the temporary file is removed and `path` keeps what it held.
    """
    binary = "b" in mode
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    except OSError as error:
        raise explain(error, path) from error
    try:
        with os.fdopen(handle, mode, encoding=None if binary else "utf-8", newline=None if binary else "") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise explain(error, path) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, newlines untouched."""
    with writing(path) as stream:
        stream.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    with writing(path, "wb") as stream:
        stream.write(data)


def write_json(path: Path, value: object) -> None:
    """Write readable JSON with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object a line; return how many."""
    count = 0
    with writing(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
            count += 1
    return count


def read_json(path: Path) -> Any:
    """The value of a JSON file, with or without a byte order mark; UsageError when it is none."""
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise explain(error, path) from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is not JSON that can be read: its lists or objects are nested too deeply") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where its name ends in .zst or .zstd.

    UsageError when it is not there, or not whole as what its name says.
    """
    broken: tuple[type[Exception], ...] = ()
    try:
        with path.open("rb") as raw:
            stream: Any = raw
            if path.suffix.lower() in (".zst", ".zstd"):
                zstandard = need("zstandard", "train")
                broken = (zstandard.ZstdError,)
                stream = io.BufferedReader(_Unpacked(raw, zstandard))
            yield stream
    except OSError as error:
        raise explain(error, path) from error
    except broken as error:
        raise UsageError(f"{path} is not whole as Zstandard data ({error}); pack or fetch it again") from error


class _Unpacked(io.RawIOBase):
    """Zstandard frames, one after the other. The package's own reader takes a cut-off file for one that has ended."""

    def __init__(self, raw: BinaryIO, zstandard: Any) -> None:
        self.raw, self.zstandard = raw, zstandard
        self.frame: Any = None
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, to: Any) -> int:
        while not self.ready:
            packed = self.frame.unused_data if self.frame and self.frame.eof else b""
            packed = packed or self.raw.read(1 << 17)
            if not packed:
                if self.frame and not self.frame.eof:
                    raise self.zstandard.ZstdError("it ends in the middle")
                return 0
            if self.frame is None or self.frame.eof:
                self.frame = self.zstandard.ZstdDecompressor().decompressobj()
            self.ready = memoryview(self.frame.decompress(packed))
        count = min(len(to), len(self.ready))
        to[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file, also .zst; UsageError names the file and the line that is broken."""
    for _, row in numbered_jsonl(path):
        yield row


def numbered_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The same with the number of each line; blank lines are passed over, and counted."""
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if not text.strip():
                    continue
                row = json.loads(text)
                if not isinstance(row, dict):
                    raise ValueError(f"expected an object, found {type(row).__name__}")
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path} line {number}: not a JSON object: {error}") from error
            yield number, row


@contextlib.contextmanager
def alone(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `path`, which the system lets go of when a process dies; MirimError says `busy` where another
    process holds it. Windows, and disks without locks, as some over a network are, have none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise explain(error, path) from error
    with stream:
        try:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MirimError(busy) from error
        except (ImportError, OSError):
            pass
        yield


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: object) -> str:
    """Hex digest of a value's canonical JSON: the fingerprint of settings and of lists of hashes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    # A file's name need not be UTF-8; Python then holds halves of surrogate pairs.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def explain(error: OSError, path: Path) -> MirimError:
    """Turn an operating system error about `path` into one that says what to do."""
    # numpy counts what did not fit and gives no number of the error.
    if error.errno == errno.ENOSPC or (error.errno is None and "requested and" in str(error)):
        return MirimError(
            f"no space left on the disk that holds {path}; nothing was half-written: free some and run again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UsageError(f"no permission for {path}; change its owner or choose another folder")
    if error.errno == errno.ENOENT:
        return UsageError(f"{path} does not exist")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UsageError(f"{path} lies under what is no folder: a file, or a link that leads nowhere")
    if error.errno == errno.EISDIR:
        return UsageError(f"{path} is a folder, a file was expected")
    if error.errno == errno.EFBIG:
        return MirimError(f"{path} would be larger than this disk or `ulimit -f` allows; raise it and run again")
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"the name {max(path.parts, key=len)[:60]}… is too long for this disk")
    return MirimError(f"{path}: {error.strerror or error}")
