"""The way in and out: who is asking, how much, from where; errors, headers, the audit log. Plain ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from mirim.core.errors import MirimError, UsageError
from mirim.server.keys import PREFIX, Key, Watched
from mirim.server.metrics import Metrics
from mirim.server.room import Room, Served, Settings
from mirim.server.scheduler import Bucket
from mirim.server.traces import Traces
from mirim.server.warm import Warm
from mirim.server.wire import BODY, ApiError, Last, event, read

log = logging.getLogger("mirim.server")

#: Bytes of a body that is not read in between other work.
_LONG = 64 * 1024
#: Bytes of a body that is too long that are waited for, to say so.
_UNHEARD = 64 * 2**20
#: Models that are named to who asks for one that is not there, and origins to whoever reads the log.
_NAMED = 8

_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _PAGE,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}


@dataclass(slots=True)
class House:
    """All that a running server holds. `room` is replaced as a whole when models are reloaded."""

    room: Room
    settings: Settings = field(default_factory=Settings)
    keys: Watched | None = None
    demand_keys: bool = False
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=Metrics)
    audit: Callable[[dict[str, Any]], None] = lambda row: None
    traces: Traces | None = None
    warm: Warm | None = None
    deadline: float = 600.0
    body_seconds: float = 30.0
    secure: bool = False
    draining: bool = False
    hurried: bool = False
    buckets: dict[str, Bucket] = field(default_factory=dict)
    users: dict[int, int] = field(default_factory=dict)
    retiring: set[asyncio.Future[None]] = field(default_factory=set)
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Visit:
    """One request on its way through. Handlers note what the audit log and the metrics should say."""

    house: House
    request: Request
    id: str
    key: Key | None = None
    room: Room = None  # type: ignore[assignment]
    model: str = ""
    streamed: bool = False
    started: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    span: Any = None
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def owner(self) -> str:
        """Whose line it waits in: the key's, or the address's where no key was shown."""
        client = self.request.client
        return self.key.id if self.key else f"@{client.host if client else ''}"

    async def body(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The checked JSON of the request."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, f'the body must be application/json, got "{kind[:60]}"', code="unsupported_media_type")
        if self.request.headers.get("content-encoding", "identity") != "identity":
            raise ApiError(415, "the body must not be compressed", code="unsupported_media_type")
        data = await self._bytes()
        self.heard.set()
        if len(data) < _LONG:
            return read(data, schema)
        # Seconds for a body of hundreds of thousands of parts: nobody else's answer waits for it.
        return await asyncio.to_thread(read, data, schema)

    async def _bytes(self) -> bytes:
        too_long = ApiError(413, f"the body holds more than {BODY} bytes", code="request_too_large")
        headers = self.request.headers
        length = headers.get("content-length", "0")
        # Who waits to be told to send is told at once.
        most = BODY if "expect" in headers else _UNHEARD
        if not length.isdigit() or int(length[:12]) > most:
            raise too_long
        out, size = bytearray(), 0
        try:
            async with asyncio.timeout(self.house.body_seconds):
                async for part in self.request.stream():
                    size += len(part)
                    if size > most:
                        raise too_long
                    # Read on, and forgotten: who is cut off while sending sees a broken connection, and not why.
                    if size <= BODY:
                        out += part
        except TimeoutError as error:
            raise ApiError(408, "the body did not arrive in time", code="request_timeout") from error
        if size > BODY:
            raise too_long
        return bytes(out)

    def served(self, name: str) -> Served:
        """The model of that name, which this key may use."""
        found = self.room.models.get(name)
        if found is None:
            known = [known for known in self.room.models if self.key is None or self.key.allows(known)]
            raise ApiError(
                404,
                f"The model `{name}` does not exist; name one that /v1/models lists: {', '.join(known[:_NAMED])}",
                param="model",
                code="model_not_found",
            )
        if self.key is not None and not self.key.allows(name):
            raise ApiError(403, f"this key may not use the model `{name}`", param="model", code="model_not_allowed")
        self.model = name
        return found

    def admin(self) -> None:
        """Raise unless this visitor may see the server's inside."""
        if self.house.demand_keys and not (self.key and self.key.admin):
            raise ApiError(403, "this needs a key made with: mirim keys new --admin", code="admin_key_needed")


#: JSON, a stream whose last part is a `Last`, or a status with a body and its type.
Answer = dict[str, Any] | AsyncIterator[bytes] | tuple[int, bytes, str]
Handler = Callable[[Visit], Awaitable[Answer]]


