"""Times of the day that people say, as English and Portuguese write them."""

from __future__ import annotations

import datetime
import functools
import re
from typing import NamedTuple

from mirim.documents.values import number

#: Minutes in words: past an hour, and before one in Portuguese.
_MINUTES = r"(?:cinco|dez|quinze|vinte(?: e cinco)?|trinta|quarenta(?: e cinco)?|cinquenta(?: e cinco)?|[0-5]?\d)"
#: dateparser reads few of the Portuguese ones. An hour, and what says that it is one: minutes, a unit, a part of the
#: day, or a word before it.
_TIME = re.compile(
    r"(?P<before>\b(?:at|by|from|until|till|to|às?|as|das?|pelas) )?"
    r"(?P<past>\b(?:half past|(?:a )?quarter past|(?:a )?quarter to|(?:five|ten|twenty(?:[- ]five)?) past"
    rf"|{_MINUTES}(?: minutos)? (?:para|pra) (?:as|a|o)|{_MINUTES}(?: minutos)? pras?) )?"
    r"(?<![\w.:])(?P<hour>\d{1,2}|[^\W\d_]+)(?:(?P<mark>[:.h])(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?(?![\d:])"
    r"(?P<unit> ?(?:o['’]clock|horas?|hours|hrs|hs|h)\b)?"
    rf"(?P<half> (?:e (?:meia|{_MINUTES})|(?:fifteen|thirty|forty[- ]five))\b)?"
    r"(?: ?(?:(?P<am>a\.? ?m\b|in the morning\b|da (?:manhã|madrugada)\b)"
    r"|(?P<pm>p\.? ?m\b|(?:in the|this) (?:afternoon|evening)\b|(?:da|[àa]) tarde\b)"
    r"|(?P<night>at night\b|tonight\b|(?:hoje )?(?:da|[àa]) noite\b)))?",
    re.IGNORECASE,
)
#: The part of the day that is said before an hour, or behind it with a day between.
_EARLIER = re.compile(
    r"(?:(?P<pm>\b(?:afternoon|evening|[àa] tarde|de tarde))|(?P<night>\b(?:tonight|[àa] noite|de noite)))"
    r",? (?:at|by|around|às?|as|pelas|lá pelas)? ?$",
    re.IGNORECASE,
)
_LATER = re.compile(
    r",? (?:hoje|amanhã|tomorrow|today|(?:on )?[a-z]+day|(?:na )?(?:segunda|terça|quarta|quinta|sexta)(?:-feira)?"
    r"|(?:no )?(?:sábado|domingo)),? "
    r"(?:(?P<pm>(?:afternoon|evening|in the (?:afternoon|evening)|[àa] tarde|de tarde)\b)"
    r"|(?P<night>(?:at night|night|[àa] noite|de noite)\b))",
    re.IGNORECASE,
)
#: How long something takes is no time, nor is what is counted: "for 3 hours", "to 10 people".
_LONG = re.compile(
    r"\b(?:for|in|within|after|every|por|durante|em|(?<!partir )de|daqui a|há|a cada|mais|more)\s+$", re.IGNORECASE
)
_LOOSE = frozenset("by from until till to as a da das à".split())
_ENDED = re.compile(
    r"\s*(?:$|[^\w\s]|(?:a\.?m|p\.?m|to|on|until|till|and|or|in|at|for|tomorrow|today|tonight|this|sharp|please|the|with"
    r"|e|ou|às|as|a|até|na|no|em|do|da|de|para|pra|por|amanhã|hoje|com)\b)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:(?P<noon>noon|midday|meio[- ]dia)|midnight|meia[- ]noite)(?P<half> e meia\b)?", re.IGNORECASE
)


class Timed(NamedTuple):
    """A time that stands at `start:end` of a text."""

    start: int
    end: int
    time: datetime.time


@functools.lru_cache(maxsize=256)
def times(text: str) -> tuple[Timed, ...]:
    """The times of a text, in the order in which they stand; where no half of the day is told, of 24 hours."""
    found = [
        Timed(*match.span(), datetime.time(12 if match["noon"] else 0, 30 if match["half"] else 0))
        for match in _NAMED.finditer(text)
    ]
    for match in _TIME.finditer(text):
        told = match["past"] or match["unit"] or match["am"] or match["pm"] or match["night"]
        if (told or match["mark"] in (":", "h") or _led(match)) and not _lasts(match) and (read := _read(match)):
            found.append(Timed(match.start("past" if match["past"] else "hour"), match.end(), read))
    return tuple(sorted(found))


def _minutes_past(said: str) -> int:
    """Minutes after the hour that follows, below nought before it: "a quarter to", "dez para as"."""
    if said.endswith("past"):
        many = said.removesuffix(" past")
        return 30 if many == "half" else 15 if many.endswith("quarter") else _minutes(many)
    return -15 if said.endswith("quarter to") else -_minutes(re.split(r" minutos| para | pra", said)[0])


def _minutes(said: str) -> int:
    return next((int(value) for value in number(said) if value in range(60)), 0)


def time(said: str) -> datetime.time | None:
    """The time that is said by itself; None for what has other words too. A mere number is an hour."""
    said = said.strip()
    found = next((one.time for one in times(said) if (one.start, one.end) == (0, len(said))), None)
    return found or ((match := _TIME.fullmatch(said)) and _read(match)) or None


def _led(match: re.Match[str]) -> bool:
    """Whether the word before a mere number says that it is an hour: "at 7", but not "to 7 people"."""
    before = (match["before"] or "").strip().lower()
    return bool(before) and (before not in _LOOSE or bool(_ENDED.match(match.string, match.end())))


def _lasts(match: re.Match[str]) -> bool:
    """Whether so many hours are meant: "for 3 hours"."""
    unit = (match["unit"] or "").strip().lower()
    counted = unit and "clock" not in unit and not match["mark"] and not match["before"]
    return bool(counted and _LONG.search(match.string[: match.start()]))


def _read(match: re.Match[str]) -> datetime.time | None:
    text = match.string
    hours = [int(hour) for hour in number(match["hour"]) if hour in range(24)]
    if not hours:
        return None
    hour, minute = hours[0], int(match["minute"] or 0)
    if half := (match["half"] or "").strip().lower():
        minute = 30 if "meia" in half else _minutes(half.removeprefix("e "))
    pm, night = match["pm"], match["night"]
    if not (match["am"] or pm or night) and 1 <= hour < 12:
        part = _EARLIER.search(text[: match.start()] + (match["before"] or "")) or _LATER.match(text, match.end())
        pm, night = (part["pm"], part["night"]) if part else (pm, night)
    if match["am"] and hour == 12:
        hour = 0
    elif pm and hour < 12:
        hour += 12
    elif night and 5 <= hour <= 12:
        hour = (hour + 12) % 24
    if past := (match["past"] or "").lower().strip():
        minute = _minutes_past(past)
        hour -= minute < 0
        minute %= 60
    return datetime.time(hour % 24, minute, int(match["second"] or 0))
