"""`mirim serve`: load the models, bind, say where, answer until told to stop, let running answers end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.extras import need
from mirim.core.files import explain
from mirim.core.progress import note
from mirim.core.project import Project
from mirim.core.verbs import verb

_MORE = "mirim keys new"
_STOPPED = "stopped; running answers were ended first"


@verb
def serve(
    project: Project | None = None,
    *,
    model: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int = 8080,
    adapter: tuple[str, ...] = (),
    ctx: int = 0,
    parallel: int = 4,
    threads: int = 0,
    engine: str = "",
    quant: str = "",
    queue: int = 64,
    deadline: float = 600.0,
    tls_cert: str = "",
    tls_key: str = "",
    cors_origin: tuple[str, ...] = (),
    audit: str = "",
    warm: str = "",
    warm_size: int = 64,
) -> None:
    """Serve models over OpenAI's interface, with a web page. Ctrl-C lets running answers end and stops.

    Args:
        model: Model to serve, may be repeated; default: the project's own.
        host: Address to bind. Any but this machine's own demands keys, see: mirim keys new
        port: Port to bind; 0 takes a free one.
        adapter: NAME=REF: a LoRA adapter (GGUF file or PEFT folder) served under a name of its own; may be repeated.
        ctx: Tokens that a prompt and its answer may take; 0 is the model's own.
        parallel: Requests computed side by side on one model.
        threads: Threads that a model computes with; 0 tries some numbers at the start and takes the fastest.
        engine: native, llama_cpp, hf, remote or echo; chosen by the kind of model when left out.
        quant: Weights of a folder or an adapter as q8_0, q4_0, bf16, f16 or f32, made once and kept.
        queue: Requests that may wait in front of a model before more are refused with 429.
        deadline: Most seconds that one answer may take.
        tls_cert: Certificate file (PEM) for https.
        tls_key: Key file (PEM) of the certificate.
        cors_origin: Origin, such as https://example.org, whose pages may use the server; may be repeated.
        audit: File that gets one JSON line a request, without its text; default: audit.jsonl beside the keys.
        warm: File that remembers often used system prompts over a restart, ready to be used again; default: none.
        warm_size: Megabytes of computed prompts and passages kept beside it for each model; 0 keeps texts alone.
    """
    need("starlette", "serve")
    need("uvicorn", "serve")
    from mirim.models.engines.native import SPARE
    from mirim.server import keys as key_room
    from mirim.server import tls
    from mirim.server.app import build
    from mirim.server.door import House
    from mirim.server.room import Settings, open_room
    from mirim.server.traces import traces
    from mirim.server.warm import Warm

    if project is None and not model:
        # Nothing was named: the project around the current folder, with its own [serve] table.
        given: dict[str, Any] = {
            "host": host, "port": port, "adapter": adapter, "ctx": ctx, "parallel": parallel,
            "threads": threads, "engine": engine, "quant": quant, "queue": queue, "deadline": deadline,
            "tls_cert": tls_cert, "tls_key": tls_key, "cors_origin": cors_origin, "audit": audit, "warm": warm,
            "warm_size": warm_size,
        }  # fmt: skip
        defaults = serve.__wrapped__.__kwdefaults__  # type: ignore[attr-defined]
        serve(Project.find(), **{k: v for k, v in given.items() if v != defaults[k]})
        return
    _check(port, parallel, threads, queue, deadline, ctx, cors_origin)
    if not 0 <= warm_size <= 65536:
        raise UsageError(f"warm_size {warm_size} is not between 0 and 65536 megabytes")
    tls.check(tls_cert, tls_key)
    stores = (key_room.store(project), key_room.store(None), key_room.home() / "keys.json")
    watched = key_room.Watched(*stores)
    local = loopback(host)
    if not local and not watched.any():
        where = f" {project.flag}" if project else ""
        raise UsageError(
            f"{host} can be reached by other machines, and there is no key yet: make one, then serve again. "
            f"Type: {_MORE}{where}"
        )
    remembered = Warm(Path(warm).expanduser(), warm_size << 20) if warm else None
    spare = max(SPARE, warm_size << 20) if warm else 0  # what is kept must fit into memory again
    settings = Settings(
        tuple(model), _pairs(adapter), project, ctx, parallel, engine, queue, threads=threads, spare=spare, quant=quant
    )
    bound = bind(host, port)
    try:
        room = open_room(settings)
    except BaseException:
        bound.close()
        raise
    house = House(
        room,
        settings,
        keys=watched,
        demand_keys=not local,
        origins=tuple(cors_origin),
        hosts=("127.0.0.1", "localhost", "::1", host.lower()) if local else (),
        deadline=deadline,
        secure=bool(tls_cert),
        audit=_auditor(Path(audit).expanduser() if audit else stores[0].parent / "audit.jsonl"),
        traces=traces(),
        warm=remembered,
    )
    address = _address(bound, host, bool(tls_cert))
    try:
        _run(build(house), house, bound, lambda: _announce(address, sorted(room.models)), tls_cert, tls_key)
    finally:
        bound.close()
        house.room.close()
        if house.traces:
            house.traces.close()
    note("stopped at once; what was still running was cut off" if house.hurried else _STOPPED)


def _json() -> bool:
    return bool(os.environ.get("MIRIM_JSON"))


def _announce(address: str, names: list[str]) -> None:
    if _json():
        print(json.dumps({"address": address, "models": names}), flush=True)
    else:
        print(f"mirim serves {', '.join(names)} at {address}", flush=True)


def _check(
    port: int, parallel: int, threads: int, queue: int, deadline: float, ctx: int, origins: tuple[str, ...]
) -> None:
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port} is not between 0 and 65535")
    if not 1 <= parallel <= 256:
        raise UsageError(f"parallel {parallel} is not between 1 and 256")
    if not 0 <= threads <= 512:
        raise UsageError(f"threads {threads} is not between 0 and 512; 0 lets mirim choose")
    if queue < 0 or deadline <= 0 or ctx < 0:
        raise UsageError(f"queue {queue}, deadline {deadline:g}, ctx {ctx}: none may be negative, nor the deadline 0")
    for origin in origins:
        if "://" not in origin or origin.endswith("/") or "*" in origin:
            raise UsageError(
                f'"{origin}" is not one origin; write it like https://example.org, without a path or a star'
            )


def _pairs(adapters: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    out = []
    for word in adapters:
        name, mark, ref = word.partition("=")
        if not (name.strip() and mark and ref.strip()):
            raise UsageError(f'adapter "{word}" is not NAME=REF')
        out.append((name.strip(), ref.strip()))
    return tuple(out)


def loopback(host: str) -> bool:
    """Whether only this machine can reach the address. UsageError when it is no address at all."""
    if not host:
        raise UsageError('host "" is no address; write 127.0.0.1, or 0.0.0.0 for all addresses of this machine')
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {row[4][0] for row in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as error:
        raise UsageError(f'host "{host}" is not an address of this machine ({error})') from error
    return bool(found) and all(ipaddress.ip_address(str(a).partition("%")[0]).is_loopback for a in found)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not listening yet. UsageError when the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP by name: only then does asyncio switch Nagle's delay off, 40 ms a reply otherwise.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is in use by another program; choose another one, or --port 0") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise UsageError(f"port {port} needs more rights than this user has; choose one above 1023") from error
        raise UsageError(f"{host}:{port} cannot be bound: {error.strerror or error}") from error
    return bound


def _address(bound: socket.socket, host: str, tls: bool) -> str:
    port = bound.getsockname()[1]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


class _Private(logging.handlers.RotatingFileHandler):
    """Files that only this user reads: the first one, and each that is begun when one is full."""

    def _open(self) -> Any:
        return open(
            self.baseFilename, self.mode, encoding=self.encoding, opener=lambda p, flags: os.open(p, flags, 0o600)
        )


def _auditor(path: Path) -> Callable[[dict[str, Any]], None]:
    """One JSON line a request, 10 MB a file, five files kept, readable by this user only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Private(path, maxBytes=10 * 2**20, backupCount=5, encoding="utf-8")
    except OSError as error:
        raise explain(error, path) from error
    handler.setFormatter(logging.Formatter("%(message)s"))
    # A full disk must not end requests, nor fill the log.
    handler.handleError = lambda record: None  # type: ignore[method-assign]

    def write(row: dict[str, Any]) -> None:
        text = json.dumps(row, ensure_ascii=False)
        handler.handle(logging.LogRecord("mirim.audit", logging.INFO, "", 0, text, None, None))

    return write


