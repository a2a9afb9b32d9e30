"""The build: what its stages found reaches whoever started it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.build import Stage, _run
from mirim.core import progress
from mirim.core.project import Project
from mirim.documents.ingest import ingest


def test_files_that_were_not_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").touch()
    (tmp_path / "sources" / "good.md").write_text("Good words.\n")
    for i in range(30):
        (tmp_path / "sources" / f"{i:02}.pdf").write_bytes(b"no such thing")
    said: list[str] = []
    monkeypatch.setattr(progress._sink, "note", said.append)
    project = Project.open(tmp_path)
    row, errors = _run(project, Stage("ingest", lambda: ingest(project), lambda: "", ()), "[1/7] ingest")
    assert row["state"] == "done"
    assert said[-1].endswith("; errors: 30, the first: 00.pdf: " + errors[0].what)
    assert [f.where for f in errors[18:]] == ["18.pdf", "19.pdf", "ingest"]
    assert "10 further" in errors[-1].what
