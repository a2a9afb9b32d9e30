"""From a checked request to pieces of an answer: runs in a lane's thread, knows engines and no HTTP."""

from __future__ import annotations

import bisect
import contextlib
import json
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mirim.core.check import Misfit, Schema
from mirim.core.errors import UsageError
from mirim.core.types import Delta, Engine, Message, Sampling, TokenLogprob
from mirim.documents import days
from mirim.documents.words import detect, stems
from mirim.examples.tasks import slot
from mirim.examples.tasks import tools as listing
from mirim.examples.tasks.tools import MARK
from mirim.models import several, slots
from mirim.models.parameters import parameters
from mirim.models.pointing import Pointer
from mirim.server import results
from mirim.server.calls import call_schema, loose, parsed
from mirim.server.closing import close
from mirim.server.partial import Nesting
from mirim.server.review import simplify
from mirim.server.room import Served
from mirim.server.wire import DEPTH, ApiError, invalid

#: Tokens in which a model begins a call, where what else it would write is not said.
_BEGINS = 16
#: Log-odds that a function serves the request, from which on it is called after another one has answered. Of 36
#: requests for one thing, four functions beside its own, two had one above it that nobody asked for; of eight requests
#: for two things each had its other one there.
_FURTHER = 0.5
#: Log-odds that a function serves each part of a request that is taken apart; their mean is as those of a further one.
#: Of 900 held-out requests for one thing none is taken apart so; of 58 times two of them, joined, 12.
_PART = -1.0
#: What engines say that hold a model to no schema at all.
_NO_SCHEMA = "cannot hold a model to a JSON schema"
_TOO_LONG = re.compile(r"\b\d+ tokens\b.*\bcontext\b.*\b\d+", re.DOTALL)


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


def produce(order: Order) -> Iterator[Piece]:
    """The pieces of one choice. ApiError for what the request got wrong."""
    try:
        if order.served.kind == "assistant":
            yield from _answer(order)
        elif order.choice not in ("none", "auto"):
            name = order.choice.removeprefix("=") if order.choice != "required" else ""
            named = [tool for tool in order.tools if name in ("", tool["function"]["name"])]
            if parts := _apart(order, named):
                yield from _calls(order, parts)
                return
            yield from _call(order, _filled(order, _serving(order, named)[0] if len(named) > 1 else named)[0])
        elif order.schema is None and _told(order):
            yield from _retell(order)
        elif order.choice == "auto" and order.tools:
            yield from _maybe_call(order) if order.schema is None else _either(order, order.schema)
        else:
            yield from _text(order)
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


