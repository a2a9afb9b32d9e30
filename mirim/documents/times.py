"""Times of the day that people say, as English and Portuguese write them."""

from __future__ import annotations

import datetime
import functools
import re
from typing import NamedTuple

from mirim.documents.values import number

#: dateparser reads few of the Portuguese ones. An hour, and what says that it is one: minutes, a unit, a part of the
#: day, or a word before it.
_TIME = re.compile(
    r"(?P<before>\b(?:at|by|from|until|till|to|às?|as|das?|pelas) )?"
    r"(?P<past>\b(?:half past|(?:a )?quarter past|(?:a )?quarter to) )?"
    r"(?<![\w.:])(?P<hour>\d{1,2}|[^\W\d_]+)(?:(?P<mark>[:.h])(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?(?![\d:])"
    r"(?P<unit> ?(?:o['’]clock|horas?|hours|hrs|hs|h)\b)?(?P<half> e (?:meia|[0-5]\d)\b)?"
    r"(?: ?(?:(?P<am>a\.? ?m\b|in the morning\b|da (?:manhã|madrugada)\b)"
    r"|(?P<pm>p\.? ?m\b|in the (?:afternoon|evening)\b|da tarde\b)"
    r"|(?P<night>at night\b|da noite\b)))?",
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
        if (told or match["before"] or match["mark"] in (":", "h")) and (read := _read(match)):
            found.append(Timed(match.start("past" if match["past"] else "hour"), match.end(), read))
    return tuple(sorted(found))


def time(said: str) -> datetime.time | None:
    """The time that is said by itself; None for what has other words too. A mere number is an hour."""
    said = said.strip()
    found = next((one.time for one in times(said) if (one.start, one.end) == (0, len(said))), None)
    return found or ((match := _TIME.fullmatch(said)) and _read(match)) or None


def _read(match: re.Match[str]) -> datetime.time | None:
    hours = [int(hour) for hour in number(match["hour"]) if hour in range(24)]
    if not hours:
        return None
    hour, minute = hours[0], int(match["minute"] or 0)
    if match["half"]:
        minute = 30 if "meia" in match["half"].lower() else int(match["half"][-2:])
    if match["am"] and hour == 12:
        hour = 0
    elif match["pm"] and hour < 12:
        hour += 12
    elif match["night"] and 5 <= hour <= 12:
        hour = (hour + 12) % 24
    if past := (match["past"] or "").lower():
        minute = 30 if "half" in past else 15 if "past" in past else 45
        hour -= past.endswith("to ")
    return datetime.time(hour % 24, minute, int(match["second"] or 0))
