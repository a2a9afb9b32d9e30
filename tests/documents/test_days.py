"""Days said from today on, and what instructions say today is."""

from __future__ import annotations

import datetime

import pytest

from mirim.documents.days import days, told, whole

#: A Sunday.
TODAY = datetime.date(2026, 11, 29)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Dinner tomorrow at 8", {"tomorrow": "2026-11-30"}),
        ("the day after tomorrow, not tomorrow", {"the day after tomorrow": "2026-12-01", "tomorrow": "2026-11-30"}),
        ("tonight or yesterday", {"tonight": "2026-11-29", "yesterday": "2026-11-28"}),
        ("next Friday until this Sunday", {"next Friday": "2026-12-04", "this Sunday": "2026-12-06"}),
        ("on Monday next week", {"Monday next week": "2026-11-30"}),
        ("last Sunday, last Friday", {"last Sunday": "2026-11-22", "last Friday": "2026-11-27"}),
        ("in three days, two weeks from now", {"in three days": "2026-12-02", "two weeks from now": "2026-12-13"}),
        ("5 days ago, in a week", {"5 days ago": "2026-11-24", "in a week": "2026-12-06"}),
        ("on the 15th, by the 29th", {"on the 15th": "2026-12-15", "by the 29th": "2026-11-29"}),
        ("amanhã de manhã e depois de amanhã", {"amanhã": "2026-11-30", "depois de amanhã": "2026-12-01"}),
        ("hoje, ontem ou anteontem", {"hoje": "2026-11-29", "ontem": "2026-11-28", "anteontem": "2026-11-27"}),
        ("na próxima sexta-feira às 14h30", {"próxima sexta-feira": "2026-12-04"}),
        ("terça que vem, às 9h", {"terça que vem": "2026-12-01"}),
        ("quarta da semana que vem", {"quarta da semana que vem": "2026-12-02"}),
        ("quarta-feira da semana que vem", {"quarta-feira da semana que vem": "2026-12-02"}),
        ("sábado passado", {"sábado passado": "2026-11-28"}),
        ("daqui a duas semanas, há 3 dias", {"daqui a duas semanas": "2026-12-13", "há 3 dias": "2026-11-26"}),
        ("dia 5 às 10h", {"dia 5": "2026-12-05"}),
        # What comes again and again, ordinal numbers, and days that are said in whole.
        ("every Monday, each Friday, Mondays at 5", {}),
        ("toda terça-feira, todos os sábados", {}),
        ("a segunda fase, o quinto dia e a terça parte", {}),
        ("on the 4th of March, on the 5th floor, dia 15 de março, dia 3/4", {}),
        ("in 9999 days, in days, within 3 days", {}),
    ],
)
def test_days_from_today_on(text: str, said: dict[str, str]) -> None:
    assert {text[one.start : one.end]: one.date.isoformat() for one in days(text, TODAY)} == said


@pytest.mark.parametrize(
    "text",
    [
        "You book tables. Today is 2026-11-29.",
        "Current date: November 29, 2026. Be kind.",
        "The current date and time is 2026-11-29T10:00:00Z",
        "Today's date is Sunday, November 29th, 2026",
        "Hoje é 29 de novembro de 2026.",
        "Data de hoje: 29/11/2026",
        "Data e hora atual: 2026-11-29",
        "Now: 2026-11-29T10:00",
    ],
)
def test_the_day_that_instructions_say_it_is(text: str) -> None:
    assert told(text) == TODAY


def test_instructions_that_say_no_day() -> None:
    assert told("Help whoever writes today. The shop opened on March 3rd, 2019.") is None
    assert told("") is None
    assert told("We are now open (since May 3, 2019).") is None


def test_the_day_comes_first_in_portuguese() -> None:
    assert told("Hoje é 03/04/2026.") == told("Data atual: 03/04/2026") == datetime.date(2026, 4, 3)
    assert told("Today is 03/04/2026") == datetime.date(2026, 3, 4)


def test_a_day_without_its_year_is_the_next_one_or_the_last_one() -> None:
    def said(text: str, language: str) -> list[str]:
        return [one.date.isoformat() for one in whole(text, language, TODAY)]

    assert said("from March 4th", "en") == ["2027-03-04"]
    assert said("em 29 de novembro", "pt") == ["2026-11-29"]
    assert said("all since 5 July", "en") == ["2026-07-05"]
    assert said("desde 5 de dezembro", "pt") == ["2025-12-05"]
    assert said("at dawn", "en") == []


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("December 12 to December 15, pets", "en", {"December 12": "2026-12-12", "December 15": "2026-12-15"}),
        ("from December 12 to 15, 2027", "en", {"12": "2027-12-12", "15": "2027-12-15"}),
        ("2023 April 4th to April 8th", "en", {"April 4th": "2023-04-04", "April 8th": "2023-04-08"}),
        (
            "the 4th of July, 2027 and 15th October,2023",
            "en",
            {"4th of July, 2027": "2027-07-04", "15th October,2023": "2023-10-15"},
        ),
        ("2027-01-02 or 03/04/2027", "en", {"2027-01-02": "2027-01-02", "03/04/2027": "2027-03-04"}),
        (
            "em 03/04/2027, de 12 a 15 de dezembro de 2027",
            "pt",
            {"03/04/2027": "2027-04-03", "12": "2027-12-12", "15": "2027-12-15"},
        ),
        ("entre 5 e 9 de maio", "pt", {"5": "2027-05-05", "9": "2027-05-09"}),
        ("1º de março", "pt", {"1º de março": "2027-03-01"}),
        ("March 2027, 3/4 of a cup, February 30", "en", {}),
        # Without its year in digits, where something says that it is a day.
        ("Marca para 25/12 às 10h", "pt", {"25/12": "2026-12-25"}),
        ("12/25", "en", {"12/25": "2026-12-25"}),
        ("from 3/4 cup, de 3/4 de xícara", "en", {}),
        # A text that is in neither language as far as can be told.
        ("Agendar corte 05/03/2027", "", {"05/03/2027": "2027-03-05"}),
        ("Appointment 05/03/2027", "", {"05/03/2027": "2027-05-03"}),
        # Numbers that are no years of days, and years of other sentences.
        (
            "I was born on May 5, 1990; book December 12",
            "en",
            {"May 5, 1990": "1990-05-05", "December 12": "2026-12-12"},
        ),
        ("Room 2010 on May 5. The 2019 model", "en", {"May 5": "2027-05-05"}),
        ("Pague R$ 1800 em 12 de dezembro", "pt", {"12 de dezembro": "2026-12-12"}),
        ("Between May 1 and Jun. 20,2023", "en", {"May 1": "2023-05-01", "Jun. 20,2023": "2023-06-20"}),
    ],
)
def test_days_said_in_whole_or_without_their_year(text: str, language: str, said: dict[str, str]) -> None:
    found = whole(text, language, TODAY)
    assert {text[one.start : one.end]: one.date.isoformat() for one in found} == said
