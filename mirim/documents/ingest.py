"""`mirim ingest`: files of any format become documents and a search index; only what changed is done again."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mirim.core import errors
from mirim.core.database import explained
from mirim.core.errors import MirimError, UsageError
from mirim.core.files import explain
from mirim.core.progress import bar
from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import verb
from mirim.documents import kinds, store
from mirim.documents import workers as crew
from mirim.documents.indexing import Writer
from mirim.documents.intake import Intake, below
from mirim.documents.job import Done, Job
from mirim.documents.passages import LEAST, MOST

#: Documents and characters that go to the index in one transaction.
_BATCH, _CHARACTERS = 400, 4_000_000

#: Up to this many bytes of plain formats are read in this process: starting others would take longer.
_SMALL = 2_000_000

_MOST_WORKERS = 256


@dataclass(slots=True)
class _Tally:
    """What happened so far."""

    states: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    bytes: int = 0
    characters: int = 0


@verb
def ingest(
    project: Project,
    *paths: Path,
    replace: bool = False,
    max_megabytes: int = 200,
    max_seconds: int = 300,
    passage_words: int = MOST,
    workers: int = 0,
) -> Report:
    """Turn files of any format into documents and a search index; only what changed is done again.

    Args:
        paths: Files and folders to copy into sources/ first; links inside a folder are followed only as far as they
            stay in it. Without any, sources/ is looked through again.
        replace: Take a new file whose name another file in sources/ already has.
        max_megabytes: Files larger than this are refused.
        max_seconds: A file that takes longer to read is refused.
        passage_words: Longest passage, in words.
        workers: Processes that read files side by side; 0 chooses by the machine and the work.
    """
    for name, value, least in (
        ("max_megabytes", max_megabytes, 1),
        ("max_seconds", max_seconds, 1),
        ("passage_words", passage_words, LEAST // 3),
        ("workers", workers, 0),
    ):
        if value < least:
            raise UsageError(f"{name} = {value} is too small; it is at least {least}")
    if workers > _MOST_WORKERS:
        raise UsageError(f"workers = {workers} is too many; at most {_MOST_WORKERS}, and 0 chooses by the machine")
    started = time.monotonic()
    with _alone(project), contextlib.closing(Intake(project, replace)) as intake:
        _sweep(project)
        intake.scan()
        for path in paths:
            intake.bring(Path(path))
        with (
            explained(project.index, "delete it and type: mirim ingest"),
            contextlib.closing(Writer(project.index, f"passages {passage_words}")) as writer,
        ):
            tally = _Tally(findings=intake.findings)
            tally.refused += [{"source": f.where, "reason": f.what} for f in intake.findings]
            tally.states["refused"] += intake.refused
            settings = _Settings(max_megabytes * 1_000_000, max_seconds, passage_words, workers)
            _update(project, intake, writer, settings, tally)
            _drop(project, intake, writer, tally)
            changed = sum(tally.states[s] for s in ("new", "changed", "removed"))
            writer.finish(tidy=changed > 50)
            counts = writer.counts()
        report = _report(project, tally, counts, time.monotonic() - started)
        return _conclude(project, [Path(p) for p in paths], report, tally, len(intake))


@dataclass(frozen=True, slots=True)
class _Settings:
    max_bytes: int
    seconds: int
    passage_words: int
    workers: int


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    """One ingest at a time in a project; the system lets go of the lock when a process dies."""
    path = project.root / "data" / ".ingest.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise explain(error, path) from error
    with stream:
        try:
            import fcntl
        except ImportError:  # Windows: SQLite's own lock still keeps the index whole
            yield
            return
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise MirimError(f"another ingest of {project.root} is running; wait for it and run again") from error
        yield


def _sweep(project: Project) -> None:
    """Half-written files of a run that was killed."""
    for folder in (project.documents, project.sources):
        if folder.is_dir():
            for path in folder.rglob(".tmp-*"):
                with contextlib.suppress(OSError):
                    path.unlink()


def _update(project: Project, intake: Intake, writer: Writer, settings: _Settings, tally: _Tally) -> None:
    """Read every file that is new or changed; bring the index up to date in batches."""
    total = len(intake)
    if not total:
        return
    count = settings.workers or _crew(intake, total)
    language, licence = str(project.get("language")), str(project.get("licence"))
    jobs = (
        Job(
            source=source,
            origin=origin,
            sources=str(project.sources),
            documents=str(project.documents),
            indexed=writer.digest(store.identify(source)),
            language=language,
            licence=licence,
            max_bytes=settings.max_bytes,
            passage_words=settings.passage_words,
        )
        for source, origin in intake
    )
    batch: list[Done] = []
    characters = 0
    with bar("ingest", total) as task:
        for done in crew.run(jobs, count, settings.seconds):
            task.advance(1, note=done.source[-40:])
            if done.fatal:
                _put(writer, batch)
                raise getattr(errors, done.fatal, MirimError)(done.findings[0][1])
            _note(tally, done)
            if done.state == "refused":
                _forget(project, writer, done, tally)
            elif done.rows is not None:
                batch.append(done)
                characters += done.characters
            if len(batch) >= _BATCH or characters >= _CHARACTERS:
                _put(writer, batch)
                batch, characters = [], 0
    _put(writer, batch)


def _crew(intake: Intake, total: int) -> int:
    """How many processes: none for a little plain text, otherwise as many as there are cores and files."""
    plain = all(not kinds.isolated(Path(origin)) for _, origin in intake)
    if plain and intake.size(_SMALL) <= _SMALL:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # One more than there are cores: while one waits for the disk another works.
    return max(1, min(cores + 1, 16, (total + 7) // 8))


def _put(writer: Writer, batch: list[Done]) -> None:
    if batch:
        writer.begin()
        writer.put((d.about, d.rows or []) for d in batch)
        writer.commit()


def _note(tally: _Tally, done: Done) -> None:
    tally.states[done.state] += 1
    tally.bytes += done.size
    tally.characters += done.characters
    tally.findings += [Finding(severity, done.source, what, do) for severity, what, do in done.findings]  # type: ignore[arg-type]
    if done.state == "refused":
        tally.refused.append({"source": done.source, "reason": done.findings[0][1]})


def _forget(project: Project, writer: Writer, done: Done, tally: _Tally) -> None:
    """A source that can no longer be read has no document, unless a person's edit stands in it."""
    try:
        store.read(project.documents, done.id)
    except MirimError:
        # The document is at fault, not its source: it stays where the person will save it again.
        writer.remove(done.id)
        return
    _remove(project, writer, done.id, tally, "its source can no longer be read")


