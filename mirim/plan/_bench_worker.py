"""A process of its own for one subject of `mirim bench`: an engine of mirim's, or a bare llama.cpp server.

One JSON object a line: orders on stdin, replies on stdout. A process each keeps memory and threads apart, and lets
the subjects take turns without one's idle threads, caches or allocations showing in the other's figures.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from mirim.core import progress
from mirim.core.errors import FAILED, MirimError
from mirim.core.extras import need
from mirim.core.project import Project
from mirim.core.types import Sampling

#: Seconds that a bare server may take to load its model.
_PATIENCE = 120.0


class Subject(Protocol):
    """`run` returns seconds to the first piece, seconds in all, tokens made, tokens of the prompt."""

    def about(self) -> dict[str, Any]: ...
    def count(self, text: str) -> int: ...
    def run(self, prompt: str, tokens: int) -> tuple[float, float, int, int]: ...
    def memory(self) -> int: ...
    def close(self) -> None: ...


class Own:
    """One of mirim's engines."""

    def __init__(self, order: dict[str, Any]) -> None:
        from mirim.models.engine import open_engine

        folder = order["project"]
        self.engine: Any = open_engine(
            order["ref"],
            engine=order["engine"],
            context=order["context"],
            threads=order["threads"],
            quant=order.get("quant", ""),
            project=Project.open(Path(folder)) if folder else None,
        )

    def about(self) -> dict[str, Any]:
        name = type(self.engine).__module__.rpartition(".")[2]
        row = {"name": name, "context": self.engine.context, "file": "", "file_bytes": 0, "streamed": 0, "params": 0}
        path = getattr(self.engine, "path", None)
        if isinstance(path, Path) and path.is_file() and path.suffix == ".gguf":
            row |= {"file": str(path), "file_bytes": path.stat().st_size, **weights(path)}
        elif hasattr(getattr(self.engine, "model", None), "named_parameters"):
            row |= _torch_weights(self.engine.model)
        return row

    def count(self, text: str) -> int:
        return int(self.engine.count(text))

    def run(self, prompt: str, tokens: int) -> tuple[float, float, int, int]:
        started = time.perf_counter()
        first, made, ids, used = 0.0, 0, 0, 0
        for delta in self.engine.generate(prompt, Sampling(max_tokens=tokens)):
            first = first or time.perf_counter() - started
            ids += len(delta.token_ids)
            made = delta.completion_tokens or made
            used = delta.prompt_tokens or used
        return first, time.perf_counter() - started, made or ids, used

    def memory(self) -> int:
        return resident(os.getpid())

    def close(self) -> None:
        self.engine.close()


