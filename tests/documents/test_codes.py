"""What a text calls currencies, countries and languages, and their codes."""

from __future__ import annotations

import pytest

from mirim.documents.codes import KINDS, codes, mentioned


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("currency", "Canadian dollars for 500 US dollars", {"CAD": ["Canadian dollars"], "USD": ["US dollars"]}),
        (
            "currency",
            "20 Japanese Yen in United States Dollar",
            {"JPY": ["Japanese Yen"], "USD": ["United States Dollar"]},
        ),
        ("currency", "200 dolares americanos em reais", {"USD": ["dolares americanos"], "BRL": ["reais"]}),
        (
            "currency",
            "€ 5, R$ 7 or US$3, in PLN or nok",
            {"EUR": ["€"], "BRL": ["R$"], "USD": ["US$"], "PLN": ["PLN"], "NOK": ["nok"]},
        ),
        ("currency", "try all of the pens on top", {}),
        ("currency", "TRY and ALL", {"TRY": ["TRY"], "ALL": ["ALL"]}),
        (
            "country",
            "do Brasil para os Estados Unidos, not in the U.K.",
            {"BR": ["Brasil"], "US": ["Estados Unidos"], "GB": ["U.K."]},
        ),
        ("country", "it is in us", {}),
        (
            "language",
            "do inglês para o portugues, it is no German",
            {"en": ["inglês"], "pt": ["portugues"], "de": ["German"]},
        ),
    ],
)
def test_codes_of_what_is_mentioned(kind: str, text: str, said: dict[str, list[str]]) -> None:
    found = {code: [text[a:b] for a, b in spans] for code, spans in mentioned(text, kind).items()}
    assert found == said


def test_the_table_has_all_kinds_in_both_languages() -> None:
    assert [len(codes(kind)) > 150 for kind in KINDS] == [True] * 3
    assert {"Brazilian real", "Real brasileiro"} <= set(codes("currency")["BRL"])
    assert {"Germany", "Alemanha"} <= set(codes("country")["DE"])
    assert codes("language")["pt"] == ["Portuguese", "português"]
