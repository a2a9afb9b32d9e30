"""`mirim audit`: is this data fit to train on? Findings with what to do, in a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import Any, Literal

from mirim.audit.identifiers import hidden
from mirim.core import plugins
from mirim.core.errors import GateRefused, UsageError
from mirim.core.progress import track
from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.core.verbs import verb
from mirim.documents import store
from mirim.documents.search import Index

#: Findings of one check that are written out; of further ones the number is.
SHOWN = 200
_ORDER = {"error": 0, "warning": 1, "info": 2}


@verb
def audit(project: Project, *, fail_on: Literal["never", "error", "warning"] = "never") -> Report:
    """Check whether the documents are fit to train on; the report lies in reports/audit.md, .html and .json.

    Args:
        fail_on: Exit with code 3 when there are findings this bad: never, error, or warning (and worse).
    """
    ids = store.ids(project.documents)
    if not ids:
        raise UsageError(f"{project.root} has no documents; type: mirim ingest PATH... {project.flag}")
    if project.index.exists():
        # While an ingest is not at its end the documents are a part of them, and a part may look clean.
        Index.open(project.index).close()
    findings: list[Finding] = []
    rows: list[tuple[Any, ...]] = []
    total: Counter[str] = Counter()
    for name in plugins.names("audit.checks"):
        check = plugins.load("audit.checks", name)
        documents = track(store.iterate(project.documents), f"audit: {name}", len(ids))
        found = sorted(check.check(project, documents), key=lambda f: (_ORDER[f.severity], f.where, f.what))
        counts = Counter(f.severity for f in found)
        total += counts
        rows.append((name, counts["error"], counts["warning"], counts["info"]))
        findings += found[:SHOWN]
        if len(found) > SHOWN:
            more = len(found) - SHOWN
            findings.append(
                Finding("info", name, f"{more} further findings of this check are not listed", "mend these")
            )
    # A file may be named after a person's number.
    findings = [replace(f, where=hidden(f.where), what=hidden(f.what)) for f in findings]
    findings.sort(key=lambda f: _ORDER[f.severity])
    report = _report(project, len(ids), findings, rows, total)
    report.save(project.reports, "audit")
    bad = total["error"] + (total["warning"] if fail_on == "warning" else 0)
    if fail_on != "never" and bad:
        raise GateRefused(
            f"{bad} findings are as bad as --fail-on {fail_on} or worse; see {project.reports / 'audit.md'}",
            report=report,
        )
    return report


def _report(
    project: Project, documents: int, findings: list[Finding], rows: list[tuple[Any, ...]], total: Counter[str]
) -> Report:
    verdict = (
        "Look at the errors before training." if total["error"]
        else "Nothing that forbids training; the warnings are worth reading." if total["warning"]
        else "Fit to train on, as far as these checks see."
    )  # fmt: skip
    summary = (
        f"{documents} documents: {total['error']} errors, {total['warning']} warnings, {total['info']} notes. {verdict}"
    )
    data = {
        "documents": documents,
        "errors": total["error"],
        "warnings": total["warning"],
        "notes": total["info"],
        "checks": {name: {"error": e, "warning": w, "info": i} for name, e, w, i in rows},
        "findings": [asdict(f) for f in findings],
        "report": str(project.reports / "audit.md"),
    }
    table = Table("Checks", ("check", "errors", "warnings", "notes"), tuple(rows))
    return Report(f"Audit of {project.name}", summary, (table,), tuple(findings), data=data)
