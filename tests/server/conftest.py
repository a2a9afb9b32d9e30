"""An in-process client over ASGI: no port, no thread."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirim.models.purposes import Purpose

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "models")]
pytest.importorskip("starlette")

from browsing import browser, site  # noqa: E402, F401


@pytest.fixture
def client() -> Callable[..., Any]:
    from starlette.testclient import TestClient

    from mirim.server.app import build

    def connect(house: Any, **options: Any) -> TestClient:
        return TestClient(build(house), raise_server_exceptions=False, **options)

    return connect


@pytest.fixture(autouse=True)
def no_purposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odds that a test makes up are those of pointing alone: what functions are for is told by an encoder."""
    monkeypatch.setattr("mirim.models.slots.purposes", lambda request, functions, asked: [Purpose()] * len(functions))


class Process:
    """A real server: `mirim serve` with the given words, until the test is over."""

    def __init__(self, *words: str, wait: float = 60.0) -> None:
        port = () if "--port" in words else ("--port", "0")
        line = [sys.executable, "-m", "mirim", "serve", *port, *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.search(r"https?://\S+:\d+", self.line)
        if not found:
            raise AssertionError(f"no address: {self.line!r} {self.process.communicate(timeout=wait)}")
        self.url = found.group()

    def stop(self) -> tuple[int, str, str]:
        self.process.send_signal(signal.SIGTERM)
        out, error = self.process.communicate(timeout=60)
        return self.process.returncode, out, error


@pytest.fixture
def server() -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def start(*words: str) -> Process:
        running.append(Process(*words))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight Llama with a chat template, as a GGUF file."""
    return _toy(tmp_path_factory, 1024)


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a longer context."""
    return _toy(tmp_path_factory, 8192)


def _toy(tmp_path_factory: pytest.TempPathFactory, context: int) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("xllamacpp")
    import toys

    from mirim.models import convert, resolve

    folder = toys.model(tmp_path_factory.mktemp("model") / "toy", "llama", max_position_embeddings=context)
    os.environ.setdefault("MIRIM_CACHE", str(tmp_path_factory.mktemp("cache")))
    made = convert.cached(resolve.local(resolve.resolve(folder)))
    target = folder.parent / "tiny.gguf"
    target.write_bytes(made.read_bytes())
    return target
