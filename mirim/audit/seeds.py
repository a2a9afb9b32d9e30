"""What people wrote as examples in seeds/, row by row, and as texts to look through: it is learned word for word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import numbered_jsonl
from mirim.core.project import Project
from mirim.core.types import Document
from mirim.documents.draft import Refused
from mirim.documents.readers import csv

#: What is said in a cell of what has no answer; other words, and none, leave it answerable.
_NO = ("false", "no", "não", "nao", "falso", "0", "n")


def files(project: Project) -> list[Path]:
    """The files of seeds/ that hold anything: lines of JSON, and tables whose first row names their columns."""
    folder = project.root / "seeds"
    found = (p for p in folder.iterdir() if p.suffix.lower() in csv.SUFFIXES) if folder.is_dir() else ()
    return sorted([*project.seed_files(), *(p for p in found if p.name[0] != "." and p.stat().st_size)])


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row of a file stands, and the row; UsageError for a line that is no JSON object, and for a table whose
    cells are not under the names of its columns."""
    if path.suffix.lower() not in csv.SUFFIXES:
        yield from ((f"{path} line {number}", row) for number, row in numbered_jsonl(path))
        return
    text, delimiter, _ = csv.opened(path)
    names: list[str] = []
    try:
        for number, cells in enumerate(csv.rows_of(text, delimiter), 1):
            if not names:
                names = [name.lower() for name in cells]
                continue
            if any(cells[len(names) :]):
                raise UsageError(
                    f"{path} row {number}: {len(cells)} cells, but {len(names)} columns ({', '.join(names)}); "
                    f'write a cell that holds "{delimiter}" in quotation marks'
                )
            row: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
            if "answerable" in row:
                row["answerable"] = row["answerable"].lower() not in _NO
            yield f"{path} row {number}", row
    except Refused as error:
        raise UsageError(f"{path} {error}") from error


def seeds(project: Project) -> Iterator[Document]:
    """One text for each file, of all that its rows say. UsageError for what `rows` cannot read."""
    for path in files(project):
        media = csv.MEDIA if path.suffix.lower() in csv.SUFFIXES else "application/jsonl"
        said = "\n".join(text for _, row in rows(path) for text in _texts(row))
        yield Document(f"seeds/{path.name}", f"seeds/{path.name}", media, "", said)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
