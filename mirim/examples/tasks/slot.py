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
from mirim.documents import codes
from mirim.documents.times import time, times
from mirim.documents.values import LANGUAGES, date, dates, numbers
from mirim.documents.words import parted

#: Values of a parameter's `enum` that are named.
NAMED = 6

#: How a description says that a parameter goes without saying.
UNSAID = re.compile(
    r"\b(?:defaults?|optional|padr[ãa]o|opcional|(?:if|when) (?:not|none|omitted|absent)|se (?:n[ãa]o|omitid[oa]))\b",
    re.IGNORECASE,
)

Spans = tuple[tuple[int, int], ...]


def passage(function: Mapping[str, Any], request: str) -> Passage:
    """The request, under the name of `function` (OpenAI's shape) and what it does."""
    does = str(function.get("description") or "").strip()
    heading = f"{function['name']}: {does}" if does else str(function["name"])
    return Passage("", "", 0, len(request), heading, request)


def question(name: str, place: Mapping[str, Any]) -> str:
    """What is asked for a parameter of this name and JSON schema."""
    asked = parted(name)
    if says := str(place.get("description") or "").strip():
        asked += f": {says}"
    values = place.get("enum")
    if isinstance(values, list) and values:
        asked += f" ({', '.join(map(str, values[:NAMED]))})"
    return asked


def wanted(missing: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Parameters in words for whoever is to say what they are given: what their descriptions say first, or their names;
    both where two of them say the same."""
    words = [_described(name, place) for name, place in missing.items()]
    if len(set(words)) == len(words):
        return words
    return [f"{parted(name)}: {said}" for name, said in zip(missing, words, strict=True)]


def _described(name: str, place: Mapping[str, Any]) -> str:
    """A parameter in the first words of its description, and some of the values that it may have."""
    says = re.split(
        r"(?<=[.!?;])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bex\.)(?<!\bp\.) ",
        " ".join(str(place.get("description") or "").split()),
    )[0].rstrip(".!;: ")
    items = place.get("items")
    values = place.get("enum") or (items.get("enum") if isinstance(items, Mapping) else None)
    listed = ""
    if isinstance(values, list) and values:
        listed = f" ({', '.join(map(str, values[:NAMED]))}{', …' if len(values) > NAMED else ''})"
    return f"{says or parted(name)}{listed}"


def places(value: Any, request: str, language: str = "en") -> Spans:
    """Where a value stands in a request: a text as it is but for case, or as the money, country, language, day or time
    that it is; a number in digits or in words; a list from the first of its parts to the last. None where it is said
    in other ways."""
    if isinstance(value, str) and value.strip():
        for said in dict.fromkeys((value.strip(), value.strip().replace("_", " "))):
            whole = rf"(?<!\w)(?<!\w['’]){re.escape(said)}(?!\w)"
            if found := tuple(match.span() for match in re.finditer(whole, request, re.IGNORECASE)):
                return found
        for kind in codes.KINDS:
            if value in codes.codes(kind) and (found := codes.mentioned(request, kind).get(value, ())):
                return found
        # A parameter may want the day before the month whatever the language.
        for order in (language, *LANGUAGES):
            if (day := date(value, order)) and (found := dates(request, day, language)):
                return found
        clock = time(value) if ":" in value else None
        return tuple((one.start, one.end) for one in times(request) if one.time == clock)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # A share may be said in hundredths.
        wanted = {value, round(value * 100, 9)} if isinstance(value, float) and abs(value) <= 1 else {value}
        return tuple((one.start, one.end) for one in numbers(request) if wanted.intersection(one.values))
    if isinstance(value, list) and value:
        return _across([places(part, request, language) for part in value])
    return ()


def _across(parts: list[Spans]) -> Spans:
    """From the first part to the last, in their order, where that is shortest."""
    ways = []
    for start, end in parts[0]:
        for part in parts[1:]:
            end = next((stop for begin, stop in part if begin >= end), -1)
            if end < 0:
                break
        else:
            ways.append((start, end))
    return (min(ways, key=lambda way: way[1] - way[0]),) if ways else ()
