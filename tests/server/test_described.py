"""What /openapi.json says is what the server does: schemathesis makes requests from it, good and bad."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_schemathesis_finds_no_request_that_is_answered_otherwise(server: Callable[..., Any], tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("st")
    if not tool.is_file() and not shutil.which("st"):
        pytest.skip("schemathesis is not installed")
    running = server("--model", "echo")
    line = [str(tool if tool.is_file() else "st"), "run", f"{running.url}/openapi.json", "--max-examples", "8"]
    line += ["--phases", "examples,coverage,fuzzing,stateful", "--workers", "1", "--seed", "11", "--no-color"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
