"""Numbers and days, in digits and in words."""

from __future__ import annotations

import datetime

import pytest

from mirim.documents.values import date, dates, number, numbers, year


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Two adults, one child and 3 nights", [("Two", (2,)), ("one", (1,)), ("3", (3,))]),
        ("vinte e cinco por dois vírgula cinco", [("vinte e cinco", (25,)), ("dois vírgula cinco", (2.5,))]),
        ("1,234 or 2.499,90", [("1,234", (1234, 1.234)), ("2.499,90", (2499.9,))]),
        ("pages 4-9 at -3 by HP2 v12, 440Hz", [("4", (4,)), ("9", (9,)), ("-3", (-3,)), ("440", (440,))]),
        ("the first, o terceiro", []),
        ("1,2,3", [("1,2,3", ())]),
        # A float would lose the last digit; so long a number is none.
        ("12345678901234567891", [("12345678901234567891", (12345678901234567891,))]),
        ("9" * 400, [("9" * 400, ())]),
        ("", []),
    ],
)
def test_numbers_of_a_text(text: str, found: list[tuple[str, tuple[float, ...]]]) -> None:
    assert [(text[one.start : one.end], one.values) for one in numbers(text)] == found


def test_a_number_by_itself() -> None:
    assert number(" twenty-one ") == (21,)
    assert number("7,5") == (7.5,)
    assert number("-3") == (-3,)
    assert number("12") == (12,)
    assert number("3rd") == number("three nights") == number("") == ()


@pytest.mark.parametrize(
    ("said", "language", "day"),
    [
        ("March 10th, 2031", "en", "2031-03-10"),
        ("10 de março de 2031", "pt", "2031-03-10"),
        ("1º de junho de 2030", "pt", "2030-06-01"),
        ("05/12/2030", "en", "2030-05-12"),
        ("05/12/2030", "pt", "2030-12-05"),
        ("05/12/2030", "fi", "2030-05-12"),
        ("2030-12-05", "pt", "2030-12-05"),
    ],
)
def test_a_day(said: str, language: str, day: str) -> None:
    assert date(said, language) == datetime.date.fromisoformat(day)


@pytest.mark.parametrize(
    "said", ["March 10", "tomorrow", "2031", "1200 30 8", "1.5", "table 7 by the window", "menu.pdf", ""]
)
def test_no_day(said: str) -> None:
    assert date(said) is None


def test_where_a_text_says_a_day() -> None:
    text = "From July 10, 2031 until 20 July 2031, or 2031-07-10."
    found = dates(text, datetime.date(2031, 7, 10))
    assert [text[a:b] for a, b in found] == ["July 10, 2031", "2031-07-10"]
    assert dates(text, datetime.date(2031, 7, 11)) == ()


def test_a_day_is_of_the_one_year_that_is_named() -> None:
    text = "From July 10 until 20 July 2031"
    assert year(text) == "2031"
    found = dates(text, datetime.date(2031, 7, 10))
    assert [text[a:b] for a, b in found] == ["July 10"]
    assert date("July 10", "en", "2031") == datetime.date(2031, 7, 10)
    assert date("7 de setembro", "pt", "1822") == datetime.date(1822, 9, 7)
    assert date("table 7", "en", "2031") is None
    assert date("July 10 2030", "en", "2031") == datetime.date(2030, 7, 10)
    assert year("de 7 de setembro até 15 de novembro de 1822.") == "1822"
    assert year("2031 April 4th to April 8th?") == "2031"
    # Of several, or of no day: none.
    assert year("July 1, 2031 or July 2, 2032") == year("room 12, 3.2031, 2031-07-10") == ""
    assert year("A 2031 Corolla from July 10") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a balance of 22 mil reais", {"22 mil": (22000,)}),
        ("R$ 1,5 milhão", {"1,5 milhão": (1500000,)}),
        ("three hundred thousand and 2.5 million", {"three hundred thousand": (300000,), "2.5 million": (2500000,)}),
        ("two dozen eggs, a dozen pens, meia dúzia", {"two dozen": (24,), "a dozen": (12,), "meia dúzia": (6,)}),
        # A run, or many steps.
        ("10k steps", {"10k": (10000, 10)}),
        ("2 milhas, 3 milímetros, 5 km", {"2": (2,), "3": (3,), "5": (5,)}),
    ],
)
def test_numbers_are_read_with_what_they_are_counted_in(text: str, said: dict[str, tuple[float, ...]]) -> None:
    assert {text[one.start : one.end]: one.values for one in numbers(text)} == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("half a million", [500000]),
        ("meio milhão", [500000]),
        ("Dois milhões e meio", [2500000]),
        ("2 mil e quinhentos", [2500]),
        ("um mil e quinhentos", [1500]),
        ("minus 5 degrees", [-5]),
        ("menos 5 graus", [-5]),
        ("pelo menos 5", [5]),
        ("ao menos 5", [5]),
        ("10 menos 5", [10, 5]),
        ("two and a half", [2.5]),
        ("três e meio", [3.5]),
        ("2 mil e 3 pessoas", [2003]),
        ("10 mil e 500", [10500]),
        ("2 milhões", [2000000]),
        ("20 e meio", [20.5]),
        ("mil e duzentos", [1200]),
        ("two thousand and five", [2005]),
        ("at least 5", [5]),
        ("from minus 3 to 5", [-3, 5]),
        ("estava menos 2 hoje", [-2]),
        ("nada menos de 7", [7]),
        ("22 mil", [22000]),
        ("a dozen and 3", [12, 3]),
    ],
)
def test_halves_thousands_and_numbers_below_nought(text: str, said: list[float]) -> None:
    assert [one.values[0] for one in numbers(text)] == said
