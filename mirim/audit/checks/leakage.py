"""leakage: held-out questions that stand in the documents or the training examples, and so measure nothing."""

from __future__ import annotations

from collections.abc import Iterator

from mirim.audit.overlap import Overlap
from mirim.core.files import read_jsonl
from mirim.core.project import Project
from mirim.core.report import Finding
from mirim.core.types import Document


def check(project: Project, documents: Iterator[Document]) -> Iterator[Finding]:
    """A warning for documents, an error for examples that hold a question of evals/."""
    questions = [
        row["question"]
        for path in project.eval_files()
        for row in read_jsonl(path)
        if isinstance(row.get("question"), str) and row["question"].strip()
    ]
    if not questions:
        return
    held = Overlap(questions)
    for document in documents:
        if held.inside(document.text):
            yield Finding(
                "warning", document.id, "holds a question of evals/, word for word or nearly",
                "it is kept out of the examples; word the held-out question otherwise to measure what people ask",
            )  # fmt: skip
    for path in sorted(project.examples.glob("*.jsonl")) if project.examples.is_dir() else []:
        leaked = sum(1 for row in read_jsonl(path) if _leaks(row, held))
        if leaked:
            yield Finding(
                "error", f"data/examples/{path.name}", f"{leaked} examples hold a question of evals/",
                "type: mirim synth, which leaves them out",
            )  # fmt: skip


def _leaks(row: dict[str, object], held: Overlap) -> bool:
    messages = row.get("messages")
    texts = [str(m.get("content", "")) for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    metadata = row.get("metadata")
    question = str(metadata.get("question", "")) if isinstance(metadata, dict) else ""
    return held.holds(question) or any(held.inside(t) for t in texts)
