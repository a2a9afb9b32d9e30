"""What stands in scripts/ tells what it does, and does nothing, when asked for help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda p: p.name)
def test_help_only_helps(path: Path, tmp_path: Path) -> None:
    if path.name == "make_codes.py":
        pytest.importorskip("babel")
    done = subprocess.run(
        [sys.executable, str(path), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python scripts/{path.name}" in done.stdout
    assert list(tmp_path.iterdir()) == []
