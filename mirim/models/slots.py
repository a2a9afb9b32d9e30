"""What a request says for the parameters of a function, told by a model that learned to point at it.

A model of some ten million parameters that writes a call names the right function and copies the wrong words: it fills
what could be left out with what stands nearest, and misspells names. Asked for one parameter at a time with every word
of the request seen at once, it points at the words that are meant for it, or at none. So what it may write afterwards
is narrowed to these (`examples.tasks.slot` asks; `server.produce` calls).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mirim.documents.words import detect
from mirim.examples.tasks import slot
from mirim.models import arguments
from mirim.models.pointing import Pointed, Pointer

#: Log-odds of pointing at the request for a function's name, below which the function does not serve it, and from
#: which on it does, whatever the model would say; and at anything for a parameter, below which one that may be is left
#: out.
SERVES, SURE, GIVEN = -2.5, 3.0, 0.0
#: Parameters, or functions, that are asked for at most: each takes some ten milliseconds.
MOST = 60
#: Places of each parameter's value that are looked at, and ways to give each parameter a place that are gone on from.
PLACES, WAYS = 8, 60
#: What it costs, in nats, that the same words are meant for two parameters.
SHARED = 9.0
#: Share of what is pointed at that is the whole request, or no number where one is wanted, above which anything may be
#: written: the request says it in other words.
OTHERWISE = 0.5
#: What a parameter may say of itself beside its type and still be held to words of the request; a list, of its items.
_FREE = frozenset({"type", "description", "title", "default", "examples"})
#: Where an object is put together of several, or of names that fit a pattern, its parameters do not stand in one place.
_JOINED = frozenset({"allOf", "anyOf", "oneOf", "$ref", "patternProperties"})
#: Words by which a request may not want what it mentions.
_DENIED = {
    "en": re.compile(
        r"n['’]t\b|\b(?:not?|dont|without|never|neither|nor|off|skip|exclud\w+|omit|hide|disable|remove)\b",
        re.IGNORECASE,
    ),
    "pt": re.compile(
        r"\b(?:n[ãa]o|sem|nem|nunca|fora|exceto|dispens\w+|exclu\w+|deslig\w+|desativ\w+|remov\w+|tir[ae]\w*)\b",
        re.IGNORECASE,
    ),
}


class _Place(NamedTuple):
    """What is pointed at for a parameter: how likely, what it may mean, and where the words stand. Lists are tuples."""

    log_share: float
    values: tuple[Any, ...]
    spans: tuple[tuple[int, int], ...]


def serves(pointer: Pointer, request: str, functions: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """Log-odds that each function, in OpenAI's shape, serves a request; None where that cannot be told: the request is
    too long to be seen whole, or there are too many."""
    if len(functions) > MOST:
        return [None] * len(functions)
    found = pointer.point([(str(one["name"]), slot.passage(one, request)) for one in functions], longest=len(request))
    return [one.odds if one else None for one in found]


def fill(pointer: Pointer, request: str, functions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The functions with their parameters narrowed to what a request says for them; as they are where the request is
    too long to be seen whole, or they take too many."""
    known = [_parameters(function) for function in functions]
    if not 0 < sum(map(len, known)) <= MOST:
        return list(functions)
    asked = [
        (slot.question(name, schema), slot.passage(function, request))
        for function, schemas in zip(functions, known, strict=True)
        for name, schema in schemas.items()
    ]
    found = iter(pointer.point(asked, longest=len(request)))
    language = detect(request)
    return [
        _narrowed(function, {name: next(found) for name in schemas}, request, language)
        for function, schemas in zip(functions, known, strict=True)
    ]


