"""Days that a text says from today on, in English and Portuguese: "tomorrow", "sexta que vem", "in 3 days"; and those
that it says without their year.

dateparser, which reads those that are said in whole, knows few of the Portuguese ones, and finds none in a text.
"""

from __future__ import annotations

import datetime
import functools
import re
from typing import NamedTuple

from mirim.documents.values import LANGUAGES, MONTH, WEEKDAYS, date, number, year
from mirim.documents.words import fold

_NUMBER = r"(?P<{0}>\d{{1,3}}|[^\W\d_]+)"
#: Days from today. Longer ones come first: "the day after tomorrow" has "tomorrow" in it.
_NEAR = {
    r"(?:the )?day after tomorrow|depois de amanh[ãa]": 2,
    r"(?:the )?day before yesterday|anteontem|antes de ontem": -2,
    r"tomorrow|amanh[ãa]": 1,
    r"today|tonight|this (?:morning|afternoon|evening)|hoje|esta noite": 0,
    r"yesterday|ontem": -1,
}
_AHEAD = re.compile(
    rf"\b(?:(?:in|daqui a|dentro de|em) {_NUMBER.format('a')} (?P<au>days?|weeks?|dias?|semanas?)(?: time)?"
    rf"|{_NUMBER.format('b')} (?P<bu>days?|weeks?) from (?:now|today))\b",
    re.IGNORECASE,
)
_AGO = re.compile(
    rf"\b(?:{_NUMBER.format('a')} (?P<au>days?|weeks?|dias?|semanas?) (?:ago|atr[áa]s)"
    rf"|h[áa] {_NUMBER.format('b')} (?P<bu>dias?|semanas?))\b",
    re.IGNORECASE,
)
_WEEKDAYS = {fold(day): at for names in WEEKDAYS.values() for at, day in enumerate(names)}
#: In Portuguese five of them are ordinal numbers too, so that something has to say that a day is meant.
_WEEKDAY = re.compile(
    r"(?<![\w-])(?P<last>last )?(?:(?:this|next|coming|pr[óo]xim[ao]|nest[ae]|est[ae]|ess[ae]) )?"
    r"(?:(?P<en>monday|tuesday|wednesday|thursday|friday|saturday|sunday)|(?P<pt>s[áa]bado|domingo)"
    r"|(?P<feira>segunda|ter[çc]a|quarta|quinta|sexta)"
    r"(?:[- ]feira\b"
    r"|(?=\s*(?:$|[,.;!?]|(?:(?:da semana )?que vem|passada|às|as \d|de manh[ãa]|de tarde|à|até|e|ou)\b))))"
    r"(?![\w-])(?P<week> (?:of )?next week| da semana que vem)?(?: que vem)?(?P<past> passad[oa])?",
    re.IGNORECASE,
)
_EVERY = re.compile(r"\b(?:every|each|tod[ao]s?(?: [ao]s?)?|cada)\s+$", re.IGNORECASE)
_OF_MONTH = re.compile(
    r"\b(?:on |by |until |till |from )the (?P<en>\d{1,2})(?:st|nd|rd|th)\b(?! (?:of|floor|street|avenue))"
    r"|\bdia (?P<pt>\d{1,2})\b(?! d[eo]| ?[/-])",
    re.IGNORECASE,
)
_NTH, _YEAR = r"\d{1,2}(?:st|nd|rd|th|[º°ª])?", r"(?:(?:, ?| )(?:de |of )?\d{4}\b)?"
#: Days said in whole or but for their year, and two of them that share a month: "May 12 to 15", "12 a 15 de maio".
_TO = r"(?:\s*[-–]\s*|\s+(?:to|and|until|till|through|a|at[ée]|e|ou|or)\s+)"
_WHOLE = re.compile(
    rf"(?<![\w/.-])(?:\d{{4}}-\d\d-\d\d|\d{{1,2}}([/.])\d{{1,2}}\1\d{{2,4}}|\d{{1,2}}/\d{{1,2}})(?![\w/]|[.-]\d)"
    rf"|\b(?:(?P<first>{_NTH}){_TO}(?:the )?)?(?P<day>{_NTH})(?: de| of)? (?P<month>{MONTH})(?P<year>{_YEAR})"
    rf"|\b(?P<Month>{MONTH}) (?P<Day>{_NTH})(?!\d)(?:{_TO}(?:the )?(?P<last>{_NTH})(?! ?{MONTH})(?!\d))?"
    rf"(?P<Year>{_YEAR})",
    re.IGNORECASE,
)
#: What says that "25/12" is a day and no fraction; and that it is one of something.
_LED = re.compile(
    r"(?:^|\n|[(,:]\s*|\b(?:dia|em|no|até|de|desde|para|pra|e|a|on|by|until|till|from|since|before|after|to|and|is)\s+)$",
    re.IGNORECASE,
)
_PART = re.compile(r"\s+(?:of|cups?|d[aeo]s?|x[íi]caras?|inch\w*)\b", re.IGNORECASE)
#: What says that a text is Portuguese where nothing else does.
_PORTUGUESE = re.compile(
    r"[ãõçáéíóúâêô]|\b(?:dia|para|com|d[ae]s?|dos|em|nas?|nos|hoje|marcar?|agendar?)\b", re.IGNORECASE
)
#: What says that a day without its year is gone by.
_SINCE = re.compile(r"\b(?:since|desde)\s+(?:o dia\s+)?$", re.IGNORECASE)
#: Where a sentence ends whose year is for its own days alone.
_SENTENCE = re.compile(r"[;!?]\s|(?<!\b[jfmasond][a-z]{2})\.\s+(?=[^\W\d])", re.IGNORECASE)
#: Where instructions say what day it is.
_TODAY = re.compile(
    r"(?:\btoday(?:'s date)?(?: is)?|\bcurrent date(?: and time)?(?: is)?|\bnow(?: is|(?=\s*[:=]))|(?P<pt>\bhoje(?: é)?"
    r"|\bdata(?: e hora)? (?:de hoje|atua(?:l|is))(?: (?:é|são))?))\s*[:=,]?\s*(?P<rest>[^\n]{1,60})",
    re.IGNORECASE,
)


