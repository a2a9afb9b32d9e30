"""Where the value of a parameter stands in a request."""

from __future__ import annotations

from typing import Any

import pytest

from mirim.examples.tasks import slot, tools

REQUEST = 'Print 30 copies of "menu.pdf" on Canon-Lobby, please.'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("canon-lobby", ["Canon-Lobby"]),
        (30, ["30"]),
        (0.3, ["30"]),
        (3, []),
        (True, []),
        ("menu", ["menu"]),
        ("lobby_please", []),
        (["menu.pdf", "Canon-Lobby"], ['menu.pdf" on Canon-Lobby']),
        (["menu.pdf", "tray"], []),
        ("", []),
        (None, []),
    ],
)
def test_where_a_value_stands(value: Any, said: list[str]) -> None:
    assert [REQUEST[a:b] for a, b in slot.places(value, REQUEST)] == said


def test_underscores_may_be_blanks_and_numbers_have_either_point() -> None:
    assert slot.places("pain_relief", "Some pain relief") == ((5, 16),)
    assert slot.places(1234.5, "R$ 1.234,5 or 1,234.5") == ((3, 10), (14, 21))


def test_where_days_times_numbers_in_words_and_lists_stand() -> None:
    stay = "From 3 May 2031 to May 5th, 2031: two adults, one child and two dogs."
    assert [stay[a:b] for a, b in slot.places("2031-05-05", stay)] == ["May 5th, 2031"]
    assert [stay[a:b] for a, b in slot.places(2, stay)] == ["two", "two"]
    assert [stay[a:b] for a, b in slot.places(1, stay)] == ["one"]
    assert [stay[a:b] for a, b in slot.places([2, 1], stay)] == ["two adults, one"]
    assert [stay[a:b] for a, b in slot.places(["child", "dogs"], stay)] == ["child and two dogs"]
    assert slot.places(["dogs", "child"], stay) == ()
    assert [stay[a:b] for a, b in slot.places("2031-05-03", stay, "pt")] == []
    assert slot.places("2031-05-06", stay) == ()
    assert [stay[a:b] for a, b in slot.places("2031-05-03", stay.replace("May 2031", "May"))] == ["3 May"]
    late = "Dinner at 8 pm for 8, or at 20:00"
    assert [late[a:b] for a, b in slot.places("20:00", late)] == ["20:00"]
    assert [late[a:b] for a, b in slot.places("20:00", late[:18])] == ["8 pm"]
    assert slot.places("21:00", late) == ()
    # As the parameter wants it, the day first, although the request is in English.
    assert [stay[a:b] for a, b in slot.places("05/05/2031", stay)] == ["May 5th, 2031"]
    assert [stay[a:b] for a, b in slot.places("03/05/2031", stay)] == ["3 May 2031"]


def test_a_parameter_is_asked_for_in_its_own_words() -> None:
    def wanted(name: str, place: dict[str, Any]) -> str:
        (words,) = slot.wanted({name: place})
        return words

    assert wanted("arrival_city", {}) == "arrival city"
    assert wanted("city", {"description": " City of arrival. Not its code."}) == "City of arrival"
    assert wanted("size", {"enum": ["S", 2]}) == "size (S, 2)"
    for says in ("City, e.g. Lisbon", "Cidade (ex. Lisboa)", "Cidade, p. ex. Lisboa"):
        assert wanted("city", {"description": f"{says}. Not its code."}) == says
    sizes = {"type": "array", "items": {"enum": list("abcdefg")}}
    assert wanted("sizes", sizes) == "sizes (a, b, c, d, e, f, …)"
    assert wanted("sizes", {"type": "array", "items": True}) == "sizes"
    city = {"description": "Name of the city"}
    assert slot.wanted({"from city": city, "to city": city}) == [
        "from city: Name of the city",
        "to city: Name of the city",
    ]
    assert slot.wanted({"from city": {}, "to city": city}) == ["from city", "Name of the city"]


def test_what_is_asked_back_is_known_again() -> None:
    one = tools.asking(["city"], "pt")
    several = tools.asking(["City", "day"], "de")
    assert one == "Para isso ainda preciso saber: city."
    assert several == "To do that I still need to know:\n- City\n- day"
    assert tools.asks(one)
    assert tools.asks(f"Well. {several}")
    assert not tools.asks("To do that I still need time.")
    assert tools.asked(one) == ["city"]
    assert tools.asked(f"Well. {several}") == ["City", "day"]
    assert tools.asked("To do that I still need time.") == []
    (said,) = slot.wanted({"size": {"description": "One of\n- small.\n- large."}})
    assert tools.asked(tools.asking([said, "colour"], "en")) == ["One of - small", "colour"]
