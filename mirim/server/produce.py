"""From a checked request to pieces of an answer: runs in a lane's thread, knows engines and no HTTP."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mirim.core.check import Schema
from mirim.core.errors import UsageError
from mirim.core.types import Delta, Message
from mirim.documents.words import detect
from mirim.examples.tasks import tools as listing
from mirim.examples.tasks.tools import MARK
from mirim.models import several, slots
from mirim.server import pieces, results, wanted
from mirim.server.calls import call_schema, loose, parsed
from mirim.server.pieces import Order, Piece
from mirim.server.wire import ApiError, invalid

#: Tokens in which a model begins a call, where what else it would write is not said.
_BEGINS = 16
#: What engines say that hold a model to no schema at all.
_NO_SCHEMA = "cannot hold a model to a JSON schema"
_TOO_LONG = re.compile(r"\b\d+ tokens\b.*\bcontext\b.*\b\d+", re.DOTALL)


def produce(order: Order) -> Iterator[Piece]:
    """The pieces of one choice. ApiError for what the request got wrong."""
    try:
        if order.served.kind == "assistant":
            yield from _answer(order)
        elif order.choice not in ("none", "auto"):
            name = order.choice.removeprefix("=") if order.choice != "required" else ""
            named = [tool for tool in order.tools if name in ("", tool["function"]["name"])]
            if parts := wanted.taken_apart(order, named):
                yield from _calls(order, parts)
                return
            yield from _call(
                order, wanted.narrowed(order, wanted.likeliest(order, named)[0] if len(named) > 1 else named)[0]
            )
        elif order.schema is None and _told(order):
            yield from _retell(order)
        elif order.choice == "auto" and order.tools:
            yield from _maybe_call(order) if order.schema is None else _either(order, order.schema)
        else:
            yield from pieces.plain(order)
    except UsageError as error:
        if "this JSON schema" in str(error) or _NO_SCHEMA in str(error):
            call = order.schema is None or order.choice not in ("none", "auto") or "of a call" in str(error)
            code = "unsupported_parameter" if _NO_SCHEMA in str(error) else "invalid_schema"
            raise invalid(str(error), "tools" if call else "response_format", code) from error
        raise refusal(error, "prompt" if isinstance(order.prompt, str) else "messages") from error


def refusal(error: UsageError, param: str) -> ApiError:
    """An engine's refusal as OpenAI says it."""
    if _TOO_LONG.search(str(error)):
        return invalid(str(error), param, "context_length_exceeded")
    return invalid(str(error), param)


# -- tools -----------------------------------------------------------------------------------------------------


def _call(order: Order, functions: Sequence[dict[str, Any]]) -> Iterator[Piece]:
    """A call of one of these functions that must be made: bound by a grammar, closed when it is cut off."""
    schema = call_schema(functions)
    said, made, end = "", 0, Delta("")
    # A model of ours may write the marks that it learned to write around a call; an endpoint has marks of its own.
    marked = schema if getattr(order.served.engine, "template", None) is not None else None
    for end in pieces.bound(order, schema, order.tools, marked):
        said += end.text
        made += len(end.token_ids)
        # Nothing to show yet, but whoever waits may have left: this is where that is noticed.
        yield Piece()
    calls = _ready(order, end) if not said.strip() else ()
    if not calls:
        calls = (_made(said, schema),)
    yield Piece(calls=calls)
    yield pieces.ending(order, end, made, said, _whole(end))


def _whole(end: Delta) -> str:
    """Why a call ended: what was cut off is closed, which whoever calls has to know."""
    return "length" if end.finish_reason == "length" else "tool_calls"


def _calls(order: Order, parts: Sequence[tuple[Order, Sequence[dict[str, Any]]]]) -> Iterator[Piece]:
    """The calls that a request is for, or the first of them where there may be one only."""
    calls: tuple[dict[str, Any], ...] = ()
    ends: list[Piece] = []
    for part, functions in parts[:1] if order.single else parts:
        left = max(order.sampling.max_tokens - sum(end.completion_tokens for end in ends), 1)
        for piece in _call(replace(part, sampling=replace(part.sampling, max_tokens=left)), functions):
            calls += piece.calls
            if piece.reason:
                ends.append(piece)
            else:
                yield replace(piece, calls=())
    yield Piece(calls=calls)
    yield replace(
        max(ends, key=lambda end: (end.reason == "length", end.prompt_tokens)),
        completion_tokens=sum(end.completion_tokens for end in ends),
    )


