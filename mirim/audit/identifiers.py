"""Numbers that name a person, a card or a company, told by their check digits; and how to show one without it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.core.report import Severity

#: How bad each is: numbers that name one person first; an organisation's own contacts belong in its documents.
SEVERITY: dict[str, Severity] = {
    "CPF": "error", "SUS card": "error", "payment card": "error", "PIS": "error", "CNH": "error", "RG": "error",
    "SSN": "error", "IBAN": "info", "CNPJ": "info", "e-mail": "info", "phone": "info",
}  # fmt: skip
#: What word processors and PDFs write for a hyphen or a blank, each one character long.
_PLAIN = str.maketrans({**dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("\u00a0\u2007\u2009\u202f", " ")})
_CPF = re.compile(
    r"(?<![\d.])(?<!\d-)(?P<n>\d{3}[. ]?\d{3}[. ]?\d{3}(?: ?- ?| )?\d{2}|\d{3}\.\d{3}\.\d{3}/\d{2})(?!\d|-\d)"
)
_CNPJ = re.compile(
    r"(?<![\w.])(?<!\d-)(?P<n>[A-Z\d]{2}[. ]?[A-Z\d]{3}[. ]?[A-Z\d]{3}[/ ]?[A-Z\d]{4}(?: ?- ?| )?\d{2})(?!\d|-\d)"
)
_SUS = re.compile(r"(?<!\d)(?P<n>[1-26-9]\d{2}[ .]?\d{4}[ .]?\d{4}[ .]?\d{4})(?!\d)")
_CARD = re.compile(r"(?<!\d)(?P<n>\d(?:[ .-]?\d){12,18})(?!\d)")
_IBAN = re.compile(r"(?<!\w)(?P<n>[A-Z]{2}\d{2}(?: ?[A-Z\d]{4}){2,7}(?: ?[A-Z\d]{1,3})?)(?!\w)")
#: Numbers with few or no check digits, told by the name before them.
_OF = r"\b{0}\b\W{{0,3}}(?:n(?:[º°o]|umber|úmero)?\.?\W{{0,3}}|is\W)?(?P<n>{1})(?!\d|-\d)"
_PIS = re.compile(_OF.format("(?:PIS|PASEP|NIS|NIT)", r"\d{3}\.?\d{5}\.?\d{2}-?\d"))
_CNH = re.compile(_OF.format("(?:CNH|habilitação)", r"\d{11}"), re.IGNORECASE)
_RG = re.compile(_OF.format("(?:RG|[Ii]dentidade|IDENTIDADE)", r"\d{1,2}\.?\d{3}\.?\d{3}-?[\dXx]"))
_SSN = re.compile(_OF.format("(?:SSN|social security(?: no| number)?)", r"\d{3}[ -]?\d{2}[ -]?\d{4}"), re.IGNORECASE)
_EMAIL = re.compile(
    r"(?<![\w.+'-])(?P<n>[\w.+-]{1,64}(?:'[\w.+-]{1,30})?@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,})"
)
_PHONE = re.compile(
    # Not the middle of a book's number.
    r"(?<![\d.,/-])(?<!97[89] )(?P<n>(?:\+\d{1,3}[ .-]?)?"
    r"(?:(?:\(\d{2,3}\)[ .-]?|\d{2,3}[ .-])(?:9[ .]?)?\d{3,4}[ .-]\d{4}|\(0?[1-9]{2}\) ?9?\d{8}))(?![\d.,/-]?\d)"
    r"|(?<![\w+])(?P<abroad>\+\d{1,3}(?:[ .-]?\d){8,12})(?!\d)"
    r"|(?<![\d.,/-])(?P<free>0800[ .-]?\d{3}[ .-]?\d{4})(?!\d)"
    r"|\b(?:tel(?:efone)?|fone|cel(?:ular)?|whats(?:app)?|zap|phone|contato|ligue)\W{1,4}"
    r"(?P<run>[1-9]\d9?\d{8}|(?!(?:19|20)\d\d\D(?:19|20)\d\d)(?:9[ .]?\d{4}|[2-5]\d{3})[ .-]\d{4})(?![.-]?\d)",
    re.IGNORECASE,
)


def identifiers(text: str) -> Iterator[tuple[str, str]]:
    """(kind, value) of each identifier in a text, no part of which is two of them: 'CPF', 'CNPJ', 'SUS card', 'payment
    card', 'IBAN', 'PIS', 'CNH', 'RG', 'SSN', 'e-mail', 'phone'."""
    plain = text.translate(_PLAIN)
    for kind, pattern, valid in (
        ("PIS", _PIS, is_pis),
        ("CNH", _CNH, bool),
        ("RG", _RG, bool),
        ("SSN", _SSN, bool),
        ("CNPJ", _CNPJ, is_cnpj),
        ("CPF", _CPF, is_cpf),
        ("SUS card", _SUS, is_sus),
        ("payment card", _CARD, is_card),
        ("IBAN", _IBAN, is_iban),
        ("e-mail", _EMAIL, bool),
        ("phone", _PHONE, bool),
    ):
        rest, last = [], 0
        for match in pattern.finditer(plain):
            start, end = next(match.span(name) for name in pattern.groupindex if match[name])
            if valid(plain[start:end]):
                yield kind, text[start:end]
                rest += [plain[last:start], "\0" * (end - start)]
                last = end
        plain = "".join((*rest, plain[last:]))


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
    """Brazilian company number: 12 digits or, since July 2026, letters, and two digits computed modulo 11 with weights
    2 to 9 from the right, a letter counting as its ASCII code less 48 (Receita Federal, IN RFB 2.229/2024)."""
    signs = [c for c in value if c.isalnum()]
    d = [ord(c) - 48 for c in signs]
    # A word of letters and a number at its end is no such number without its slash.
    lettered = any(c.isalpha() for c in signs)
    if len(d) != 14 or len(set(d)) == 1 or not "".join(signs[12:]).isdigit() or (lettered and "/" not in value):
        return False
    for n in (12, 13):
        rest = sum(x * (2 + i % 8) for i, x in enumerate(reversed(d[:n]))) % 11
        if d[n] != (0 if rest < 2 else 11 - rest):
            return False
    return True


