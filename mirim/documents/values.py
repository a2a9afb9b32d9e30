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
#: Not within a name ("v2"), and no minus between two ("4-9").
_NUMBER = re.compile(r"(?:(?<![\w.-])-)?(?<!\w)\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+(?:-\w+)*|[^\w\s]")
#: What a date has at least: a month's name beside digits, or digits in three groups.
_DATED = re.compile(r"(?=.*\d)(?=.*[^\W\d_]{3})|\d{1,4}([./-])\d{1,2}\1\d{1,4}$")
#: A year beside which a day may stand without one.
_YEAR = re.compile(r"(?<![\w.,/-])(?:1[5-9]|20)\d\d(?![\w/-]|[.,]\d)")
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
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(_counted(one, text))
    return tuple(kept)


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
    if year and not _YEAR.search(said):
        said = f"{said} {year}"
    if not _DATED.match(said) or len(said.split()) > LONGEST:
        return None
    with _PARSING:
        found = dateparser.parse(said, languages=[language if language in LANGUAGES else "en"], settings=_DAY)
    return found.date() if found else None


@functools.lru_cache(maxsize=256)
def year(text: str, language: str = "en") -> str:
    """The year of the days that a text says in whole, if it names no other; "" where it says none, or several."""
    named = list(_YEAR.finditer(text))
    if len({match.group() for match in named}) != 1:
        return ""
    for match in named:
        before, after = text[: match.end()].split(), text[match.start() :].split()
        for count in range(2, LONGEST + 1):
            if date(" ".join(before[-count:]), language) or date(" ".join(after[:count]).rstrip(",.;?!"), language):
                return match.group()
    return ""


def dates(text: str, day: datetime.date, language: str = "en") -> tuple[tuple[int, int], ...]:
    """Where a text says this day, in as few words as say it; nowhere with its year, without, if it names one year."""
    whole = _dates(text, day, language, "")
    return whole or ((named := year(text, language)) and _dates(text, day, language, named)) or ()


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
