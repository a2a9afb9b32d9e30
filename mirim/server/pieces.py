"""What is to be generated, and the pieces that come of it: text, JSON under a schema, words of another's."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mirim.core.check import Misfit, Schema
from mirim.core.types import Delta, Engine, Message, Sampling, TokenLogprob
from mirim.examples.tasks import tools as listing
from mirim.server.closing import close
from mirim.server.partial import Nesting
from mirim.server.room import Served
from mirim.server.wire import DEPTH, ApiError


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a choice. The last one has `reason`, and the counts of the whole."""

    text: str = ""
    calls: tuple[dict[str, Any], ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    extra: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What to generate. `choice`: none, auto, required or '=' and a function's name. `single`: at most one call."""

    served: Served
    prompt: str | Sequence[Message]
    sampling: Sampling
    tools: tuple[dict[str, Any], ...] = ()
    choice: str = "none"
    schema: Schema | None = None
    policy: str | None = None
    single: bool = False


def generated(
    order: Order,
    schema: Schema | None = None,
    tools: Sequence[dict[str, Any]] = (),
    call: Schema | None = None,
) -> Iterator[Delta]:
    served = order.served
    assert served.engine is not None
    options: dict[str, Any] = {} if served.adapter is None else {"adapter": served.adapter}
    if call is not None:
        options["call"] = call
    prompt = order.prompt
    if tools and not isinstance(prompt, str):
        prompt = explained(served.engine, prompt, tools)
    return served.engine.generate(prompt, order.sampling, tools=tools, schema=schema, **options)


def bound(
    order: Order, schema: Schema, tools: Sequence[dict[str, Any]] = (), call: Schema | None = None
) -> Iterator[Delta]:
    """JSON under a schema. Where it nests deeper than anyone reads it back, it ends as if it was cut there: small
    models that are held to JSON may write brackets until their tokens are used up."""
    nesting = Nesting(DEPTH)
    source = generated(order, schema, tools, call)
    try:
        for delta in source:
            kept = nesting.room(delta.text)
            if kept < len(delta.text):
                assert order.served.engine is not None
                yield replace(delta, text=delta.text[:kept])
                yield Delta("", (), "length", order.served.engine.count(order.prompt))
                return
            yield delta
    finally:
        if hasattr(source, "close"):
            source.close()


def plain(order: Order) -> Iterator[Piece]:
    """Plain text, or JSON bound by a schema: what is cut off is closed."""
    said, made, end = "", 0, Delta("")
    for end in bound(order, order.schema) if order.schema is not None else generated(order):
        said += end.text
        made += len(end.token_ids)
        if end.text or end.logprobs:
            yield Piece(end.text, logprobs=end.logprobs)
    if order.schema is not None and (rest := unclosed(said, order.schema)):
        said += rest
        yield Piece(rest)
    yield ending(order, end, made, said)


def unclosed(said: str, schema: Schema) -> str:
    try:
        json.loads(said)
        return ""
    except ValueError:
        pass
    try:
        return close(said, schema)
    except Misfit as misfit:
        raise ApiError(
            500, f"the engine did not keep to the schema, and its text cannot be closed: {misfit}", code="schema_broken"
        ) from misfit


def ending(order: Order, end: Delta, made: int, said: str, reason: str = "") -> Piece:
    """The piece that says how it ended; `made` tokens were counted on the way."""
    engine = order.served.engine
    made = end.completion_tokens or made
    if not made and said and engine is not None:
        made = engine.count(said)
    return Piece(
        reason=reason or end.finish_reason or "stop",
        prompt_tokens=end.prompt_tokens,
        completion_tokens=made,
        cached_tokens=end.cached_tokens,
    )


def explained(engine: Engine, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> Sequence[Message]:
    """Tools in words for a model whose chat template has no place for them."""
    template = getattr(engine, "template", None)
    if template is None or "tools" in template:
        return prompt
    return listing.messages(prompt, tools)


def fitted(order: Order, text: str) -> tuple[str, str]:
    """Words that are not the model's as stop strings and max_tokens cut them, and why they end."""
    cut = min((at for s in order.sampling.stop if (at := text.find(s)) >= 0), default=len(text))
    text, parts = text[:cut], worded(text[:cut])
    if counted(order, text) <= order.sampling.max_tokens:
        return text, "stop"
    fit = bisect.bisect_right(
        range(1, len(parts) + 1), order.sampling.max_tokens, key=lambda n: counted(order, "".join(parts[:n]))
    )
    return "".join(parts[:fit]), "length"


def worded(text: str) -> list[str]:
    """The text in words, each with the blanks before it."""
    return re.findall(r"\s*\S+\s*$|\s*\S+", text) or [text]


def counted(order: Order, text: str) -> int:
    engine = order.served.engine
    if not text:
        return 0
    return engine.count(text) if engine is not None else len(text.split())