def _drop(project: Project, intake: Intake, writer: Writer, tally: _Tally) -> None:
    """Documents and index rows whose source is gone."""
    for id in store.walk(project.documents):
        if not intake.holds(id):
            _remove(project, writer, id, tally, "its source is gone")
            tally.states["removed"] += 1
    for id in writer.ids():
        if not store.path_of(project.documents, id).is_file():
            writer.remove(id)
    writer.commit()


def _remove(project: Project, writer: Writer, id: str, tally: _Tally, why: str) -> None:
    path = store.path_of(project.documents, id)
    try:
        if path.is_file():
            if _edited(project.documents, id):
                # What a person wrote is never deleted; it only leaves the corpus.
                aside = project.root / "data" / "removed" / path.name
                aside.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, aside)
                tally.findings.append(
                    Finding("warning", id, f"was edited by a person and {why}; moved to {aside}", "keep or delete it")
                )
            else:
                path.unlink()
    except OSError as error:
        raise explain(error, path) from error
    writer.remove(id)


def _edited(documents: Path, id: str) -> bool:
    try:
        return store.read(documents, id).edited
    except MirimError:
        return True


def _report(project: Project, tally: _Tally, counts: tuple[int, int], seconds: float) -> Report:
    documents, passages = counts
    states = {s: tally.states[s] for s in ("new", "changed", "unchanged", "edited", "removed", "refused")}
    findings = tuple(sorted(tally.findings, key=lambda f: (f.where, f.severity, f.what)))
    tally.refused.sort(key=lambda r: (r["source"], r["reason"]))
    summary = (
        f"{documents} documents in {passages} passages, {tally.bytes / 1e6:.1f} MB read in {seconds:.1f} s. "
        f"Next, type: mirim audit {project.flag}   or: mirim build {project.flag}"
    )
    return Report(
        f"Ingested {project.name}",
        summary,
        (Table("Files", tuple(states), (tuple(states.values()),)),),
        findings,
        data={
            "documents": documents,
            "passages": passages,
            **states,
            "refusals": tally.refused,
            "megabytes": round(tally.bytes / 1e6, 3),
            "seconds": round(seconds, 3),
        },
    )


def _conclude(project: Project, paths: list[Path], report: Report, tally: _Tally, total: int) -> Report:
    if not total and not tally.refused:
        raise UsageError(f"{project.sources} holds no files yet; put documents there, or type: mirim ingest PATH")
    if len(paths) == 1 and not paths[0].expanduser().is_dir():
        path = Path(os.path.abspath(paths[0].expanduser()))
        source = below(path, project.sources) or path.name
        for row in tally.refused:
            if row["source"] == source:
                raise MirimError(f"{paths[0]}: {row['reason']}", report=report)
        return _with_document(project, report, store.identify(source))
    read = sum(tally.states[s] for s in ("new", "changed", "unchanged", "edited"))
    if not read:
        first = tally.refused[0]
        raise MirimError(
            f"none of the {len(tally.refused)} files could be read; the first: {first['source']}: {first['reason']}",
            report=report,
        )
    return report


def _with_document(project: Project, report: Report, id: str) -> Report:
    """The report of one file also shows its document."""
    row: dict[str, Any] = asdict(store.load(project.documents, id))
    row.pop("sections")
    summary = f"{report.summary}\n\n{row['source']} → {store.path_of(project.documents, id)}"
    return Report(report.title, summary, report.tables, report.findings, data={**row, **report.data})