def _maybe_call(order: Order) -> Iterator[Piece]:
    """Text, until the model begins a call: then the call is made under a grammar, so that it is valid. Where the model
    can tell whether a function serves the request, none is called that does not, and one at once that surely does, or
    about which something was asked back. What a call needs and nobody said is asked for; if that is not answered, the
    model may speak of something else."""
    if parts := wanted.taken_apart(order, order.tools):
        yield from _calls(order, parts)
        return
    serving, odds = wanted.likeliest(order, order.tools)
    asked = wanted.asked_back(order)
    if odds is not None and (odds >= slots.SURE or (asked and odds >= slots.SERVES)):
        tools, asking = wanted.narrowed(order, serving)
        if not asking or asking not in asked:
            yield from _say(order, asking) if asking else _call(order, tools)
            return
    names = {tool["function"]["name"] for tool in order.tools}
    said = sent = ""
    made, end = 0, Delta("")
    source = pieces.generated(order, None, order.tools)
    try:
        for end in source:
            said += end.text
            made += len(end.token_ids)
            if MARK in said:
                break
            if said.lstrip().startswith("{"):
                yield Piece()
                continue
            keep = max((n for n in range(1, len(MARK)) if said.endswith(MARK[:n])), default=0)
            if len(said) - keep > len(sent):
                yield Piece(said[len(sent) : len(said) - keep], logprobs=end.logprobs)
                sent = said[: len(said) - keep]
    finally:
        if hasattr(source, "close"):
            source.close()
    native = _ready(order, end)
    before = said.partition(MARK)[0]
    if MARK in said or native:
        if len(before.rstrip()) > len(sent):
            yield Piece(before[len(sent) :].rstrip())
        if native and MARK not in said:
            yield Piece(calls=native)
            yield pieces.ending(order, end, made, said, "tool_calls")
        else:
            # What the model learned to say where no function fits, and seldom enough says by itself.
            none = odds is not None and odds < slots.SERVES
            tools, words = (serving, _none(order)) if none else wanted.narrowed(order, serving)
            words = f" {words}" if words and before.strip() else words
            left = replace(order, sampling=replace(order.sampling, max_tokens=max(order.sampling.max_tokens - made, 1)))
            for piece in _say(order, words) if words else _unlike(left, tools, " " if before.strip() else ""):
                # What was written before the call counts too.
                extra = made if piece.reason else 0
                yield replace(piece, completion_tokens=piece.completion_tokens + extra)
        return
    whole = loose(said)
    if whole is not None and whole.get("name") in names:
        yield Piece(calls=(parsed(whole),))
        yield pieces.ending(order, end, made, said, "tool_calls")
        return
    if len(said) > len(sent):
        yield Piece(said[len(sent) :])
    yield pieces.ending(order, end, made, said)


def _unlike(order: Order, tools: Sequence[dict[str, Any]], lead: str) -> Iterator[Piece]:
    """A call, or text (behind `lead`) where the very same one has its answer: whoever runs functions in a loop would
    never come out of it."""
    made, answered = 0, _answered(order)
    for piece in _call(order, tools):
        made = made or sum(pieces.counted(order, call["function"]["arguments"]) for call in piece.calls)
        if any(_meant(call) in answered for call in piece.calls):
            yield Piece(lead)
            break
        yield piece
    else:
        return
    yield from _results(order) if _told(order) else _instead(order, made)


def _instead(order: Order, made: int) -> Iterator[Piece]:
    """Text, or JSON in the format, after a call of `made` tokens that is not made."""
    left = max(order.sampling.max_tokens - made, 1)
    for piece in pieces.plain(replace(order, tools=(), sampling=replace(order.sampling, max_tokens=left))):
        yield replace(piece, completion_tokens=piece.completion_tokens + (made if piece.reason else 0))


