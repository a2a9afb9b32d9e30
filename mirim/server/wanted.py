"""Which functions a request is for, and what it says for them, where the model can point (`mirim.models.slots`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mirim.documents import days
from mirim.documents.words import detect, stems
from mirim.examples.tasks import slot
from mirim.examples.tasks import tools as listing
from mirim.models import several, slots
from mirim.models.parameters import parameters
from mirim.models.pointing import Pointer
from mirim.server.pieces import Order
from mirim.server.review import simplify

#: Log-odds that a function serves the request, from which on it is called after another one has answered. Of 36
#: requests for one thing, four functions beside its own, two had one above it that nobody asked for; of eight requests
#: for two things each had its other one there.
FURTHER = 0.5
#: Log-odds that a function serves each part of a request that is taken apart; their mean is as those of a further one.
#: Of 900 held-out requests for one thing none is taken apart so; of 58 times two of them, joined, 12.
_PART = -1.0


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


def likeliest(order: Order, tools: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], float | None]:
    """The one function that likeliest serves the request, and the log-odds that it does; all, and None, where that
    cannot be told. A small model that has several to choose from takes the wrong one more often."""
    found = slots.likeliest(*pointed, _plainly(tools), _mood(order)) if (pointed := _pointed(order)) else None
    return (tools, None) if found is None else ([tools[found[0]]], found[1])


def _mood(order: Order) -> str:
    """The words that tell whether the user asks or orders: the last ones, but for an answer to what was asked back."""
    said = [m.content for m in order.prompt if not isinstance(m, str) and m.role == "user"]
    return said[-2] if asked_back(order) and len(said) > 1 else said[-1]


def _plainly(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Functions with schemas as pointing knows them."""
    return [
        {**tool["function"], "parameters": simplify(tool["function"].get("parameters") or {}, notes=True)}
        for tool in tools
    ]


def narrowed(order: Order, tools: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], str]:
    """The functions, their parameters narrowed to what the request says of them; and for one alone the words
    that ask for what it needs and the request does not say."""
    if (pointed := _pointed(order)) is None:
        return tools, ""
    told = "" if isinstance(order.prompt, str) else "\n".join(m.content for m in order.prompt if m.role == "system")
    asked = listing.asked(asked_back(order))
    reply = order.prompt[-1].content if asked else ""  # type: ignore[union-attr]
    filled = slots.fill(*pointed, _plainly(tools), days.told(told), reply, asked)
    missing = slot.wanted(filled[0].missing) if len(filled) == 1 else []
    return (
        [{**tool, "function": function} for tool, (function, _) in zip(tools, filled, strict=True)],
        listing.asking(missing, detect(pointed[1])) if missing else "",
    )


def taken_apart(order: Order, tools: Sequence[dict[str, Any]]) -> list[tuple[Order, Sequence[dict[str, Any]]]]:
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
            serving, odds = likeliest(part, tools)
            filled, asking = narrowed(part, serving) if odds is not None and odds >= _PART else ((), "")
            if odds is None or not filled or asking or not _more(text, filled[0]["function"]):
                break
            found.append((part, filled))
            sure += odds - FURTHER
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


def asked_back(order: Order) -> str:
    """What the assistant asked back before the user's last words; "" where it did not."""
    if isinstance(order.prompt, str) or order.prompt[-1].role != "user":
        return ""
    said = [m.content for m in order.prompt if m.role == "assistant"]
    return said[-1] if said and listing.asks(said[-1]) else ""
