"""Orders and their pieces: what chat, completions and responses share between the wire and the engine."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from mirim.core.check import Misfit
from mirim.core.types import Message, Sampling
from mirim.server import schemas, wire
from mirim.server.calls import closed
from mirim.server.door import Visit
from mirim.server.pieces import Order, Piece
from mirim.server.produce import produce
from mirim.server.review import refuse
from mirim.server.room import Served
from mirim.server.scheduler import Box, Stop, stream
from mirim.server.wire import invalid, unsupported

#: Longest answer that is written unasked by an engine that does not say how much it holds.
UNASKED = 4096

#: More characters than any token has: those of real vocabularies end at 128, runs of blanks and dashes.
WIDEST = 256

#: What the assistant cannot do; sampling is no part of this list, because its answers are not drawn at random.
_NOT_GROUNDED = ("tools", "tool_choice", "response_format", "logprobs", "top_logprobs")


def sampling(row: dict[str, Any], served: Served, limit: int | None, logprobs: int | None = None) -> Sampling:
    """How to draw, from a checked request. Without a seed, every answer is drawn anew."""
    seed = row.get("seed")
    return Sampling(
        max_tokens=limit if limit is not None else served.context or UNASKED,
        temperature=float(row.get("temperature", 1.0)),
        top_p=float(row.get("top_p", 1.0)),
        top_k=row.get("top_k", 0),
        min_p=float(row.get("min_p", 0.0)),
        repeat_penalty=float(row.get("repeat_penalty", 1.0)),
        seed=secrets.randbelow(2**31) if seed is None else int(seed) & 0x7FFFFFFF,
        stop=wire.stops(row.get("stop")),
        logprobs=logprobs,
    )


def order(row: dict[str, Any], served: Served, messages: tuple[Message, ...], limit: int | None) -> Order:
    """A conversation as an order; ApiError for what does not go together."""
    fits(served, (message.content for message in messages), "messages")
    tools: list[dict[str, Any]] = row.get("tools") or []
    choice = row.get("tool_choice", "auto" if tools else "none")
    if served.kind == "assistant":
        _grounded(row, served, messages)
    elif "policy" in (row.get("mirim") or {}):
        raise unsupported("mirim.policy", f"{served.name} is a bare model; only the assistant has policies")
    elif not getattr(served.engine, "template", "-"):
        raise invalid(f"{served.name} has no chat template; use /v1/completions", "model", "no_chat_template")
    if "tool_choice" in row and not tools:
        raise invalid("tool_choice needs tools", "tool_choice")
    names = [tool["function"]["name"] for tool in tools]
    if isinstance(choice, dict):
        choice = choice["function"]["name"]
        if choice not in names:
            raise invalid(f'tool_choice names "{choice}", which is not among the tools', "tool_choice")
        choice = f"={choice}"
    for number, tool in enumerate(tools):
        _check_tool(tool["function"], f"tools[{number}].function.parameters")
    schema = _schema(row.get("response_format") or {"type": "text"})
    wanted = row.get("top_logprobs", 0) if row.get("logprobs") else None
    if row.get("top_logprobs") and not row.get("logprobs"):
        raise invalid("top_logprobs needs logprobs: true", "top_logprobs")
    if wanted is not None and ((tools and choice != "none") or not gives_logprobs(served)):
        why = "not together with tools" if tools else f"the engine of {served.name} does not give them"
        raise unsupported("logprobs", why)
    return Order(
        served,
        messages,
        sampling(row, served, limit, wanted),
        tuple(tools) if choice != "none" else (),
        choice,
        schema,
        (row.get("mirim") or {}).get("policy"),
        not row.get("parallel_tool_calls", True),
    )


def fits(served: Served, texts: Iterable[str], param: str) -> None:
    """Raise ApiError 400 for what is surely too long, before it is read as tokens: that takes minutes for megabytes,
    which the others in line would wait for, and cannot be ended when the client leaves."""
    size, most = sum(map(len, texts)), served.context * WIDEST
    if most and size > most:
        raise invalid(
            f"the text has {size} characters, the context of {served.name} holds {served.context} tokens; shorten it",
            param,
            "context_length_exceeded",
        )


def gives_logprobs(served: Served) -> bool:
    return bool(getattr(served.engine, "logprobs", False))


def _grounded(row: dict[str, Any], served: Served, messages: Sequence[Message]) -> None:
    for key in _NOT_GROUNDED:
        # Clients say that they want text, which is what it writes.
        if row.get(key) and row[key] != {"type": "text"}:
            raise unsupported(key, f"{served.name} answers from documents; use a bare model, see /v1/models")
    if messages[-1].role != "user" or not messages[-1].content.strip():
        raise invalid("the last message must be the user's question", "messages")
    if (size := len(messages[-1].content)) > schemas.QUESTION:
        raise invalid(
            f"the question has {size} characters, {served.name} reads at most {schemas.QUESTION}; ask for less, "
            "and put texts to ask about among its documents",
            "messages",
            "context_length_exceeded",
        )


def _check_tool(function: dict[str, Any], param: str) -> None:
    parameters = function.get("parameters")
    if parameters is None:
        return
    try:
        refuse(parameters)
    except Misfit as misfit:
        # What no grammar enforces is a description to the model, unless the caller asked for strictness.
        if misfit.kind != "keyword" or function.get("strict"):
            raise invalid(f"{param}{misfit.path}: {misfit.why}", param, "invalid_schema") from misfit
    if parameters and parameters.get("type", "object") != "object":
        raise invalid(f'{param}.type must be "object"', param, "invalid_schema")


def _schema(form: dict[str, Any]) -> dict[str, Any] | None:
    if form["type"] == "text":
        return None
    if form["type"] == "json_object":
        return {"type": "object"}
    schema: dict[str, Any] = form["json_schema"]["schema"]
    try:
        refuse(schema)
    except Misfit as misfit:
        param = "response_format.json_schema.schema"
        raise invalid(f"{param}{misfit.path}: {misfit.why}", param, "invalid_schema") from misfit
    # A small model goes on with properties that nobody listed, as long as it may.
    made: dict[str, Any] = closed(schema)
    return made


#: (choice, piece) of what is ready at one time.
Ready = list[tuple[int, Piece]]


async def pieces(visit: Visit, orders: Sequence[Order]) -> AsyncIterator[Ready]:
    """The pieces of all orders as they come, computed side by side. Counts what was done."""
    house = visit.house
    stop = Stop(house.deadline)
    began = time.perf_counter()
    prompt = completion = cached = 0
    sources = [_one(visit, stop, o, n) for n, o in enumerate(orders)]
    try:
        both = _merged(sources, orders[0].served.lane.slots) if len(sources) > 1 else sources[0]
        async with contextlib.aclosing(both) as together:  # type: ignore[type-var]
            async for ready in together:
                for _, piece in ready:
                    if not visit.first and (piece.text or piece.calls):
                        visit.first = time.perf_counter() - began
                    if piece.reason:
                        completion += piece.completion_tokens
                        prompt, cached = max(prompt, piece.prompt_tokens), max(cached, piece.cached_tokens)
                        if piece.extra and piece.extra.get("abstained"):
                            house.metrics.count("mirim_abstained_total", model=visit.model)
                yield ready
        if house.warm:
            house.warm.note(orders[0])
    finally:
        stop.cancel()
        total = time.perf_counter() - began
        for kind, amount in (("prompt", prompt), ("cached", cached), ("completion", completion)):
            house.metrics.count("mirim_tokens_total", amount, model=visit.model, kind=kind)
        house.metrics.observe("mirim_first_token_seconds", visit.first or total, model=visit.model)
        house.metrics.finished(total, visit.first or total, completion)
        visit.notes |= {"prompt_tokens": prompt, "completion_tokens": completion}
        visit.notes |= {"first": round(visit.first, 4), "queued": round(stop.waited, 4)}


async def _one(visit: Visit, stop: Stop, order: Order, number: int) -> AsyncIterator[Ready]:
    pieces = stream(order.served.lane, visit.owner, stop, lambda: produce(order))
    async with contextlib.aclosing(pieces) as source:  # type: ignore[type-var]
        async for ready in source:
            yield [(number, piece) for piece in ready]


async def _merged(sources: Sequence[AsyncIterator[Ready]], most: int) -> AsyncIterator[Ready]:
    """Several streams as one, `most` of them at a time, so that a request does not fill the queue that it waits in; the
    first error ends all of them."""
    line, turns = Box(), asyncio.Semaphore(most)

    async def drain(source: AsyncIterator[Ready]) -> None:
        try:
            async with turns, contextlib.aclosing(source) as items:  # type: ignore[type-var]
                async for ready in items:
                    line.put(ready)
            line.put(None)
        except BaseException as error:
            line.put(error)
            raise

    tasks = [asyncio.ensure_future(drain(s)) for s in sources]
    try:
        left = len(tasks)
        while left:
            items = await line.take()
            errors = [item for item in items if isinstance(item, BaseException)]
            if ready := [pair for item in items if isinstance(item, list) for pair in item]:
                yield ready
            if errors:
                raise errors[0]
            left -= items.count(None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def copies(first: Order, count: int) -> list[Order]:
    """The same order `count` times, each with a seed of its own."""
    seeds = [(first.sampling.seed + n) & 0x7FFFFFFF for n in range(count)]
    return [replace(first, sampling=replace(first.sampling, seed=s)) for s in seeds]
