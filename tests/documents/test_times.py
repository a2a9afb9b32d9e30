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