def _generate(
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
        prompt = _explained(served.engine, prompt, tools)
    return served.engine.generate(prompt, order.sampling, tools=tools, schema=schema, **options)


def _json(
    order: Order, schema: Schema, tools: Sequence[dict[str, Any]] = (), call: Schema | None = None
) -> Iterator[Delta]:
    """JSON under a schema. Where it nests deeper than anyone reads it back, it ends as if it was cut there: small
    models that are held to JSON may write brackets until their tokens are used up."""
    nesting = Nesting(DEPTH)
    source = _generate(order, schema, tools, call)
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


def _text(order: Order) -> Iterator[Piece]:
    """Plain text, or JSON bound by a schema: what is cut off is closed."""
    said, made, end = "", 0, Delta("")
    for end in _json(order, order.schema) if order.schema is not None else _generate(order):
        said += end.text
        made += len(end.token_ids)
        if end.text or end.logprobs:
            yield Piece(end.text, logprobs=end.logprobs)
    if order.schema is not None and (rest := _rest(said, order.schema)):
        said += rest
        yield Piece(rest)
    yield _last(order, end, made, said)


def _rest(said: str, schema: Schema) -> str:
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


def _last(order: Order, end: Delta, made: int, said: str, reason: str = "") -> Piece:
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


# -- tools -----------------------------------------------------------------------------------------------------


def _call(order: Order, functions: Sequence[dict[str, Any]]) -> Iterator[Piece]:
    """A call of one of these functions that must be made: bound by a grammar, closed when it is cut off."""
    schema = call_schema(functions)
    said, made, end = "", 0, Delta("")
    # A model of ours may write the marks that it learned to write around a call; an endpoint has marks of its own.
    marked = schema if getattr(order.served.engine, "template", None) is not None else None
    for end in _json(order, schema, order.tools, marked):
        said += end.text
        made += len(end.token_ids)
        # Nothing to show yet, but whoever waits may have left: this is where that is noticed.
        yield Piece()
    calls = _ready(order, end) if not said.strip() else ()
    if not calls:
        calls = (_made(said, schema),)
    yield Piece(calls=calls)
    yield _last(order, end, made, said, _whole(end))


def _whole(end: Delta) -> str:
    """Why a call ended: what was cut off is closed, which whoever calls has to know."""
    return "length" if end.finish_reason == "length" else "tool_calls"


def _pointed(order: Order) -> tuple[Pointer, str] | None:
    """What tells what a request says for functions, where the model has it, and the request.

    After a first call what its answer says may be meant too, which is not looked at: so nothing is told then."""
    pointer: Pointer | None = getattr(order.served.engine, "pointers", {}).get("tools")
    said = [] if isinstance(order.prompt, str) else [m for m in order.prompt if m.role != "system"]
    if pointer is None or order.served.adapter is not None or not said:
        return None
    if any(m.tool_calls or m.role == "tool" for m in said):
        return None
    return pointer, "\n".join(m.content for m in said if m.role == "user")


def _serving(order: Order, tools: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], float | None]:
    """The one function that likeliest serves the request, and the log-odds that it does; all, and None, where that
    cannot be told. A small model that has several to choose from takes the wrong one more often."""
    found = slots.likeliest(*pointed, _plainly(tools), _mood(order)) if (pointed := _pointed(order)) else None
    return (tools, None) if found is None else ([tools[found[0]]], found[1])


def _mood(order: Order) -> str:
    """The words that tell whether the user asks or orders: the last ones, but for an answer to what was asked back."""
    said = [m.content for m in order.prompt if not isinstance(m, str) and m.role == "user"]
    return said[-2] if _asked_back(order) and len(said) > 1 else said[-1]


