"""OpenAI's JavaScript client, from npm, against a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """client.mjs beside an installed client."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{"private": true}')
    line = ["npm", "install", "--no-audit", "--no-fund", "openai@^6"]
    try:
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not bring the client within two minutes")
    if done.returncode:
        pytest.skip(f"npm did not bring the client: {done.stderr.strip().splitlines()[-1:]}")
    return Path(shutil.copy(Path(__file__).with_name("client.mjs"), folder))


@pytest.mark.slow
def test_the_client_gets_what_it_asks_for(server: Callable[..., Any], toy: Path, script: Path) -> None:
    running = server("--model", str(toy), "--ctx", "512")
    line = ["node", str(script), running.url, toy.stem]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    row = json.loads(done.stdout)
    assert row["whole"][0] == row["streamed"][0]
    assert row["whole"][2] == row["streamed"][1] <= 24
    assert row["called"][:2] == ["weather", ["city"]]
    assert row["formed"]["hive"] in ("old", "new")
    assert len(set(row["vectors"])) == 1
    assert toy.stem in row["models"]
    assert isinstance(row["response"], str)
    assert [e[:2] for e in row["errors"]] == [
        [404, "model_not_found"],
        [400, "unknown_parameter"],
        [400, "context_length_exceeded"],
    ]
    assert row["errors"][1][2] == "bees"
