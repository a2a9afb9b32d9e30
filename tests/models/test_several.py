"""Requests for several calls, taken apart."""

from __future__ import annotations

import time

import pytest

from mirim.models import several


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        ("Tides in Mel and in Areia today", ["Tides in Mel today", "Tides in Areia today"]),
        ("Marés em Mel, em Areia e no Forte?", ["Marés em Mel?", "Marés em Areia?", "Marés no Forte?"]),
        ("Notas da Rita Sales e do Caio", ["Notas da Rita Sales", "Notas do Caio"]),
        ("Close gates 318 and A402.", ["Close gates 318.", "Close gates A402."]),
        # One thing, for all that is counted up in its name or behind it.
        ("Play Salt and Copper", []),
        ("Arroz e feijão", []),
        ("Casacos no Cambuí, em Campinas", []),
        ("Boats from Mel to Areia", []),
        ("Gastamos 512,40 no bar", []),
        ("Às 10 e 30", []),
    ],
)
def test_values_that_are_counted_up_stand_by_themselves(request_: str, parts: list[str]) -> None:
    assert several.values(request_) == parts


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        ("Close gate 3 and tell me the tides.", ["Close gate 3", "tell me the tides."]),
        ("Como está o mar? E feche o portão 3.", ["Como está o mar?", "feche o portão 3."]),
        ("Is it late? If so, close gate 3.", []),
        ("Close gate 3, please.", []),
        ("Rice and beans for two", []),
        ("How far is it from Mel Beach and Forte das Cobras", []),
        ("Close gate 3 and I want the tides.", ["Close gate 3", "I want the tides."]),
    ],
)
def test_what_is_to_be_done_stands_by_itself(request_: str, parts: list[str]) -> None:
    assert several.clauses(request_) == parts


def test_long_requests_take_no_time() -> None:
    begun = time.monotonic()
    for words in ("Mel, in " * 20_000, "A " * 50_000, "in A1 and " * 10_000, "1, " * 50_000, "in Mel" + " Areia" * 99):
        several.values(words[: several.LONGEST])
        several.clauses(words)
        several.values(words)
    assert time.monotonic() - begun < 1.0
