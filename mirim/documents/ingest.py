"""`mirim ingest`: files of many formats become documents and a search index; only what changed is done again."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mirim.core import errors
from mirim.core.database import explained
from mirim.core.errors import MirimError, UsageError
from mirim.core.files import alone, explain
from mirim.core.progress import bar
from mirim.core.project import Project
from mirim.core.report import Finding, Report
from mirim.core.verbs import verb
from mirim.documents import kinds, spool, store
from mirim.documents import workers as crew
from mirim.documents.indexing import Writer
from mirim.documents.intake import Intake, below
from mirim.documents.job import Done, Job
from mirim.documents.passages import LEAST, MOST
from mirim.documents.tally import Tally

#: Documents and characters that go to the index in one transaction.
_BATCH, _CHARACTERS = 400, 4_000_000

#: Up to this many bytes of plain formats are read in this process: starting others would take longer.
_SMALL = 2_000_000

_MOST_WORKERS = 256


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
    """Turn files (text, HTML, PDF, Office, OpenDocument, mail, e-books, CSV) into documents and a search index.

    Only what changed is done again.

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
    busy = f"another ingest of {project.root} is running; wait for it and run again"
    with alone(project.root / "data" / ".ingest.lock", busy), contextlib.closing(Intake(project, replace)) as intake:
        _sweep(project)
        intake.scan()
        for path in paths:
            intake.bring(Path(path))
        with (
            explained(project.index, "delete it and type: mirim ingest"),
            contextlib.closing(Writer(project.index, f"passages {passage_words}")) as writer,
        ):
            tally = Tally(intake.findings)
            settings = _Settings(max_megabytes * 1_000_000, max_seconds, passage_words, workers)
            _update(project, intake, writer, settings, tally)
            _drop(project, intake, writer, tally)
            changed = sum(tally.states[s] for s in ("new", "changed", "removed"))
            writer.finish(tidy=changed > 50)
            counts = writer.counts()
        report = tally.report(project, counts, time.monotonic() - started)
        return _conclude(project, [Path(p) for p in paths], report, tally, len(intake))


@dataclass(frozen=True, slots=True)
class _Settings:
    max_bytes: int
    seconds: int
    passage_words: int
    workers: int


def _sweep(project: Project) -> None:
    """Half-written files of a run that was killed."""
    for folder in (project.documents, project.sources):
        if folder.is_dir():
            # As tempfile names them: a person may name a file .tmp-something too.
            for path in folder.rglob(f".tmp-{'[a-z0-9_]' * 8}"):
                with contextlib.suppress(OSError):
                    path.unlink()
    spool.sweep(project.index.parent)


def _update(project: Project, intake: Intake, writer: Writer, settings: _Settings, tally: Tally) -> None:
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
            tally.note(done)
            if done.state == "refused":
                _forget(project, writer, done, tally)
            elif done.rows is not None or done.spooled:
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
        spooled = [Path(d.spooled) for d in batch if d.spooled]
        try:
            writer.begin()
            writer.put((d.about, spool.read(Path(d.spooled)) if d.spooled else d.rows or []) for d in batch)
            writer.commit()
        finally:
            for path in spooled:
                path.unlink(missing_ok=True)


def _forget(project: Project, writer: Writer, done: Done, tally: Tally) -> None:
    """A source that can no longer be read has no document, unless a person's edit stands in it."""
    try:
        store.read(project.documents, done.id)
    except MirimError:
        # The document is at fault, not its source: it stays where the person will save it again.
        writer.remove(done.id)
        return
    _remove(project, writer, done.id, tally, "its source can no longer be read")


def _drop(project: Project, intake: Intake, writer: Writer, tally: Tally) -> None:
    """Documents and index rows whose source is gone."""
    for id in store.walk(project.documents):
        if not intake.holds(id) and not intake.unknown(_source(project.documents, id)):
            _remove(project, writer, id, tally, "its source is gone")
            tally.states["removed"] += 1
    for id in writer.ids():
        if not store.path_of(project.documents, id).is_file():
            writer.remove(id)
    writer.commit()


def _remove(project: Project, writer: Writer, id: str, tally: Tally, why: str) -> None:
    path = store.path_of(project.documents, id)
    try:
        if path.is_file():
            if _edited(project.documents, id):
                # What a person wrote is never deleted; it only leaves the corpus.
                aside = next(a for a in store.asides(project.documents, id) if not a.exists())
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


def _source(documents: Path, id: str) -> str:
    try:
        return store.read(documents, id).document.source
    except MirimError:
        return ""


def _edited(documents: Path, id: str) -> bool:
    try:
        kept = store.read(documents, id)
        return kept.edited or kept.renamed
    except MirimError:
        return True


def _conclude(project: Project, paths: list[Path], report: Report, tally: Tally, total: int) -> Report:
    if not total and not tally.refused:
        raise UsageError(f"{project.sources} holds no files yet; put documents there, or type: mirim ingest PATH")
    if len(paths) == 1 and not paths[0].expanduser().is_dir():
        path = Path(os.path.abspath(paths[0].expanduser()))
        source = below(path, project.sources) or path.name
        for row in tally.refused:
            if row["source"] == source:
                raise MirimError(f"{paths[0]}: {row['reason']}", report=report)
        return _with_document(project, report, source)
    read = sum(tally.states[s] for s in ("new", "changed", "unchanged", "edited"))
    if not read:
        first = tally.refused[0]
        raise MirimError(
            f"none of the {len(tally.refused)} files could be read; the first: {first['source']}: {first['reason']}",
            report=report,
        )
    return report


@dataclass(frozen=True, slots=True)
class _OfOne(Report):
    """The report of one file: as JSON it shows the document too, which may be large and is read only then."""

    documents: Path = Path()

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = asdict(store.load(self.documents, self.data["id"]))
        row.pop("sections")
        return {**row, **Report.to_json(self)}


def _with_document(project: Project, report: Report, source: str) -> Report:
    id = store.identify(source)
    summary = f"{report.summary}\n\n{source} → {store.path_of(project.documents, id)}"
    data = {"id": id, "source": source, **report.data}
    return _OfOne(report.title, summary, report.tables, report.findings, data=data, documents=project.documents)
