"""An in-process client over ASGI: no port, no thread."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "models")]
pytest.importorskip("starlette")


@pytest.fixture
def client() -> Callable[..., Any]:
    from starlette.testclient import TestClient

    from mirim.server.app import build

    def connect(house: Any, **options: Any) -> TestClient:
        return TestClient(build(house), raise_server_exceptions=False, **options)

    return connect


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


def built() -> None:
    """Skip where mirim's own core was not built. It is not loaded here: a build may write it over meanwhile."""
    if importlib.util.find_spec("mirim._core") is None:
        pytest.skip("mirim's own core was not built")


def until(done: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