class Bare:
    """llama.cpp's own server with its defaults, asked over HTTP: `llama-server` on the PATH, otherwise xllamacpp's."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.path = Path(order["ref"])
        self.context = order["context"]
        self.process: subprocess.Popen[bytes] | None = None
        self.server: Any = None
        program = shutil.which("llama-server")
        if program:
            self.name = "llama-server"
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.address = ("127.0.0.1", int(probe.getsockname()[1]))
            words = ["-m", str(self.path), "-c", str(self.context), "-np", "1", "-t", str(order["threads"])]
            self.process = subprocess.Popen(
                [program, *words, "--host", self.address[0], "--port", str(self.address[1])],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        else:
            x = need("xllamacpp", "serve")
            self.name = "xllamacpp's server"
            params = x.CommonParams()
            params.model.path = str(self.path)
            params.n_ctx, params.n_parallel = self.context, 1
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order["threads"]
            params.ui, params.verbosity = False, -1
            self.server = x.Server(params)
            host, _, port = self.server.listening_address.removeprefix("http://").rpartition(":")
            self.address = (host, int(port))
        self._wait()

    def about(self) -> dict[str, Any]:
        row = {"name": self.name, "context": self.context, "file": str(self.path)}
        return {**row, "file_bytes": self.path.stat().st_size, **weights(self.path)}

    def count(self, text: str) -> int:
        with self._post("/tokenize", {"content": text, "add_special": True}) as reply:
            return len(json.loads(reply.read())["tokens"])

    def run(self, prompt: str, tokens: int) -> tuple[float, float, int, int]:
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "stream": True, "cache_prompt": True}
        started = time.perf_counter()
        first, last = 0.0, {}
        with self._post("/completion", body) as reply:
            for line in reply:
                if line.startswith(b"data: {"):
                    first = first or time.perf_counter() - started
                    last = json.loads(line[6:])
        total = time.perf_counter() - started
        return first, total, int(last.get("tokens_predicted", 0)), int(last.get("tokens_evaluated", 0))

    def memory(self) -> int:
        return resident(self.process.pid if self.process else os.getpid())

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def _post(self, path: str, body: dict[str, Any]) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(*self.address, timeout=600)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            if reply.status != 200:
                raise MirimError(f"{self.name} answered {reply.status}: {reply.read(300).decode('utf-8', 'replace')}")
            yield reply
        finally:
            connection.close()

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and (self.process is None or self.process.poll() is None):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(*self.address, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.02)
        self.close()
        raise MirimError(f"{self.name} did not open {self.path}; leave it out with --no-bare")


def weights(path: Path) -> dict[str, Any]:
    """Of a GGUF file: bytes that one decoded token reads, parameters that multiply every token of a prompt, bytes
    of cache that one position adds (float16; float32 for float32 weights). Experts that are not used do not count."""
    import gguf

    from mirim.models import gguf_check

    header = gguf_check.check(path)
    keys, kind = header.keys, header.architecture
    tied = "output.weight" not in header.tensors
    share = keys.get(f"{kind}.expert_used_count", 0) / (keys.get(f"{kind}.expert_count", 0) or 1) or 1.0
    streamed = params = 0.0
    for name, (code, shape) in header.tensors.items():
        count = 1
        for n in shape:
            count *= n
        block, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(code)]
        used = share if "_exps." in name else 1.0
        if tied or name != "token_embd.weight":
            streamed += used * count / block * width
        if len(shape) > 1 and name not in ("token_embd.weight", "output.weight"):
            params += used * count
    heads = keys.get(f"{kind}.attention.head_count")
    cache = 0
    if isinstance(heads, int) and heads:
        size = keys.get(f"{kind}.embedding_length", 0) // heads
        wide = keys.get(f"{kind}.attention.key_length", size) + keys.get(f"{kind}.attention.value_length", size)
        shared = keys.get(f"{kind}.attention.head_count_kv", heads)
        width = 4 if keys.get("general.file_type", 1) == 0 else 2
        cache = keys.get(f"{kind}.block_count", 0) * shared * wide * width if isinstance(shared, int) else 0
    return {"streamed": int(streamed), "params": int(params), "cache": cache}


def _torch_weights(model: Any) -> dict[str, Any]:
    rows = list(model.named_parameters())
    tied = not any("lm_head" in name for name, _ in rows)
    streamed = sum(p.numel() * p.element_size() for n, p in rows if tied or "embed_tokens" not in n)
    params = sum(p.numel() for n, p in rows if p.dim() > 1 and "embed_tokens" not in n and "lm_head" not in n)
    return {"streamed": streamed, "params": params, "file_bytes": sum(p.numel() * p.element_size() for _, p in rows)}


def resident(pid: int) -> int:
    """Bytes of memory that a process holds: RSS now on Linux, its highest elsewhere."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def prompt_text(subject: Subject, tokens: int, seed: int) -> str:
    """Common words in a drawn order, the longest such text of at most `tokens` tokens (and at least one word)."""
    words = (Path(__file__).parents[1] / "documents" / "common" / "en.txt").read_text("utf-8").split()[:500]
    draw = random.Random(seed)
    drawn = [draw.choice(words) for _ in range(tokens)]
    low, high = 1, tokens
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if subject.count(" ".join(drawn[:middle])) <= tokens else (low, middle - 1)
    return " ".join(drawn[:low])


def obey(subject: Subject, order: dict[str, Any]) -> Any:
    match order["do"]:
        case "about":
            return subject.about()
        case "text":
            return prompt_text(subject, order["tokens"], order["seed"])
        case "run":
            return subject.run(order["prompt"], order["tokens"])
        case "memory":
            return subject.memory()
    raise MirimError(f"unknown order {order['do']!r}")


class _Notes:
    """Passes notes (a model is being converted) on to the one who asked."""

    def __init__(self, say: Any) -> None:
        self.say = say

    @contextlib.contextmanager
    def bar(self, label: str, total: float | None) -> Iterator[progress.Task]:
        yield progress.SilentTask()

    def note(self, text: str) -> None:
        self.say({"note": text})


def main() -> None:
    # Libraries may print; the replies have a channel of their own.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(row: Any) -> None:
        out.write(json.dumps(row) + "\n")
        out.flush()

    progress.install(_Notes(say))
    subject: Subject | None = None
    try:
        for line in sys.stdin:
            order = json.loads(line)
            try:
                if subject is None:
                    subject = Bare(order) if order["do"] == "bare" else Own(order)
                    say({"value": subject.about()})
                else:
                    say({"value": obey(subject, order)})
            except MirimError as error:
                say({"error": str(error), "code": error.exit_code})
            except Exception as error:
                say({"error": f"{type(error).__name__}: {error}", "code": FAILED})
    finally:
        if subject is not None:
            subject.close()
        out.flush()
        # Engines keep native threads; leaving through exit handlers could wait for them.
        os._exit(0)


if __name__ == "__main__":
    main()
