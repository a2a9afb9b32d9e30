"""licences: whether it is written down that these texts may be used."""

from __future__ import annotations

from collections.abc import Iterator

from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """A warning when neither the project nor the document names a licence."""
    if str(project.get("licence", "")).strip():
        return
    missing = [d.id for d in documents if not d.licence.strip()]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        yield Finding(
            "warning", "documents", f"{len(missing)} name no licence: {shown}",
            'write licence = "..." under [project] in mirim.toml, or in the front matter of each',
        )  # fmt: skip
