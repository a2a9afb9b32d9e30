"""What became of the files of an ingest, counted as they come, and the report of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mirim.core.project import Project
from mirim.core.report import Finding, Report, Table
from mirim.documents.job import Done

_STATES = ("new", "changed", "unchanged", "edited", "removed", "refused")


class Tally:
    """`states` counts files by what became of them; `refused` holds source and reason of each that was not read."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        """`findings` are of files that were not even listed."""
        self.findings = list(findings)
        self.refused = [{"source": f.where, "reason": f.what} for f in self.findings if f.severity == "error"]
        self.states = Counter(refused=len(self.refused))
        self.bytes = 0

    def note(self, done: Done) -> None:
        self.states[done.state] += 1
        self.bytes += done.size
        self.findings += [Finding(severity, done.source, what, do) for severity, what, do in done.findings]  # type: ignore[arg-type]
        if done.state == "refused":
            self.refused.append({"source": done.source, "reason": done.findings[0][1]})

    def report(self, project: Project, counts: tuple[int, int], seconds: float) -> Report:
        """`counts` are those of documents and passages in the index."""
        documents, passages = counts
        states = {s: self.states[s] for s in _STATES}
        findings = tuple(sorted(self.findings, key=lambda f: (f.where, f.severity, f.what)))
        self.refused.sort(key=lambda r: (r["source"], r["reason"]))
        summary = (
            f"{documents} documents in {passages} passages, {self.bytes / 1e6:.1f} MB read in {seconds:.1f} s. "
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
                "refusals": self.refused,
                "megabytes": round(self.bytes / 1e6, 3),
                "seconds": round(seconds, 3),
            },
        )
