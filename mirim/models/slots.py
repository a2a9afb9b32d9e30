"""What a request says for the parameters of a function, told by a model that learned to point at it.

A model of some ten million parameters that writes a call names the right function and copies the wrong words: it fills
what could be left out with what stands nearest, and misspells names. Asked for one parameter at a time with every word
of the request seen at once, it points at the words that are meant for it, or at none. So what it may write afterwards
is narrowed to these (`examples.tasks.slot` asks; `server.produce` calls).
"""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from mirim.core.check import fits
from mirim.documents import codes
from mirim.documents.words import STOPWORDS, detect
from mirim.examples.tasks import slot
from mirim.models import arguments, choices, denials
from mirim.models.arguments import Request
from mirim.models.parameters import Parameter, Path, named, narrowed, parameters
from mirim.models.pointing import Pointed, Pointer
from mirim.models.purposes import purposes

#: Log-odds of pointing at the request for a function's name, below which the function does not serve it, and from
#: which on it does, whatever the model would say; and at anything for a parameter, below which one that may be is left
#: out.
SERVES, SURE, GIVEN = -2.5, 3.0, 1.0
#: What it adds to the former, in nats, for each nat in the mean of the odds that its needed parameters are said;
#: how large that mean usually is where it serves; and what one counts for at most. What is not said at all counts for
#: nothing and not against it, for it may be asked for.
SAID, USUAL, FURTHEST = 0.5, 4.5, 8.0
#: Log-odds of pointing at anything for a parameter, below which one that must be given is asked for.
ASKED = 0.0
#: Parameters, or functions, that are asked for at most: each takes some ten milliseconds.
MOST = 60
#: Places of each parameter's value that are looked at, and ways to give each parameter a place that are gone on from.
PLACES, WAYS = 8, 60
#: What it costs, in nats, that the same words are meant for two parameters; and what it is worth that those of one
#: stand behind those of the one before it of its kind: 69 of 100 do in requests written for mirim, of days 83.
SHARED, ORDER = 9.0, 0.5
#: What it costs, in nats, that what was asked for is not said in the answer, or something else is.
TURN = 5.0
#: Words of an answer at most that is the value of what was asked for alone, where nothing in it is pointed at.
ANSWER = 6
#: Share of what is pointed at that is the whole request, or has no number where one is wanted, above which anything may
#: be written: the request says it in other words.
OTHERWISE = 0.5
#: Log-odds that a parameter is given of which the request names a value, beside what pointing tells; and the share
#: that a value has which is named and not pointed at.
NAMED, LIFT, UNSEEN = 6.0, 3.0, 0.02
#: What says what a value is, so that it is not held to words of the request. Bounds and patterns can be tried on them.
_HELD = frozenset({"enum", "const", "$ref", "anyOf", "oneOf", "allOf", "prefixItems"})
#: What is kept of a parameter's schema beside the values that it is narrowed to.
_SAYS = ("type", "description")


class _Place(NamedTuple):
    """What is pointed at for a parameter: how likely, what it may mean, and where the words stand. Lists are tuples."""

    log_share: float
    values: tuple[Any, ...]
    spans: tuple[tuple[int, int], ...]