def _parameters(function: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Those of a function that stand in one place, by name."""
    parameters: Mapping[str, Any] = function.get("parameters") or {}
    properties = parameters.get("properties")
    if _JOINED & set(parameters) or not isinstance(properties, dict):
        return {}
    return {name: schema for name, schema in properties.items() if isinstance(schema, dict)}


def _narrowed(
    function: Mapping[str, Any], told: Mapping[str, Pointed | None], request: str, language: str
) -> Mapping[str, Any]:
    """A function with what is pointed at for its parameters, if all of them could be seen."""
    if not told or any(pointed is None for pointed in told.values()):
        return function
    parameters: Mapping[str, Any] = function["parameters"]
    needed = parameters.get("required") or ()
    kept, places = dict(parameters["properties"]), {}
    for name, pointed in told.items():
        assert pointed is not None
        optional, named = name not in needed, _named(kept[name], request)
        if not named and (likely := _places(pointed, kept[name], request, language)):
            places[name] = _or_none(likely, pointed.odds) if optional else likely
        elif optional and pointed.odds < GIVEN:
            del kept[name]
        elif named:
            kept[name] = {**kept[name], "enum": named}
        elif kept[name].get("type") == "boolean" and pointed.odds >= GIVEN and _wanted(request, language):
            # What is mentioned is wanted.
            kept[name] = {**kept[name], "enum": [True]}
    for name, place in _apart(places).items():
        if place.values:
            kept[name] = {**kept[name], "enum": [list(v) if isinstance(v, tuple) else v for v in place.values]}
        else:
            del kept[name]
    # An object without properties would hold any. What the request gives is asked for: a small model leaves out much.
    required = [name for name in kept if name in told or name in needed]
    narrowed = {"additionalProperties": False, **parameters, "properties": kept, "required": required}
    return {**function, "parameters": narrowed}


def _named(schema: Mapping[str, Any], request: str) -> list[Any]:
    """Of the values to choose from, those that the request names; of a list of such values the one list of them."""
    if schema.get("type") == "array":
        items = schema.get("items")
        named = _named(items, request) if isinstance(items, dict) and not set(schema) - _FREE - {"items"} else []
        return [sorted(named, key=lambda value: slot.places(value, request)[0])] if named else []
    values = schema.get("enum")
    return [value for value in values if slot.places(value, request)] if isinstance(values, list) else []


def _places(pointed: Pointed, schema: Mapping[str, Any], request: str, language: str) -> list[_Place]:
    """Where the value of a parameter may stand, the likeliest first; none where anything may be written."""
    if not _free(schema):
        return []
    worth: dict[tuple[Any, ...], float] = defaultdict(float)
    words: dict[tuple[Any, ...], str] = {}
    otherwise = 0.0
    for said, share in pointed.spans.items():
        values = () if said == request.strip() else arguments.read(said, schema, request, language)
        otherwise += 0.0 if values else share
        if values:
            worth[values] += share
            # What stands between quotation marks may be more than the words pointed at.
            whole = values[0] if isinstance(values[0], str) and values[0] in request else said.strip(arguments.AROUND)
            words.setdefault(values, whole)
    if otherwise > OTHERWISE:
        return []
    ranked = sorted(worth, key=worth.__getitem__, reverse=True)[:PLACES]
    return [_Place(math.log(max(worth[values], 1e-9)), values, _spans(words[values], request)) for values in ranked]


def _free(schema: Mapping[str, Any]) -> bool:
    """Whether a parameter takes any text, number or day, or any list of such."""
    kind, more = schema.get("type"), set(schema) - _FREE
    if kind == "array":
        items = schema.get("items")
        return more == {"items"} and isinstance(items, dict) and items.get("type") != "array" and _free(items)
    if kind == "string" and schema.get("format") == "date":
        more -= {"format"}
    return kind in ("string", "integer", "number") and not more


def _spans(words: str, request: str) -> tuple[tuple[int, int], ...]:
    return tuple(match.span() for match in re.finditer(re.escape(words), request))


def _wanted(request: str, language: str) -> bool:
    """Whether no word of a request denies anything, as far as its language is known."""
    patterns = [pattern for name, pattern in _DENIED.items() if language in (name, "")]
    return bool(patterns) and not any(pattern.search(request) for pattern in patterns)


def _or_none(likely: list[_Place], odds: float) -> list[_Place]:
    """The places of a parameter that may be left out, and beside them that it is."""
    odds -= GIVEN
    none = -max(odds, 0.0) - math.log1p(math.exp(-abs(odds)))
    given = none + odds
    return [*(one._replace(log_share=one.log_share + given) for one in likely), _Place(none, (), ())]


def _apart(places: Mapping[str, list[_Place]]) -> dict[str, _Place]:
    """The likeliest places of all parameters together, no word meant for two of them where that can be."""
    ways: list[tuple[float, tuple[_Place, ...]]] = [(0.0, ())]
    for likely in places.values():
        grown = [
            (worth + one.log_share - SHARED * any(_same(one, other) for other in taken), (*taken, one))
            for worth, taken in ways
            for one in likely
        ]
        ways = sorted(grown, key=lambda way: -way[0])[:WAYS]
    return dict(zip(places, ways[0][1], strict=True))


def _same(one: _Place, other: _Place) -> bool:
    """Whether two stand on the same words wherever they stand."""
    return bool(one.spans and other.spans) and all(a < d and c < b for a, b in one.spans for c, d in other.spans)
