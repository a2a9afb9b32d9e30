"""What a table's cell says as a number that can be compared: money, times, sizes and counts, however they are written.

"1.090,50", "£1,120", "half a day", "8–10 weeks", "9h às 18h30", "free": each has a kind and lies between two numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from mirim.documents.values import MONTH_NUMBERS
from mirim.documents.words import fold

_NUMBER = r"(?<![\w.,])\d{1,3}(?:[.,  ]\d{3})+(?:[.,]\d{1,2})?(?!\d)|(?<![\w.,])\d+(?:[.,]\d+)?"
_HOUR, _DAY = 1 / 24, 1.0
#: Of each kind its units, folded, and how much each is of one.
_UNITS: dict[str, dict[str, float]] = {
    "duration": {
        r"seconds?|secs?|segundos?": _HOUR / 3600,
        r"minut[eo]s?|mins?": _HOUR / 60,
        r"hours?|hrs?|horas?": _HOUR,
        r"working days?|business days?|dias? uteis|dia util": 1.4 * _DAY,
        r"days?|dias?|nights?|noites?|diarias?": _DAY,
        r"weeks?|semanas?": 7 * _DAY,
        r"months?|mes|meses": 30.4 * _DAY,
        r"years?|yrs?|anos?": 365 * _DAY,
    },
    "area": {r"m2|m²|sq\.? ?m|square met[re]{2}s?|metros? quadrados?": 1, r"hectares?|ha": 10_000, r"acres?": 4047},
    "volume": {r"ml|millilit[re]{2}s?": 0.001, r"l|lit[re]{2}s?|litros?": 1, r"m3|m³|cubic met[re]{2}s?": 1000},
    "length": {
        r"mm": 0.001,
        r"cm|centimet[re]{2}s?|centimetros?": 0.01,
        r"km|kilomet[re]{2}s?|quilometros?": 1000,
        r"miles?|milhas?": 1609,
        r"m|met[re]{2}s?|metros?": 1,
        r"feet|ft|foot|pes": 0.305,
        r"inch(?:es)?|polegadas?": 0.0254,
    },
    "weight": {
        r"mg": 1e-6,
        r"g|grams?|gramas?": 0.001,
        r"kg|kgs|kilos?|quilos?|kilograms?|quilogramas?": 1,
        r"lbs?|pounds? weight": 0.454,
        r"t|ton|tons|tonnes?|toneladas?": 1000,
    },
    "percent": {r"%|per ?cent|por cento": 1},
    "temperature": {r"° ?c|º ?c|degrees?|graus?|°|º": 1},
    "speed": {r"km/h|kph": 1, r"mph": 1.609, r"m/s": 3.6, r"m/min": 0.06, r"mbps|mb/s|megas?|mega": 1, r"gbps": 1000},
    "sound": {r"db(?: ?\(?a\)?)?|decibe(?:ls?|is)": 1},
    "memory": {r"kb": 0.001, r"mb": 1, r"gb": 1000, r"tb": 1_000_000},
}
_UNIT = {
    re.compile(rf" ?(?:{names})(?![a-z0-9²³])"): (kind, size)
    for kind, units in _UNITS.items()
    for names, size in units.items()
}
_MONEY = re.compile(r"(?:r\$|us\$|\$|£|€) ?$")
_MONEY_BEHIND = re.compile(r" ?(?:€|£|reais|real|euros?|pounds?(?! weight)|dollars?|dolares|pence|centavos)(?![a-z])")
_TIMES = {"mil": 1e3, "thousand": 1e3, "million": 1e6, "milhao": 1e6, "milhoes": 1e6}
_MANY = re.compile(rf" ?({'|'.join(_TIMES)})\b")
_CLOCK = re.compile(
    r"(?<![\w:.,])([01]?\d|2[0-4])(?::([0-5]\d)|h([0-5]\d)?|(?:[.:]([0-5]\d))? ?(?=[ap]\.?m\b))(?! ?min)"
)
_NOON = re.compile(r" ?(p)\.?m\b")
_DATE = re.compile(
    rf"(?:\b(\d{{1,2}})(?:st|nd|rd|th|o)?(?: de| of)? )?\b({'|'.join(MONTH_NUMBERS)})[a-z]{{0,7}}\b"
    r"(?: (\d{1,2})\b)?(?: (?:de )?((?:19|20)\d\d))?"
)
_HALF = re.compile(r"\b(?:half an? |mei[oa] )(hora|hour|dia|day)\b")
_AT_ONCE = re.compile(
    r"^(?:on )?(?:the )?same day|^at once|^immediate|^(?:n[oa] )?(?:mesmo dia|hora)\b|^imediat|^instant"
)
_FREE = re.compile(r"^(?:free|gratis|gratuit[oa]s?|isent[oa]s?|sem custo|sem cobranca|no charge|nothing|nada)\b")


class Amount(NamedTuple):
    """What a cell says: all of it lies from `low` to `high` of the kind's unit (days, metres, kilograms, …)."""

    kind: str
    low: float
    high: float


