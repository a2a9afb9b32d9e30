"""The servers that bench/serving.py measures, mirim's and the bare llama.cpp one, and a client that costs little."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.core.types import Message

#: Tokens that a request may take, of prompt and answer.
CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class Reply:
    """Seconds to the first content and to the end; tokens of prompt, cache and answer as the server counted them."""

    first: float
    total: float
    prompt: int = 0
    cached: int = 0
    made: int = 0
    status: int = 200


# -- servers -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(line: Sequence[str], address: str = "") -> Iterator[tuple[str, int]]:
    """A server's address and process id; without `address`, the first line on its stdout holds it."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        if not address:
            said = process.stdout.readline()
            found = re.search(r"https?://[^\s\"]+:\d+", said)
            if not found:
                raise SystemExit(f"{' '.join(line)} did not start: {said!r}")
            address = found.group()
        _healthy(address)
        yield address, process.pid
    finally:
        process.kill()
        process.wait()


def mirim(*words: str) -> contextlib.AbstractContextManager[tuple[str, int]]:
    return started([sys.executable, "-m", "mirim", "serve", "--port", "0", *words])


def bare(model: Path, parallel: int, threads: int) -> contextlib.AbstractContextManager[tuple[str, int]]:
    program = shutil.which("llama-server")
    if program is None:
        return started([sys.executable, __file__, str(model), str(parallel), str(threads)])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    sizes = ["-np", str(parallel), "-c", str(CONTEXT * parallel), "-t", str(threads)]
    return started([program, "-m", str(model), *sizes, "--port", port], f"http://127.0.0.1:{port}")


def serve_bare(model: str, parallel: str, threads: str) -> None:
    """xllamacpp's server until the process is ended."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = int(parallel)
    params.n_ctx = CONTEXT * int(parallel)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.ui, params.verbosity = False, -1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


def _healthy(address: str) -> None:
    import urllib.request

    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(f"{address}/health", timeout=5).status == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"{address} did not become ready")


# -- one request -------------------------------------------------------------------------------------------------


async def chat(
    address: str, model: str, messages: Sequence[Message], tokens: int, stream: bool = True, **more: Any
) -> Reply:
    """One chat completion over a connection of its own."""
    body: dict[str, Any] = {"model": model, "messages": [m.to_json() for m in messages], "max_tokens": tokens}
    body |= {
        "temperature": 0,
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
        **more,
    }
    data = json.dumps(body).encode()
    host, _, port = address.removeprefix("http://").rpartition(":")
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    try:
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
            + data
        )
        status = int((await reader.readline()).split()[1])
        first, usage = 0.0, {}
        while line := await reader.readline():
            # Only what is needed is parsed: the client shares the processor with the servers.
            if line.startswith(b"{"):
                usage = json.loads(line).get("usage") or usage
            if not line.startswith(b"data: {"):
                continue
            if not first and b'"content":"' in line.replace(b'": "', b'":"') and b'"content":""' not in line:
                first = time.perf_counter() - started
            if b'"usage"' in line and b'"usage":null' not in line.replace(b'": n', b'":n'):
                usage = json.loads(line[6:]).get("usage") or usage
        total = time.perf_counter() - started
    finally:
        writer.close()
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Reply(
        first or total, total, usage.get("prompt_tokens", 0), cached, usage.get("completion_tokens", 0), status
    )


def once(*words: Any, **more: Any) -> Reply:
    return asyncio.run(chat(*words, **more))


if __name__ == "__main__":
    serve_bare(*sys.argv[1:])
