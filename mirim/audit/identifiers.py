"""Numbers that name a person, a card or a company, told by their check digits; and how to show one without it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.core.report import Severity

#: How bad each is: numbers that name one person first; an organisation's own contacts belong in its documents.
SEVERITY: dict[str, Severity] = {
    "CPF": "error", "SUS card": "error", "payment card": "error", "PIS": "error", "CNH": "error", "RG": "error",
    "SSN": "error", "NHS number": "error", "national insurance number": "error", "NIF": "error", "passport": "error",
    "voter card": "error", "IBAN": "info", "CNPJ": "info", "e-mail": "info", "phone": "info",
}  # fmt: skip
#: What word processors and PDFs write for a hyphen or a blank, each one character long.
_PLAIN = str.maketrans({**dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("\u00a0\u2007\u2009\u202f", " ")})
_CPF = re.compile(
    r"(?<![\d.])(?<!\d-)(?P<n>\d{3}[. ]?\d{3}[. ]?\d{3}(?: ?- ?| )?\d{2}|\d{3}\.\d{3}\.\d{3}/\d{2})(?!\d|-\d)"
)
_CNPJ = re.compile(
    r"(?<![\w.])(?<!\d-)(?P<n>[A-Z\d]{2}[. ]?[A-Z\d]{3}[. ]?[A-Z\d]{3}[/ ]?[A-Z\d]{4}(?: ?- ?| )?\d{2})(?!\d|-\d)"
)
_SUS = re.compile(r"(?<!\d)(?P<n>[1-26-9]\d{2}[ .-]?\d{4}[ .-]?\d{4}[ .-]?\d{4})(?!\d)")
_CARD = re.compile(r"(?<!\d)(?P<n>\d(?:[ .-]?\d){12,18})(?!\d)")
#: Lines one below the other that each hold a row of numbers of four digits, as tables in plain text have.
_ROW = r"(?<![\d.])\d{4}(?: \d{4}){3,}(?![\d.])"
_ROWS = re.compile(rf"(?:^[^\d\n]*(?:\d{{1,3}}[^\d\n]+)?{_ROW}[^\n]*(?:\n|\Z)){{2,}}", re.M)
#: Characters of a bank account by country, as ISO 13616's registry has them: where one ends cannot be told otherwise.
_LONG = {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 33: "RU",
}  # fmt: skip
_IBAN = re.compile(
    r"(?<!\w)(?=[A-Z]{2}\d\d)(?P<n>(?:"
    + "|".join(
        rf"(?:{names.replace(' ', '|')})\d\d(?: ?[A-Z\d]{{4}}){{{length // 4 - 1}}}"
        + rf"(?: ?[A-Z\d]{{{length % 4}}})" * bool(length % 4)
        for length, names in _LONG.items()
    )
    + r"))(?!\w)",
    re.IGNORECASE,
)
#: Numbers with few or no check digits, or parted in any way, told by the name before them; between both a few words
#: ("RG do pai: ...", "CNH (registro) ..."), but no sign of money.
_OF = (
    r"(?<![^\W_])(?i:{0})(?![^\W_])(?:(?:[^\w$€£]|_){{1,3}}[^\W\d_]{{1,12}}){{0,3}}?(?:[^\w$€£]|_){{0,4}}"
    r"(?P<n>{1})(?!\d|-\d)"
)
_NAMED_CPF = re.compile(_OF.format("CPF", r"\d{1,3}[. ·-]{0,2}\d{3}[. ·-]{0,2}\d{3}[. ·-]{0,2}\n?\d{2}"))
_NAMED_CNPJ = re.compile(_OF.format(r"C\.?N\.?P\.?J", r"\d{2}[. ]{0,2}\d{3}[. ]{0,2}\d{3}[ /]{0,3}\d{4}[ -]{0,3}\d{2}"))
_PIS = re.compile(_OF.format("PIS|PASEP|NIS|NIT", r"\d{3}\.?\d{5}\.?\d{2}-?\d"))
_CNH = re.compile(_OF.format("CNH|habilitação", r"\d{11}"))
_RG = re.compile(_OF.format(r"R\.?G|registro geral|identidade", r"\d{1,2}\.\d{3}\.\d{3}(?:-?[\dXx])?|\d{7,8}-?[\dXx]"))
_VOTER = re.compile(_OF.format("t[íi]tulo (?:de eleitor|eleitoral)", r"\d{4} ?\d{4} ?\d{4}"))
_PASSPORT = re.compile(_OF.format("passport|passaporte", r"[A-Z]{1,2} ?\d{6,8}|\d{9}"))
_NIF = re.compile(_OF.format("NIF|contribuinte", r"[1-4]\d{2} ?\d{3} ?\d{3}"))
_NHS = re.compile(_OF.format("NHS", r"\d{3}[ -]?\d{3}[ -]?\d{4}"))
_NINO = re.compile(_OF.format(r"N\.?I|NINO|national insurance", r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b"))
_SSN = re.compile(
    _OF.format("SSN?|social security", r"\d{3}[ .-]?\d{2}[ .-]?\d{4}")
    # No other number is parted so; none is given out with these beginnings.
    + r"|(?<![\w.-])(?P<bare>(?!000|666)\d{3}-(?!00)\d{2}-(?!0000)\d{4})(?![\w-])"
)
_EMAIL = re.compile(
    r"(?<![\w.+'-])(?P<n>[\w.+-]{1,64}(?:'[\w.+-]{1,30})?@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,})"
)
#: An address as people hide it from programs; the word for its sign stands in brackets, or with that for its dots.
_SPELT = re.compile(
    r"(?<![\w.+-])(?P<n>[\w.+-]{1,64} ?[\[({<] ?(?:at|arroba|@) ?[\])}>] ?[\w-]{1,63}"
    r"(?:(?:\.| ?[\[({<] ?(?:dot|ponto|\.) ?[\])}>] ?| (?:dot|ponto) )[\w-]{1,63}){1,6}"
    r"|[\w.+-]{1,64} (?:at|arroba) [\w-]{1,63}(?: (?:dot|ponto) [\w-]{1,63}){1,6})(?!\w)",
    re.IGNORECASE,
)
#: Two years, which are a time.
_YEARS = r"(?!(?:19|20)\d\d\D(?:19|20)\d\d)"
_PHONE = re.compile(
    # Not the middle of a book's number.
    r"(?<![\d.,/-])(?<!97[89] )(?P<n>(?:\+\d{1,3}[ .-]?)?(?:"
    rf"\(\d{{2,3}}\)[ .-]?{_YEARS}(?:9[ .]?)?\d{{3,4}}[ .-]\d{{4}}|\(0?[1-9]{{2}}\) ?9?\d{{8}}"
    # Without brackets only as Brazil, North America and Britain write it: other figures stand side by side too.
    rf"|[1-9]{{2}}[ .-]{_YEARS}(?:9[ .]?\d{{4}}|[2-5]\d{{3}})[ .-]\d{{4}}"
    r"|(?:1[ .-])?[2-9]\d{2}[ .-][2-9]\d{2}[ .-]\d{4}|(?<!\d )0\d{2,4} \d{3,4} ?\d{3,4}(?! ?\d)"
    r"))(?![\d.,/-]?\d)"
    r"|(?<![\w+])(?P<abroad>\+\d{1,3}(?: ?\(0\))?(?:[ .-]?\d){8,12})(?!\d)"
    r"|(?<![\d.,/-])(?P<free>0[3589]00[ .-]?\d{3}[ .-]?\d{4})(?!\d)"
    r"|\b(?:tel(?:e(?:fone|móvel|phone)s?)?|fones?|cel(?:ular)?|whats(?:app)?|zap|phone|mobile|contato|ligue)\W{1,4}"
    rf"(?P<run>{_YEARS}\d{{2,5}}(?:[ .-]?\d{{3,5}}){{1,3}})(?![.-]?\d)",
    re.IGNORECASE,
)


def identifiers(text: str) -> Iterator[tuple[str, str]]:
    """(kind, value) of each identifier in a text, no part of which is two of them: 'CPF', 'CNPJ', 'SUS card', 'payment
    card', 'IBAN', 'e-mail', 'phone' and what else SEVERITY names."""
    plain = text.translate(_PLAIN)
    for kind, pattern, valid in (
        ("PIS", _PIS, is_pis),
        ("CNH", _CNH, bool),
        ("CNPJ", _NAMED_CNPJ, is_cnpj),
        ("CNPJ", _CNPJ, is_cnpj),
        # Tables of figures drop the zeros that a number begins with.
        ("CPF", _NAMED_CPF, lambda v: is_cpf("".join(map(str, digits(v))).zfill(11))),
        ("RG", _RG, bool),
        ("voter card", _VOTER, bool),
        ("passport", _PASSPORT, bool),
        ("NIF", _NIF, is_nif),
        ("NHS number", _NHS, is_nhs),
        ("national insurance number", _NINO, bool),
        ("SSN", _SSN, bool),
        ("CPF", _CPF, is_cpf),
        ("SUS card", _SUS, is_sus),
        ("payment card", _CARD, is_card),
        ("IBAN", _IBAN, is_iban),
        ("e-mail", _EMAIL, bool),
        ("e-mail", _SPELT, bool),
        ("phone", _PHONE, lambda v: 7 <= len(digits(v)) <= 15),
    ):
        rest, last = [], 0
        figures = _figures(plain) if kind == "payment card" else []
        for match in pattern.finditer(plain):
            start, end = next(match.span(name) for name in pattern.groupindex if match[name])
            if valid(plain[start:end]) and not any(a <= start < b for a, b in figures):
                yield kind, text[start:end]
                rest += [plain[last:start], "\0" * (end - start)]
                last = end
        plain = "".join((*rest, plain[last:]))


def _figures(text: str) -> list[tuple[int, int]]:
    """Where figures stand in rows below each other, most of which are no cards: by chance one in ten would be."""
    found: list[tuple[int, int]] = []
    for match in _ROWS.finditer(text):
        rows = re.findall(_ROW, match.group())
        if 2 * sum(map(is_card, rows)) < len(rows):
            found.append(match.span())
    return found


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


def is_nif(value: str) -> bool:
    """Portuguese taxpayer number: 9 digits, the last computed modulo 11 with weights 9 to 2."""
    d = digits(value)
    rest = sum(w * x for w, x in zip(range(9, 1, -1), d, strict=False)) % 11
    return len(d) == 9 and d[8] == (0 if rest < 2 else 11 - rest)


def is_nhs(value: str) -> bool:
    """British patient number: 10 digits, weighted 10 to 1, divisible by 11."""
    d = digits(value)
    return len(d) == 10 and len(set(d)) > 1 and sum(w * x for w, x in zip(range(10, 0, -1), d, strict=True)) % 11 == 0


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
