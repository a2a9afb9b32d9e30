"""What `--version` prints, for people and for scripts."""

from __future__ import annotations

import json

import pytest

from mirim import __version__
from mirim.cli import run


@pytest.mark.parametrize(
    "line", [["--version", "--json"], ["--json", "--version"], ["generate", "--version", "--json"]]
)
def test_the_version_is_json_where_json_is_asked_for(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


def test_the_version_is_plain_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