class Filled(NamedTuple):
    """A function with its parameters narrowed to what a request says for them, and those, by what they are called, that
    it must have and of which the request says nothing."""

    function: Mapping[str, Any]
    missing: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def serves(pointer: Pointer, request: str, functions: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """Log-odds that each function, in OpenAI's shape, serves a request; None where that cannot be told: the request is
    too long to be seen whole, or there are too many."""
    if len(functions) > MOST:
        return [None] * len(functions)
    found = pointer.point([(str(one["name"]), slot.passage(one, request)) for one in functions], longest=len(request))
    return [one.odds if one else None for one in found]


def likeliest(
    pointer: Pointer, request: str, functions: Sequence[Mapping[str, Any]], asked: str | None = None
) -> tuple[int, float] | None:
    """Which of some functions a request is for, and the log-odds that one of them serves it: what pointing says of
    names and, in the mean, of the parameters that they must have, and what they are for (`purposes`), which counts for
    more among several. `asked`: the words that tell whether it is a question, if not all. None where that cannot be
    told."""
    odds = [one for one in serves(pointer, request, functions) if one is not None] if functions else []
    if not odds or len(odds) < len(functions):
        return None
    said = cache(lambda n: _said(pointer, request, functions[n]))
    found = purposes(request, functions, request if asked is None else asked)
    near = [one + purpose.near for one, purpose in zip(odds, found, strict=True)]
    best, worth = _best(near, {n for n, one in enumerate(near) if one >= SURE}, said)
    if len(functions) > 1 and any(map(any, found)):
        best, _ = _best([one + p.among - p.acts for one, p in zip(odds, found, strict=True)], set(), said)
    # Of functions of one field another one's odds tell that the request is of that field.
    return best, worth - found[best].acts


def _best(odds: Sequence[float], known: set[int], said: Callable[[int], float]) -> tuple[int, float]:
    """The likeliest function and its odds, with what its parameters add where they are not `known` without. Only what
    may be the likeliest is asked for its parameters."""
    at_best = [one if n in known else one + SAID * (FURTHEST - USUAL) for n, one in enumerate(odds)]
    while (best := max(range(len(odds)), key=at_best.__getitem__)) not in known:
        at_best[best] = odds[best] + said(best)
        known = {*known, best}
    return best, at_best[best]


def _said(pointer: Pointer, request: str, function: Mapping[str, Any]) -> float:
    """Nats that a function's needed parameters add to the odds that it serves a request."""
    needed = [
        (slot.question(name, one.schema), slot.passage(function, request))
        for name, one in named(islice(parameters(function), MOST + 1))
        if not one.optional and one.schema.get("type") != "boolean"
    ]
    found = pointer.point(needed, longest=len(request)) if 0 < len(needed) <= MOST else []
    odds = [max(0.0, min(one.odds, FURTHEST)) for one in found if one]
    return SAID * (sum(odds) / len(odds) - USUAL) if odds else 0.0


def fill(
    pointer: Pointer,
    request: str,
    functions: Sequence[Mapping[str, Any]],
    today: datetime.date | None = None,
    reply: str = "",
    asked: Sequence[str] = (),
) -> list[Filled]:
    """The functions with their parameters narrowed to what a request says for them; as they are where the request is
    too long to be seen whole, or they take too many. `today`: what "tomorrow" is the day after; the computer's day if
    it is not given. `reply`: the end of the request that answers what was asked back; `asked`: for what, in the words
    of `slot.wanted`."""
    known = [named(islice(parameters(function), MOST + 1)) for function in functions]
    if not 0 < sum(map(len, known)) <= MOST:
        return [Filled(function) for function in functions]
    questions = [
        (slot.question(name, one.schema), slot.passage(function, request))
        for function, several in zip(functions, known, strict=True)
        for name, one in several
    ]
    found = iter(pointer.point(questions, longest=len(request)))
    said = Request(request, detect(request), today or datetime.date.today(), reply, asked)
    return [
        _narrowed(function, [(name, one, next(found)) for name, one in several], said)
        for function, several in zip(functions, known, strict=True)
    ]


def _narrowed(
    function: Mapping[str, Any], told: Sequence[tuple[str, Parameter, Pointed | None]], request: Request
) -> Filled:
    """A function with what is pointed at for its parameters, if all of them could be seen."""
    schemas = {one.path: one.schema for _, one, _ in told}
    given: dict[Path, Mapping[str, Any] | None] = dict(schemas)
    places: dict[Path, list[_Place]] = {}
    unsaid: set[Path] = set()
    for name, one, pointed in told:
        if pointed is None:
            return Filled(function)
        likely, odds = _named(one.name, pointed, one.schema, request), pointed.odds
        if likely and not all(_by_chance(place, request) for place in likely):
            odds = max(odds, min(odds + NAMED, GIVEN + LIFT))
        if not likely:
            likely = _places(one.name, pointed, one.schema, request)
            if not one.optional and (odds < ASKED or (not likely and arguments.unsaid(one.schema, request))):
                unsaid.add(one.path)
        if request.asked and one.path not in unsaid:
            likely = _in_turn(likely, name, one.schema, request)
        if one.path in unsaid and "default" in one.schema and fits(one.schema["default"], dict(one.schema)):
            given[one.path] = _only(one.schema, [one.schema["default"]])
        elif likely:
            places[one.path] = _or_none(likely, odds) if one.optional else likely
        elif one.optional and (odds < GIVEN or _free(one.schema)):
            # What is said for it in other words a small model makes up: one of 17 such values was right.
            given[one.path] = None
        elif one.schema.get("type") == "boolean" and odds >= GIVEN:
            wanted = denials.wanted(one.name, one.schema, request.text, request.language)
            given[one.path] = one.schema if wanted is None else {**one.schema, "enum": [wanted]}
    chosen = _apart(places)
    for path, place in chosen.items():
        values = [list(value) if isinstance(value, tuple) else value for value in place.values]
        given[path] = _only(schemas[path], values) if values else None
    needed = [(name, one) for name, one, _ in told if not one.optional and _asked(one.schema)]
    missing = {name: one.schema for name, one in needed if one.path in unsaid or _taken(one.path, chosen)}
    return Filled(narrowed(function, given) if told else function, missing)


def _in_turn(likely: list[_Place], name: str, schema: Mapping[str, Any], request: Request) -> list[_Place]:
    """Places of a parameter after something was asked back: those in the answer are likelier if it was asked for, and
    the others if it was not. A short answer to what was asked for alone is one."""
    begins = len(request.text) - len(request.reply)
    # Alone, or beside another that its description says too.
    wanted = {*slot.wanted({name: schema}), *slot.wanted({name: schema, "": schema})}
    asked = not wanted.isdisjoint(request.asked)
    inside = [any(start >= begins for start, _ in one.spans) for one in likely]
    placed = [
        one._replace(log_share=one.log_share - TURN * (asked != there))
        for one, there in zip(likely, inside, strict=True)
    ]
    whole = arguments.alone(request)
    short = 0 < len(whole.split()) <= ANSWER and len(request.asked) == 1
    if asked and short and not any(inside) and _free(schema):
        at = request.text.rindex(whole)
        if values := _fitting(arguments.read(whole, schema, request), schema):
            placed.append(_Place(math.log(UNSEEN), values, ((at, at + len(whole)),)))
    # One place against another, not against none at all: more may be said than was asked for.
    lost = max((one.log_share for one in likely), default=0.0) - max((one.log_share for one in placed), default=0.0)
    placed = [one._replace(log_share=one.log_share + lost) for one in placed]
    return sorted(placed, key=lambda one: -one.log_share)


def _only(schema: Mapping[str, Any], values: list[Any]) -> dict[str, Any]:
    return {**{key: value for key, value in schema.items() if key in _SAYS}, "enum": values}


def _asked(schema: Mapping[str, Any]) -> bool:
    """Whether somebody is asked for a parameter: not whether or not, nor what goes without saying."""
    says = str(schema.get("description") or "")
    return schema.get("type") != "boolean" and not {"default", "const"} & set(schema) and not slot.UNSAID.search(says)


def _named(name: str, pointed: Pointed, schema: Mapping[str, Any], request: Request) -> list[_Place]:
    """Of the values that a parameter lists, or of the codes, days or times that it may be, those that the request
    names, the likeliest first; of a list of listed values the one list of them. None where it names none."""
    several = schema.get("type") == "array"
    inner = schema.get("items") if several else schema
    if not isinstance(inner, dict) or (several and _HELD & set(schema)):
        return []
    if "enum" not in inner and not _free(inner):
        return []
    listed, kind = choices.listed(inner), choices.coded(name, inner)
    found = choices.named(listed, request.text, request.language)
    if kind:
        said_so = {one.value for one in found if one.whole}
        coded = codes.mentioned(request.text, kind).items()
        found += [
            choices.Named(code, spans, True)
            for code, spans in coded
            if code not in said_so and (code in listed if listed else fits(code, dict(inner)))
        ]
    if not listed and not several:
        told = arguments.told(inner, request)
        found += [choices.Named(said, spans, True) for said, spans in told if fits(said, dict(inner))]
    if not found:
        return []
    if several and not kind:
        if not denials.denying(name, schema):
            found = [one for one in found if not denials.denied(one.spans[0], request.text, request.language)] or found
        found.sort(key=lambda one: one.spans[0])
        together = _fitting([tuple(one.value for one in found)], schema)
        return [_Place(0.0, together, ())] if together else []
    if several:
        return [one for one in _lists(pointed, found, request) if _fitting(one.values, schema)]
    found = [one for one in found if one.whole] or found
    worth = [UNSEEN] * len(found)
    for said, share in pointed.spans.items():
        for n in (touched := _touched(said, found, request)):
            worth[n] += share / len(touched)
    places = [_Place(math.log(w), (one.value,), one.spans) for w, one in zip(worth, found, strict=True)]
    total = math.log(sum(math.exp(place.log_share) for place in places))
    places = [place._replace(log_share=place.log_share - total) for place in places]
    return sorted(places, key=lambda place: -place.log_share)[:PLACES]


def _by_chance(place: _Place, request: Request) -> bool:
    """Whether a value is named by words that stand in many requests: "in" for inches."""
    said = [request.text[a:b] for a, b in place.spans]
    return bool(said) and all(
        one.islower() and (len(one) == 1 or any(one in words for words in STOPWORDS.values())) for one in said
    )


def _lists(pointed: Pointed, found: Sequence[choices.Named], request: Request) -> list[_Place]:
    """The lists of values that what is pointed at names."""
    worth: dict[tuple[int, ...], float] = defaultdict(float)
    for said, share in pointed.spans.items():
        if touched := _touched(said, found, request):
            worth[tuple(sorted(touched, key=lambda n: found[n].spans[0]))] += share
    total = sum(worth.values())
    return [
        _Place(math.log(w / total), (tuple(found[n].value for n in some),), tuple(found[n].spans[0] for n in some))
        for some, w in sorted(worth.items(), key=lambda pair: -pair[1])[:PLACES]
    ]


def _touched(said: str, found: Sequence[choices.Named], request: Request) -> list[int]:
    """Which of the values named stand where these words do, in part at least."""
    spans = arguments.spans(said, request.text)
    return [n for n, one in enumerate(found) if any(a < d and c < b for a, b in one.spans for c, d in spans)]


def _places(name: str, pointed: Pointed, schema: Mapping[str, Any], request: Request) -> list[_Place]:
    """Where the value of a parameter may stand, the likeliest first; none where anything may be written."""
    if not _free(schema):
        return []
    worth: dict[tuple[Any, ...], float] = defaultdict(float)
    words: dict[tuple[Any, ...], str] = {}
    otherwise = 0.0
    for pointed_at, share in pointed.spans.items():
        said = arguments.answered(pointed_at, request) if schema["type"] == "string" else pointed_at
        values = () if said == request.text.strip() else arguments.read(said, schema, request)
        # What stands between quotation marks may be more than the words pointed at.
        whole = values[0] if values and isinstance(values[0], str) and values[0] in request.text else ""
        if values and isinstance(values[0], str):
            values = (choices.bare(name, values[0]), *values[1:])
        meant = [(whole or said.strip(arguments.AROUND), values)] if values else []
        if not meant and said != request.text.strip():
            meant = arguments.within(said, schema, request)
        otherwise += 0.0 if meant else share
        for stands, values in meant:
            if values := _fitting(values, schema):
                worth[values] += share / len(meant)
                words.setdefault(values, stands)
    if otherwise > OTHERWISE:
        return []
    ranked = sorted(worth, key=worth.__getitem__, reverse=True)[:PLACES]
    return [
        _Place(math.log(max(worth[values], 1e-9)), values, arguments.spans(words[values], request.text))
        for values in ranked
    ]


def _fitting(values: Sequence[Any], schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """Those of some values that keep within the bounds of a schema."""
    return tuple(value for value in values if fits(list(value) if isinstance(value, tuple) else value, dict(schema)))


def _free(schema: Mapping[str, Any]) -> bool:
    """Whether a parameter takes texts, numbers or days, or lists of such, whatever they are within bounds."""
    kind, items = schema.get("type"), schema.get("items")
    if _HELD & set(schema):
        return False
    if kind == "array":
        return isinstance(items, dict) and items.get("type") != "array" and _free(items)
    return kind in ("string", "integer", "number")


def _or_none(likely: list[_Place], odds: float) -> list[_Place]:
    """The places of a parameter that may be left out, and beside them that it is."""
    odds -= GIVEN
    none = -max(odds, 0.0) - math.log1p(math.exp(-abs(odds)))
    given = none + odds
    return [*(one._replace(log_share=one.log_share + given) for one in likely), _Place(none, (), ())]


def _apart(places: Mapping[Path, list[_Place]]) -> dict[Path, _Place]:
    """The likeliest places of all parameters together, no word meant for two of them where that can be, rather in the
    order in which the function has them."""
    ways: list[tuple[float, tuple[_Place, ...]]] = [(0.0, ())]
    for likely in places.values():
        grown = [
            (worth + one.log_share + ORDER * _behind(one, taken) - SHARED * _anywhere(one, taken), (*taken, one))
            for worth, taken in ways
            for one in likely
        ]
        ways = sorted(grown, key=lambda way: -way[0])[:WAYS]
    return dict(zip(places, ways[0][1], strict=True))


def _taken(path: Path, chosen: Mapping[Path, _Place]) -> bool:
    """Whether the words for a parameter, of which nothing else is said, are likelier meant for another."""
    if (place := chosen.get(path)) is None or isinstance(place.values[0], tuple):
        return False
    return any(_same(place, other) and place.log_share < other.log_share for other in chosen.values())


def _anywhere(one: _Place, taken: Sequence[_Place]) -> bool:
    """Whether another stands on the same words."""
    return any(_same(one, other) for other in taken)


def _behind(one: _Place, taken: Sequence[_Place]) -> int:
    """1 where it stands behind the one before it of its kind, -1 where before it; 0 where that cannot be told."""
    if not one.spans:
        return 0
    kind = type(one.values[0])
    last = next((other for other in reversed(taken) if other.spans and type(other.values[0]) is kind), None)
    if last is None or _same(one, last):
        return 0
    here, there = one.spans[0], last.spans[0]
    return 0 if here == there else 1 if here > there else -1


def _same(one: _Place, other: _Place) -> bool:
    """Whether two stand on the same words wherever they stand."""
    return bool(one.spans and other.spans) and all(a < d and c < b for a, b in one.spans for c, d in other.spans)
