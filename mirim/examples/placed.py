"""Where answers stand in passages, and what requests say for the parameters of functions: what pointing learns from.

The rows are those that `mirim.examples.sets` makes examples of.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mirim.core.errors import UsageError
from mirim.examples.rows import Row, flat, function_of, language_of, read_rows, standing
from mirim.examples.tasks import slot

#: Words of the first turns of a conversation at least, to be a request: not a greeting.
BEGUN = 4


class Placed(NamedTuple):
    """A question and where in a text its answer stands: no `places` where it does not. `task`: read, where a part of
    the text may be shown in its place; or tools, where the text is a request."""

    text: str
    heading: str
    question: str
    places: tuple[tuple[int, int], ...]
    language: str
    task: str


def read(path: Path, most: int = 0, seed: int = 0) -> Iterator[Placed]:
    """What can be pointed at, in at most `most` rows drawn evenly (0: all): the answers of a file's questions that
    stand in their passages as they are, and what requests to functions say for each parameter."""
    rng = random.Random(f"{seed} {path.name} placed")
    rows = list(read_rows(path))
    if most and len(rows) > most:
        rows = sorted(rng.sample(rows, most), key=lambda pair: pair[0])
    before: list[Row] = []
    known: dict[str, Row] = defaultdict(dict)
    for number, row in rows:
        try:
            if row.get("task") == "read" and "label" not in row:
                yield from _answering(row)
            function: Row | None = None
            for request, function, arguments in _requests(row, known, rng):
                # The one before is often of the same field; one of all before it seldom is.
                others = (before[-1], rng.choice(before)) if before else ()
                yield from _slots(request, function, arguments, others, language_of(row))
            if function and not row.get("call"):
                before.append(function)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"{path} line {number} is no row of task {row.get('task')} ({error!r})") from error


def _answering(row: Row) -> Iterator[Placed]:
    context, said = flat(row["context"]), [*(row.get("answers") or ()), row["output"]]
    found = next((a for a in (str(a).strip() for a in said) if a and a in context), "")
    if found and row.get("answerable", True):
        places = tuple(standing(found, context))
        yield Placed(context, str(row.get("title", "")), str(row["input"]), places, language_of(row), "read")


def _requests(
    row: Row, known: dict[str, Row], rng: random.Random
) -> Iterator[tuple[str, Row, Mapping[str, Any] | None]]:
    """(request, function, arguments or None where it cannot serve) of a row. Of a conversation, what its user said
    until the first call, and until one of the turns before. A function of which only calls are known takes what its
    calls were given, here and before."""
    if "calls" in row:
        for request, arguments in row["calls"]:
            yield request, row["function"], arguments
    elif row.get("task") == "tools" and "messages" in row:
        turns = row["messages"]
        first = next((n for n, turn in enumerate(turns) if turn.get("call")), len(turns))
        listed = {f["name"]: function_of(f)["function"] for f in row["tools"]}
        said = [turn["content"] for turn in turns[:first] if turn["role"] == "user"]
        for turn in turns[first : first + 1]:
            function, arguments = listed[turn["call"]["name"]], turn["call"]["arguments"]
            yield "\n".join(said), function, arguments
            begun = ["\n".join(said[:n]) for n in range(1, len(said))]
            if begun := [one for one in begun if len(one.split()) >= BEGUN]:
                yield _begun(rng.choice(begun), "\n".join(said), function, arguments, language_of(row))
    elif row.get("call"):
        call = json.loads(row["call"])
        name, arguments = call["name"], call["arguments"]
        absent = [place for place in known[name] if place not in arguments]
        known[name] |= {place: {} for place in arguments}
        asked = [*arguments, *rng.sample(absent, min(len(absent), 2))]
        yield row["input"], {"name": name, "parameters": {"properties": {place: {} for place in asked}}}, arguments


def _begun(
    request: str, whole: str, function: Row, arguments: Mapping[str, Any], language: str
) -> tuple[str, Row, Mapping[str, Any]]:
    """A request that more is said after: what is told in it, and what only the turns after it tell is not. What stands
    nowhere is told in other words, nobody knows where, and is not among the parameters of the function."""
    told = {name: value for name, value in arguments.items() if slot.places(value, request, language)}
    somewhere = {name for name, value in arguments.items() if slot.places(value, whole, language)}
    known = function["parameters"].get("properties", {}).items()
    asked = {name: place for name, place in known if name not in arguments or name in somewhere}
    return request, {**function, "parameters": {**function["parameters"], "properties": asked}}, told


def _slots(
    request: str, function: Row, arguments: Mapping[str, Any] | None, others: Iterable[Row], language: str
) -> Iterator[Placed]:
    """Whether the function serves a request, that no other does, and what stands for each parameter."""
    whole = ((0, len(request)),)

    def asked(other: Row, question: str, places: slot.Spans) -> Placed:
        return Placed(request, slot.passage(other, request).heading, question, places, language, "tools")

    yield asked(function, function["name"], () if arguments is None else whole)
    if arguments is None:
        return
    for name, other in {other["name"]: other for other in others if other["name"] != function["name"]}.items():
        yield asked(other, name, ())
    for name, place in function["parameters"].get("properties", {}).items():
        said = (slot.places(arguments[name], request, language) or whole) if name in arguments else ()
        yield asked(function, slot.question(name, place), said)
