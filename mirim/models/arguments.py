"""What words of a request may mean as the value of a function's parameter: texts, numbers, days, times, lists."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mirim.documents import days, times, values
from mirim.documents.words import detect
from mirim.models import choices

#: What stands around a value and is no part of it.
AROUND = " '\"“”‘’.,;:?!"
#: Between quotation marks, single ones where they are no apostrophes; a mark that is not closed again.
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|(?<!\w)['‘]((?:[^'‘’]|(?<=\w)['’](?=\w))+)['’](?!\w)")
_OPENED = re.compile(r"(?:^|.*\s)['\"“‘«]([^'\"”’»]+)$", re.DOTALL)
#: What an abbreviation ends with before its last full stop.
_SHORT = re.compile(r"(?:\b[^\W\d]\.)+[^\W\d]$")
#: What stands between the parts of a list, and before one of them.
_AND = r"and|or|(?-i:plus)|as well as|e|ou|mais|bem como|assim como"
_BETWEEN = re.compile(rf"\s*[,;]\s*(?:(?:{_AND})\s+)?|\s+(?:{_AND}|&)\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:an?|the|some|o|os|as|um|uma|uns|umas)\s+(?=\S)")
#: How a description says what a date looks like, and a time of 24 hours, in letters or by an example; and both in one.
_LIKE = r"(?:\be\.g\.|\bex\.|\b(?:eg|example|such as|like|as|exemplo|como|formato?))[,:]?\s*['\"“(]?"
_DATE = re.compile(r"\b([YA]{4}|DD?|MM?)([-/.])([YA]{4}|DD?|MM?)\2([YA]{4}|DD?|MM?)\b", re.IGNORECASE)
_ISO = re.compile(
    rf"{_LIKE}\d{{4}}-\d\d-\d\d(?![\w-])|\bISO(?:[- ]?8601)? (?:format )?dates?\b(?![- ]?times?)", re.IGNORECASE
)
_TIME = re.compile(
    rf"(?:\bhh:mm(:ss)?|{_LIKE}\d\d:\d\d(:\d\d)?)\b(?!:|.{{0,3}}\b[ap]m\b)",
    re.IGNORECASE,
)
_MOMENT = re.compile(
    rf"(?:\b(?:YYYY|AAAA)-MM-DD|{_LIKE}\d{{4}}-\d\d-\d\d)(?P<between>[T ])(?:HH:MM|\d\d:\d\d)"
    r"(?P<seconds>:SS|:\d\d)?(?P<offset>Z|[+-]\d\d:\d\d)?",
    re.IGNORECASE,
)
#: Thousands parted as Portuguese does.
_GROUPED = re.compile(r"\d{1,3}(?:\.\d{3})+")
_INSTANT = re.compile(r"\bISO[- ]?8601 (?:date[- ]?times?|date and time|timestamps?)\b|\bRFC ?3339\b", re.IGNORECASE)
_STAMP = re.compile(r"(?<![\w-])\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d)?(?:[Zz]|[+-]\d\d:\d\d)?(?![\w:])")
#: Of a moment with its offset from universal time (RFC 3339).
_WITH_OFFSET = "%Y-%m-%dT%H:%M:%S%z"
#: How a description says that a share is written as a part of one, or of a hundred.
_FRACTION = re.compile(
    r"\bas (?:a )?decimals?\b|\bdecimal (?:form|rate|fraction)|\bfra(?:ction|ç[ãa]o)|\b0[.,]\d+\b(?! ?%)"
    r"|\b(?:between|from|entre|de) 0 (?:and|to|e|a) 1\b(?![.,]?\d)",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"%|\bper ?cent|\bporcent|\bpor cento|\bpercentua", re.IGNORECASE)

#: What stands around what somebody answers.
_YES = r"(?:(?:hi|hello|yes|yeah|ok|okay|sure|oi|ol[áa]|sim|claro|certo)[,.!]+\s+)*"
_LEADING = {
    "en": re.compile(rf"{_YES}(?:(?:at|in|on|for|from|to|it['’]?s|it is)\s+)?(?=\S)", re.IGNORECASE),
    "pt": re.compile(
        rf"{_YES}(?:(?:em|n[oa]s?|para|pra|pr[oa]s?|pel[oa]s?|[ée]|de|d[oa]s?|ao?s?|à)\s+)?(?=\S)", re.IGNORECASE
    ),
}
_TRAILING = re.compile(r"(?<!\s),?\s+(?:please|thanks|thank you|por favor|obrigad[oa])\W*$", re.IGNORECASE)
#: Answers that tell nothing.
_UNTOLD = re.compile(
    r"(?:i (?:do not|don['’]?t) (?:know|care)|no idea|not sure|any(?:thing|where)?|whatever|never ?mind|cancel|stop"
    r"|forget it|no(?:ne)?|n[ãa]o(?: sei| quero(?: mais)?)?|sei l[áa]|tanto faz|qualquer(?: uma?)?|deixa(?: pra l[áa])?"
    r"|cancelar?|esquece|nenhum|nada)\W*",
    re.IGNORECASE,
)

Spans = tuple[tuple[int, int], ...]


class Request(NamedTuple):
    """What is asked of a function, and on which day; and the end of it that answers what was asked back, in the words
    of `slot.wanted`."""

    text: str
    language: str
    today: datetime.date
    reply: str = ""
    asked: Sequence[str] = ()


def spans(words: str, text: str) -> Spans:
    """Where words stand in a text."""
    found, at = [], text.find(words) if words else -1
    while at >= 0:
        found.append((at, at + len(words)))
        at = text.find(words, at + len(words))
    return tuple(found)


def answered(said: str, request: Request) -> str:
    """What is said without thanks behind it, and with the word before it where the answer to what was asked back has
    that one besides: the first word of an answer is often not pointed at."""
    if not request.reply:
        return said
    said, whole = _TRAILING.sub("", said).strip(), alone(request)
    first, _, behind = whole.partition(" ")
    parted = not behind or first[-1] in ",.;:!"
    return whole if not parted and behind == said.strip(AROUND) and len(spans(behind, request.text)) == 1 else said


def alone(request: Request) -> str:
    """The answer to what was asked back, without what stands around it; "" where it tells nothing."""
    said = _TRAILING.sub("", request.reply.strip()).strip(AROUND)
    known = _LEADING.get(detect(request.reply) or request.language)
    for leading in [known] if known else _LEADING.values():
        said = leading.sub("", said, count=1) if leading.match(said) else said
    return "" if _UNTOLD.fullmatch(said) else said.strip(AROUND)


def read(said: str, schema: Mapping[str, Any], request: Request) -> tuple[Any, ...]:
    """What words of a request may mean as a value of this schema; a list is a tuple. () where they mean none."""
    kind = schema["type"]
    if kind == "array":
        return _list(said, schema["items"], request)
    if kind == "string":
        return _text(_bare(said, request.text), schema, request)
    bare = _bare(said, request.text).strip("%$€£ ")
    meant = list(_number(bare, request.text))
    if request.language == "pt" and _GROUPED.fullmatch(bare):
        meant = meant[-1:]
    here = re.findall(
        rf"(?<![\d.,]){re.escape(bare)}(?![\d]|[.,]\d)( ?(?:%|percent|per cent|por cento))?", request.text
    )
    if meant and any(here):
        says, shares = str(schema.get("description") or ""), [round(one / 100, 9) for one in meant]
        # As it is too where the same number is no share elsewhere.
        if _FRACTION.search(says):
            meant = shares if all(here) else [*shares, *meant]
        elif not _PERCENT.search(says):
            meant.append(shares[0])
    return tuple(value for value in _whole(meant) if kind == "number" or isinstance(value, int))


def _number(said: str, request: str) -> tuple[float, ...]:
    """What a number means, by itself or where it stands: "1.5" may be the beginning of "1.5 million"."""
    meant = values.number(said)
    every = [one for one in values.numbers(request) if meant and request.startswith(said, one.start)]
    if any(request[one.start : one.end] == said for one in every):
        return meant
    counted = (one.values for one in every if not request[one.start + len(said) : one.end][:1].isdigit())
    return next(counted, meant)


def within(said: str, schema: Mapping[str, Any], request: Request) -> list[tuple[str, tuple[Any, ...]]]:
    """The numbers that stand within words which are none themselves, and what each may mean."""
    if schema["type"] not in ("integer", "number"):
        return []
    inside = spans(said, request.text)
    parts = [
        request.text[one.start : one.end]
        for one in values.numbers(request.text)
        if any(a <= one.start and one.end <= b for a, b in inside)
    ]
    found = [(part, read(part, schema, request)) for part in dict.fromkeys(parts)]
    return [(part, meant) for part, meant in found if meant]


def told(schema: Mapping[str, Any], request: Request) -> list[tuple[str, Spans]]:
    """The days or times of a request, as a parameter that takes such wants them, and where they stand."""
    if shape := _day(schema):
        return [(one.date.strftime(shape), ((one.start, one.end),)) for one in _days(request)]
    if shape := _clock(schema):
        return [(one.time.strftime(shape), ((one.start, one.end),)) for one in times.times(request.text)]
    return _moments(schema, request)


def unsaid(schema: Mapping[str, Any], request: Request) -> bool:
    """Whether a request has no day, time or number where one is wanted."""
    if schema.get("type") in ("integer", "number"):
        return not values.numbers(request.text)
    return bool(_day(schema) or _clock(schema) or _moment(schema)) and not told(schema, request)


def _days(request: Request) -> list[days.Day]:
    said = (*days.days(request.text, request.today), *days.whole(request.text, request.language, request.today))
    return sorted(said)


def _moments(schema: Mapping[str, Any], request: Request) -> list[tuple[str, Spans]]:
    """Each time of a request with the day that stands nearest to it, or today."""
    if not (shape := _moment(schema)):
        return []
    found: list[tuple[str, Spans]] = [(_written(moment, shape), (span,)) for span, moment in _stamps(request.text)]
    every = _days(request)
    for time in times.times(request.text):
        if any(a <= time.start < b for _, ((a, b),) in found):
            continue
        day = min(every, key=lambda one: max(one.start - time.end, time.start - one.end), default=None)
        moment = datetime.datetime.combine(day.date if day else request.today, time.time)
        # Two moments of one day stand on different words.
        found.append((_written(moment, shape), ((time.start, time.end),)))
    return found


def _stamps(text: str) -> list[tuple[tuple[int, int], datetime.datetime]]:
    """The moments of a text that are written as RFC 3339 has them, and where."""
    found: list[tuple[tuple[int, int], datetime.datetime]] = []
    for match in _STAMP.finditer(text):
        with contextlib.suppress(ValueError):
            found.append((match.span(), datetime.datetime.fromisoformat(match.group().upper())))
    return found


def _written(moment: datetime.datetime, shape: str) -> str:
    if shape != _WITH_OFFSET:
        return moment.strftime(shape)
    with contextlib.suppress(ValueError, OverflowError):
        # Whoever asks for an offset and says none means that of the place, which is not known of all years.
        moment = moment if moment.tzinfo else moment.astimezone()
    return moment.isoformat(timespec="seconds")


def _moment(schema: Mapping[str, Any]) -> str:
    """How a text that is a day and a time is to be written, as strftime asks for it; "" for what is none."""
    if schema.get("type") != "string":
        return ""
    says = str(schema.get("description") or "")
    match = _MOMENT.search(says)
    if match is None and _INSTANT.search(says):
        return _WITH_OFFSET
    if match is None or match["offset"]:
        return _WITH_OFFSET if match or schema.get("format") == "date-time" else ""
    return f"%Y-%m-%d{match['between'].upper()}%H:%M{':%S' if match['seconds'] else ''}"


def _clock(schema: Mapping[str, Any]) -> str:
    """How a text that is a time of 24 hours is to be written, as strftime asks for it; "" for what is none, or has a
    day too."""
    says = str(schema.get("description") or "")
    clock = _TIME.search(says)
    if clock is None or schema.get("type") != "string" or _dated(schema) or _moment(schema):
        return ""
    return "%H:%M:%S" if clock.group(1) or clock.group(2) else "%H:%M"


def _day(schema: Mapping[str, Any]) -> str:
    """How a text that is a day is to be written, as strftime asks for it; "" for what is none, or has a time too."""
    says = str(schema.get("description") or "")
    if schema.get("type") != "string" or _moment(schema) or not _dated(schema):
        return ""
    return "" if _TIME.search(says) and schema.get("format") != "date" else _strftime(_DATE.search(says))


def _dated(schema: Mapping[str, Any]) -> bool:
    says = str(schema.get("description") or "")
    return bool(schema.get("format") == "date" or _DATE.search(says) or _ISO.search(says))


def _text(bare: str, schema: Mapping[str, Any], request: Request) -> tuple[str, ...]:
    says, language = str(schema.get("description") or ""), request.language
    if shape := _day(schema):
        found = values.date(bare, language, values.year(request.text))
        return (found.strftime(shape),) if found else ()
    if clock := _clock(schema):
        time = times.time(bare)
        return (time.strftime(clock),) if time else ()
    if _moment(schema) or _TIME.search(says):
        return ()  # a day and a time in one: not in so few words
    found = values.date(bare, language)
    said = choices.spelt(bare, schema, language)
    return tuple(dict.fromkeys(filter(None, (said, found.isoformat() if found else ""))))


def _strftime(shape: re.Match[str] | None) -> str:
    """A description's DD/MM/YYYY as strftime asks for it."""
    if shape is None:
        return "%Y-%m-%d"
    parts = (part[0].upper() for part in shape.group(1, 3, 4))
    return shape.group(2).join(f"%{'Y' if part in 'YA' else part.lower()}" for part in parts)


def _list(said: str, items: Mapping[str, Any], request: Request) -> tuple[Any, ...]:
    """The list that words say, if each of its parts may be one of its items."""
    if items["type"] == "string":
        parts = [_ARTICLE.sub("", part) for part in _BETWEEN.split(said)]
        found = [read(part, items, request) for part in parts if part.strip(AROUND)]
        return (tuple(one[0] for one in found),) if found and all(found) else ()
    # A point is read as the request's language has it; "10k" is a thousand times ten first.
    numbers = [
        one.values[-1 if request.language == "pt" and said[one.end - 1].isdigit() else 0]
        for one in values.numbers(said)
        if one.values
    ]
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
        _SHORT.search(bare) or (cased and re.search(rf"{re.escape(bare)}\.[^\S\n]+[^\W\dA-ZÀ-Ý]", request))
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
