"""POST /v1/responses: OpenAI's newer interface over the same orders. Nothing is stored between requests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from mirim.core.types import Message
from mirim.server import generate, schemas, wire
from mirim.server.door import Answer, Visit
from mirim.server.pieces import Piece
from mirim.server.wire import ApiError, Last, event, invalid

#: What chat completions call a parameter, and what it is called here.
_NAMES = (
    ("messages", "input"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    (".function.parameters", ".parameters"),
)


async def responses(visit: Visit) -> Answer:
    row = await visit.body(schemas.RESPONSE)
    served = visit.served(row["model"])
    if "stream_options" in row and not row.get("stream"):
        raise invalid("stream_options needs stream: true", "stream_options")
    with _named_here():
        order = generate.order(_as_chat(row), served, _messages(row), row.get("max_output_tokens"))
        source = generate.pieces(visit, [order])
        frame = _Frame(row)
        if row.get("stream"):
            try:
                first = await anext(source)
            except BaseException:
                await source.aclose()  # type: ignore[attr-defined]
                raise
            return _events(frame, first, source)
        async for ready in source:
            for _, piece in ready:
                frame.add(piece)
    return frame.whole()


@contextlib.contextmanager
def _named_here() -> Iterator[None]:
    """Refusals name parameters as this interface does, not as chat completions do."""
    try:
        yield
    except ApiError as error:
        param = here = error.param or ""
        for theirs, ours in _NAMES:
            here = here.replace(theirs, ours)
        message = str(error)
        if param and message.startswith(param):
            message = here + message.removeprefix(param)
        raise ApiError(
            error.status, message, param=here or None, code=error.code, kind=error.kind, headers=error.headers
        ) from error


def _messages(row: dict[str, Any]) -> tuple[Message, ...]:
    out = [Message("system", row["instructions"])] if row.get("instructions") else []
    if isinstance(row["input"], str):
        return (*out, Message("user", row["input"]))
    for number, item in enumerate(row["input"]):
        kind = item.get("type", "message")
        if kind == "function_call":
            call = {
                "id": item["call_id"],
                "type": "function",
                "function": {"name": item["name"], "arguments": item["arguments"]},
            }
            out += wire.messages([{"role": "assistant", "content": "", "tool_calls": [call]}], f"input[{number}]")
        elif kind == "function_call_output":
            out.append(Message("tool", wire.joined(item["output"]), tool_call_id=item["call_id"]))
        else:
            out.append(Message("system" if item["role"] == "developer" else item["role"], wire.joined(item["content"])))
    return tuple(out)


def _as_chat(row: dict[str, Any]) -> dict[str, Any]:
    """The parameters as chat completions name them."""
    out: dict[str, Any] = {k: row[k] for k in ("temperature", "top_p", "parallel_tool_calls", "mirim") if k in row}
    if row.get("tools"):
        out["tools"] = [
            {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}} for tool in row["tools"]
        ]
    if "tool_choice" in row:
        choice = row["tool_choice"]
        named = isinstance(choice, dict)
        out["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}} if named else choice
    form = (row.get("text") or {}).get("format") or {"type": "text"}
    if form["type"] == "json_schema":
        form = {"type": "json_schema", "json_schema": {k: v for k, v in form.items() if k != "type"}}
    if out.get("tool_choice") and not row.get("tools"):
        if out["tool_choice"] in ("auto", "none"):
            del out["tool_choice"]
        else:
            raise invalid("tool_choice needs tools", "tool_choice")
    return {**out, "response_format": form} if form["type"] != "text" else out


class _Frame:
    """A response as it grows."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row, self.text, self.end = row, "", Piece()
        self.calls: list[dict[str, Any]] = []
        self.item = wire.new_id("msg", "_")
        self.base: dict[str, Any] = {
            "id": wire.new_id("resp", "_"),
            "object": "response",
            "created_at": time.time(),
            "model": row["model"],
            "instructions": row.get("instructions"),
            "metadata": row.get("metadata") or {},
            "parallel_tool_calls": row.get("parallel_tool_calls", True),
            "temperature": row.get("temperature", 1.0),
            "top_p": row.get("top_p", 1.0),
            "max_output_tokens": row.get("max_output_tokens"),
            "tool_choice": row.get("tool_choice", "auto"),
            "tools": row.get("tools") or [],
            "text": row.get("text") or {"format": {"type": "text"}},
            "truncation": "disabled",
            "store": False,
            "error": None,
            "previous_response_id": None,
        }

    @property
    def cut(self) -> bool:
        return self.end.reason == "length"

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.calls += piece.calls
        if piece.reason:
            self.end = piece

    def start(self) -> dict[str, Any]:
        return {**self.base, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}

    def message(self, done: bool = True) -> dict[str, Any]:
        part = {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}
        item: dict[str, Any] = {
            "id": self.item,
            "type": "message",
            "role": "assistant",
            "status": ("incomplete" if self.cut else "completed") if done else "in_progress",
            "content": [part] if done else [],
        }
        if done and self.end.extra is not None:
            item["mirim"] = self.end.extra
        return item

    def call(self, number: int) -> dict[str, Any]:
        call = self.calls[number]
        return {
            "id": f"fc_{call['id'].removeprefix('call_')}",
            "type": "function_call",
            "status": "completed",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
        }

    def output(self) -> list[dict[str, Any]]:
        calls = [self.call(n) for n in range(len(self.calls))]
        return [self.message(), *calls] if self.text or not calls else calls

    def whole(self) -> dict[str, Any]:
        cut, used, made = self.cut, self.end.prompt_tokens, self.end.completion_tokens
        return {
            **self.base,
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": self.output(),
            "usage": {
                "input_tokens": used,
                "input_tokens_details": {"cached_tokens": self.end.cached_tokens},
                "output_tokens": made,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": used + made,
            },
        }


