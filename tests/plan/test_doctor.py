"""`mirim doctor` in a project: whether its models still are what was made."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from mirim.core.bundle import Bundle
from mirim.plan import doctor as module


def test_what_stands_for_an_extra_is_in_it() -> None:
    table = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    extras = table["project"]["optional-dependencies"]
    for extra, packages in module.EXTRAS.items():
        assert set(packages) <= {re.split(r"[^\w.-]", line)[0] for line in extras[extra]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mirim.toml").touch()
    model = tmp_path / "models" / "m"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    Bundle(model, "m").save()
    (tmp_path / "models" / "unfinished").mkdir()
    # What the machine can do is measured elsewhere.
    monkeypatch.setattr(module, "_measure", dict)
    monkeypatch.chdir(tmp_path / "models")
    return tmp_path


def _models() -> tuple[list[str], list[str]]:
    report = module.doctor()
    rows = [value for name, value in report.tables[0].rows if name.startswith("Model ")]
    return rows, [f"{f.what}; {f.do}" for f in report.findings if f.where.startswith("Model ")]


def test_models_are_checked_against_their_hashes(project: Path) -> None:
    assert _models() == (["its files are as they were made"], [])
    changed = project / "models" / "m" / "config.json"
    changed.write_text("{ }")
    rows, findings = _models()
    assert rows == ["damaged or changed"]
    assert findings == [f"{changed} is not the file this bundle was made with; restore it or build again"]


@pytest.mark.parametrize("text", ["{", "[]", "3", "{}", '{"name": "m", "files": []}'])
def test_a_bundle_that_cannot_be_read_is_told(project: Path, text: str) -> None:
    (project / "models" / "m" / "bundle.json").write_text(text)
    rows, findings = _models()
    assert (rows, len(findings)) == (["damaged or changed"], 1)
    assert "bundle.json" in findings[0]


def test_a_missing_core_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there was no compiler mirim is installed without it, and pip keeps quiet."""
    monkeypatch.setitem(sys.modules, "mirim._core", None)
    monkeypatch.delattr("mirim._core", raising=False)
    report = module.doctor()
    assert dict(report.tables[0].rows)["mirim's own core"] == "not there; models run on llama.cpp"
    (finding,) = [f for f in report.findings if f.where == "mirim's own core"]
    assert "compiler" in finding.do
    assert report.data["core"] == []
    assert "Everything" not in report.summary
