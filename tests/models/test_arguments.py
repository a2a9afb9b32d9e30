"""What the words that are pointed at mean as the value of a parameter: texts, numbers, days, times, lists."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from mirim.models.pointing import Pointed
from mirim.models.slots import fill
from tests.models.pointed import TODAY, Pointer, meant


def test_a_day_may_be_said_from_today_on() -> None:
    day, stay = {"type": "string", "format": "date"}, "A room at Lume from tomorrow until Friday, please"
    assert meant("A room at Lume for tomorrow", day, **{"A room at Lume for tomorrow": 0.9, "Lume": 0.1}) == [
        "2026-11-30"
    ]
    assert meant(stay, day, **{"tomorrow": 0.3, "until Friday": 0.7}) == ["2026-12-04"]
    assert meant(stay, {"type": "string", "description": "DD/MM/YYYY"}, **{"from tomorrow": 1.0}) == ["30/11/2026"]
    # Beside one that is said in whole; as words where a parameter takes words.
    both = "From tomorrow until March 5th, 2027"
    assert meant(both, day, **{"March 5th, 2027": 0.9, "tomorrow": 0.1}) == ["2027-03-05"]
    assert meant(both, day, **{"March 5th, 2027": 0.2, "tomorrow": 0.8}) == ["2026-11-30"]
    assert meant(stay, {"type": "string"}, tomorrow=1.0) == ["tomorrow"]
    # Without a year the next one, or the last one where it says since when; one that the request names goes first.
    assert meant("Two nights from March 4th.", day, **{"March 4th": 1.0}) == ["2027-03-04"]
    assert meant("All that came since March 4th.", day, **{"March 4th": 1.0}) == ["2026-03-04"]
    # Two days in one piece of text: each may be meant.
    function = {"name": "f", "parameters": {"properties": {"it": day, "on": day}}}
    pointed = Pointed(4.0, {"December 4th to December 8th": 0.8, "December 8th": 0.1, "December 4th": 0.1})
    ((found, _),) = fill(Pointer(it=pointed, on=pointed), "Paris, December 4th to December 8th", [function], TODAY)  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["2026-12-04"], ["2026-12-08"]]


def test_numbers_within_what_is_pointed_at_are_meant_too() -> None:
    number = {"type": "integer"}
    assert meant("Aged 58, I paid for 27 years", number, **{"58, I paid for 27": 0.4, "27": 0.6}) == [27]
    assert meant("It took 40 minutes", number, **{"40 minutes": 0.9, "It took": 0.1}) == [40]
    assert meant("For a dozen people", number, **{"a dozen": 1.0}) == [12]
    assert meant("Um saldo de 22 mil reais", number, **{"22 mil": 1.0}) == [22000]
    assert meant("Convert 15 million yen", number, **{"15": 1.0}) == [15000000]
    assert meant("In 2028 for 8 of 28", number, **{"8": 1.0}) == [8]


def test_a_day_is_written_as_the_parameter_wants_it() -> None:
    text, stay = {"type": "string"}, "Two nights from March 4th, 2031, please."
    day = {"March 4th, 2031": 0.9, "March": 0.1}
    assert meant(stay, text | {"description": "First day, YYYY-MM-DD."}, **day) == ["2031-03-04"]
    assert meant(stay, text | {"description": "Dia (DD/MM/AAAA)."}, **day) == ["04/03/2031"]
    assert meant(stay, text | {"format": "date"}, **day) == ["2031-03-04"]
    assert meant(stay, text | {"format": "date-time"}, **day) == "left out"
    # Not said how: either will do.
    assert meant(stay, text, **day) == ["March 4th, 2031", "2031-03-04"]
    brazil = {"04/03/2031": 1.0}
    assert meant("Quero uma noite em 04/03/2031, por favor.", text | {"format": "date"}, **brazil) == ["2031-03-04"]
    between = {"March 4th": 1.0}
    assert meant("From March 4th to May 6th, 2031", text | {"format": "date"}, **between) == ["2031-03-04"]
    # A day with its time is for the model to say.
    assert meant(stay, text | {"description": "YYYY-MM-DD HH:MM"}, **day) == "left out"


def test_a_time_is_written_as_the_parameter_wants_it() -> None:
    clock = {"type": "string", "description": "Starts at, HH:MM."}
    assert meant("Wake me at half past six, Ana", clock, **{"half past six": 1.0}) == ["06:30"]
    assert meant("Me acorde às 9 da noite", clock, **{"9 da noite": 1.0}) == ["21:00"]
    seconds = clock | {"description": "24 hours, hh:mm:ss"}
    assert meant("Wake me at 6:30 pm, Ana", seconds, **{"6:30 pm": 1.0}) == ["18:30:00"]
    assert meant("Wake me at 6:30 pm, Ana", {"type": "string"}, **{"6:30 pm": 1.0}) == ["6:30 pm"]
    # Of twelve hours, or no time at all: what the model writes.
    twelve = clock | {"description": "HH:MM AM/PM"}
    assert meant("Wake me at 6:30 pm, Ana", twelve, **{"6:30 pm": 1.0}) == ["6:30 pm"]
    assert meant("Wake me at dawn, Ana", clock, dawn=1.0) == "left out"


def test_a_day_and_a_time_may_be_wanted_in_one() -> None:
    both, call = (
        {"type": "string", "description": "YYYY-MM-DD HH:MM"},
        "Meet Ana tomorrow at 3 pm or on March 5th at 11:15",
    )
    assert meant(call, both, **{"tomorrow at 3 pm": 1.0}) == ["2026-11-30 15:00"]
    assert meant(call, both, **{"11:15": 1.0}) == ["2027-03-05 11:15"]
    shown = {"type": "string", "description": "Start, e.g. 2024-05-01T10:00:00"}
    assert meant("Das 9h às 10h30 de amanhã, por favor", shown, **{"9h": 1.0}) == ["2026-11-30T09:00:00"]
    # Without a day it is today's; with an offset that of this place.
    assert meant("Call Ana at 8 pm, please", both, **{"8 pm": 1.0}) == ["2026-11-29 20:00"]
    moment = datetime.datetime(2026, 11, 29, 20).astimezone().isoformat()
    assert meant("Call Ana at 8 pm, please", {"type": "string", "format": "date-time"}, **{"8 pm": 1.0}) == [moment]
    # The end is not the beginning, where both are told; and left out where one is.
    span = {"name": "f", "parameters": {"properties": {"it": both, "on": both}, "required": ["it"]}}
    pointer = Pointer(it=Pointed(5.0, {"9h": 1.0}), on=Pointed(3.0, {"10h30": 0.6, "9h": 0.4}))
    for request, moments in (
        ("Das 9h às 10h30 de amanhã", [["2026-11-30 09:00"], ["2026-11-30 10:30"]]),
        ("Às 9h de amanhã", [["2026-11-30 09:00"]]),
    ):
        ((found, _),) = fill(pointer, request, [span], TODAY)  # type: ignore[arg-type]
        assert [p["enum"] for p in found["parameters"]["properties"].values()] == moments
    # An example of a day or of a time says how it is written too.
    day, clock = (
        {"type": "string", "description": "Day, e.g. 2024-05-01"},
        {"type": "string", "description": "As 09:30"},
    )
    assert meant(call, day, tomorrow=1.0) == ["2026-11-30"]
    assert meant(call, clock, **{"3 pm": 1.0}) == ["15:00"]
    # Hours and days that a description has for other reasons.
    note = {"type": "string", "description": "Note; we read it from 09:00 to 17:00, since 2024-05-01."}
    assert meant(call, note, Ana=1.0) == ["Ana"]


def test_what_stands_between_quotation_marks_is_one_value() -> None:
    text, book = {"type": "string"}, "Find 'Salt: A Winter's Tale' by Ana, and \"Fog\"."
    assert meant(book, text, Salt=1.0) == ["Salt: A Winter's Tale"]
    assert meant(book, text, **{"A Winter's Tale": 1.0}) == ["Salt: A Winter's Tale"]
    assert meant(book, text, **{"Find 'Salt: A Winter's Tale'": 1.0}) == ["Salt: A Winter's Tale"]
    assert meant(book, text, **{'and "Fog"': 1.0}) == ["Fog"]
    # From its middle, or a word that stands outside too: as it is pointed at.
    assert meant("Tell Bo 'meet me in Rio at 5' now", text, Rio=1.0) == ["Rio"]
    assert meant("Is 'Salt and Fog' a Salt book?", text, Salt=1.0) == ["Salt"]
    assert meant("Ana's friends' book", text, **{"friends": 1.0}) == ["friends"]


def test_a_list_is_of_the_parts_that_are_said() -> None:
    texts, request = (
        {"type": "array", "items": {"type": "string"}},
        "Buy rice, black beans and a lime for 3, 4 or five.",
    )
    assert meant(request, texts, **{"rice, black beans and a lime": 1.0}) == [["rice", "black beans", "lime"]]
    assert meant(request, texts, rice=1.0) == [["rice"]]
    assert meant("Compre arroz, feijão e lima", texts, **{"arroz, feijão e lima": 1.0}) == [["arroz", "feijão", "lima"]]
    whole = {"type": "array", "items": {"type": "integer"}}
    both = {"rice as well as the beans, plus lime": 1.0}
    assert meant("rice as well as the beans, plus lime", texts, **both) == "left out"  # all that is said: not made up
    assert meant("Buy rice as well as the beans, plus lime", texts, **both) == [["rice", "beans", "lime"]]
    assert meant(request, whole, **{"3, 4 or five": 0.7, "3": 0.3}) == [[3, 4, 5]]
    assert meant("The mean of 2.5 and 3", whole, **{"2.5 and 3": 1.0}) == "left out"
    assert meant("The mean of 2.5 and 3", {"type": "array", "items": {"type": "number"}}, **{"2.5 and 3": 1.0}) == [
        [2.5, 3]
    ]
    named = {"type": "array", "items": {"type": "string", "enum": ["beans", "lime", "rice", "salt"]}}
    assert meant(request, named, rice=1.0) == [["rice", "beans", "lime"]]
    assert meant(request, texts | {"minItems": 2}, rice=1.0) == "left out"
    # Lists of lists, or of anything: left to the model.
    for items in ({"type": "array", "items": {"type": "string"}}, {}):
        assert meant(request, texts | {"items": items}, rice=1.0) is None


def test_a_long_number_keeps_its_last_digit() -> None:
    parcel = "Where is parcel 12345678901234567891?"
    assert meant(parcel, {"type": "integer"}, **{"12345678901234567891": 1.0}) == [12345678901234567891]


def test_a_value_keeps_its_own_full_stop_and_loses_half_a_quotation() -> None:
    text = {"type": "string"}
    assert meant("How old is the U.S.?", text, **{"U.S.": 1.0}) == ["U.S."]
    assert meant("Is it Porto F.C. Tell me.", text, **{"Porto F.C": 1.0}) == ["Porto F.C."]
    assert meant("What is a Super Bros. game worth?", text, **{"Super Bros.": 1.0}) == ["Super Bros."]
    assert meant("Look for Ana. Then stop.", text, **{"Ana.": 1.0}) == ["Ana"]
    assert meant("Find the card 'Queen' now.", text, **{"the card 'Queen": 1.0}) == ["Queen"]
    assert meant("Find Ana's card.", text, **{"Ana's card": 1.0}) == ["Ana's card"]


def test_what_answers_a_question_is_taken_whole() -> None:
    def told(reply: str, **spans: float) -> Any:
        pointer, function = Pointer(it=Pointed(2.0, spans)), {"name": "f", "parameters": {"properties": {"it": text}}}
        ((found, _),) = fill(pointer, f"A trip.\n{reply}", [function], TODAY, reply)  # type: ignore[arg-type]
        return found["parameters"]["properties"]["it"]["enum"]

    text = {"type": "string"}
    assert told("Kuala Lumpur", Lumpur=1.0) == ["Kuala Lumpur"]
    assert told("To Kuala Lumpur, please.", Lumpur=1.0) == ["Kuala Lumpur"]
    assert told("Porto, por favor", **{"Porto, por favor": 1.0}) == ["Porto"]
    assert told("I want Porto", Porto=1.0) == ["Porto"]
    assert told("We go to a trip. Porto", Porto=1.0) == ["Porto"]
    # Only what was asked back is answered so.
    assert meant("A trip.\nKuala Lumpur", text, Lumpur=1.0) == ["Lumpur"]


@pytest.mark.parametrize(
    ("description", "request_", "value"),
    [
        ("Date in yyyy-mm-dd format", "tomorrow", "2026-11-30"),
        ("Data (dd/mm/aaaa)", "é amanhã", "30/11/2026"),
        ("ISO 8601 date", "tomorrow", "2026-11-30"),
        ("Day in ISO format date", "tomorrow", "2026-11-30"),
    ],
)
def test_a_description_says_in_any_case_how_a_day_is_written(description: str, request_: str, value: str) -> None:
    place = {"type": "string", "description": description}
    assert meant(request_, place, **{request_.split()[-1]: 1.0}) == [value]


def test_a_moment_may_be_written_as_machines_do() -> None:
    for place in ({"type": "string", "format": "date-time"}, {"type": "string", "description": "ISO 8601 date-time"}):
        assert meant("by 2026-12-05T10:00:00Z sharp", place, x=1.0) == ["2026-12-05T10:00:00+00:00"]
        assert meant("by 2026-12-05T10:00-03:00", place, x=1.0) == ["2026-12-05T10:00:00-03:00"]
        (near,) = meant("tomorrow at 10", place, x=1.0)
        assert near.startswith("2026-11-30T10:00:00")
    # A year whose offset nobody knows.
    assert meant("on 0001-01-01 at 10:00", {"type": "string", "format": "date-time"}, x=1.0) == "left out"
    assert meant("on 2026-13-45T10:00:00Z", {"type": "string", "format": "date-time"}, x=1.0) == "left out"


def test_a_list_keeps_to_its_least_and_most_items() -> None:
    listed = {"type": "array", "items": {"type": "string", "enum": ["pool", "gym", "spa"]}}
    assert meant("pool, gym and spa", listed | {"maxItems": 3}, pool=1.0) == [["pool", "gym", "spa"]]
    assert meant("pool, gym and spa", listed | {"maxItems": 2}, pool=1.0) is None
    assert meant("a pool", listed | {"minItems": 2}, pool=1.0) is None


def test_thousands_are_parted_by_points_in_portuguese() -> None:
    money = {"type": "number"}
    assert meant("Quero pagar R$ 1.500 para ela hoje", money, **{"1.500": 1.0}) == [1500]
    assert meant("Quero pagar R$ 1,5 para ela hoje", money, **{"1,5": 1.0}) == [1.5]
    assert meant("I want to pay 1.500 for it today", money, **{"1.500": 1.0}) == [1.5, 1500]
    some = {"type": "array", "items": {"type": "integer"}}
    assert meant("Quero os de 10k e 20k para hoje", some, **{"10k e 20k": 1.0}) == [[10000, 20000]]
    assert meant("Quero os de 1.500 e 2.500 para hoje", some, **{"1.500 e 2.500": 1.0}) == [[1500, 2500]]


def test_plus_may_be_a_part_of_a_name() -> None:
    some = {"type": "array", "items": {"type": "string"}}
    assert meant("Get an iPhone 15 Plus and a case", some, **{"iPhone 15 Plus and a case": 1.0}) == [
        ["iPhone 15 Plus", "case"]
    ]
    assert meant("Get apples plus a pear", some, **{"apples plus a pear": 1.0}) == [["apples", "pear"]]