def is_pis(value: str) -> bool:
    """Brazilian social integration number (PIS, NIS): 11 digits, the last computed modulo 11."""
    d = digits(value)
    if len(d) != 11 or len(set(d)) == 1:
        return False
    rest = sum(w * x for w, x in zip((3, 2, 9, 8, 7, 6, 5, 4, 3, 2), d, strict=False)) % 11
    return d[10] == (0 if rest < 2 else 11 - rest)


def is_iban(value: str) -> bool:
    """Bank account: what ISO 13616 computes modulo 97."""
    signs = "".join(c for c in value if c.isalnum())
    turned = signs[4:] + signs[:4]
    return 15 <= len(signs) <= 34 and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def is_sus(value: str) -> bool:
    """Brazilian health card (CNS): 15 digits, weighted 15 to 1, divisible by 11; begins with 1, 2, 7, 8 or 9."""
    d = digits(value)
    return (
        len(d) == 15
        and d[0] in (1, 2, 7, 8, 9)
        and sum(w * x for w, x in zip(range(15, 0, -1), d, strict=True)) % 11 == 0
    )


def is_card(value: str) -> bool:
    """Payment card number: 13 to 19 digits, parted in one way, that satisfy Luhn's check (ISO/IEC 7812-1) and begin and
    are as long as issuers' are. Rows of years or of round numbers are none."""
    d = digits(value)
    number = "".join(map(str, d))
    if len({c for c in value if not c.isdigit()}) > 1 or len(set(d)) == 1 or not _ISSUED.fullmatch(number):
        return False
    if re.fullmatch(r"(?:\d\d00){4}", number):
        return False
    return sum(x if i % 2 == 0 else sum(divmod(2 * x, 10)) for i, x in enumerate(reversed(d))) % 10 == 0


#: Visa; Mastercard; American Express; Diners; JCB; Elo and Maestro; Discover, UnionPay, Hipercard and others.
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|5[0678]\d{14}|6\d{15,18}"
)


def masked(value: str) -> str:
    """The value with all but its first two and last two characters hidden: enough to find it, not to use it. Of an
    e-mail the first letter and the domain; of what is mostly signs, as passwords may be, the first one."""
    if _EMAIL.fullmatch(value):
        name, _, domain = value.partition("@")
        return f"{name[:1]}…@{domain}"
    places = [i for i, c in enumerate(value) if c.isalnum()]
    if 2 * len(places) < len(value):
        return value[:1] + "•" * (len(value) - 1)
    kept = {*places[:2], *places[-2:]} if len(places) >= 8 else set(places[:1])
    return "".join(c if i in kept or not c.isalnum() else "•" for i, c in enumerate(value))


def hidden(text: str) -> str:
    """A text with the numbers in it that name one person masked, for the ids and names that a report shows."""
    for kind, value in list(identifiers(text)):
        if SEVERITY[kind] == "error":
            text = text.replace(value, masked(value))
    return text
