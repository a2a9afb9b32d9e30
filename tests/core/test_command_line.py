"""What people type, and where they type it: values of flags, folders that are gone, odd terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def mirim(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    line, surroundings = [sys.executable, "-m", "mirim", *words], {**os.environ, **env}
    return subprocess.run(line, cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("value", "code"), [("3", 0), ("3.5", 2), ("1.000", 2), ("3.0", 2), ("three", 2)])
def test_a_whole_number_is_not_made_of_another(value: str, code: int) -> None:
    done = mirim("generate", "--model", "echo", "--prompt", "a b c d e f", "--max-tokens", value)
    assert done.returncode == code, done
    assert done.stdout == ("a b c" if code == 0 else "")
    assert ("--max-tokens" in done.stderr and value in done.stderr) == (code == 2)


@pytest.mark.parametrize("words", [("new", ""), ("ingest", "--project", "")])
def test_nothing_is_no_path(words: tuple[str, ...], tmp_path: Path) -> None:
    done = mirim(*words, cwd=tmp_path)
    assert done.returncode == 2, done
    assert "is no path; write . for the current folder" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("columns", ["0", "2"])
def test_help_is_shown_however_wide_the_terminal_says_it_is(columns: str) -> None:
    done = mirim("--help", COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    assert "Usage: mirim" in done.stdout


def test_a_folder_that_is_gone_is_told_by_that(tmp_path: Path) -> None:
    line = 'rmdir "$PWD" && "$0" -m mirim ask "When do you open?"'
    done = subprocess.run(["sh", "-c", line, sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    assert "is not there any more; type: cd" in done.stderr


def test_names_that_the_terminal_has_no_letters_for_are_no_defect(tmp_path: Path) -> None:
    folder = tmp_path / "balcão"
    (folder / "sources").mkdir(parents=True)
    (folder / "mirim.toml").write_text("[project]\n")
    (folder / "sources" / "hours.md").write_text("# Hours\n\nWe open at eight.\n")
    surroundings = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = mirim("ingest", "--project", str(folder), **surroundings)
    assert done.returncode == 2, done
    assert "PYTHONUTF8=1" in done.stderr
    assert "defect" not in done.stderr
    assert mirim("ingest", "--project", str(folder), **{**surroundings, "PYTHONUTF8": "1"}).returncode == 0
