"""Kill -9 at random moments of `build`: does the next build finish with the same artefacts?

    python bench/kill.py --work /tmp/kill                        a few documents of examples/clinic, a tiny model
    python bench/kill.py --project examples/clinic --work /tmp/kill

Builds a copy of the project once without interruption. Then, ten times: a fresh copy, `build` killed with
SIGKILL (its whole process group) at a random moment, early ones more often, `build` again to the end, and
everything that it made compared: documents, examples, index rows, tensors, GGUF files, bundle, stamps and
reports. Only time and speed are left out. Exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLINIC = Path(__file__).resolve().parents[1] / "examples" / "clinic"
#: Keys of JSON files that tell how long something took: the only thing two builds may differ in.
TIMES = ("seconds", "speed", "per_second", "time", "mfu", "utilisation", "wall")
#: Settings of the tiny model, in place of the project's own [train] and [synth].
TINY = """
[synth]
per_document = 8

[train]
method = "pretrain"
depth = 2
vocab_size = 1024
context = 256
tokens = 12_000
tasks = ["judge"]
epochs = 0.2

[export]
quant = ["q8_0"]
"""


def artefacts(root: Path) -> dict[str, str]:
    """What a build made in the project at `root`: name → digest of its content, whatever its layout on disk."""
    found: dict[str, str] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = path.relative_to(root).as_posix()
        if name.endswith((".lock", ".db-wal", ".db-shm")) or name.startswith("sources/"):
            continue
        if path.suffix == ".db":
            found[name] = _rows(path)
        elif path.suffix == ".safetensors":
            found |= {f"{name} {tensor}": digest for tensor, digest in _tensors(path)}
        elif path.suffix == ".json":
            found[name] = _digest(json.dumps(_timeless(json.loads(path.read_text("utf-8"))), sort_keys=True).encode())
        elif name.startswith("reports/") or "/reports/" in name:
            continue  # the Markdown, HTML and curves of the JSON files
        else:
            found[name] = _digest(path.read_bytes())
    return found


def compare(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is missing, extra or different, one line each."""
    return [
        *(f"missing: {n}" for n in sorted(wanted.keys() - found.keys())),
        *(f"extra: {n}" for n in sorted(found.keys() - wanted.keys())),
        *(f"different: {n}" for n in sorted(wanted.keys() & found.keys()) if wanted[n] != found[n]),
    ]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _rows(path: Path) -> str:
    """Every row of every table that is not a full-text index's own storage, in an order of content."""
    total = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        tables = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        virtual = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'")]
        for table in tables:
            if any(table.startswith(f"{v}_") for v in virtual):
                continue
            total.update(table.encode())
            rows = sorted(repr(row) for row in db.execute(f'SELECT * FROM "{table}"'))
            for row in rows:
                total.update(row.encode())
    return total.hexdigest()


def _tensors(path: Path) -> Iterator[tuple[str, str]]:
    """(name, digest of type, shape and bytes) of each tensor of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    for name, row in sorted(header.items()):
        if name != "__metadata__":
            start, end = (8 + size + offset for offset in row["data_offsets"])
            yield name, _digest(f"{row['dtype']} {row['shape']} ".encode() + data[start:end])


def _timeless(value: Any) -> Any:
    """JSON without what tells how long something took, and without digests of files that are compared by rows."""
    if isinstance(value, dict):
        return {
            k: _timeless(v)
            for k, v in value.items()
            if not k.endswith(".db") and not any(k == t or k.endswith(f"_{t}") for t in TIMES)
        }
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def moments(duration: float, count: int, seed: int) -> list[float]:
    """Seconds after which to kill, over the whole duration, early ones more often."""
    rng = random.Random(seed)
    return sorted(duration * ((i + rng.random()) / count) ** 1.6 for i in range(count))


@dataclass(frozen=True, slots=True)
class Build:
    """How a build ended: its exit code (-9 when killed), and after how many seconds."""

    code: int
    seconds: float
    said: str


def build(root: Path, kill_after: float | None = None) -> Build:
    """Run `python -m mirim build` on a project; kill it with all its children after so many seconds."""
    started = time.monotonic()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(CLINIC.parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    with (root.parent / f"{root.name}.log").open("a+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mirim", "build", "--project", str(root), "--json"],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        log.seek(0)
        return Build(process.returncode, time.monotonic() - started, log.read()[-2000:])


def stage(root: Path) -> str:
    """The last stage that left its stamp."""
    stamps = sorted((root / "data" / "stamps").glob("*.json"), key=lambda p: p.stat().st_mtime)
    return stamps[-1].stem if stamps else "-"


def small(root: Path) -> Path:
    """A project of a few of the sample clinic's documents, with a model so small that it trains in seconds."""
    for folder in ("faq", "web", "prices"):
        shutil.copytree(CLINIC / "sources" / folder, root / "sources" / folder)
    (root / "evals").mkdir()
    lines = (CLINIC / "evals" / "questions.jsonl").read_text("utf-8").splitlines()
    (root / "evals" / "questions.jsonl").write_text("\n".join(lines[::6]) + "\n", "utf-8")
    (root / "mirim.toml").write_text(f'[project]\nname = "small"\nlanguage = "pt"\nseed = 7\n{TINY}', "utf-8")
    return root


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder to work in; it must not exist")
    parser.add_argument("--project", type=Path, default=None, help="project to build copies of; default: a small one")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work = options.work.resolve()
    if work.exists():
        parser.error(f"{work} exists")
    work.mkdir(parents=True)
    source = work / "source"
    if options.project is None:
        source.mkdir()
        small(source)
    else:
        skip = shutil.ignore_patterns("data", "models", "reports")
        shutil.copytree(options.project, source, ignore=skip)

    def copy(name: str) -> Path:
        # One path for all: a model's card and a report may name the project's folder.
        shutil.rmtree(work / "project", ignore_errors=True)
        shutil.copytree(source, work / "project")
        (work / "project.log").unlink(missing_ok=True)
        print(f"{name} …", file=sys.stderr, flush=True)
        return work / "project"

    root = copy("without interruption")
    whole = build(root)
    if whole.code:
        print(whole.said)
        return 1
    wanted = artefacts(root)
    print(f"An uninterrupted build takes {whole.seconds:.0f} s and makes {len(wanted)} artefacts.\n")
    print("| kill | after | last stage done | exit | next build | differences |\n| --- | --- | --- | --- | --- | --- |")
    bad = 0
    for number, moment in enumerate(moments(whole.seconds, options.kills, options.seed), 1):
        root = copy(f"kill {number} after {moment:.1f} s")
        killed = build(root, moment)
        while killed.code == 0:
            # The machine was faster this time and the build was through: again, earlier.
            moment *= 0.7
            root = copy(f"kill {number} after {moment:.1f} s")
            killed = build(root, moment)
        reached = stage(root)
        again = build(root)
        differences = compare(wanted, artefacts(root)) if again.code == 0 else [f"exit {again.code}: {again.said}"]
        bad += bool(differences)
        row = (number, f"{moment:.1f} s", reached, killed.code, f"{again.seconds:.0f} s", len(differences) or "none")
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        for line in differences[:20]:
            print(f"  {line}", file=sys.stderr, flush=True)
    print(f"\n{options.kills - bad} of {options.kills} builds ended with the same artefacts.")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
