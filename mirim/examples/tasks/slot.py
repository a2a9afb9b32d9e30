"""slot: a request and a parameter of a function → the words of the request that are meant for it (slot filling).

It is asked as a passage is read: what the function does stands where a passage has its heading, the request where it
has its text, and the parameter is the question. `mirim.models.pointing` answers it with a place: one that says what the
parameter is given, the whole request where it is given in other words, none where it is left out. Asked for the
function's own name, it is the whole request or nothing: whether the function serves it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mirim.core.types import Passage

#: Values of a parameter's `enum` that are named.
NAMED = 6
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")

Spans = tuple[tuple[int, int], ...]


def passage(function: Mapping[str, Any], request: str) -> Passage:
    """The request, under the name of `function` (OpenAI's shape) and what it does."""
    does = str(function.get("description") or "").strip()
    heading = f"{function['name']}: {does}" if does else str(function["name"])
    return Passage("", "", 0, len(request), heading, request)


def question(name: str, place: Mapping[str, Any]) -> str:
    """What is asked for a parameter of this name and JSON schema."""
    asked = name.replace("_", " ")
    if says := str(place.get("description") or "").strip():
        asked += f": {says}"
    values = place.get("enum")
    if isinstance(values, list) and values:
        asked += f" ({', '.join(map(str, values[:NAMED]))})"
    return asked


def places(value: Any, request: str) -> Spans:
    """Where a value stands in a request as it is: a text but for case, a number in digits, a list from the first of its
    parts to the last. None where it is said in other words."""
    if isinstance(value, str) and value.strip():
        for said in dict.fromkeys((value.strip(), value.strip().replace("_", " "))):
            whole = rf"(?<!\w){re.escape(said)}(?!\w)"
            if found := tuple(match.span() for match in re.finditer(whole, request, re.IGNORECASE)):
                return found
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return tuple(m.span() for m in _NUMBER.finditer(request) if {value, value * 100} & set(numbers(m.group())))
    elif isinstance(value, list) and value:
        parts = [places(part, request) for part in value]
        if all(parts):
            return ((min(part[0][0] for part in parts), max(part[0][1] for part in parts)),)
    return ()


def numbers(said: str) -> list[float]:
    """The numbers that digits may stand for, as both languages write them; none for other words."""
    found = _NUMBER.search(said)
    if found is None or re.search(r"\w", said[: found.start()] + said[found.end() :]):
        return []
    read = []
    for point, group in (".,", ",."):
        if re.fullmatch(rf"-?(\d+|\d{{1,3}}(\{group}\d{{3}})+)(\{point}\d+)?", found.group()):
            read.append(float(found.group().replace(group, "").replace(point, ".")))
    return list(dict.fromkeys(read))
