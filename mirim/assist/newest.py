"""Of sentences that say the same with other numbers, as an old notice and a new one do, the newest comes first."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from mirim.assist.candidates import Candidate
from mirim.assist.rank import Ranked
from mirim.documents.values import MONTH_NUMBERS, MONTHS
from mirim.documents.words import STOPWORDS, fold, stem, tokens
from mirim.examples.kinds import asked

#: Sentences, the best first, that are compared; and the share of two's words that both have where they say the same.
COMPARED, SAME = 20, 0.6
#: What follows the first three letters of a month's name: "sept" is short, too.
_ENDS = {"t", *(fold(name)[3:] for names in MONTHS.values() for name in names)}
_MONTH = rf"(?P<{{0}}>{'|'.join(MONTH_NUMBERS)})(?:{'|'.join(sorted(_ENDS - {''}))})?"
_YEAR = r"(?P<{0}>(?:19|20)\d\d)(?![\d%]|[.,]\d{{3}})"
#: Days in whole and months with their year, in folded text: "2026-05-04", "4/5/2026", "4 May 2026", "May 4, 2026".
_DATED = re.compile(
    rf"(?<![\d/.])(?:{_YEAR.format('y1')}[-_.](?P<m1>\d\d)(?:[-_.](?P<d1>\d\d))?(?!\d)"
    rf"|(?:(?P<d2>\d\d?)[-_./])?(?P<m2>\d\d?)[-_./]{_YEAR.format('y2')})"
    rf"|(?<![a-z])(?:(?:(?P<d3>\d\d?)(?:st|nd|rd|th|[oa])?[ _-](?:de |of )?)?{_MONTH.format('m3')}"
    r"(?:[ _](?P<d4>\d\d?)(?:st|nd|rd|th)?,?(?=[ _]))?"
    rf"[ _/-]?(?:de |of )?{_YEAR.format('y3')})"
)
#: A year by itself tells when only where no amount is expected: in headings and names of files.
_ALONE = re.compile(rf"(?<![\d$£€.,]){_YEAR.format('y')}")
#: What says that something begins on the day behind it.
_FROM = re.compile(
    r"\b(?:from|starting|beginning|as of|effective|in force|a partir d[eo]|a contar d[eo]|em vigor|vigora|vigencia)"
    r"(?: (?:on|em|desde|o dia|the|de|do dia))*:? ?$"
)

Day = tuple[int, int, int]


def newest_first(question: str, ranked: Sequence[Ranked]) -> list[Ranked]:
    """The sentences, best first, with the newest of those that say the same in the place of the best of them.

    The others are marked as `older`, and so is what begins on a day to come, unless the question asks when. A question
    that names a year or a day itself is left as it is ordered.
    """
    rows = list(ranked)
    if day_of(question, alone=True):
        return rows
    now = datetime.date.today()
    today = (9999, 0, 0) if "time" in asked(fold(question)) else (now.year, now.month, now.day)
    head = [(at, told) for at, row in enumerate(rows[:COMPARED]) if (told := dated(row.candidate))]
    numbers = _numbers(question)
    taken: set[int] = set()
    for at, _ in head:
        if at in taken:
            continue
        twins = [(i, told) for i, told in head if i not in taken and (i == at or _twins(rows[at], rows[i], numbers))]
        taken.update(i for i, _ in twins)
        # In their own order where they are of one day, which tells nothing.
        order = sorted(twins, key=lambda twin: (begins(rows[twin[0]].candidate) <= today, twin[1]), reverse=True)
        newest = order[0][1]
        placed = [
            replace(rows[i], score=rows[to].score, older=told != newest)
            for (i, told), (to, _) in zip(order, twins, strict=True)
        ]
        for (to, _), row in zip(twins, placed, strict=True):
            rows[to] = row
    return rows


def dated(candidate: Candidate) -> Day | None:
    """The latest day that a sentence says, else what stands over it, else the only one around it, else the name of its
    file."""
    passage = candidate.passage
    first = _months_first(passage.text)
    found = day_of(candidate.text, first=first) or day_of(_above(candidate), alone=True, first=first)
    if not found and len(around := frozenset(_days(passage.text, first))) == 1:
        (found,) = around
    return found or day_of(passage.source.rpartition("/")[2], alone=True)


def begins(candidate: Candidate) -> Day:
    """The day from which on a sentence is said to hold, by itself or by what stands over it, or by the only day around
    it; (0, 0, 0) where nothing says so."""
    passage = candidate.passage
    first = _months_first(passage.text)
    texts = [candidate.text, _above(candidate)]
    if len(set(_days(passage.text, first))) == 1:
        texts.append(passage.text)
    told = next((days for text in texts if (days := _days(text, first))), {})
    return max((day for day, beginning in told.items() if beginning), default=(0, 0, 0))


def _above(candidate: Candidate) -> str:
    return " ".join((candidate.lead, *candidate.header))


def day_of(text: str, *, alone: bool = False, first: bool = False) -> Day | None:
    """The latest (year, month, day) of a text, 0 for a part that it does not say; with `alone` a mere year counts, and
    with `first` numbers have the month first."""
    years = (int(match["y"]) for match in _ALONE.finditer(text)) if alone else ()
    return max(_days(text, first), default=None) or max(((year, 0, 0) for year in years), default=None)


@lru_cache(maxsize=8192)
def _days(text: str, first: bool) -> Mapping[Day, bool]:
    """The days of a text, and of each whether something begins then."""
    text = fold(text)
    found = ((_read(match, first), bool(_FROM.search(text, 0, match.start()))) for match in _DATED.finditer(text))
    return {day: beginning for day, beginning in found if day[1] <= 12 and day[2] <= 31}


@lru_cache(maxsize=8192)
def _months_first(text: str) -> bool:
    """Whether a text writes months before days: one of its days can be read only so, and none only the other way."""
    pairs = [(int(match["d2"]), int(match["m2"])) for match in _DATED.finditer(fold(text)) if match["d2"]]
    return any(a <= 12 < b for a, b in pairs) and not any(b <= 12 < a for a, b in pairs)


def _read(match: re.Match[str], first: bool) -> Day:
    year = int(match["y1"] or match["y2"] or match["y3"])
    month = MONTH_NUMBERS[match["m3"]] if match["m3"] else int(match["m1"] or match["m2"])
    day = int(match["d1"] or match["d2"] or match["d3"] or match["d4"] or 0)
    # Numbers alone leave open which is the month.
    return (year, day, month) if month > 12 >= day > 0 or (first and match["d2"] and day <= 12) else (year, month, day)


def _twins(one: Ranked, other: Ranked, asked: frozenset[str]) -> bool:
    """Whether two sentences of different sections say the same, whatever the numbers but those that are `asked` for."""
    a, b = one.candidate, other.candidate
    if a.passage.language != b.passage.language or a.passage.id == b.passage.id:
        return False
    if _numbers(a.text) & asked != _numbers(b.text) & asked:
        return False
    first, second = (_said(c.text, c.passage.language) for c in (a, b))
    return bool(first) and len(first & second) >= SAME * len(first | second)


@lru_cache(maxsize=8192)
def _said(text: str, language: str) -> frozenset[str]:
    """The stems of a sentence without its numbers and days."""
    stop = STOPWORDS.get(language, frozenset())
    words = (w for w in tokens(_DATED.sub(" ", fold(text))) if w not in stop and not any(map(str.isdigit, w)))
    return frozenset(stem(w, language) for w in words)


def _numbers(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\d+", text))
