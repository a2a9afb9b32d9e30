"""POST /v1/chat/completions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from mirim.core.types import TokenLogprob
from mirim.server import generate, schemas, wire
from mirim.server.door import Answer, Visit
from mirim.server.pieces import Order, Piece
from mirim.server.wire import Last, event, invalid

#: Stands for the words of an answer; no id or model name holds it.
_WORD = "\0"


async def chat(visit: Visit) -> Answer:
    row = await visit.body(schemas.CHAT)
    served = visit.served(row["model"])
    limits = {row[k] for k in ("max_tokens", "max_completion_tokens") if k in row}
    if len(limits) > 1:
        raise invalid("max_tokens and max_completion_tokens differ; send one of them", "max_tokens")
    if "stream_options" in row and not row.get("stream"):
        raise invalid("stream_options needs stream: true", "stream_options")
    messages = wire.messages(row["messages"])
    first = generate.order(row, served, messages, limits.pop() if limits else None)
    orders = generate.copies(first, row.get("n", 1))
    if row.get("stream"):
        return await _stream(visit, row, orders)
    return await _whole(visit, row, orders)


async def _whole(visit: Visit, row: dict[str, Any], orders: list[Order]) -> dict[str, Any]:
    texts = [""] * len(orders)
    calls: list[list[dict[str, Any]]] = [[] for _ in orders]
    logprobs: list[list[TokenLogprob]] = [[] for _ in orders]
    ends: list[Piece] = [Piece()] * len(orders)
    async for ready in generate.pieces(visit, orders):
        for number, piece in ready:
            texts[number] += piece.text
            calls[number] += piece.calls
            logprobs[number] += piece.logprobs
            if piece.reason:
                ends[number] = piece
    choices = []
    for number, end in enumerate(ends):
        message: dict[str, Any] = {"role": "assistant", "content": texts[number], "refusal": None}
        if calls[number]:
            message |= {"content": texts[number] or None, "tool_calls": calls[number]}
        if end.extra is not None:
            message["mirim"] = end.extra
        shown = wire.chat_logprobs(logprobs[number], row.get("top_logprobs", 0)) if row.get("logprobs") else None
        choices.append({"index": number, "message": message, "logprobs": shown, "finish_reason": end.reason})
    return {
        "id": wire.new_id("chatcmpl"),
        "object": "chat.completion",
        "created": wire.now(),
        "model": row["model"],
        "choices": choices,
        "usage": _usage(ends),
    }


def _usage(ends: list[Piece]) -> dict[str, Any]:
    return wire.usage(
        max(e.prompt_tokens for e in ends), sum(e.completion_tokens for e in ends), max(e.cached_tokens for e in ends)
    )


async def _stream(visit: Visit, row: dict[str, Any], orders: list[Order]) -> AsyncIterator[bytes]:
    """Events; whatever is wrong before the first piece is still an error of its own status."""
    source = generate.pieces(visit, orders)
    try:
        first = await anext(source)
    except BaseException:
        await source.aclose()  # type: ignore[attr-defined]
        raise
    return _events(row, len(orders), first, source)


async def _events(
    row: dict[str, Any], count: int, first: generate.Ready, source: AsyncIterator[generate.Ready]
) -> AsyncIterator[bytes]:
    """What is ready at one time as one part: the roles with the first words, how it ended with the end."""
    with_usage = bool((row.get("stream_options") or {}).get("include_usage"))
    base = {
        "id": wire.new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": wire.now(),
        "model": row["model"],
    }
    tail: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(number: int, delta: dict[str, Any], logprobs: Any = None, reason: str | None = None) -> dict[str, Any]:
        choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return {**base, "choices": [choice], **tail}

    # A word is all that differs between most events: what stands around it is written once.
    shells = [json.dumps(chunk(n, {"content": _WORD}), separators=(",", ":")) for n in range(count)]
    around = [shell.split(json.dumps(_WORD)) for shell in shells]

    def told(number: int, piece: Piece) -> bytes:
        out = b""
        if piece.text and not piece.logprobs:
            before, after = around[number]
            out += event(f"{before}{json.dumps(piece.text, ensure_ascii=False)}{after}")
        elif piece.text or piece.logprobs:
            wanted = row.get("logprobs")
            shown = wire.chat_logprobs([*piece.logprobs], row.get("top_logprobs", 0)) if wanted else None
            out += event(chunk(number, {"content": piece.text}, shown))
        for position, call in enumerate(piece.calls):
            out += event(chunk(number, {"tool_calls": [{"index": position, **call}]}))
        if piece.reason:
            delta = {"mirim": piece.extra} if piece.extra is not None else {}
            out += event({**chunk(number, delta, reason=piece.reason), **delta})
        return out

    async with contextlib.aclosing(source):  # type: ignore[type-var]
        out = b"".join(
            event(chunk(number, {"role": "assistant", "content": "", "refusal": None})) for number in range(count)
        )
        ends: list[Piece] = []
        ready: generate.Ready | None = first
        while ready is not None:
            out += b"".join(told(number, piece) for number, piece in ready)
            ends += [piece for _, piece in ready if piece.reason]
            # The end of all is told once the work's place is free again, which is next.
            if out and len(ends) < count:
                yield out
                out = b""
            ready = await anext(source, None)
        if with_usage:
            out += event({**base, "choices": [], "usage": _usage(ends)})
        yield Last(out + event("[DONE]"))