class _Lines(logging.Formatter):
    """Structured logs: one JSON object a line on stderr."""

    def format(self, record: logging.LogRecord) -> str:
        row = {"time": round(record.created, 3), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)


def _run(app: Any, house: Any, bound: socket.socket, announce: Callable[[], None], cert: str, key: str) -> None:
    import uvicorn

    from mirim.server import connections, side

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    # Answers that a second signal cuts off are told in one line at the end.
    handler.addFilter(lambda row: not (row.exc_info and isinstance(row.exc_info[1], asyncio.CancelledError)))
    for name, level in (("mirim.server", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            if self.force_exit:
                # Left out in a hurry, and then torn down where it stands, with a trace in the log.
                await self.lifespan.shutdown()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and not self.should_exit:
                announce()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """The first signal lets running answers end, the second does not; the process then ends by itself."""
            loop = asyncio.get_running_loop()

            def stop(number: int, _: FrameType | None = None) -> None:
                self.force_exit = house.hurried = self.should_exit
                self.should_exit = house.draining = True

            def hang_up(*_: Any) -> None:
                loop.call_soon_threadsafe(lambda: asyncio.ensure_future(_reload()))

            async def _reload() -> None:
                try:
                    await side.reload_room(house)
                    note(f"serving {', '.join(sorted(house.room.models))} anew")
                except Exception as error:
                    logging.getLogger("mirim.server").error("reload: %s", error)

            former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
            if hasattr(signal, "SIGHUP"):
                former[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
            try:
                yield
            finally:
                for number, old in former.items():
                    signal.signal(number, old)

    config = uvicorn.Config(
        app,
        http=type("Connection", (connections.Connection,), {"most": connections.most()}),
        backlog=connections.BACKLOG,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(house.deadline),
        h11_max_incomplete_event_size=32 * 1024,
        ssl_certfile=cert or None,
        ssl_keyfile=key or None,
    )
    Server(config).run(sockets=[bound])