def _plainly(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Functions with schemas as pointing knows them."""
    return [
        {**tool["function"], "parameters": simplify(tool["function"].get("parameters") or {}, notes=True)}
        for tool in tools
    ]


def _filled(order: Order, tools: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], str]:
    """The functions, their parameters narrowed to what the request says of them; and for one alone the words
    that ask for what it needs and the request does not say."""
    if (pointed := _pointed(order)) is None:
        return tools, ""
    told = "" if isinstance(order.prompt, str) else "\n".join(m.content for m in order.prompt if m.role == "system")
    asked = listing.asked(_asked_back(order))
    reply = order.prompt[-1].content if asked else ""  # type: ignore[union-attr]
    filled = slots.fill(*pointed, _plainly(tools), days.told(told), reply, asked)
    wanted = slot.wanted(filled[0].missing) if len(filled) == 1 else []
    return (
        [{**tool, "function": function} for tool, (function, _) in zip(tools, filled, strict=True)],
        listing.asking(wanted, detect(pointed[1])) if wanted else "",
    )


def _apart(order: Order, tools: Sequence[dict[str, Any]]) -> list[tuple[Order, Sequence[dict[str, Any]]]]:
    """What a request for several calls is for each, and the function of that one, filled in; nothing where it is not
    surely for several: each part says all that a function takes that serves it, of two things to do another one, of
    values counted up the same one with another value of what it must have."""
    prompt = order.prompt
    if isinstance(prompt, str) or prompt[-1].role != "user" or _pointed(order) is None:
        return []
    if sum(m.role == "user" for m in prompt) > 1:
        return []
    request = prompt[-1].content
    for texts, another in ((several.clauses(request), True), (several.values(request), False)):
        if another and len(tools) < 2:
            continue
        found, sure = [], 0.0
        for text in texts:
            part = replace(order, prompt=(*prompt[:-1], replace(prompt[-1], content=text)))
            serving, odds = _serving(part, tools)
            filled, asking = _filled(part, serving) if odds is not None and odds >= _PART else ((), "")
            if odds is None or not filled or asking or not _more(text, filled[0]["function"]):
                break
            found.append((part, filled))
            sure += odds - _FURTHER
        made = [functions[0]["function"] for _, functions in found]
        alike = len({one["name"] for one in made}) == 1 and _differ(made, tools)
        apart = len({one["name"] for one in made}) == len(made)
        if found and len(found) == len(texts) and sure >= 0.0 and (apart if another else alike):
            return found
    return []


def _more(text: str, function: dict[str, Any]) -> bool:
    """Whether a request says anything but the values that a function is given."""
    places = (function.get("parameters") or {}).get("properties") or {}
    values = " ".join(str(value) for place in places.values() for value in place.get("enum") or ())
    language = detect(text) or "en"
    return not {*stems(text, language, content=True)} <= {*stems(values, language, content=True)}


def _differ(functions: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> bool:
    """Whether the calls of one function are each to be given something else for one thing that it must be given, and
    that is no list."""
    given = [function["parameters"].get("properties") or {} for function in functions]
    told = next(tool for tool in tools if tool["function"]["name"] == functions[0]["name"])
    needed = {
        one.name for one in parameters(_plainly([told])[0]) if not one.optional and one.schema.get("type") != "array"
    }
    unlike = {name for one in given for name in {*one, *given[0]} if one.get(name) != given[0].get(name)}
    apart = {json.dumps(one, sort_keys=True) for one in given}
    return len(apart) == len(given) and len(unlike) == 1 and unlike <= needed


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
    if parts := _apart(order, order.tools):
        yield from _calls(order, parts)
        return
    serving, odds = _serving(order, order.tools)
    asked = _asked_back(order)
    if odds is not None and (odds >= slots.SURE or (asked and odds >= slots.SERVES)):
        tools, asking = _filled(order, serving)
        if not asking or asking not in asked:
            yield from _say(order, asking) if asking else _call(order, tools)
            return
    names = {tool["function"]["name"] for tool in order.tools}
    said = sent = ""
    made, end = 0, Delta("")
    source = _generate(order, None, order.tools)
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
            yield _last(order, end, made, said, "tool_calls")
        else:
            # What the model learned to say where no function fits, and seldom enough says by itself.
            none = odds is not None and odds < slots.SERVES
            tools, words = (serving, _none(order)) if none else _filled(order, serving)
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
        yield _last(order, end, made, said, "tool_calls")
        return
    if len(said) > len(sent):
        yield Piece(said[len(sent) :])
    yield _last(order, end, made, said)


def _unlike(order: Order, tools: Sequence[dict[str, Any]], lead: str) -> Iterator[Piece]:
    """A call, or text (behind `lead`) where the very same one has its answer: whoever runs functions in a loop would
    never come out of it."""
    made, answered = 0, _answered(order)
    for piece in _call(order, tools):
        made = made or sum(_tokens(order, call["function"]["arguments"]) for call in piece.calls)
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
    for piece in _text(replace(order, tools=(), sampling=replace(order.sampling, max_tokens=left))):
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
    if parts := _apart(asked, order.tools):
        return parts[len(made)][1] if len(made) < len(parts) else ()
    said = ""
    source = _generate(replace(order, sampling=replace(order.sampling, max_tokens=_BEGINS)), None, order.tools)
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
    serving, odds = _serving(asked, fresh)
    if odds is None or odds < _FURTHER:
        serving, odds = _serving(asked, [tool for tool in order.tools if tool["function"]["name"] in made])
    filled, asking = _filled(asked, serving) if odds is not None and odds >= slots.SERVES else ((), "")
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
    text, reason = _within(order, "\n\n".join(parts))
    yield Piece(text)
    shown = _explained(engine, prompt, order.tools) if order.tools else prompt
    yield _last(order, Delta("", prompt_tokens=engine.count(shown)), 0, text, reason)


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
    shown = prompt if isinstance(prompt, str) else _explained(engine, prompt, order.tools)
    yield _last(order, Delta("", prompt_tokens=engine.count(shown)), 0, words, "stop")


def _asked_back(order: Order) -> str:
    """What the assistant asked back before the user's last words; "" where it did not."""
    if isinstance(order.prompt, str) or order.prompt[-1].role != "user":
        return ""
    said = [m.content for m in order.prompt if m.role == "assistant"]
    return said[-1] if said and listing.asks(said[-1]) else ""


def _none(order: Order) -> str:
    last = order.prompt[-1]
    return listing.NONE.get(detect(last if isinstance(last, str) else last.content), listing.NONE["en"])


def _either(order: Order, schema: Schema) -> Iterator[Piece]:
    """JSON in the format or a call, as the model begins: one grammar holds it to either, what is cut off is closed."""
    calls = call_schema(_filled(order, _serving(order, order.tools)[0])[0])
    said, made, end = "", 0, Delta("")
    for end in _json(order, schema, order.tools, calls):
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
        yield _last(order, end, made, said, _whole(end))
    elif end.tool_calls and not said.strip():
        yield Piece(calls=_ready(order, end))
        yield _last(order, end, made, said, "tool_calls")
    else:
        rest = _rest(said, schema)
        yield Piece(rest)
        yield _last(order, end, made, said + rest)


def _made(said: str, schema: Schema) -> dict[str, Any]:
    """The call that a model wrote, with or without its marks; what was cut off is closed."""
    said = said.lstrip()
    said = "" if MARK.startswith(said) else said.removeprefix(MARK).lstrip()
    try:
        row, _ = json.JSONDecoder().raw_decode(said)
    except ValueError:
        row = json.loads(said + _rest(said, schema))
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise ApiError(500, f"the engine did not keep to the schema of a call: {said[:80]}", code="schema_broken")
    return parsed(row)


def _ready(order: Order, end: Delta) -> tuple[dict[str, Any], ...]:
    """Calls that an endpoint made by itself, which may be several."""
    return end.tool_calls[:1] if order.single else end.tool_calls


def _explained(engine: Engine, prompt: Sequence[Message], tools: Sequence[dict[str, Any]]) -> Sequence[Message]:
    """Tools in words for a model whose chat template has no place for them."""
    template = getattr(engine, "template", None)
    if template is None or "tools" in template:
        return prompt
    return listing.messages(prompt, tools)


# -- the grounded assistant ----------------------------------------------------------------------------------


def _answer(order: Order) -> Iterator[Piece]:
    """An answer with its sources; stop strings and max_tokens cut it as they would a model's own text."""
    messages = order.prompt
    assert not isinstance(messages, str)
    answer = order.served.assistant.answer(messages[-1].content, messages[:-1], order.policy)
    text, reason = _within(order, answer.answer)
    used, made = sum(_tokens(order, m.content) for m in messages), _tokens(order, text)
    for part in _words(text):
        yield Piece(part)
    row = answer.to_json()
    extra = {k: row[k] for k in ("citations", "confidence", "abstained", "policy")}
    extra |= {"removed": row.get("removed", []), "model": row["model"]}
    yield Piece(reason=reason, prompt_tokens=used, completion_tokens=made, extra=extra)


def _within(order: Order, text: str) -> tuple[str, str]:
    """Words that are not the model's as stop strings and max_tokens cut them, and why they end."""
    cut = min((at for s in order.sampling.stop if (at := text.find(s)) >= 0), default=len(text))
    text, parts = text[:cut], _words(text[:cut])
    if _tokens(order, text) <= order.sampling.max_tokens:
        return text, "stop"
    fit = bisect.bisect_right(
        range(1, len(parts) + 1), order.sampling.max_tokens, key=lambda n: _tokens(order, "".join(parts[:n]))
    )
    return "".join(parts[:fit]), "length"


def _words(text: str) -> list[str]:
    """The text in words, each with the blanks before it."""
    return re.findall(r"\s*\S+\s*$|\s*\S+", text) or [text]


def _tokens(order: Order, text: str) -> int:
    engine = order.served.engine
    if not text:
        return 0
    return engine.count(text) if engine is not None else len(text.split())