#: Characters of a cell that says an amount; a longer one is a text.
LONGEST = 200


@lru_cache(maxsize=16384)
def amounts(cell: str) -> tuple[Amount, ...]:
    """What a cell may mean, a kind of value each, the likeliest first; empty where it says no number."""
    if len(cell) > LONGEST:
        return ()
    text = fold(cell).replace("\u00a0", " ")
    found: dict[str, list[float]] = {}
    for kind, value in _values(text):
        found.setdefault(kind, []).append(value)
    made = [Amount(kind, min(values), max(values)) for kind, values in found.items()]
    if _FREE.match(text):
        made.append(Amount("money", 0, 0))
    if _AT_ONCE.match(text):
        made.append(Amount("duration", 0, 0))
    return tuple(made)


def _values(text: str) -> Iterator[tuple[str, float]]:
    taken: list[tuple[int, int]] = []
    for m in _CLOCK.finditer(text):
        late = bool(_NOON.match(text, m.end())) and int(m[1]) < 12
        yield "clock", int(m[1]) + int(m[2] or m[3] or m[4] or 0) / 60 + 12 * late
        taken.append(m.span())
    for m in _DATE.finditer(text):
        day = int(m[1] or m[3] or 0)
        if day <= 31:
            yield "date", 372 * int(m[4] or 0) + 31 * MONTH_NUMBERS[m[2]] + day
            taken.append(m.span())
    for m in _HALF.finditer(text):
        yield "duration", 0.5 * (_HOUR if m[1][0] == "h" else _DAY)
    numbers = [m for m in re.finditer(_NUMBER, text) if not any(a < m.end() and m.start() < b for a, b in taken)]
    later, start = None, 0
    for m in reversed(numbers):
        told = _told(text, m)
        # "8 to 10 weeks": a number without a unit has that of the one behind it.
        if told is None and later and re.fullmatch(r" ?(?:-|–|to|a|ou|or|e|and|ate) ?", text[m.end() : start]):
            told = later
        kind, size = told or ("number", 1.0)
        many = _MANY.match(text, m.end())
        size *= _TIMES[many[1]] if many else 1
        later, start = told, m.start()
        yield kind, _number(m.group()) * size


def _told(text: str, number: re.Match[str]) -> tuple[str, float] | None:
    """The kind of a number, and how much of one its unit is."""
    if _MONEY.search(text, max(0, number.start() - 4), number.start()) or _MONEY_BEHIND.match(text, number.end()):
        return "money", 1.0
    return next((told for unit, told in _UNIT.items() if unit.match(text, number.end())), None)


def _number(digits: str) -> float:
    """A number as either language writes it: "1.090" and "1,090" are a thousand, "0.125" is an eighth."""
    digits = digits.replace(" ", "")
    marks = [c for c in digits if c in ".,"]
    if not marks:
        return float(digits)
    head, _, tail = digits.rpartition(marks[-1])
    if len(tail) == 3 and not head.startswith("0") and len(set(marks)) == 1:
        return float(head.replace(marks[-1], "") + tail)
    return float(re.sub(r"[.,]", "", head) + "." + tail)
