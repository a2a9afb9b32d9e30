"""Numbers as a spreadsheet's cells show them, by the formats of Office Open XML (ISO/IEC 29500-1, 18.8.30).

Days are written as ISO 8601 has them, whatever their format: "5/4/26" is another day in each of two countries.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

#: Formats that files name by number alone.
BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm",
    17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0",
    38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 41: "#,##0", 42: "#,##0", 43: "#,##0.00", 44: "#,##0.00", 45: "mm:ss",
    46: "[h]:mm:ss", 47: "mm:ss",
}  # fmt: skip
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|\[\$(?P<money>[^\]-]*)(?:-[^\]]*)?\]|\[(?P<elapsed>h+|m+|s+)\]|\[[^\]]*\]'
    r"|[_*].|(?P<ampm>am/pm|a/p)|(?P<exponent>e[+-]0+)|(?P<digit>[0#?])|(?P<point>\.)|(?P<comma>,)|(?P<share>%)|(?P<fraction>/)"
    r"|(?P<date>y+|m+|d+|h+|s+)|general|(?P<plain>.)",
    re.I | re.S,
)
_SECTION = re.compile(r'(?:"[^"]*"?|\\.|\[[^\]]*\]|[^;"\\\[]|.)*?(?:;|\Z)', re.S)
#: Digits of a number that are its own; those after them come of binary fractions.
_DIGITS = 15
_DAY = 86_400
#: Serial numbers from here on are no day before the year 10000.
_LAST_DAY = 2_958_466
#: Numbers from here on are written as they are.
_LARGE = 1e15


class Form(NamedTuple):
    """One section of a format: what stands before, among and behind the digits, or parts of a date."""

    tokens: tuple[tuple[str, str], ...]
    dated: frozenset[str]

    @property
    def numeric(self) -> bool:
        return any(what == "digit" for what, _ in self.tokens)

    @property
    def fraction(self) -> bool:
        """Whether it writes 0.5 as "1/2" or "5E-1"."""
        return any(what in ("exponent", "fraction") for what, _ in self.tokens)


class Shown:
    """How numbers are shown in one workbook.

    comma   whether its language writes decimals behind a comma
    late    whether its days are counted from 1904
    """

    def __init__(self, comma: bool = False, late: bool = False) -> None:
        self.comma, self._start = comma, datetime(1904, 1, 1) if late else datetime(1899, 12, 30)
        self._late, self._end = late, _LAST_DAY - 1462 * late

    def __call__(self, value: float, code: str) -> str:
        if not code or code.lower() == "general" or value != value or abs(value) == float("inf"):
            return self.general(value)
        sections = _sections(code)
        at = 1 if value < 0 and len(sections) > 1 else 2 if value == 0 and len(sections) > 2 else 0
        form = sections[at]
        if form.dated:
            known = 0 <= value < self._end and round(value * _DAY) < self._end * _DAY
            return self._date(value, form) if known else self.general(value)
        if not form.numeric:
            literal = "".join(text for what, text in form.tokens if what == "plain").strip()
            # A format that shows nothing hides the number; "@" and "General" show it as it is.
            return self.general(value) if code == "@" or re.search("general", code, re.I) else literal
        if form.fraction or abs(value) >= _LARGE:
            return self.general(value)
        return ("-" if value < 0 and at != 1 else "") + self._number(abs(value), form)

    def general(self, value: float) -> str:
        """A number without a format of its own."""
        if abs(value) < 1e18 and value == int(value):
            return str(int(value))
        text = f"{value:.10g}"
        return text.replace(".", ",") if self.comma else text

    def _number(self, value: float, form: Form) -> str:
        tokens = form.tokens
        money = "".join(text for _, text in tokens)
        comma = self.comma or "R$" in money
        value *= 100 ** sum(what == "share" for what, _ in tokens)
        digits = [i for i, (what, _) in enumerate(tokens) if what == "digit"]
        point = next((i for i, (what, _) in enumerate(tokens) if what == "point"), len(tokens))
        before, after = [i for i in digits if i < point], [i for i in digits if i > point]
        commas = [i for i, (what, _) in enumerate(tokens) if what == "comma"]
        end = before[-1] if before else -1
        grouped = any(before[0] < i < end for i in commas if before)
        # Behind the digits each comma stands for three places less.
        scale = sum(end < i < point or i > max(digits) for i in commas)
        exact = Decimal(f"{value / 1000**scale:.{_DIGITS}g}")
        number = f"{exact.quantize(Decimal(1).scaleb(-min(len(after), 10)), ROUND_HALF_UP):f}"
        integer, _, fraction = number.partition(".")
        must = sum(tokens[i][1] == "0" for i in after)
        while len(fraction) > must and fraction.endswith("0"):
            fraction = fraction[:-1]
        integer = integer.lstrip("0").rjust(sum(tokens[i][1] == "0" for i in before), "0")
        if grouped:
            integer = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", "." if comma else ",", integer)
            before = before[:1]
        shares = dict(zip(after, fraction, strict=False))
        # From the right, each place takes one digit; the first takes what is left.
        for i in reversed(before):
            shares[i], integer = (integer, "") if i == before[0] else (integer[-1:], integer[:-1])
        if not before and integer:
            shares[point] = integer
        out = []
        for i, (what, text) in enumerate(tokens):
            if what in ("digit", "point"):
                out.append(shares.get(i, ""))
                out.append(("," if comma else ".") if what == "point" and fraction else "")
            elif what in ("plain", "share"):
                out.append(text)
        return " ".join("".join(out).split())

    def _date(self, value: float, form: Form) -> str:
        seconds = round(value * _DAY)
        hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
        if "elapsed" in form.dated:
            return f"{hours}:{minutes:02d}" + (f":{rest:02d}" if rest else "")
        day = int(value) + (1 if not self._late and 0 < value < 60 else 0)
        moment = self._start + timedelta(days=day, seconds=seconds - int(value) * _DAY)
        parts = form.dated
        time = f"{moment:%H:%M}" + (f":{moment:%S}" if "s" in parts and moment.second else "") if "h" in parts else ""
        if not {"d", "y", "month"} & parts:
            return time or f"{minutes + 60 * hours}:{rest:02d}"
        if value == 0:
            return ""  # what a formula finds in an empty cell
        day_form = "%Y-%m-%d" if "d" in parts else "%Y-%m" if "month" in parts else "%Y"
        date = f"{moment:{day_form}}"
        return f"{date} {time}" if time and time != "00:00" else date


@lru_cache(maxsize=4000)
def _sections(code: str) -> tuple[Form, ...]:
    """The sections of a format: for numbers above zero or all, below it, zero."""
    found = [s.group() for s in _SECTION.finditer(code[:500])]
    # The end of the format is found once more, as a section without anything.
    found = [s.removesuffix(";") for i, s in enumerate(found) if not i or s or found[i - 1].endswith(";")]
    conditions = re.search(r"\[[<>=]", code)
    return tuple(map(_form, found[:1] if conditions else found[:3])) or (_form(""),)


def _form(section: str) -> Form:
    tokens: list[tuple[str, str]] = []
    dated: set[str] = set()
    for match in _TOKEN.finditer(section):
        what, text = match.lastgroup or "", match.group()
        if what in ("quoted", "escaped", "money"):
            tokens.append(("plain", match.group(what)))
        elif what == "date":
            dated.add(text.lower() if text.lower() == "m" else text[0].lower())
            tokens.append(("date", text.lower()))
        elif what == "ampm":
            dated.add("h")
        elif what == "elapsed":
            dated.add(what)
        elif what:
            tokens.append((what, text))
        elif text[0] in "_*":
            # As wide as a letter, or filled up with one.
            tokens.append(("plain", " "))
    written = [text for what, text in tokens if what == "date"]
    for i, text in enumerate(written):
        if text[0] == "m":
            near = {written[i - 1][0] if i else "", written[i + 1][0] if i + 1 < len(written) else ""}
            minutes = len(text) < 3 and ((i and written[i - 1][0] == "h") or "s" in near)
            dated.discard("m")
            dated.add("minutes" if minutes else "month")
    if any(what == "digit" for what, _ in tokens) and not dated & {"y", "d", "h", "month", "minutes"}:
        dated.clear()
    return Form(tuple(tokens), frozenset(dated))
