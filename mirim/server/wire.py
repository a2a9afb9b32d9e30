"""What comes in and what goes wrong, in OpenAI's shapes. Knows nothing of engines and of HTTP frameworks."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Iterator
from typing import Any

from mirim.core.check import Misfit, Schema, check, fits, shown
from mirim.core.types import Message, TokenLogprob
from mirim.server import schemas

#: Brackets inside brackets of a request, and bytes of its body.
DEPTH, BODY = 64, 4 * 2**20

#: What OpenAI's interface called its parameters once, and calls them now; the values are not the same.
_NOW = {"functions": "tools", "function_call": "tool_choice"}


class ApiError(Exception):
    """An error as OpenAI writes it, with its HTTP status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.kind = kind or _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.headers = headers or {}

    def to_json(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def invalid(message: str, param: str | None, code: str | None = None) -> ApiError:
    """The request asks for something that cannot be: 400."""
    return ApiError(400, message, param=param, code=code)


def unsupported(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param} is not supported: {why}", param=param, code="unsupported_parameter")


def read(body: bytes, schema: Schema) -> dict[str, Any]:
    """The request's JSON object, checked to the last key; ApiError 400 names the parameter."""
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_number)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        why = "a number has too many digits" if "int_max_str_digits" in why else why
        raise invalid(f"the body is not JSON: {why}", None, "invalid_json") from error
    if not isinstance(value, dict):
        raise invalid(f"the body must be a JSON object, got {shown(value)}", None, "invalid_json")
    _sane(value)
    row: dict[str, Any] = _given(value, [schema])
    try:
        check(row, schema)
    except Misfit as misfit:
        code = {"additionalProperties": "unknown_parameter", "required": "missing_required_parameter"}.get(
            misfit.kind, "invalid_value"
        )
        message = f"{misfit.path}: {misfit.why}"
        if misfit.kind == "additionalProperties":
            now = _NOW.get(misfit.path)
            instead = f"it is {now} now, as in OpenAI's" if now in schema["properties"] else "leave it out"
            message = f'"{misfit.path}" is not a parameter that this server knows; {instead}'
        raise invalid(message, misfit.path or None, code) from misfit
    return row


def _given(value: Any, schemas: list[Schema]) -> Any:
    """The value without its nulls that stand for something left out, as clients of many servers write it: parameters
    of ours, at any depth, and of others. What the caller's own schemas and maps hold stays, and what must be there."""
    forms = [form for schema in schemas for form in _forms(schema)]
    if isinstance(value, list):
        items = [form["items"] for form in forms if "items" in form]
        return [_given(item, items) if isinstance(item, dict | list) else item for item in value] if items else value
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    closed = [form for form in forms if form.get("additionalProperties") is False and kind in _types(form, kind)]
    if not closed:
        return value
    out = {}
    for key, item in value.items():
        places = [form["properties"][key] for form in closed if key in form.get("properties", ())]
        if item is not None:
            out[key] = _given(item, places)
        elif all(key in form.get("required", ()) for form in closed):
            out[key] = None
        elif places and all(fits(None, place) for place in places):
            out[key] = None  # it may mean something; where one of several forms takes none, it is left out
    return out


def _types(form: Schema, default: Any) -> list[Any]:
    """What `type` may be in an object of this form; the default where the form does not say or none is given."""
    named: Schema = form.get("properties", {}).get("type", {})
    return named.get("enum", [default]) if default is not None else [default]


def _forms(schema: Schema) -> Iterator[Schema]:
    """A schema and the alternatives within it."""
    yield schema
    for option in schema.get("anyOf", ()):
        yield from _forms(option)


def _number(word: str) -> float:
    """2.0 is a whole number in JSON Schema, and an int from here on."""
    value = float(word)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")


def _sane(value: Any) -> None:
    """Refuse what JSON lets through and nothing behind could use: depth, infinities, halves of characters."""
    heap: list[tuple[Any, int]] = [(value, 1)]
    while heap:
        item, depth = heap.pop()
        if depth > DEPTH:
            raise invalid(f"the body is nested deeper than {DEPTH} levels", None, "invalid_json")
        if isinstance(item, dict):
            heap.extend((part, depth + 1) for part in item.values())
            heap.extend((key, depth) for key in item)
        elif isinstance(item, list):
            heap.extend((part, depth + 1) for part in item)
        elif isinstance(item, str):
            if not item.isascii():
                try:
                    item.encode()
                except UnicodeEncodeError as error:
                    raise invalid("a text in the body holds half of a surrogate pair", None, "invalid_json") from error
        elif isinstance(item, float) and not math.isfinite(item):
            raise invalid("a number in the body is too large", None, "invalid_json")


def messages(rows: list[dict[str, Any]], param: str = "messages") -> tuple[Message, ...]:
    """OpenAI's messages as ours. Text parts are joined; parts that are not text are refused."""
    out = []
    for number, row in enumerate(rows):
        role: Any = "system" if row["role"] == "developer" else row["role"]
        content = row.get("content")
        calls = tuple(row.get("tool_calls") or ())
        if content is None and not calls:
            raise invalid(f"{param}[{number}].content is required", f"{param}[{number}].content")
        out.append(Message(role, joined(content or ""), calls, row.get("name") or "", row.get("tool_call_id") or ""))
    return tuple(out)


def joined(content: str | list[dict[str, Any]]) -> str:
    """Text, or parts of text, as one."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def stops(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


# -- what goes out -------------------------------------------------------------------------------------------


def new_id(prefix: str, mark: str = "-") -> str:
    """Chats are chatcmpl-1a2b, responses resp_1a2b: clients know what they hold by the beginning."""
    return f"{prefix}{mark}{secrets.token_hex(12)}"


def now() -> int:
    return int(time.time())


def usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def chat_logprobs(tokens: list[TokenLogprob], top: int) -> dict[str, Any]:
    """The `logprobs` object of a chat choice."""
    return {
        "content": [{**_token(t), "top_logprobs": [_token(a) for a in t.top[:top]]} for t in tokens],
        "refusal": None,
    }


def _token(t: TokenLogprob) -> dict[str, Any]:
    return {"token": t.token, "logprob": finite(t.logprob), "bytes": list(t.bytes) or list(t.token.encode())}


def finite(logprob: float) -> float:
    """JSON has no minus infinity; OpenAI writes -9999 for it."""
    return max(-9999.0, logprob)


def text_logprobs(tokens: list[TokenLogprob], top: int, start: int = 0) -> dict[str, Any]:
    """The `logprobs` object of a text completion; offsets count characters from the choice's beginning."""
    offsets, at = [], start
    for t in tokens:
        offsets.append(at)
        at += len(t.token)
    first = [math.isnan(t.logprob) for t in tokens]  # nothing stands before it: OpenAI writes null
    best = [
        None if f else {a.token: finite(a.logprob) for a in t.top[:top]} for t, f in zip(tokens, first, strict=True)
    ]
    return {
        "tokens": [t.token for t in tokens],
        "token_logprobs": [None if f else finite(t.logprob) for t, f in zip(tokens, first, strict=True)],
        "top_logprobs": best if top else None,
        "text_offset": offsets,
    }


class Last(bytes):
    """The part of a stream after which nothing follows."""


def event(data: dict[str, Any] | str, name: str = "") -> bytes:
    """One server-sent event."""
    body = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {body}\n\n".encode()


__all__ = ["BODY", "DEPTH", "ApiError", "read", "schemas"]
