"""One source file, all the way to its document on disk and its rows for the index.

Everything here can run in another process: it takes and gives plain JSON values.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError
from mirim.core.files import sha256_file, writing
from mirim.core.types import Document
from mirim.documents import kinds, spool, store
from mirim.documents.draft import Refused
from mirim.documents.extract import extract, tag
from mirim.documents.indexing import Row, rows

#: Characters of a document whose rows go by way of the disk.
_LARGE = 4_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with one file.

    origin   the file itself; outside `sources` when it is to be copied there once it proves readable
    indexed  digest of the document file that the index has rows of, '' when none
    """

    source: str
    origin: str
    sources: str
    documents: str
    indexed: str = ""
    language: str = ""
    licence: str = ""
    max_bytes: int = 0
    passage_words: int = 180


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it.

    state      'new', 'changed', 'unchanged', 'edited' (a person's text was kept) or 'refused'
    findings   (severity, what, what to do)
    about      what the index says of the document; `rows` its passages, None when the index has them already
    spooled    the file that the rows of a large document lie in
    """

    source: str
    id: str
    state: str
    findings: list[tuple[str, str, str]]
    about: dict[str, Any]
    rows: list[Row] | None = None
    spooled: str = ""
    size: int = 0
    characters: int = 0
    fatal: str = ""


def work(job: Job) -> Done:
    """Do a job. A file that cannot be read comes back as 'refused' with the reason, never as an exception.

    `fatal` carries what must stop the whole ingest: a full disk, a missing library, no permission to write.
    """
    id = store.identify(job.source)
    try:
        return _work(job, id)
    except Refused as error:
        return Done(job.source, id, "refused", [("error", str(error), "")], {})
    except MirimError as error:
        return Done(job.source, id, "refused", [("error", str(error), "")], {}, fatal=type(error).__name__)


def _work(job: Job, id: str) -> Done:
    origin, documents = Path(job.origin), Path(job.documents)
    size = _check(origin, job.max_bytes)
    kept = _stored(documents, id)
    findings: list[tuple[str, str, str]] = []
    path = store.path_of(documents, id)
    try:
        digest = sha256_file(origin)
        if kept is not None and kept.edited:
            _copy(job, digest)
            return _indexed(job, kept.document, "edited", [_edit(kept, digest, path)], size)
        reader, notes = kinds.choose(origin)
    except OSError as error:
        raise _unreadable(error) from error
    made_by = tag(reader, job.language)
    same = kept is not None and kept.document.sha256 == digest and kept.reader == made_by
    if kept is not None and same and (kept.renamed or not job.licence or kept.document.licence == job.licence):
        return _indexed(job, kept.document, "unchanged", [], size)
    document, more = extract(origin, job.source, reader, language=job.language, licence=job.licence, sha256=digest)
    if kept is not None and kept.renamed:
        held = kept.document
        document = replace(document, title=held.title, language=held.language, licence=held.licence)
        findings.append(("info", "title, language or licence were set by hand in its document and are kept", ""))
    aside = next(store.asides(documents, id))
    if kept is None and aside.is_file():
        findings.append(
            (
                "warning",
                f"was removed once with a person's edit in it, which lies in {aside}",
                f"to take the edit again, move it to {path}",
            )
        )
    findings += [("info" if "named" in note else "warning", note, "") for note in notes + more]
    _copy(job, digest)
    store.save(documents, document, made_by)
    return _indexed(job, document, "new" if kept is None else "changed", findings, size)


def _check(origin: Path, limit: int) -> int:
    try:
        os.fsencode(origin).decode("utf-8")
        facts = origin.stat()
    except UnicodeDecodeError as error:
        raise Refused("has a name that is not UTF-8; rename it") from error
    except OSError as error:
        raise _unreadable(error) from error
    if not stat.S_ISREG(facts.st_mode):
        raise Refused("is not a regular file")
    if limit and facts.st_size > limit:
        raise Refused(
            f"is {math.ceil(facts.st_size / 1e6)} MB, more than max_megabytes = {limit // 1_000_000}; "
            "split it or raise the limit"
        )
    return facts.st_size


def _unreadable(error: OSError) -> Refused:
    reasons = {
        errno.EACCES: "may not be read by this user; change its permissions",
        errno.EPERM: "may not be read by this user; change its permissions",
        errno.ELOOP: "is a link that leads back to itself",
        errno.ENOENT: "is a link to a file that does not exist, or was taken away meanwhile",
    }
    return Refused(reasons.get(error.errno or 0, f"cannot be read: {error.strerror or error}"))


def _stored(documents: Path, id: str) -> store.Stored | None:
    if not store.path_of(documents, id).is_file():
        return None
    try:
        return store.read(documents, id)
    except MirimError as error:
        # Not UTF-8: a person saved it so; taking it for lost would lose an edit.
        raise Refused(str(error)) from error


def _edit(kept: store.Stored, digest: str, path: Path) -> tuple[str, str, str]:
    if kept.document.sha256 not in ("", digest):
        return (
            "warning",
            "its document was edited by a person and the source has changed since; the edit is kept",
            f"to take the new text delete {path} and type: mirim ingest",
        )
    return ("info", f"{path.name} was edited by a person; the edit is kept", "")


def _copy(job: Job, digest: str) -> None:
    """Bring a file from outside into sources/, whole or not at all."""
    target = Path(job.sources) / job.source
    if Path(job.origin) == target:
        return
    with Path(job.origin).open("rb") as stream, writing(target, "wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    if sha256_file(target) != digest:
        target.unlink()
        raise Refused("changed while it was being read; run again")


def _indexed(job: Job, document: Document, state: str, findings: list[tuple[str, str, str]], size: int) -> Done:
    digest = sha256_file(store.path_of(Path(job.documents), document.id))
    about = {
        "id": document.id,
        "digest": digest,
        "source": job.source,
        "title": document.title,
        "language": document.language,
    }
    done = Done(job.source, document.id, state, findings, about, size=size, characters=len(document.text))
    if digest == job.indexed:
        return done
    found = rows(document, job.passage_words)
    if len(document.text) <= _LARGE:
        return replace(done, rows=list(found))
    return replace(done, spooled=str(spool.write(Path(job.documents).parent, found)))


def to_json(value: Job | Done) -> dict[str, Any]:
    return asdict(value)
