"""What the grounded policy keeps of a model's text: no number that its source gives to something else."""

from __future__ import annotations

import pytest

from mirim.assist.pairing import paired

DAYS = "Segunda das 8 às 12, terça das 14 às 18."
PRICES = "Adults pay R$ 20, children pay R$ 10 and students pay fifteen reais."
CARD = "Consultas custam R$ 200, e com o cartão da clínica, R$ 150."


@pytest.mark.parametrize(
    ("claim", "source", "language"),
    [
        ("Segunda das 14 às 18, terça das 8 às 12.", DAYS, "pt"),
        ("Terça das 8 às 12.", DAYS, "pt"),
        ("Na segunda o atendimento é das 14 às 18.", DAYS, "pt"),
        ("Children pay R$ 20.", PRICES, "en"),
        ("Children pay 15 reais and students pay R$ 10.", PRICES, "en"),
        ("O laboratório abre às 12 e fecha às 8.", "O laboratório abre às 8 e fecha às 12.", "pt"),
        ("Norte abre às 8.", "Centro e Lagoa abrem às 8, Norte abre às 10.", "pt"),
        ("Centro abre às 10.", "Centro e Lagoa abrem às 8, Norte abre às 10.", "pt"),
        ("Sábado das 8 às 18.", "Segunda a sexta das 8 às 18; sábado das 8 às 12.", "pt"),
        ("The pool costs 5.", "Entry: 3; pool: 2; sauna: 5.", "en"),
    ],
)
def test_numbers_of_another_thing_are_told_apart(claim: str, source: str, language: str) -> None:
    assert not paired(claim, language, source, language)


@pytest.mark.parametrize(
    ("claim", "source", "language"),
    [
        (DAYS, DAYS, "pt"),
        ("Terça das 14 às 18 e segunda das 8 às 12.", DAYS, "pt"),
        ("Terça-feira: das 14 às 18.", DAYS, "pt"),
        ("O atendimento vai das 8 às 12.", DAYS, "pt"),
        ("Adults pay 20, and children, 10.", PRICES, "en"),
        ("Students pay 15 reais.", PRICES, "en"),
        ("It costs R$ 20 for adults and R$ 10 for children.", PRICES, "en"),
        ("Consultas com o cartão custam R$ 150.", CARD, "pt"),
        ("O laboratório abre das 8 às 12.", "O laboratório abre às 8 e fecha às 12.", "pt"),
        ("No sábado abre às 8.", "No sábado, o laboratório abre às 8, e fecha às 12.", "pt"),
        ("Use between 8 and 12 drops.", "Use between 8 and 12 drops, twice a day.", "en"),
        ("It takes dois mil e quinhentos reais.", "Custa 2 mil e quinhentos reais, em 10 vezes.", "pt"),
        ("The van leaves every 40 minutes, from 8 to 17.", "The van leaves from 8 to 17, every 40 minutes.", "en"),
    ],
)
def test_the_same_in_other_words_is_kept(claim: str, source: str, language: str) -> None:
    assert paired(claim, language, source, language)


def test_a_row_of_a_table_is_read_by_its_columns() -> None:
    row, header = "| Centro | 6h30 às 19h | 7h às 12h |", ("Unidade", "Segunda a sexta", "Sábado")
    assert paired("A unidade Centro abre no sábado das 7h às 12h.", "pt", row, "pt", header)
    assert paired("Centro: de segunda a sexta das 6h30 às 19h, sábado das 7h às 12h.", "pt", row, "pt", header)
    assert not paired("A unidade Centro abre no sábado das 6h30 às 19h.", "pt", row, "pt", header)
