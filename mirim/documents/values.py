"""Numbers and dates that people say, in digits or in words, as English and Portuguese write them."""

from __future__ import annotations

import datetime
import functools
import re
import threading
from typing import NamedTuple

from mirim.core.extras import need
from mirim.documents.words import fold

LANGUAGES = ("en", "pt")
#: The days of a week and the months of a year, in their order.
WEEKDAYS = {
    "en": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "pt": ("segunda", "terça", "quarta", "quinta", "sexta", "sábado", "domingo"),
}
MONTHS = {
    "en": tuple("january february march april may june july august september october november december".split()),
    "pt": tuple("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split()),
}
#: The months' numbers by the first three letters of their names, folded, in both languages.
MONTH_NUMBERS = {fold(name)[:3]: at for names in MONTHS.values() for at, name in enumerate(names, 1)}
#: Words of a date at most; digits of a number.
LONGEST, DIGITS = 7, 100
#: What a number is counted in: "22 mil", "two dozen". "10k" may be a name.
_TIMES = {
    **dict.fromkeys(("mil", "thousand", "k"), 1000),
    **dict.fromkeys(("million", "milhao", "milhoes"), 10**6),
    **dict.fromkeys(("billion", "bilhao", "bilhoes"), 10**9),
    **dict.fromkeys(("dozen", "duzia", "duzias"), 12),
}
_COUNTED = re.compile(
    r"\s?(?P<many>mil|thousand|million|milh[ãa]o|milh[õo]es|billion|bilh[ãa]o|bilh[õo]es|dozen|d[úu]zias?)\b|(?P<k>k)\b",
    re.IGNORECASE,
)
_DOZEN = re.compile(r"\b(?:(?P<half>half a dozen|meia d[úu]zia)|an? dozen|uma d[úu]zia)\b", re.IGNORECASE)
_MANY = r"(?P<many>mil|thousand|million|milh[ãa]o|billion|bilh[ãa]o)"
_HALF_OF = re.compile(rf"\b(?:half an?|meio) {_MANY}\b", re.IGNORECASE)
_AND_HALF = re.compile(r" (?:and a half|e meio)\b", re.IGNORECASE)
_MINUS = re.compile(r"(?<![\d)] )(?<!\w)(?:minus|(?<!pelo )(?<!ao )(?<!de )menos) $", re.IGNORECASE)
#: Not within a name ("v2"), and no minus between two ("4-9").
_NUMBER = re.compile(r"(?:(?<![\w.-])-)?(?<!\w)\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+(?:-\w+)*|[^\w\s]")
#: What a date has at least: a month's name beside digits, or digits in three groups.
_DATED = re.compile(r"(?=.*\d)(?=.*[^\W\d_]{3})|\d{1,4}([./-])\d{1,2}\1\d{1,4}$")
#: A month by its name.
MONTH = (
    r"(?:jan(?:uary|eiro)?|feb(?:ruary)?|fev(?:ereiro)?|mar(?:ch|[çc]o)?|apr(?:il)?|abr(?:il)?|may|maio?|june?|junho|july?"
    r"|julho|aug(?:ust)?|ago(?:sto)?|sept?(?:ember)?|set(?:embro)?|oct(?:ober)?|out(?:ubro)?|nov(?:ember|embro)?|dec(?:ember)?"
    r"|dez(?:embro)?)\b\.?"
)
#: A year beside which a day may stand without one.
_YEAR = re.compile(r"(?<![\w.,/-])(?:1[5-9]|20)\d\d(?![\w/-]|[.,]\d)")
#: What a year stands behind, and before, that is one of a day: "May 5, 1990", "2023 April".
_BEHIND = re.compile(rf"\b{MONTH}(?: \d{{1,2}}(?:st|nd|rd|th|[º°ª])?)?,? ?(?:d[eo] |of )?$", re.IGNORECASE)
_AHEAD = re.compile(rf",? (?:de )?{MONTH}", re.IGNORECASE)
#: dateparser keeps what it learns of a language in places that all threads share.
_PARSING = threading.Lock()
_DAY = {"REQUIRE_PARTS": ["day", "month", "year"], "PARSERS": ["absolute-time"]}


class Found(NamedTuple):
    """A number that stands at `start:end` of a text, and what it may mean: "1.234" is two numbers."""

    start: int
    end: int
    values: tuple[float, ...]


class _Token(NamedTuple):
    """A word as text2num asks for it."""

    word: str

    def text(self) -> str:
        return self.word

    def nt_separated(self, previous: _Token) -> bool:
        return False

    def not_a_number_part(self) -> bool:
        # "o" is an article before it is a nought.
        return self.word == "o"


@functools.lru_cache(maxsize=256)
def numbers(text: str) -> tuple[Found, ...]:
    """The numbers of a text, in the order in which they stand."""
    find_numbers = need("text_to_num", "serve").find_numbers
    found = [Found(*match.span(), _read(match.group())) for match in _NUMBER.finditer(text)]
    words = list(_WORD.finditer(text))
    tokens = [_Token(word.group().lower()) for word in words]
    for language in LANGUAGES:
        for one in find_numbers(tokens, language, 0.0):
            start, end = words[one.start].start(), words[one.end - 1].end()
            if not one.is_ordinal and not any(start < other.end and other.start < end for other in found):
                found.append(Found(start, end, (one.value,)))
    found = [Found(*m.span(), (6 if m["half"] else 12,)) for m in _DOZEN.finditer(text)] + found
    found = [Found(*m.span(), (_TIMES[fold(m["many"])] / 2,)) for m in _HALF_OF.finditer(text)] + found
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        last = kept[-1] if kept else Found(0, 0, ())
        one = _counted(one, text) if one.start >= last.end else one
        if both := _added(last, one, text):
            kept[-1] = both
        elif one.start >= last.end:
            kept.append(one)
    return tuple(_halved(_signed(one, text), text) for one in kept)


def _added(one: Found, other: Found, text: str) -> Found | None:
    """Thousands and what is added to them, "2 mil e quinhentos"; in words they are told together."""
    thousands = re.search(r"\b(?:mil|thousand)$", text[one.start : one.end], re.IGNORECASE)
    if not thousands or not other.values:
        return None
    within = other.start == one.start + thousands.start()
    more = other.values[0] - (1000 if within else 0)
    joined = within or re.fullmatch(r" (?:e|and) ", text[one.end : other.start], re.IGNORECASE)
    if not joined or not 0 < more < 1000:
        return None
    return Found(one.start, other.end, tuple(value + more for value in one.values))


def _signed(one: Found, text: str) -> Found:
    """A number below nought in words: "minus 5"; not "at least 5"."""
    match = _MINUS.search(text, max(one.start - 12, 0), one.start)
    return Found(match.start(), one.end, tuple(-value for value in one.values)) if match else one


def _halved(one: Found, text: str) -> Found:
    """A number and a half, of what it is counted in: "dois milhões e meio"."""
    match = _AND_HALF.match(text, one.end)
    if match is None:
        return one
    unit = next((many for many in (10**9, 10**6, 1000) if one.values and one.values[0] % many == 0), 1)
    return Found(one.start, match.end(), tuple(value + unit / 2 for value in one.values))


def _counted(one: Found, text: str) -> Found:
    """A number with what it is counted in."""
    match = _COUNTED.match(text, one.end)
    if match is None:
        return one
    many = tuple(value * _TIMES[fold(match["many"] or "k")] for value in one.values)
    return Found(one.start, match.end(), many + (one.values if match["k"] else ()))


def number(said: str) -> tuple[float, ...]:
    """What a number by itself may mean; () for what has other words too."""
    said = said.strip()
    return next((one.values for one in numbers(said) if (one.start, one.end) == (0, len(said))), ())


def _read(digits: str) -> tuple[float, ...]:
    read: list[float] = []
    for point, group in (".,", ",."):
        if len(digits) <= DIGITS and re.fullmatch(rf"-?(\d+|\d{{1,3}}(\{group}\d{{3}})+)(\{point}\d+)?", digits):
            plain = digits.replace(group, "")
            # A long number of a document or a parcel keeps its last digit.
            read.append(float(plain.replace(point, ".")) if point in plain else int(plain))
    return tuple(dict.fromkeys(read))


@functools.lru_cache(maxsize=4096)
def date(said: str, language: str = "en", year: str = "") -> datetime.date | None:
    """The day that is said in whole, its year too or else of `year`. `language` decides whether the month or the day
    comes first."""
    dateparser = need("dateparser", "serve")
    said = re.sub(r"(?<=\d)[ºª°]", "", said.strip())
    if year and re.fullmatch(r"\d{1,2}([/.])\d{1,2}", said):
        said = f"{said}{'/' if '/' in said else '.'}{year}"
    elif year and not _YEAR.search(said):
        said = f"{said} {year}"
    if not _DATED.match(said) or len(said.split()) > LONGEST:
        return None
    with _PARSING:
        found = dateparser.parse(said, languages=[language if language in LANGUAGES else "en"], settings=_DAY)
    return found.date() if found else None


@functools.lru_cache(maxsize=256)
def year(text: str) -> str:
    """The year of the days that a text says in whole, if they have one alone; "" where it says none."""
    named = {
        match.group()
        for match in re.finditer(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)", text)
        if _BEHIND.search(text[max(match.start() - 30, 0) : match.start()]) or _AHEAD.match(text, match.end())
    }
    return named.pop() if len(named) == 1 else ""


def dates(text: str, day: datetime.date, language: str = "en") -> tuple[tuple[int, int], ...]:
    """Where a text says this day, in as few words as say it; nowhere with its year, without, if it names one year."""
    whole = _dates(text, day, language, "")
    return whole or ((named := year(text)) and _dates(text, day, language, named)) or ()


def _dates(text: str, day: datetime.date, language: str, named: str) -> tuple[tuple[int, int], ...]:
    words = list(_WORD.finditer(text))
    places: list[tuple[int, int]] = []
    for count in range(1, 2 * LONGEST):
        for first, last in zip(words, words[count - 1 :], strict=False):
            start, end = first.start(), last.end()
            if (
                not text[start].isalnum()
                or not text[end - 1].isalnum()
                or any(start < b and a < end for a, b in places)
            ):
                continue
            if date(text[start:end], language, named) == day:
                places.append((start, end))
    return tuple(sorted(places))
