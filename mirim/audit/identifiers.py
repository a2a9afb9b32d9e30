"""Numbers that name a person, a card or a company, told by their check digits; and how to show one without it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CPF = re.compile(r"(?<![\d.-])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![\d-])")
_CNPJ = re.compile(r"(?<![\d.-])\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}(?![\d-])")
_SUS = re.compile(r"(?<!\d)[1-26-9]\d{2}[ .]?\d{4}[ .]?\d{4}[ .]?\d{4}(?!\d)")
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_PHONE = re.compile(
    r"(?<![\d.,/-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,3}\)[ .-]?|\d{2,3}[ .-])9?\d{3,4}[ .-]\d{4}(?![\d.,/-]?\d)"
    r"|(?<![\w+])\+\d{1,3}(?:[ .-]?\d){8,12}(?!\d)"
)


def identifiers(text: str) -> Iterator[tuple[str, str]]:
    """(kind, value) of each identifier in a text: 'CPF', 'CNPJ', 'SUS card', 'payment card', 'e-mail', 'phone'."""
    taken: list[tuple[int, int]] = []
    for kind, pattern, valid in (
        ("CNPJ", _CNPJ, is_cnpj),
        ("CPF", _CPF, is_cpf),
        ("SUS card", _SUS, is_sus),
        ("payment card", _CARD, is_card),
        ("e-mail", _EMAIL, bool),
        ("phone", _PHONE, bool),
    ):
        for match in pattern.finditer(text):
            start, end = match.span()
            if valid(match.group()) and not any(start < b and a < end for a, b in taken):
                taken.append((start, end))
                yield kind, match.group()


def digits(value: str) -> list[int]:
    return [int(c) for c in value if c.isdigit()]


def is_cpf(value: str) -> bool:
    """Brazilian taxpayer number: 11 digits, the last two computed modulo 11 from those before (Receita Federal)."""
    d = digits(value)
    if len(d) != 11 or len(set(d)) == 1:
        return False
    return all(
        d[n] == (10 * sum(w * x for w, x in zip(range(n + 1, 1, -1), d, strict=False))) % 11 % 10 for n in (9, 10)
    )


def is_cnpj(value: str) -> bool:
    """Brazilian company number: 14 digits, the last two computed modulo 11 with weights 2 to 9 from the right."""
    d = digits(value)
    if len(d) != 14 or len(set(d)) == 1:
        return False
    for n in (12, 13):
        rest = sum(x * (2 + i % 8) for i, x in enumerate(reversed(d[:n]))) % 11
        if d[n] != (0 if rest < 2 else 11 - rest):
            return False
    return True


def is_sus(value: str) -> bool:
    """Brazilian health card (CNS): 15 digits, weighted 15 to 1, divisible by 11; begins with 1, 2, 7, 8 or 9."""
    d = digits(value)
    return (
        len(d) == 15
        and d[0] in (1, 2, 7, 8, 9)
        and sum(w * x for w, x in zip(range(15, 0, -1), d, strict=True)) % 11 == 0
    )


def is_card(value: str) -> bool:
    """Payment card number: 13 to 19 digits that satisfy Luhn's check (ISO/IEC 7812-1) and begin as issuers' do."""
    d = digits(value)
    if not 13 <= len(d) <= 19 or d[0] not in (2, 3, 4, 5, 6) or len(set(d)) == 1:
        return False
    return sum(x if i % 2 == 0 else sum(divmod(2 * x, 10)) for i, x in enumerate(reversed(d))) % 10 == 0


def masked(value: str) -> str:
    """The value with all but its first two and last two characters hidden: enough to find it, not to use it."""
    if "@" in value:
        name, _, domain = value.partition("@")
        return f"{name[:1]}…@{domain}"
    places = [i for i, c in enumerate(value) if c.isalnum()]
    kept = {*places[:2], *places[-2:]} if len(places) >= 8 else set(places[:1])
    return "".join(c if i in kept or not c.isalnum() else "•" for i, c in enumerate(value))
