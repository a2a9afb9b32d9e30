"""The routes. Starlette alone: no models, no dependency injection, nothing to configure elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import takewhile
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from mirim.core.errors import MirimError
from mirim.server import pages, side
from mirim.server.chat import chat
from mirim.server.completions import completions, embeddings
from mirim.server.door import Answer, Endpoint, Guard, Handler, House, Visit
from mirim.server.generate import gives_logprobs
from mirim.server.openapi import description
from mirim.server.responses import responses
from mirim.server.room import Room
from mirim.server.warm import warmed
from mirim.server.wire import ApiError

log = logging.getLogger("mirim.server")

#: method, path, handler, open to all (no key)
ROUTES: tuple[tuple[str, str, Handler, bool], ...] = (
    ("POST", "/v1/chat/completions", chat, False),
    ("POST", "/v1/completions", completions, False),
    ("POST", "/v1/embeddings", embeddings, False),
    ("POST", "/v1/responses", responses, False),
    ("GET", "/v1/models", side.models, False),
    ("GET", "/v1/models/{id:path}", side.model, False),
    ("GET", "/mirim/sources/{model}/{document}", side.source, False),
    ("POST", "/mirim/feedback", side.feedback, False),
    ("GET", "/mirim/status", side.status, False),
    ("POST", "/mirim/reload", side.reload, False),
    ("GET", "/metrics", side.metrics, False),
    ("GET", "/health", side.health, True),
    ("GET", "/ready", side.ready, True),
)


def build(house: House) -> ASGIApp:
    """The whole application around a house."""

    async def openapi(visit: Visit) -> Answer:
        models = house.room.models
        known = () if house.demand_keys else tuple(sorted(models))
        assistants = tuple(name for name in known if models[name].kind == "assistant")
        bare = [served.engine for served in models.values() if served.kind != "assistant"]
        known_tokens = [getattr(getattr(engine, "words", None), "vocabulary", 0) for engine in bare]
        return description(
            known, assistants, any(gives_logprobs(served) for served in models.values()), min(known_tokens, default=0)
        )

    rows = [*ROUTES, ("GET", "/openapi.json", openapi, True)]
    rows += [("GET", path, partial(pages.page, name), True) for path, name in pages.PATHS.items()]
    routes = []
    for method, path, handler, free in rows:
        routes.append(Route(path, Endpoint(house, handler, path, open=free), methods=[method]))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with warmed(house):
            reading = asyncio.ensure_future(asyncio.to_thread(_prepare, house.room))
            yield
            house.draining = True
            await reading

    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _lost(house)})
    app.router.redirect_slashes = False
    return Guard(app, house)


def _prepare(room: Room) -> None:
    try:
        room.prepare()
    except MirimError as error:
        log.warning("not read ahead: %s", error)  # the first question says what is wrong


def _lost(house: House) -> Any:
    async def lost(request: Any, error: Exception) -> Any:
        assert isinstance(error, HTTPException)
        status, method = error.status_code, request.method

        async def refuse(visit: Visit) -> Answer:
            path = request.url.path[:200]
            if status == 405:
                allowed = (error.headers or {}).get("Allow", "")
                why = f"{method} is not allowed at {path}; it takes {allowed}"
                raise ApiError(405, why, code="method_not_allowed", headers={"Allow": allowed})
            but = f", but at {near}" if (near := _meant(path)) else ""
            raise ApiError(
                404,
                f"there is nothing at {path}{but}; the interface is OpenAI's, its clients are given a base URL that "
                "ends in /v1, and /openapi.json lists all there is",
                code="not_found",
            )

        return Endpoint(house, refuse, "", open=True)

    return lost


def _meant(path: str) -> str:
    """The address that ends most like this one, as where a base URL lacks its /v1 or has it twice; "" if none does."""
    words = path.rstrip("/").split("/")

    def alike(known: str) -> int:
        pairs = zip(reversed(words), reversed(known.split("/")), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    best = max((known for _, known, _, _ in ROUTES if "{" not in known), key=alike)
    return best if alike(best) else ""