async def _events(frame: _Frame, first: generate.Ready, source: AsyncIterator[generate.Ready]) -> AsyncIterator[bytes]:
    """What is ready at one time as one part: the frame's beginning with the first words, its end with the last."""
    number = -1
    out = b""

    def say(kind: str, **data: Any) -> None:
        nonlocal number, out
        number += 1
        out += event({"type": kind, "sequence_number": number, **data}, kind)

    text_at = {"item_id": frame.item, "output_index": 0, "content_index": 0}
    async with contextlib.aclosing(source):  # type: ignore[type-var]
        say("response.created", response=frame.start())
        say("response.in_progress", response=frame.start())
        ready: generate.Ready | None = first
        begun = False
        while ready is not None:
            for _, piece in ready:
                if piece.text and not begun:
                    say("response.output_item.added", output_index=0, item=frame.message(done=False))
                    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
                    say("response.content_part.added", **text_at, part=empty)
                    begun = True
                if piece.text:
                    say("response.output_text.delta", **text_at, delta=piece.text, logprobs=[])
                frame.add(piece)
            if out and not frame.end.reason:
                yield out
                out = b""
            ready = await anext(source, None)
        if begun:
            say("response.output_text.done", **text_at, text=frame.text, logprobs=[])
            say("response.content_part.done", **text_at, part=frame.message()["content"][0])
            say("response.output_item.done", output_index=0, item=frame.message())
        for position in range(len(frame.calls)):
            call, at = frame.call(position), position + begun
            say("response.output_item.added", output_index=at, item={**call, "arguments": "", "status": "in_progress"})
            for kind, key in (("delta", "delta"), ("done", "arguments")):
                extra = {"name": call["name"]} if kind == "done" else {}
                say(
                    f"response.function_call_arguments.{kind}",
                    item_id=call["id"],
                    output_index=at,
                    **{key: call["arguments"]},
                    **extra,
                )
            say("response.output_item.done", output_index=at, item=call)
        whole = frame.whole()
        say("response.incomplete" if whole["status"] == "incomplete" else "response.completed", response=whole)
        yield Last(out)
