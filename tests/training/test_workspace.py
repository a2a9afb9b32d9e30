"""Beside a model: what an interrupted run left is gone on from or set aside, and two runs do not meet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.training.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "made")


def _learn(place: Workspace, run: str, *, step: int = 1) -> Path:
    """A run that came to a checkpoint."""
    place.claim(run)
    kept = place.folder / "text" / f"{step:08d}" / "state.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(run)
    return kept


def test_a_run_of_other_settings_sets_the_former_one_aside(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("mirim.training.workspace.note", said.append)
    kept = _learn(place, "a")
    place.claim("a")
    assert kept.is_file()
    assert not said
    place.claim("b")
    assert not kept.exists()
    assert len(said) == 1
    assert "afresh; what was learned before" in said[0]
    assert str(place.aside) in said[0]
    # The slip is mended: what was learned is there again, though the other run never came to a checkpoint.
    place.claim("a")
    assert kept.read_text() == "a"
    assert "goes on from there" in said[1]


def test_a_run_that_learned_nothing_is_not_said_to_have(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("mirim.training.workspace.note", said.append)
    place.claim("a")
    place.claim("b")
    assert "what was prepared before" in said[0]


def test_of_two_runs_with_checkpoints_none_is_lost(place: Workspace) -> None:
    kept = _learn(place, "a")
    other = _learn(place, "b", step=2)
    for run, path in (("a", kept), ("b", other), ("a", kept)):
        place.claim(run)
        assert path.read_text() == run


def test_slips_do_not_push_out_what_was_learned(place: Workspace) -> None:
    kept = _learn(place, "a")
    for run in ("b", "c", "d"):
        place.claim(run)
    assert [p.name for p in place.aside.iterdir()] == ["a"]
    place.claim("a")
    assert kept.read_text() == "a"
    _learn(place, "b")
    _learn(place, "c")
    assert [p.name for p in place.aside.iterdir()] == ["b"]
    place.clear()
    assert not place.aside.exists()
    assert not place.folder.exists()


def test_a_second_run_to_one_folder_is_refused(place: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from mirim.core.errors import MirimError\n"
        "from mirim.training.workspace import Workspace\n"
        "try:\n"
        "    with Workspace(Path(sys.argv[1])).alone(): print('trained')\n"
        "except MirimError as error: print(error)\n"
    )

    def second() -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(place.out)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout

    with place.alone():
        assert f"another mirim train writes to {place.out}; " in second()
        with pytest.raises(MirimError, match="another mirim train"), place.alone():
            pass
    assert second() == "trained\n"


def test_a_disk_of_its_own_is_no_place_for_a_model(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.out.mkdir()
    place.check()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == place.out)
    with pytest.raises(UsageError, match=f"name a folder inside it: --out {place.out / 'model'}"):
        place.check()
