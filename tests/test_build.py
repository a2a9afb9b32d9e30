"""The build: what its stages found reaches whoever started it."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirim.build import Stage, _run, build
from mirim.core import progress
from mirim.core.bundle import Bundle
from mirim.core.errors import GateRefused, UsageError
from mirim.core.files import write_text
from mirim.core.project import Project
from mirim.core.verbs import configured
from mirim.documents.ingest import ingest
from mirim.examples.synth import synth
from mirim.models.export import export as real_export
from mirim.models.resolve import BUNDLED
from mirim.new import new
from mirim.training.train import train as real_train


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


TEXT = "# Loans\n\nThe library opens at nine every weekday and closes at six. Members may borrow five books at once.\n"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A project whose model is made by stand-ins: `did` says what they were asked for, `said` what people read."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "loans.md").write_text(TEXT * 3)
    (tmp_path / "mirim.toml").write_text('[project]\nlanguage = "en"\n')
    did, said = list[str](), list[str]()
    state = SimpleNamespace(root=tmp_path, did=did, said=said, refuse="")
    monkeypatch.setattr(progress._sink, "note", said.append)
    model = Project.open(tmp_path).model

    def train(project: Project, *, base: str = "", method: str = "auto", **_: Any) -> None:
        did.append(f"train {base or BUNDLED} {method}")
        model.mkdir(parents=True, exist_ok=True)
        method = {"auto": "lora" if base else "full"}.get(method, method)
        Bundle(model, model.name, base or BUNDLED, method=method).save()

    def export(project: Project) -> None:
        did.append("export")
        write_text(model / "reports" / "parity.json", "{}")
        if state.refuse:
            raise GateRefused(state.refuse)
        write_text(model / "gguf" / "q8_0.gguf", "weights")

    def calibrate(project: Project) -> None:
        write_text(model / "knowledge.db", "rows")

    for where, made in (
        ("mirim.training.train.train", functools.wraps(real_train)(train)),
        ("mirim.models.export.export", functools.wraps(real_export)(export)),
        ("mirim.assist.calibrate.calibrate", calibrate),
        ("mirim.assist.nearness.embed", lambda project: None),
    ):
        monkeypatch.setattr(where, made)
    return state


def test_a_build_without_flags_keeps_the_base_of_the_last_one(
    library: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = library.root
    build(root, base="org/other")
    build(root)
    assert library.did == ["train org/other auto", "export", "train org/other auto"]
    assert any("as it was last: --base org/other; " in line and "build --base REF" in line for line in library.said)
    (Project.open(root).stamps / "train.json").unlink()
    build(root)
    assert library.did[-1] == "train org/other lora", "of a model from elsewhere its bundle tells"
    build(root, base=BUNDLED)
    library.did.clear()
    build(root)
    monkeypatch.setenv("MIRIM_TRAIN_BASE", "org/third")
    build(root)
    assert library.did == [f"train {BUNDLED} auto"] * 2, "train fills the last one from the environment by itself"
    monkeypatch.delenv("MIRIM_TRAIN_BASE")
    Bundle(Project.open(root).model, "x", "org/other", method="full").save()
    (root / "mirim.toml").write_text('[project]\nlanguage = "en"\n[train]\nmethod = "pretrain"\n')
    build(root)
    assert library.did[-1] == f"train {BUNDLED} auto"


def test_a_first_build_that_is_interrupted_keeps_its_base(
    library: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(project: Project) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as early:
        early.setattr("mirim.documents.ingest.ingest", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(library.root, base="org/other")
    build(library.root)
    assert library.did[0] == "train org/other auto"
    with pytest.raises(UsageError, match='no model "othr"'):
        build(library.root, base="othr")
    library.did.clear()
    build(library.root)
    assert library.did[0] == "train org/other auto", "a slip is not what was asked for"


def test_a_model_from_scratch_of_which_nothing_is_known_is_not_replaced(library: SimpleNamespace) -> None:
    model = Project.open(library.root).model
    model.mkdir(parents=True)
    Bundle(model, "x", method="pretrain").save()
    with pytest.raises(UsageError, match=r"from scratch.*would replace it; move it away.*build --base mirim-base"):
        build(library.root)
    Bundle(model, "x", BUNDLED, method="lora").save()
    build(library.root)
    assert library.did[0] == f"train {BUNDLED} lora"


def test_a_base_that_moved_with_the_project_is_found(library: SimpleNamespace) -> None:
    project = Project.open(library.root)
    base = project.models / "small"
    base.mkdir(parents=True)
    write_text(base / "config.json", "{}")
    write_text(project.model / "adapter_config.json", "{}")
    Bundle(project.model, "x", "/where/it/was/small", adapter=True, method="lora").save()
    build(library.root)
    assert library.did[0] == f"train {base} lora"


def test_errors_of_an_audit_that_is_up_to_date_are_said_again(library: SimpleNamespace) -> None:
    (library.root / "sources" / "wifi.md").write_text(TEXT + "\nPassword: Tr0ub4dor&3\n")
    first, second = build(library.root), build(library.root)
    assert second.data["stages"][1] == {"stage": "audit", "state": "up to date", "seconds": 0.0}
    assert [f.where for f in first.findings] == [f.where for f in second.findings] == ["wifi.md"]
    said = [line for line in library.said if line.startswith("[2/8] audit: ")]
    assert "errors: 1, the first: wifi.md: looks like a secret" in said[0]
    assert said[1].startswith("[2/8] audit: up to date; errors: 1, the first: wifi.md: looks like a secret")


def test_what_is_up_to_date_was_made_with_the_settings_of_today(
    library: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = library.root
    examples = Project.open(root).examples / "judge.jsonl"
    states = lambda: {row["stage"]: row["state"] for row in build(root).data["stages"]}  # noqa: E731
    states()
    made = examples.read_text()
    again = states()
    assert {again[stage] for stage in ("audit", "export", "calibrate")} == {"up to date"}
    # By hand with a flag, then again as configured.
    synth(root, limit=1)
    assert examples.read_text() != made
    states()
    assert examples.read_text() == made
    monkeypatch.setenv("MIRIM_SYNTH_LIMIT", "1")
    states()
    assert examples.read_text() != made
    # Whom to ask is nothing that the audit reads.
    (root / "mirim.toml").write_text('[project]\nlanguage = "en"\ncontact = "the desk"\n')
    assert states()["audit"] == "up to date"
    (root / "mirim.toml").write_text('[project]\nlanguage = "en"\nlicence = "CC0"\n')
    assert states()["audit"] == "done"
    monkeypatch.setenv("MIRIM_EXPORT_QUANT", "q8_0")
    assert states()["export"] == "done"
    (Project.open(root).model / "gguf" / "q8_0.gguf").write_text("other weights")
    assert states()["export"] == "done"
    # Another release of mirim reads with other weights.
    assert states()["calibrate"] == "up to date"
    (other := tmp_path / "reader.npz").write_bytes(b"other weights")
    monkeypatch.setattr("mirim.build._learned", lambda: [other])
    after = states()
    assert (after["calibrate"], after["export"]) == ("done", "up to date")


def test_what_a_gate_refused_is_refused_again_without_the_work(library: SimpleNamespace) -> None:
    library.refuse = "the gate refused q8_0: too far off"
    for _ in range(2):
        with pytest.raises(GateRefused, match="export: the gate refused q8_0"):
            build(library.root)
    assert library.did.count("export") == 1
    # What is asked for now may pass.
    library.refuse = ""
    (library.root / "mirim.toml").write_text('[project]\nlanguage = "en"\n[export]\nquant = ["f16"]\n')
    build(library.root)
    assert library.did.count("export") == 2


def test_a_build_ends_with_what_passed_of_the_types_that_nobody_named(library: SimpleNamespace) -> None:
    root, gguf = library.root, Project.open(library.root).model / "gguf"
    library.refuse = "the gate refused q4_0: too far off"
    write_text(gguf / "q8_0.gguf", "weights")
    for _ in range(2):
        report = build(root)
        assert [row["state"] for row in report.data["stages"] if row["stage"] == "export"] == ["refused in part"]
        (told,) = [f for f in report.findings if f.where == "export"]
        assert (told.severity, told.what) == ("warning", f"{library.refuse}; q8_0.gguf passed, and is what runs")
    assert library.did.count("export") == 1
    # Named, it is what was asked for.
    (root / "mirim.toml").write_text('[project]\nlanguage = "en"\n[export]\nquant = ["q8_0", "q4_0"]\n')
    with pytest.raises(GateRefused, match=r"refused q4_0.*; q8_0\.gguf passed, and is what runs") as refused:
        build(root)
    assert refused.value.report.data["stages"][-1]["stage"] == "calibrate", "and is built to the end all the same"


def test_a_new_project_names_no_quantisation(tmp_path: Path) -> None:
    new(tmp_path / "school")
    assert configured("export", Project.open(tmp_path / "school")) == {}


def test_a_slip_in_a_quantisation_shows_before_the_first_stage(library: SimpleNamespace) -> None:
    (library.root / "mirim.toml").write_text('[project]\nlanguage = "en"\n[export]\nquant = ["q8_0,q4"]\n')
    with pytest.raises(UsageError, match=r'no quantisation named "q4"; did you mean'):
        build(library.root)
    assert not library.did
    assert not Project.open(library.root).index.exists()