# -- what functions gave back ----------------------------------------------------------------------------------


def _told(order: Order) -> list[Message]:
    """What functions gave back since the user spoke last, where nothing was said of it yet and the model is of those
    that never learned to read it: they write words of their own, and calls of what came back."""
    if isinstance(order.prompt, str) or order.served.adapter is not None or order.sampling.logprobs is not None:
        return []
    if "tools" not in getattr(order.served.engine, "pointers", {}):
        return []
    since = [m for m in order.prompt[_asked_at(order.prompt) :] if m.role != "system"]
    return [m for m in since if m.role == "tool"] if since[-1:] and since[-1].role == "tool" else []


def _asked_at(prompt: Sequence[Message]) -> int:
    """Where the user spoke last."""
    return max((n for n, m in enumerate(prompt) if m.role == "user"), default=0)


def _retell(order: Order) -> Iterator[Piece]:
    """What came back, in words; or another call, where the model begins one and the request says what it takes."""
    tools: Sequence[dict[str, Any]] = ()
    if order.choice == "auto":
        tools = yield from _wanted(order)
    yield from _unlike(order, tools, "") if tools else _results(order)


def _wanted(order: Order) -> Generator[Piece, None, Sequence[dict[str, Any]]]:
    """The function of a further call, narrowed to what the request says for it: the next of several; or one that was
    not called yet and seems to serve, where the request says more than one thing; or one that was, which may be called
    with something else. None where the model begins no call."""
    at = _asked_at(order.prompt)  # type: ignore[arg-type]
    made = [call["function"]["name"] for m in order.prompt[at:] for call in m.tool_calls]  # type: ignore[union-attr]
    asked = replace(order, prompt=order.prompt[: at + 1])
    if parts := wanted.taken_apart(asked, order.tools):
        return parts[len(made)][1] if len(made) < len(parts) else ()
    said = ""
    source = pieces.generated(replace(order, sampling=replace(order.sampling, max_tokens=_BEGINS)), None, order.tools)
    with contextlib.closing(source):  # type: ignore[type-var]
        for end in source:
            said += end.text
            yield Piece()
            if MARK in said:
                break
    if MARK not in said:
        return ()
    # A request for one thing is done with one function: what was booked for it would be cancelled next.
    more = len(several.things(order.prompt[at].content)) > 1  # type: ignore[union-attr]
    fresh = [tool for tool in order.tools if more and tool["function"]["name"] not in made]
    serving, odds = wanted.likeliest(asked, fresh)
    if odds is None or odds < wanted.FURTHER:
        serving, odds = wanted.likeliest(asked, [tool for tool in order.tools if tool["function"]["name"] in made])
    filled, asking = wanted.narrowed(asked, serving) if odds is not None and odds >= slots.SERVES else ((), "")
    return () if asking else filled


def _results(order: Order) -> Iterator[Piece]:
    """What came back, in words that are not the model's; of several calls each behind what was called."""
    engine, prompt = order.served.engine, order.prompt
    assert engine is not None
    assert not isinstance(prompt, str)
    told, at = _told(order), _asked_at(prompt)
    calls = {call.get("id"): call["function"] for m in prompt[at:] for call in m.tool_calls}
    request, language = prompt[at].content, detect(prompt[at].content)
    parts = []
    for one in told:
        # Nothing to show yet, but whoever waits may have left.
        yield Piece()
        call = calls.get(one.tool_call_id) or {"name": one.name, "arguments": ""}
        words = results.answering(engine, request, one.content, call["name"], language)
        lead = results.called(call["name"], call["arguments"], language) if len(told) > 1 else ""
        parts.append(f"{lead}:\n{words}" if lead else words)
    text, reason = pieces.fitted(order, "\n\n".join(parts))
    yield Piece(text)
    shown = pieces.explained(engine, prompt, order.tools) if order.tools else prompt
    yield pieces.ending(order, Delta("", prompt_tokens=engine.count(shown)), 0, text, reason)


