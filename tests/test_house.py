"""The rules of the house, held by tools: which way rooms depend, types, style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["-c", "from importlinter.cli import lint_imports_command as c; c()"],
        ["-m", "mypy", "mirim/core"],
        ["-m", "ruff", "check", "mirim"],
    ],
    ids=["imports", "types", "style"],
)
def test_the_rules_hold(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


#: Weights of our own that travel with the code, and what they learned to point with; of at most this many bytes.
POINTING = {f"mirim/models/base/pointing/{task}/adapter.gguf" for task in ("read", "tools")}
BASE, MOST = {"mirim/models/base/gguf/q8_0.gguf", *POINTING}, 45_000_000
#: What the encoder of passages was taught to read with, and how large that may be.
READER, READS = "mirim/models/reader.npz", 2_000_000


def test_nothing_committed_carries_data_from_outside() -> None:
    """Large files and public data stay out of the project, all but the bundled base and what reads for answers."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    sizes = {n: (ROOT / n).stat().st_size for n in tracked.stdout.split("\0") if n and (ROOT / n).is_file()}
    large = {n: size for n, size in sizes.items() if size > 2**20}
    assert large.pop(READER, 0) <= READS
    assert large.keys() <= BASE
    assert sum(large.values()) <= MOST
