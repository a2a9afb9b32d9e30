"""Remembering what a derived thing was made from, so that `build` skips what is up to date.

A stamp is written after the work is done, so a crash leaves the former stamp or none, and the work is redone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mirim.core.files import sha256_file, sha256_json, write_json


def fingerprint(*parts: Any) -> str:
    """Digest of JSON values; a Path stands for the content of its file or of every file below its folder."""
    return sha256_json([_part(p) for p in parts])


def _part(value: Any) -> Any:
    if isinstance(value, Path):
        if value.is_dir():
            files = sorted(p for p in value.rglob("*") if p.is_file() and not p.name.startswith(".tmp-"))
            return {p.relative_to(value).as_posix(): sha256_file(p) for p in files}
        return sha256_file(value) if value.is_file() else None
    return [_part(v) for v in value] if isinstance(value, list | tuple) else value


def fresh(path: Path, inputs: str) -> bool:
    """Whether the stamp at `path` says that its work was done from these inputs and its outputs still stand."""
    try:
        row = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    root = path.parent
    return row.get("inputs") == inputs and all((root / name).exists() for name in row.get("outputs", ()))


def write(path: Path, inputs: str, outputs: list[Path]) -> None:
    """Record that `outputs` were made from `inputs`."""
    names = [Path(*[".."] * _climb(path.parent, o), o.relative_to(_common(path.parent, o))).as_posix() for o in outputs]
    write_json(path, {"inputs": inputs, "outputs": names})


def _common(a: Path, b: Path) -> Path:
    for folder in (a, *a.parents):
        if b.is_relative_to(folder):
            return folder
    raise ValueError(f"{a} and {b} share no folder")


def _climb(a: Path, b: Path) -> int:
    return len(a.relative_to(_common(a, b)).parts)