class Day(NamedTuple):
    """A day that stands at `start:end` of a text."""

    start: int
    end: int
    date: datetime.date


def told(text: str) -> datetime.date | None:
    """The day that instructions say it is; None where they do not."""
    for match in _TODAY.finditer(text):
        words = match["rest"].replace("T", " ").split() if match["rest"][:1].isdigit() else match["rest"].split()
        for first in range(min(3, len(words))):
            for count in range(5, 0, -1):
                said = " ".join(words[first : first + count]).strip(" .,;)")
                order = LANGUAGES[::-1] if match["pt"] else LANGUAGES
                found = next(filter(None, (date(said, language) for language in order)), None)
                if found:
                    return found
    return None


@functools.lru_cache(maxsize=256)
def days(text: str, today: datetime.date) -> tuple[Day, ...]:
    """The days of a text that are said from `today` on, in the order in which they stand. A day of the week is the next
    one, today's after a week."""
    found: list[Day] = []

    def add(match: re.Match[str], day: datetime.date) -> None:
        if not any(match.start() < one.end and one.start < match.end() for one in found):
            found.append(Day(*match.span(), day))

    for pattern, ahead in _NEAR.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
            add(match, today + datetime.timedelta(ahead))
    for counted, sign in ((_AHEAD, 1), (_AGO, -1)):
        for match in counted.finditer(text):
            counted_in = match["a"] or match["b"]
            said = (1,) if counted_in.lower() in ("a", "an") else number(counted_in)
            many = [int(value) for value in said if 0 < value < 1000]
            unit = 7 if fold(match["au"] or match["bu"])[0] in "ws" else 1
            if many:
                add(match, today + datetime.timedelta(sign * unit * many[0]))
    for match in _WEEKDAY.finditer(text):
        if not _EVERY.search(_before(text, match.start())):
            add(match, _weekday(match, today))
    for match in _OF_MONTH.finditer(text):
        if day := _of_month(int(match["en"] or match["pt"]), today):
            add(match, day)
    return tuple(sorted(found))


def _before(text: str, at: int) -> str:
    """The last few words before a place."""
    return text[max(at - 20, 0) : max(at, 0)]


def _weekday(match: re.Match[str], today: datetime.date) -> datetime.date:
    wanted = _WEEKDAYS[fold(match["en"] or match["pt"] or match["feira"])]
    if match["week"]:
        return today + datetime.timedelta(7 - today.weekday() + wanted)
    ahead = (wanted - today.weekday() - 1) % 7 + 1
    past = match["last"] or match["past"]
    return today + datetime.timedelta((ahead - 7 or -7) if past else ahead)


def _of_month(day: int, today: datetime.date) -> datetime.date | None:
    """The next day of this number."""
    for ahead in range(62):
        one = today + datetime.timedelta(ahead)
        if one.day == day:
            return one
    return None


@functools.lru_cache(maxsize=256)
def whole(text: str, language: str, today: datetime.date) -> tuple[Day, ...]:
    """The days of a text that are said in whole or but for their year, in the order in which they stand."""
    found: list[Day] = []
    for match in _WHOLE.finditer(text):
        month, years = match["month"] or match["Month"], match["year"] or match["Year"] or ""
        spans = [(match.start(part), match.end(part)) for part in ("first", "day", "Day", "last") if match[part]]
        for start, end in spans:
            said = f"{text[start:end]} {month} {years.strip(', ')}"
            # Where there is one it reaches from end to end, the month with it.
            alone = match.span() if len(spans) == 1 else (start, end)
            found += [Day(*alone, day)] if (day := _dated(said, text, match.start(), language, today)) else []
        if not spans and (day := _dated(match.group(), text, match.start(), language, today)):
            found.append(Day(*match.span(), day))
    return tuple(found)


def _dated(said: str, text: str, at: int, language: str, today: datetime.date) -> datetime.date | None:
    if not language:
        language = "pt" if _PORTUGUESE.search(text) else "en"
    slashed = re.fullmatch(r"\d{1,2}/\d{1,2}", said)
    if slashed and (not _LED.search(text[:at]) or _PART.match(text, at + len(said))):
        return None
    lent = year(_clause(text, at, at + len(said)))
    for one in (language, *LANGUAGES):
        if day := date(said, one) or date(said, one, lent) or _yearless(said, _before(text, at), one, today):
            return day
    return None


def _clause(text: str, start: int, end: int) -> str:
    """What stands around a place of a text between marks that end a sentence."""
    ends = [match.end() for match in _SENTENCE.finditer(text[:start])]
    behind = _SENTENCE.search(text, end)
    return text[ends[-1] if ends else 0 : behind.start() if behind else len(text)]


def _yearless(said: str, before: str, language: str, today: datetime.date) -> datetime.date | None:
    """The day that is said without its year: the next one, or the last one where words before say since when."""
    since = _SINCE.search(before)
    for ahead in (0, -1) if since else (0, 1):
        day = date(said, language, str(today.year + ahead))
        if day and (day <= today if since else day >= today):
            return day
    return None
