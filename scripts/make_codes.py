"""Writes mirim/documents/codes.json: what currencies, countries and languages are called, by their codes.

    python scripts/make_codes.py

Names are those of the Unicode CLDR in English and Brazilian Portuguese, by Babel (`pip install babel`): currencies that
are money somewhere today (ISO 4217), countries (ISO 3166-1, two letters) and languages of two letters (ISO 639-1).
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

from babel import Locale
from babel.core import get_global
from babel.numbers import get_currency_name, get_currency_symbol

OUT = Path(__file__).parents[1] / "mirim" / "documents" / "codes.json"
LOCALES = {"en": Locale("en"), "pt": Locale("pt", "BR")}
#: What is meant by a name that several currencies share, and names that CLDR has not.
MEANT = {
    "USD": ["dollar", "dollars", "dólar", "dólares"]
    + [f"{whose} {name}" for whose in ("American", "United States") for name in ("dollar", "dollars")],
    "GBP": ["pound", "pounds", "pound sterling", "pounds sterling", "sterling", "libra", "libras"],
    "INR": ["rupee", "rupees", "rúpia", "rúpias"],
    "CHF": ["franc", "francs", "franco", "francos"],
    "KRW": ["won", "wons", "Korean won"],
    "RUB": ["ruble", "rubles", "rouble", "roubles", "rublo", "rublos"],
    "BRL": ["real", "reais", "reals"],
    "CNY": ["renminbi", "RMB"],
    "JPY": ["iene", "ienes"],
}
#: What CLDR lists and ISO 3166-1 has not.
RESERVED = frozenset("AC CP CQ DG EA EU EZ IC QO TA UN XA XB XK ZZ".split())
COUNTRIES = {
    "US": ["USA", "U.S.", "U.S.A.", "United States of America", "America", "EUA"],
    "GB": ["UK", "U.K.", "Great Britain", "Britain", "Grã-Bretanha"],
    "KR": ["Korea", "Coreia"],
    "CZ": ["Czech Republic", "República Tcheca"],
    "NL": ["Netherlands", "Holland", "Países Baixos"],
}


def currencies() -> dict[str, list[str]]:
    """Those that are legal tender of some country now."""
    today = datetime.date.today()
    codes = set()
    for held in get_global("territory_currencies").values():
        for code, _, end, tender in held:
            if tender and (end is None or datetime.date(*end) >= today):
                codes.add(code)
    names: dict[str, list[str]] = {}
    for code in sorted(codes):
        own = [get_currency_name(code, count, locale) for locale in LOCALES.values() for count in (1, 2)]
        own += [symbol for locale in LOCALES.values() if (symbol := get_currency_symbol(code, locale)) != code]
        names[code] = own
    # "zloty" alone, of one currency: the last word in English, the first in Portuguese.
    nouns: dict[str, set[str]] = {}
    for code, (one, more, um, mais, *_) in names.items():
        for noun in (one.split()[-1], more.split()[-1], um.split()[0], mais.split()[0]):
            nouns.setdefault(noun.lower(), set()).add(code)
    meant = {name.lower() for some in MEANT.values() for name in some}
    for noun, held in nouns.items():
        if len(held) == 1 and noun not in meant and len(noun) > 2:
            names[next(iter(held))].append(noun)
    return {code: [*own, *MEANT.get(code, ())] for code, own in names.items()}


def named(kind: str, size: int) -> dict[str, list[str]]:
    """Of CLDR's territories or languages those whose codes have so many letters."""
    tables = [getattr(locale, kind) for locale in LOCALES.values()]
    codes = sorted(code for code in tables[0] if len(code) == size and code.isalpha())
    return {code: [table[code] for table in tables if code in table] for code in codes}


def main() -> None:
    countries = {code: [*names, *COUNTRIES.get(code, ())] for code, names in named("territories", 2).items()}
    table = {
        "currency": currencies(),
        "country": {code: names for code, names in countries.items() if code not in RESERVED},
        "language": named("languages", 2),
    }
    kinds = []
    for kind, held in table.items():
        rows = [
            f'"{code}": {json.dumps(list(dict.fromkeys(names)), ensure_ascii=False)}' for code, names in held.items()
        ]
        kinds.append(f'"{kind}": {{\n' + ",\n".join(rows) + "\n}")
    OUT.write_text("{\n" + ",\n".join(kinds) + "\n}\n", "utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
