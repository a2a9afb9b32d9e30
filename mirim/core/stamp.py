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
            return {p.relative_to(value).as_posix(): sha256_file(p) for p in _below(value)}
        return sha256_file(value) if value.is_file() else None
    return [_part(v) for v in value] if isinstance(value, list | tuple) else value


def fresh(path: Path, inputs: str) -> bool:
    """Whether the stamp at `path` says that its work was done from these inputs and its outputs still are what it made.

    Outputs are known by their sizes: what was replaced shows, and large files need not be read.
    """
    row = _read(path)
    made = row.get("outputs")
    return (
        row.get("inputs") == inputs
        and isinstance(made, dict)
        and all(_sizes(path.parent / name) == sizes for name, sizes in made.items())
    )


def refusal(path: Path) -> str:
    """Why a gate refused the work of the stamp at `path`; '' where none did."""
    return str(_read(path).get("refused") or "")


def write(path: Path, inputs: str, outputs: list[Path], refused: str = "") -> None:
    """Record that `outputs` were made from `inputs`, or that a gate refused them: the same would come of them again."""
    names = [Path(*[".."] * _climb(path.parent, o), o.relative_to(_common(path.parent, o))).as_posix() for o in outputs]
    made = {name: _sizes(o) for name, o in zip(names, outputs, strict=True)}
    write_json(path, {"inputs": inputs, "outputs": made, "refused": refused})


def _read(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return row if isinstance(row, dict) else {}


def _sizes(path: Path) -> Any:
    """Bytes of a file, or of every file below a folder by its name; None where there is neither."""
    if path.is_dir():
        return {p.relative_to(path).as_posix(): p.stat().st_size for p in _below(path)}
    return path.stat().st_size if path.is_file() else None


def _below(folder: Path) -> list[Path]:
    """A folder's files but those that somebody is still at work on."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".tmp-"))


def _common(a: Path, b: Path) -> Path:
    for folder in (a, *a.parents):
        if b.is_relative_to(folder):
            return folder
    raise ValueError(f"{a} and {b} share no folder")


def _climb(a: Path, b: Path) -> int:
    return len(a.relative_to(_common(a, b)).parts)