def _answered(order: Order) -> list[Any]:
    """The calls that were answered since the user spoke last, where the model is of those that know no better than to
    make them once more. A larger one may ask the same thing again because its answer changes."""
    if isinstance(order.prompt, str) or "tools" not in getattr(order.served.engine, "pointers", {}):
        return []
    since = _asked_at(order.prompt)
    told = {m.tool_call_id for m in order.prompt[since:] if m.role == "tool"}
    return [_meant(call) for m in order.prompt[since:] for call in m.tool_calls if call.get("id") in told]


def _meant(call: dict[str, Any]) -> Any:
    """A call's name and arguments, however they are spelt."""
    arguments = call["function"]["arguments"]
    with contextlib.suppress(ValueError, RecursionError):
        arguments = json.loads(arguments)
    return call["function"]["name"], arguments


def _say(order: Order, words: str) -> Iterator[Piece]:
    """Words that are not the model's."""
    engine, prompt = order.served.engine, order.prompt
    assert engine is not None
    yield Piece(words)
    shown = prompt if isinstance(prompt, str) else pieces.explained(engine, prompt, order.tools)
    yield pieces.ending(order, Delta("", prompt_tokens=engine.count(shown)), 0, words, "stop")


def _none(order: Order) -> str:
    last = order.prompt[-1]
    return listing.NONE.get(detect(last if isinstance(last, str) else last.content), listing.NONE["en"])


def _either(order: Order, schema: Schema) -> Iterator[Piece]:
    """JSON in the format or a call, as the model begins: one grammar holds it to either, what is cut off is closed."""
    calls = call_schema(wanted.narrowed(order, wanted.likeliest(order, order.tools)[0])[0])
    said, made, end = "", 0, Delta("")
    for end in pieces.bound(order, schema, order.tools, calls):
        said += end.text
        made += len(end.token_ids)
        # No JSON begins like the mark, so that one character tells.
        yield Piece("" if said.startswith(MARK[0]) else end.text)
    if said.startswith(MARK[0]):
        call = _made(said, calls)
        if _meant(call) in _answered(order):
            yield from _instead(order, made)
            return
        yield Piece(calls=(call,))
        yield pieces.ending(order, end, made, said, _whole(end))
    elif end.tool_calls and not said.strip():
        yield Piece(calls=_ready(order, end))
        yield pieces.ending(order, end, made, said, "tool_calls")
    else:
        rest = pieces.unclosed(said, schema)
        yield Piece(rest)
        yield pieces.ending(order, end, made, said + rest)


def _made(said: str, schema: Schema) -> dict[str, Any]:
    """The call that a model wrote, with or without its marks; what was cut off is closed."""
    said = said.lstrip()
    said = "" if MARK.startswith(said) else said.removeprefix(MARK).lstrip()
    try:
        row, _ = json.JSONDecoder().raw_decode(said)
    except ValueError:
        row = json.loads(said + pieces.unclosed(said, schema))
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise ApiError(500, f"the engine did not keep to the schema of a call: {said[:80]}", code="schema_broken")
    return parsed(row)


def _ready(order: Order, end: Delta) -> tuple[dict[str, Any], ...]:
    """Calls that an endpoint made by itself, which may be several."""
    return end.tool_calls[:1] if order.single else end.tool_calls


# -- the grounded assistant ----------------------------------------------------------------------------------


def _answer(order: Order) -> Iterator[Piece]:
    """An answer with its sources; stop strings and max_tokens cut it as they would a model's own text."""
    messages = order.prompt
    assert not isinstance(messages, str)
    answer = order.served.assistant.answer(messages[-1].content, messages[:-1], order.policy)
    text, reason = pieces.fitted(order, answer.answer)
    used, made = sum(pieces.counted(order, m.content) for m in messages), pieces.counted(order, text)
    for part in pieces.worded(text):
        yield Piece(part)
    row = answer.to_json()
    extra = {k: row[k] for k in ("citations", "confidence", "abstained", "policy")}
    extra |= {"removed": row.get("removed", []), "model": row["model"]}
    yield Piece(reason=reason, prompt_tokens=used, completion_tokens=made, extra=extra)
