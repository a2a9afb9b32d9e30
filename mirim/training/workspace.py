"""Beside a model, where its training goes on: what an interrupted run left, what another run left, and a lock."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from mirim.core.errors import UsageError
from mirim.core.files import alone, explain, read_json, write_json
from mirim.core.progress import note


@dataclass(frozen=True, slots=True)
class Workspace:
    """Hidden folders beside `out`, the folder that the model will be."""

    out: Path

    @property
    def folder(self) -> Path:
        """Checkpoints and what was prepared for them."""
        return self.out.parent / f".train-{self.out.name}"

    @property
    def aside(self) -> Path:
        """What a run of other settings or data left, under its fingerprint."""
        return self.out.parent / f".before-{self.out.name}"

    def check(self) -> None:
        """UsageError where `out` is a disk of its own: it cannot be renamed, and what lies beside it is elsewhere."""
        if os.path.ismount(self.out):
            raise UsageError(
                f"{self.out} is where a disk or a volume is mounted, so that checkpoints beside it would lie outside, "
                f"and no finished model can take its place; name a folder inside it: --out {self.out / 'model'}"
            )

    def alone(self) -> AbstractContextManager[None]:
        """One run at a time writes to `out`; MirimError for a second one."""
        busy = f"another mirim train writes to {self.out}; wait for it, or name another folder with --out"
        return alone(self.out.parent / f".lock-{self.out.name}", busy)

    def claim(self, run: str) -> None:
        """Make `folder` that of the run with this fingerprint, with what it left there or was set aside.

        What another run left is set aside, aloud, until the model is saved: its settings may be those that were meant.
        """
        mine = self.aside / run
        try:
            former = _run(self.folder)
            if former == run:
                return
            if former:
                self._set_aside(former, besides=mine)
            shutil.rmtree(self.folder, ignore_errors=True)
            if mine.is_dir():
                mine.rename(self.folder)
                note("settings and data are those of a run that was set aside: training goes on from there")
                return
            if former:
                what = "learned" if _learned(self.aside, "*/") else "prepared"
                note(
                    f"settings or data changed since the interrupted run: training starts afresh; what was {what} "
                    f"before lies in {self.aside} until the new model is saved, and its own command goes on from there"
                )
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise explain(error, self.folder) from error
        write_json(self.folder / "run.json", {"run": run})

    def clear(self) -> None:
        """Remove all of it: the model is saved."""
        for path in (self.folder, self.aside):
            shutil.rmtree(path, ignore_errors=True)

    def _set_aside(self, former: str, besides: Path) -> None:
        """Keep one run: the last that came to a checkpoint, or else the first."""
        others = [p for p in self.aside.iterdir() if p != besides] if self.aside.is_dir() else []
        if others and not _learned(self.folder):
            return
        for other in others:
            shutil.rmtree(other)
        self.aside.mkdir(exist_ok=True)
        self.folder.rename(self.aside / former)


def _learned(folder: Path, below: str = "") -> bool:
    """Whether a run in `folder`, or in folders `below` it, came to a checkpoint."""
    return any(folder.glob(f"{below}*/[0-9]*/state.json"))


def _run(folder: Path) -> str:
    """The fingerprint of the run that a folder is of; '' where there is none."""
    path = folder / "run.json"
    return str(read_json(path).get("run", "")) if path.is_file() else ""
