"""The near end of a subject of `mirim bench`: starts its process, gives orders, reads replies."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.progress import note


class Subject:
    """A process of `mirim.plan._bench_worker`; opening it loads the model, leaving the `with` block ends it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.label = "the bare server" if order["do"] == "bare" else order["engine"] or "the engine"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mirim.plan._bench_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        try:
            self.about: dict[str, Any] = self._ask(order)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def text(self, tokens: int, seed: int) -> str:
        return str(self._ask({"do": "text", "tokens": tokens, "seed": seed}))

    def run(self, prompt: str, tokens: int) -> tuple[float, float, int, int]:
        """Seconds to the first piece and in all, tokens made, tokens of the prompt."""
        first, total, made, used = self._ask({"do": "run", "prompt": prompt, "tokens": tokens})
        return float(first), float(total), int(made), int(used)

    def memory(self) -> int:
        """Bytes that the process holds now."""
        return int(self._ask({"do": "memory"}))

    def close(self) -> None:
        if self._process.poll() is None:
            # Its input ends, so it ends what it started; an engine that hangs is not waited for.
            if self._process.stdin:
                self._process.stdin.close()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._said.close()

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None
        while line := self._process.stdout.readline():
            row = json.loads(line)
            if "note" in row:
                note(row["note"])
                continue
            if "error" in row:
                raise (UsageError if row["code"] == UsageError.exit_code else MirimError)(row["error"])
            return row["value"]
        raise self._died()

    def _died(self) -> MirimError:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        why = lines[-1][:300] if lines else "it said nothing"
        return MirimError(f"{self.label} ended while it was measured (exit code {code}): {why}")
