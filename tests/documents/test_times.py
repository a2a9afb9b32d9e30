"""Times of the day, as people say them."""

from __future__ import annotations

import datetime

import pytest

from mirim.documents.times import time, times


@pytest.mark.parametrize(
    ("said", "clock"),
    [
        ("3 pm", "15:00"),
        ("3:30 p.m", "15:30"),
        ("nine am", "09:00"),
        ("9.30am", "09:30"),
        ("12 am", "00:00"),
        ("12 pm", "12:00"),
        ("noon", "12:00"),
        ("half past three", "03:30"),
        ("a quarter to one pm", "12:45"),
        ("10 o'clock", "10:00"),
        ("8 in the evening", "20:00"),
        ("at 7", "07:00"),
        ("15:30", "15:30"),
        ("13:45:10", "13:45:10"),
        ("15h30", "15:30"),
        ("14 horas", "14:00"),
        ("9 da noite", "21:00"),
        ("12 da noite", "00:00"),
        ("três e meia da tarde", "15:30"),
        ("oito da manhã", "08:00"),
        ("meio-dia e meia", "12:30"),
        ("às nove e 15", "09:15"),
        ("meia-noite", "00:00"),
        ("21", "21:00"),
    ],
)
def test_a_time(said: str, clock: str) -> None:
    assert time(said) == datetime.time.fromisoformat(clock)


@pytest.mark.parametrize("said", ["24h", "25:00", "12:61", "1.5 h", "3 pm tomorrow", "v12", "room", "-3", ""])
def test_no_time(said: str) -> None:
    assert time(said) is None


def test_where_a_text_has_times() -> None:
    text = "Table for 4 at home by 8pm, 10:30-12:00, das 9 às 17h, 7 people, 9.5 kg"
    found = [(text[one.start : one.end], one.time.strftime("%H:%M")) for one in times(text)]
    assert found == [("8pm", "20:00"), ("10:30", "10:30"), ("12:00", "12:00"), ("9", "09:00"), ("17h", "17:00")]


@pytest.mark.parametrize(
    ("text", "clocks"),
    [
        ("tonight at 8", "20:00"),
        ("at 8 tonight", "20:00"),
        ("hoje à noite às 8", "20:00"),
        ("às 8 hoje à noite", "20:00"),
        ("tomorrow evening at 7", "19:00"),
        ("às 3 à tarde", "15:00"),
        ("8 e quinze da noite", "20:15"),
        ("seis e vinte da tarde", "18:20"),
        ("às sete e quarenta", "07:40"),
        ("at five thirty pm", "17:30"),
        ("ten past eight", "08:10"),
        ("quinze para as nove da noite", "20:45"),
        ("at 8 tomorrow evening", "20:00"),
        ("às 8 amanhã à noite", "20:00"),
        ("the court for 3 hours", ""),
        ("Send this to 10 people", ""),
        ("to 10 people at 3pm", "15:00"),
        ("from 9 to 5", "09:00 05:00"),
        ("das 9 às 17h", "09:00 17:00"),
        ("at 7", "07:00"),
        ("alugar por 2 horas", ""),
        ("14 horas", "14:00"),
        ("às 14 horas", "14:00"),
        ("durante 3h", ""),
        ("half past three", "03:30"),
        ("a quarter to one pm", "12:45"),
        ("a quarter past one", "01:15"),
        ("três e meia da tarde", "15:30"),
        ("às nove e 15", "09:15"),
        ("dez para as oito", "07:50"),
        ("0 para as 9", "09:00"),
        ("00 pras 9 da noite", "21:00"),
        ("by 8pm", "20:00"),
        ("by 3 friends", ""),
        ("table at 8 for 4", "08:00"),
        ("at 8 for 4 people", "08:00"),
        ("vinte minutos para as dez", "09:40"),
        ("às 8 da noite", "20:00"),
        ("5 minutos para 3 pessoas", ""),
        ("from 2 to 4 people", "02:00"),
        ("à 1 da tarde", "13:00"),
        ("10h às 12h", "10:00 12:00"),
        ("this evening at 7:30", "19:30"),
        ("tomorrow at 8", "08:00"),
        ("das 8 às 12", "08:00 12:00"),
        ("de 8 a 10 pessoas", ""),
        ("reunião de 3 horas", ""),
        ("on Friday at half past eleven", "11:30"),
    ],
)
def test_hours_with_what_stands_around_them(text: str, clocks: str) -> None:
    assert " ".join(one.time.strftime("%H:%M") for one in times(text)) == clocks
