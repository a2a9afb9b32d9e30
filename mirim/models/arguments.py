"""What words of a request may mean as the value of a function's parameter: texts, numbers, days, times, lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mirim.documents import times, values

#: What stands around a value and is no part of it.
AROUND = " '\"“”‘’.,;:?!"
#: Between quotation marks, single ones where they are no apostrophes; a mark that is not closed again.
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|(?<!\w)['‘]((?:[^'‘’]|(?<=\w)['’](?=\w))+)['’](?!\w)")
_OPENED = re.compile(r"(?:^|.*\s)['\"“‘«]([^'\"”’»]+)$", re.DOTALL)
#: What an abbreviation ends with before its last full stop.
_SHORT = re.compile(r"(?:\b[^\W\d]\.)+[^\W\d]$")
#: What stands between the parts of a list, and before one of them.
_AND = r"and|or|plus|as well as|e|ou|mais|bem como|assim como"
_BETWEEN = re.compile(rf"\s*[,;]\s*(?:(?:{_AND})\s+)?|\s+(?:{_AND}|&)\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:an?|the|some|o|os|as|um|uma|uns|umas)\s+(?=\S)")
#: How a description says what a date looks like, and a time of 24 hours.
_DATE = re.compile(r"\b([YA]{4}|DD?|MM?)([-/.])([YA]{4}|DD?|MM?)\2([YA]{4}|DD?|MM?)\b")
_TIME = re.compile(r"\bhh:mm(:ss)?\b(?!:|.{0,3}\b[ap]m\b)", re.IGNORECASE)


def read(said: str, schema: Mapping[str, Any], request: str, language: str) -> tuple[Any, ...]:
    """What words may mean as a value of this schema; a list is a tuple. () where they mean none."""
    kind = schema["type"]
    if kind == "array":
        return _list(said, schema["items"], request, language)
    if kind == "string":
        return _text(_bare(said, request), schema, request, language)
    bare = _bare(said, request).strip("%$€£ ")
    meant = list(values.number(bare))
    if meant and re.search(rf"(?<![\d.,]){re.escape(bare)} ?(%|percent|per cent|por cento)", request):
        meant.append(meant[0] / 100)
    return tuple(value for value in _whole(meant) if kind == "number" or isinstance(value, int))


def _text(bare: str, schema: Mapping[str, Any], request: str, language: str) -> tuple[str, ...]:
    says = str(schema.get("description") or "")
    day, clock = _DATE.search(says), _TIME.search(says)
    if schema.get("format") == "date" or (day and not clock):
        found = values.date(bare, language, values.year(request, language))
        return (found.strftime(_strftime(day)),) if found else ()
    if clock and not day:
        time = times.time(bare)
        return (time.strftime("%H:%M:%S" if clock.group(1) else "%H:%M"),) if time else ()
    if clock:
        return ()  # both in one: left to the model
    found = values.date(bare, language)
    return tuple(dict.fromkeys(filter(None, (bare, found.isoformat() if found else ""))))


def _strftime(shape: re.Match[str] | None) -> str:
    """A description's DD/MM/YYYY as strftime asks for it."""
    if shape is None:
        return "%Y-%m-%d"
    return shape.group(2).join(f"%{'Y' if part[0] in 'YA' else part[0].lower()}" for part in shape.group(1, 3, 4))


def _list(said: str, items: Mapping[str, Any], request: str, language: str) -> tuple[Any, ...]:
    """The list that words say, if each of its parts may be one of its items."""
    if items["type"] == "string":
        parts = [_ARTICLE.sub("", part) for part in _BETWEEN.split(said)]
        found = [read(part, items, request, language) for part in parts if part.strip(AROUND)]
        return (tuple(one[0] for one in found),) if found and all(found) else ()
    # A point is read as the request's language has it.
    numbers = [one.values[-1 if language == "pt" else 0] for one in values.numbers(said) if one.values]
    whole = _whole(numbers)
    return (tuple(whole),) if whole and (items["type"] == "number" or all(isinstance(v, int) for v in whole)) else ()


def _whole(numbers: Sequence[float]) -> list[float]:
    """Whole numbers as such: 30, not 30.0."""
    return [int(value) if value == int(value) else value for value in numbers]


def _bare(said: str, request: str) -> str:
    """A value without what stands around it: quotation marks, of which it is all that stands between them where it
    touches one, and a full stop that is none of its own."""
    if quoted := _quoted(said, request):
        return quoted
    opened = _OPENED.match(said.strip())
    bare = (opened.group(1) if opened else said).strip(AROUND)
    cased = request != request.lower()
    own = f"{bare}." in request and (
        _SHORT.search(bare) or (cased and re.search(rf"{re.escape(bare)}\.\s+[^\W\dA-ZÀ-Ý]", request))
    )
    return f"{bare}." if bare and own else bare


def _quoted(said: str, request: str) -> str:
    """What the request has between quotation marks, of which `said` is the beginning or the end, or which ends it."""
    bare = said.strip(AROUND)
    for match in _QUOTED.finditer(request):
        quoted = match.group(match.lastindex or 0)
        if said.strip().endswith(match.group()):
            return quoted
        edge = quoted.startswith(bare) or quoted.endswith(bare)
        if bare and edge and len(re.findall(re.escape(bare), request)) == 1:
            return quoted
    return ""
