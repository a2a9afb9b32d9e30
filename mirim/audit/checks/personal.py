"""personal: data about people that a model should not learn and an answer should not show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

from mirim.audit.identifiers import SEVERITY, identifiers, masked
from mirim.audit.private import numbers
from mirim.audit.seeds import seeds
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document

_DO = {
    "error": "take it out of the source, or of data/documents/ if the source must stay as it is",
    "info": "fine if it is the organisation's own; otherwise take it out",
}


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """One finding for each kind of identifier in a document or a file of seeds, and in its name, values masked."""
    for document in chain(documents, seeds(project)):
        for kind, value in identifiers(document.source):
            # Days and numbers of a name look like a telephone's.
            if SEVERITY[kind] == "error" or kind == "e-mail":
                what = f"its name holds a {kind}: {masked(value)}" if kind != "e-mail" else "its name holds an e-mail"
                yield Finding(SEVERITY[kind], document.id, what, "rename the file: answers cite it by its name")
        found: dict[str, list[str]] = defaultdict(list)
        for value, kind in numbers(f"{document.title}\n{document.text}").items():
            found[kind].append(value)
        for kind, distinct in found.items():
            shown = ", ".join(masked(v) for v in distinct[:3]) + (" …" if len(distinct) > 3 else "")
            severity = SEVERITY[kind]
            yield Finding(severity, document.id, f"{len(distinct)} {kind}: {shown}", _DO[severity])