class Endpoint:
    """A handler as an ASGI application: everything around it that every route needs."""

    def __init__(self, house: House, handler: Handler, path: str, *, open: bool = False) -> None:
        self.house, self.handler, self.path, self.open = house, handler, path, open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(self.house, Request(scope, receive), f"req-{secrets.token_hex(12)}")
        visit.room = room = self.house.room
        users = self.house.users
        users[id(room)] = users.get(id(room), 0) + 1
        reply = _Reply(send, visit)
        if visit.request.method in ("GET", "HEAD"):
            visit.heard.set()
        if self.house.traces and not self.open:
            visit.span = self.house.traces.begin(visit.request.method, self.path, visit.request.headers)
        task = asyncio.ensure_future(self._serve(visit, reply))
        gone = asyncio.ensure_future(_gone(visit, receive, task))
        status = 499
        try:
            await asyncio.wait({task})
            status = 499 if task.cancelled() else reply.status
            if not task.cancelled() and (error := task.exception()):
                raise error
        finally:
            if not task.done():
                task.cancel()
            gone.cancel()
            users[id(room)] -= 1
            self._note(visit, status)

    async def _serve(self, visit: Visit, reply: _Reply) -> None:
        try:
            try:
                if not self.open:
                    self._admit(visit)
                answer = await self.handler(visit)
            except UsageError as error:
                raise ApiError(400, str(error)) from error
            except MirimError as error:
                log.error("%s %s", visit.id, error)
                raise ApiError(500, str(error), code="engine_failed") from error
        except ApiError as error:
            visit.notes["error"] = error.code or error.kind
            body = json.dumps(error.to_json(), ensure_ascii=False).encode()
            await reply.whole(error.status, body, "application/json", error.headers)
            return
        except ClientDisconnect:
            # It left before its body was here: nobody is left to tell, and nothing is wrong.
            reply.status = 499
            return
        except Exception:
            log.exception("%s failed", visit.id)
            broken = ApiError(500, f"something went wrong here; the log says more under {visit.id}", code="internal")
            await reply.whole(500, json.dumps(broken.to_json()).encode(), "application/json", {})
            return
        if isinstance(answer, dict):
            body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
            await reply.whole(200, body, "application/json", visit.headers)
        elif isinstance(answer, tuple):
            await reply.whole(answer[0], answer[1], answer[2], visit.headers)
        else:
            await reply.stream(answer)

    def _admit(self, visit: Visit) -> None:
        """Who is it, and may they ask now?"""
        house = self.house
        word = visit.request.headers.get("authorization", "")
        scheme, _, text = word.partition(" ")
        text = text.strip() if scheme.lower() == "bearer" else ""
        text = text or visit.request.headers.get("x-api-key", "")
        # Clients on this machine send any word as a key; one that looks like ours is meant to count.
        if house.keys is not None and (house.demand_keys or text.startswith(PREFIX)):
            visit.key = house.keys.find(text)
            if visit.key is None and text and house.keys.broken:
                raise ApiError(503, "the server cannot read its keys; its log says more", code="keys_unreadable")
            if visit.key is None:
                what = "this key is unknown or revoked" if text else "no key was sent; send Authorization: Bearer KEY"
                raise ApiError(401, what, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if visit.key is not None and visit.key.rate:
            bucket = house.buckets.get(visit.key.id)
            if bucket is None or bucket.size != max(1.0, visit.key.rate):
                bucket = house.buckets[visit.key.id] = Bucket(visit.key.rate)
            if seconds := bucket.take():
                wait = str(int(seconds) + 1)
                raise ApiError(
                    429,
                    f"this key may ask {visit.key.rate:g} times a minute; try again in {wait} s",
                    code="rate_limit_exceeded",
                    headers={"Retry-After": wait},
                )

    def _note(self, visit: Visit, status: int) -> None:
        seconds = time.perf_counter() - visit.started
        metrics = self.house.metrics
        metrics.count("mirim_requests_total", route=self.path, model=visit.model, status=str(status))
        if status == 499:
            metrics.count("mirim_cancelled_total", model=visit.model)
        if visit.model:
            metrics.observe("mirim_request_seconds", seconds, model=visit.model)
        client = visit.request.client
        row = {
            "time": round(time.time(), 3),
            "id": visit.id,
            "key": visit.key.id if visit.key else None,
            "client": client.host if client else None,
            "method": visit.request.method,
            "route": self.path,
            "model": visit.model or None,
            "status": status,
            "seconds": round(seconds, 4),
            **visit.notes,
        }
        self.house.audit(row)
        if self.house.traces and visit.span:
            self.house.traces.end(visit.span, row)


async def _gone(visit: Visit, receive: Receive, task: asyncio.Task[None]) -> None:
    """Cancel the work when the client goes away. Listens once the body was read, not to take parts of it."""
    await visit.heard.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


class _Reply:
    """What is sent back: whole or as a stream of events. `status` is 0 until then."""

    def __init__(self, send: Send, visit: Visit) -> None:
        self._send, self._visit, self.status = send, visit, 0

    async def whole(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.status = status
        if status in (408, 413):
            # What is left of the body is not read: the connection cannot be used again.
            headers = {**headers, "Connection": "close"}
        size = {} if status == 304 else {"content-length": str(len(body))}
        await self._start(status, kind, {**headers, **size})
        data = b"" if self._visit.request.method == "HEAD" else body
        await self._send({"type": "http.response.body", "body": data})

    async def stream(self, parts: AsyncIterator[bytes]) -> None:
        self.status = 200
        self._visit.streamed = True
        await self._start(200, "text/event-stream", {"x-accel-buffering": "no"})
        try:
            async with contextlib.aclosing(parts) as source:  # type: ignore[type-var]
                async for part in source:
                    more = not isinstance(part, Last)
                    await self._send({"type": "http.response.body", "body": part, "more_body": more})
                    if not more:
                        return
        except ApiError as error:
            await self._broken(error)
        except MirimError as error:
            log.error("%s %s", self._visit.id, error)
            await self._broken(ApiError(500, str(error), code="engine_failed"))
        except Exception:
            log.exception("%s failed", self._visit.id)
            await self._broken(ApiError(500, f"something went wrong; see {self._visit.id}", code="internal"))

    async def _broken(self, error: ApiError) -> None:
        """A stream cannot take back its 200: the error is its last event."""
        self.status = error.status
        self._visit.notes["error"] = error.code or error.kind
        await self._send({"type": "http.response.body", "body": event(error.to_json())})

    async def _start(self, status: int, kind: str, headers: dict[str, str]) -> None:
        text = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        rows = {"content-type": text, "cache-control": "no-store", "x-request-id": self._visit.id, **headers}
        pairs = [(k.lower().encode(), v.encode("latin-1", "replace")) for k, v in rows.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})


class Guard:
    """Around the whole application: security headers, closed CORS, and no other site's page in between."""

    def __init__(self, app: Any, house: House) -> None:
        self.app, self.house = app, house
        self._told: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        origin = headers.get("origin", "")
        allowed = origin in self.house.origins
        extra = dict(HEADERS)
        if self.house.secure:
            extra["strict-transport-security"] = "max-age=31536000"
        extra["cross-origin-resource-policy"] = "cross-origin" if allowed else "same-origin"
        if self.house.origins:
            extra["vary"] = "Origin"
        if allowed:
            extra["access-control-allow-origin"] = origin
            extra["access-control-expose-headers"] = "x-request-id, retry-after"

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                have = {k for k, _ in message["headers"]}
                more = [
                    (k.encode(), v.encode("latin-1", "replace")) for k, v in extra.items() if k.encode() not in have
                ]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        host = headers.get("host", "")
        if host and self.house.hosts and _name(host) not in self.house.hosts:
            # A page elsewhere may point its own name at this machine (DNS rebinding). No browser sends none at all, as
            # the probes of load balancers in HTTP/1.0 do.
            why = (
                f'this server does not answer to the name "{host[:100]}"; ask it as 127.0.0.1 or localhost, or have it '
                "served to other machines and to containers: --host 0.0.0.0, with a key (mirim keys new)"
            )
            return await _refuse(send_more, 421, why, "wrong_host")
        if origin and not allowed and origin.partition("://")[2] != host:
            return await _refuse(send_more, 403, self._closed(origin[:100]), "cors_closed")
        if scope["method"] == "OPTIONS" and allowed and "access-control-request-method" in headers:
            # A page that is allowed in may send what headers it likes: OpenAI's client sends a dozen of its own.
            sent = headers.get("access-control-request-headers", "authorization, content-type")
            wanted = [
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", sent.encode("latin-1")),
                (b"access-control-max-age", b"600"),
            ]
            await send_more({"type": "http.response.start", "status": 204, "headers": wanted})
            await send_more({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send_more)

    def _closed(self, origin: str) -> str:
        """Why pages of this origin are refused. Browsers keep it from them, so the log says it too, once for each."""
        if origin == "null":
            why = "a page without an address, as of a file, may not use this server; have a web server give it one"
        else:
            why = f"pages of {origin} may not use this server; whoever runs it can allow them: --cors-origin {origin}"
        if origin not in self._told and len(self._told) < _NAMED:
            self._told.add(origin)
            log.warning("%s", why)
        return why


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.partition(":")[0].lower()


async def _refuse(send: Send, status: int, message: str, code: str) -> None:
    body = json.dumps(ApiError(status, message, code=code).to_json()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
