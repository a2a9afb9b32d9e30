"""What a request says for a function's parameters: what is asked, what is pointed at, and what may be written then."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import pytest

from mirim.core.types import Passage
from mirim.documents.words import parted
from mirim.examples.tasks import slot
from mirim.models.pointing import Pointed
from mirim.models.slots import MOST, fill, serves

REQUEST = 'Print 30 copies of "menu.pdf" on Canon-Lobby, please.'


class _Pointer:
    """Points at what it is told for the first word of each question."""

    def __init__(self, **told: Pointed | None) -> None:
        self.told = told
        self.asked: list[str] = []

    def point(self, asked: Sequence[tuple[str, Passage]], longest: int = 0) -> list[Pointed | None]:
        self.asked = [question for question, _ in asked]
        self.shown = {f"{passage.heading} | {passage.text}" for _, passage in asked}
        assert longest == len(asked[0][1].text)
        return [self.told.get(question.split(":")[0].split()[0], Pointed(-4.0, {"x": 1.0})) for question in self.asked]


def _function(required: Sequence[str] = (), **places: Any) -> dict[str, Any]:
    return {
        "name": "print",
        "description": "Print a file.",
        "parameters": {"type": "object", "properties": places, "required": list(required)},
    }


def _filled(place: dict[str, Any], **spans: float) -> Any:
    pointer = _Pointer(print=Pointed(3.0, {REQUEST: 1.0}), it=Pointed(2.0, spans))
    (found,) = fill(pointer, REQUEST, [_function(it=place)])  # type: ignore[arg-type]
    return found["parameters"]["properties"]["it"].get("enum")


def test_each_parameter_is_asked_for_and_a_function_by_its_name() -> None:
    pointer = _Pointer(print=Pointed(3.0, {REQUEST: 1.0}), scan=None)
    size = {"type": "string", "enum": ["A4", "A3"]}
    printing = _function(paper_size=size, copies={"type": "integer", "description": "How many."})
    scanning = {"name": "scan", "parameters": {"properties": {"copies": {"type": "string"}}}}
    printed, scanned = fill(pointer, REQUEST, [printing, scanning])  # type: ignore[arg-type]
    assert pointer.asked == ["paper size (A4, A3)", "copies: How many.", "copies"]
    assert pointer.shown == {f"print: Print a file. | {REQUEST}", f"scan | {REQUEST}"}
    assert (printed["name"], scanned["name"]) == ("print", "scan")
    assert serves(pointer, REQUEST, [printing, scanning]) == [3.0, None]  # type: ignore[arg-type]
    assert pointer.asked == ["print", "scan"]
    for name in ("paperSize", "PaperSize", "paper-size", "PAPER_SIZE"):
        fill(pointer, REQUEST, [_function(**{name: size})])  # type: ignore[arg-type]
        assert pointer.asked == ["paper size (A4, A3)"]


def test_what_is_not_given_is_left_out_unless_it_is_needed() -> None:
    places = {name: {"type": "string"} for name in ("file", "tray", "ink")}
    pointer = _Pointer(print=Pointed(3.0, {}), file=Pointed(2.0, {"menu.pdf": 1.0}))
    (found,) = fill(pointer, REQUEST, [_function(("ink",), **places)])  # type: ignore[arg-type]
    assert found["parameters"]["properties"] == {
        "file": {"type": "string", "enum": ["menu.pdf"]},
        "ink": {"type": "string"} | {"enum": ["x"]},
    }
    # What the request gives is asked for, as what is needed anyway.
    assert found["parameters"]["required"] == ["file", "ink"]
    # What nothing is said for holds nothing, and not whatever comes to mind.
    (found,) = fill(_Pointer(print=Pointed(3.0, {})), REQUEST, [_function(tray={"type": "string"})])  # type: ignore[arg-type]
    assert found["parameters"] == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_texts_are_those_pointed_at_without_what_stands_around_them() -> None:
    given = {'"menu.pdf"': 0.5, "menu.pdf": 0.2, "menu.pdf on Canon-Lobby,": 0.2, "30": 0.06, "Print": 0.04}
    assert _filled({"type": "string"}, **given) == ["menu.pdf"]


def test_numbers_are_read_as_the_type_wants_them() -> None:
    assert _filled({"type": "integer"}, **{"30 copies": 0.1, "30": 0.9}) == [30]
    assert _filled({"type": "number"}, **{"30": 1.0}) == [30]
    assert _filled({"type": "integer"}, **{"2.5": 1.0}) is None
    assert _filled({"type": "number"}, **{"1,234.5": 1.0}) == [1234.5]
    assert _filled({"type": "integer"}, thirty=0.9, **{"3": 0.1}) == [30]
    # Said in other ways: any number may be written.
    assert _filled({"type": "integer"}, dozens=0.9, **{"30": 0.1}) is None


def test_no_words_are_meant_for_two_parameters_where_that_can_be() -> None:
    likely = {"menu.pdf": 0.7, "Canon-Lobby": 0.3}
    pointer = _Pointer(it=Pointed(2.0, likely), on=Pointed(2.0, {"menu.pdf": 0.95, "Canon-Lobby": 0.05}))
    text = {"type": "string"}
    (found,) = fill(pointer, REQUEST, [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    values = {name: place["enum"] for name, place in found["parameters"]["properties"].items()}
    assert values == {"it": ["Canon-Lobby"], "on": ["menu.pdf"]}
    # One that may be left out is, where nothing else is likely for it: the one that is the less likely given.
    alike = Pointed(2.0, {"menu.pdf": 0.999, "Print": 0.001})
    less = alike._replace(odds=1.0)
    (found,) = fill(_Pointer(it=less, on=alike), REQUEST, [_function(it=text, on=text)])  # type: ignore[arg-type]
    assert found["parameters"]["properties"] == {"on": text | {"enum": ["menu.pdf"]}}
    # If both are needed and what is left is hardly pointed at, both have the same words.
    alike = Pointed(2.0, {"menu.pdf": 0.99999, "Print": 0.00001})
    (found,) = fill(_Pointer(it=alike, on=alike), REQUEST, [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["menu.pdf"]] * 2
    # Words that stand twice may be meant twice.
    twice = "From Porto to Porto."
    pointer = _Pointer(it=Pointed(2.0, {"Porto": 0.7, "From": 0.3}), on=Pointed(2.0, {"Porto": 0.7, "From": 0.3}))
    (found,) = fill(pointer, twice, [_function(it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["Porto"]] * 2


def test_two_parts_of_a_quotation_are_the_same_words() -> None:
    book, text = "Lend 'Salt: A Tale' to Ana", {"type": "string"}
    title = {"Salt": 0.6, "Ana": 0.4}
    pointer = _Pointer(it=Pointed(2.0, title), on=Pointed(2.0, {"A Tale": 0.9, "Ana": 0.1}))
    (found,) = fill(pointer, book, [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["Ana"], ["Salt: A Tale"]]


def test_of_values_to_choose_from_those_that_the_request_names_are_left() -> None:
    assert _filled({"type": "string", "enum": ["email", "print", "fax"]}, thirty=1.0) == ["print"]
    assert _filled({"type": "integer", "enum": [10, 20, 30]}, thirty=1.0) == [30]
    assert _filled({"type": "string", "enum": ["email", "fax"]}, thirty=1.0) == ["email", "fax"]


@pytest.mark.parametrize(
    "place",
    [
        {"type": "string", "enum": ["a"]},
        {"type": "string", "pattern": "a+"},
        {},
        {"type": "string", "format": "date"},
    ],
)
def test_only_free_texts_and_numbers_are_held_to_the_request(place: dict[str, Any]) -> None:
    assert _filled(place, **{"menu.pdf": 1.0}) == place.get("enum")


def test_what_the_request_says_in_other_words_may_be_anything() -> None:
    assert _filled({"type": "string"}, **{REQUEST: 0.6, "menu.pdf": 0.4}) is None
    assert _filled({"type": "string"}, **{REQUEST: 0.4, "menu.pdf": 0.6}) == ["menu.pdf"]


def test_a_share_may_be_said_in_hundredths() -> None:
    function = {"name": "f", "parameters": {"properties": {"rate": {"type": "number"}}}}
    (found,) = fill(_Pointer(rate=Pointed(1.0, {"3.5": 1.0})), "3.5% a year", [function])  # type: ignore[arg-type]
    assert found["parameters"]["properties"]["rate"]["enum"] == [3.5, 0.035]
    (found,) = fill(_Pointer(rate=Pointed(1.0, {"5": 1.0})), "5 at 15%", [function])  # type: ignore[arg-type]
    assert found["parameters"]["properties"]["rate"]["enum"] == [5]


def test_what_cannot_be_told_is_left_as_it_is() -> None:
    text = {"type": "string"}
    joined = {"name": "print", "parameters": {"anyOf": [{"properties": {"a": {}}}]}}
    bare = {"name": "print"}
    for odd in ({"properties": ["it"]}, {"properties": {"it": True}}, {"required": None}, {}):
        assert fill(_Pointer(), REQUEST, [{"name": "print", "parameters": odd}]) == [
            {"name": "print", "parameters": odd}
        ]  # type: ignore[arg-type]
    nothing = {"name": "print", "parameters": {"properties": {"it": text}, "required": None}}
    (found,) = fill(_Pointer(), REQUEST, [nothing])  # type: ignore[arg-type]
    assert found["parameters"]["required"] == []
    # Too long to be seen whole: one parameter cannot be told without the others.
    long = _function(it=text, on=text)
    pointer = _Pointer(it=None, on=Pointed(2.0, {"menu.pdf": 1.0}))
    assert fill(pointer, REQUEST, [joined, bare, long]) == [joined, bare, long]  # type: ignore[arg-type]
    assert pointer.asked == ["it", "on"]
    # Too many to be asked for in passing.
    many = [_function(**{f"p{n}": text for n in range(MOST // 2)})] * 2
    assert fill(_Pointer(), REQUEST, many) != many  # type: ignore[arg-type]
    assert fill(_Pointer(), REQUEST, [*many, _function(it=text)]) == [*many, _function(it=text)]  # type: ignore[arg-type]
    assert serves(_Pointer(), REQUEST, [bare] * MOST) == [-4.0] * MOST  # type: ignore[arg-type]
    assert serves(_Pointer(), REQUEST, [bare] * (MOST + 1)) == [None] * (MOST + 1)  # type: ignore[arg-type]


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


#: A Sunday.
TODAY = datetime.date(2026, 11, 29)


def _said(request: str, place: dict[str, Any], name: str = "it", odds: float = 2.0, **spans: float) -> Any:
    pointer = _Pointer(**{parted(name).split()[0]: Pointed(odds, spans)})
    function = {"name": "f", "parameters": {"properties": {name: place}}}
    (found,) = fill(pointer, request, [function], TODAY)  # type: ignore[arg-type]
    properties = found["parameters"]["properties"]
    return properties[name].get("enum") if name in properties else "left out"


def test_a_day_may_be_said_from_today_on() -> None:
    day, stay = {"type": "string", "format": "date"}, "A room at Lume from tomorrow until Friday, please"
    assert _said("A room at Lume for tomorrow", day, **{"A room at Lume for tomorrow": 0.9, "Lume": 0.1}) == [
        "2026-11-30"
    ]
    assert _said(stay, day, **{"tomorrow": 0.3, "until Friday": 0.7}) == ["2026-12-04"]
    assert _said(stay, {"type": "string", "description": "DD/MM/YYYY"}, **{"from tomorrow": 1.0}) == ["30/11/2026"]
    # Beside one that is said in whole; as words where a parameter takes words.
    both = "From tomorrow until March 5th, 2027"
    assert _said(both, day, **{"March 5th, 2027": 0.9, "tomorrow": 0.1}) == ["2027-03-05"]
    assert _said(both, day, **{"March 5th, 2027": 0.2, "tomorrow": 0.8}) == ["2026-11-30"]
    assert _said(stay, {"type": "string"}, tomorrow=1.0) == ["tomorrow"]
    # Without a year the next one, or the last one where it says since when; one that the request names goes first.
    assert _said("Two nights from March 4th.", day, **{"March 4th": 1.0}) == ["2027-03-04"]
    assert _said("All that came since March 4th.", day, **{"March 4th": 1.0}) == ["2026-03-04"]
    # Two days in one piece of text: each may be meant.
    function = {"name": "f", "parameters": {"properties": {"it": day, "on": day}}}
    pointed = Pointed(4.0, {"December 4th to December 8th": 0.8, "December 8th": 0.1, "December 4th": 0.1})
    (found,) = fill(_Pointer(it=pointed, on=pointed), "Paris, December 4th to December 8th", [function], TODAY)  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["2026-12-04"], ["2026-12-08"]]


def test_money_countries_and_languages_are_given_by_their_codes_where_codes_are_wanted() -> None:
    text, pay = {"type": "string"}, "How many Canadian dollars are 500 US dollars, in plain English, from Brazil?"
    assert _said(pay, text, "currency", **{"500 US": 0.7, "Canadian": 0.3}) == ["USD"]
    assert _said(pay, text | {"description": "Moeda (código)"}, **{"Canadian dollars": 1.0}) == ["CAD"]
    assert _said(pay, text | {"description": "Name of the currency"}, "currency", **{"US dollars": 1.0}) == [
        "US dollars"
    ]
    assert _said("Quanto são 30 reais em euros?", text, "moeda", reais=0.4, euros=0.6) == ["EUR"]
    codes = {"type": "array", "items": {"type": "string", "description": "ISO code of a currency"}}
    assert _said(pay, codes, **{"Canadian dollars are 500 US dollars": 0.9, "500": 0.1}) == [["CAD", "USD"]]
    assert _said(pay, text | {"description": "Language, e.g. 'pt'"}, English=1.0) == ["en"]
    assert _said(pay, text | {"description": "Language, e.g. 'Portuguese'"}, English=1.0) == ["English"]
    assert _said(pay, text | {"description": "Two-letter country code"}, Brazil=1.0) == ["BR"]
    assert _said(pay, text | {"enum": ["BRL", "EUR", "USD"]}, pay=1.0) == ["USD"]
    # Values that are codes of languages too, but sizes or said as they are.
    assert _said("Use sm please", text | {"enum": ["sm", "lg"]}, sm=1.0) == ["sm"]
    assert _said("Put it into pt, please", text | {"enum": ["pt", "en"]}, pt=1.0) == ["pt"]
    assert _said("Put it into English", text | {"enum": ["pt", "en"]}, English=1.0) == ["en"]
    # Held to more than that it is a text: left to the model.
    assert _said(pay, text | {"pattern": "[a-z]{3}"}, "currency", **{"500 US": 1.0}) is None
    # None is named: what is pointed at.
    assert _said("Convert 20 bitcoin", text, "currency", bitcoin=1.0) == ["bitcoin"]


def test_values_are_named_by_their_words_in_any_form() -> None:
    kinds = {"type": "string", "enum": ["multi-player", "Gluten Free", "single_room", "women"]}
    for said, value in (
        ("Find a multiplayer game", "multi-player"),
        ("Any gluten-free bread?", "Gluten Free"),
        ("Two single rooms", "single_room"),
    ):
        assert _said(said, kinds, said=1.0) == [value]
    list_of = {"type": "array", "items": {"type": "string", "enum": ["Goals Scored", "Assists Made", "Cards Received"]}}
    assert _said("What about Messi's goals and assists?", list_of, goals=1.0) == [["Goals Scored", "Assists Made"]]
    # Kindred words of the other language.
    cabin = {"type": "string", "enum": ["economy", "business", "first"]}
    assert _said("Um voo amanhã, classe econômica", cabin, voo=1.0) == ["economy"]
    # A value within a longer one is not meant; one word for all values names none.
    miles = {"type": "string", "enum": ["miles", "nautical_miles"]}
    assert _said("In nautical miles, please", miles, **{"nautical miles": 1.0}) == ["nautical_miles"]
    trips = {"type": "string", "enum": ["round trip", "day trip"]}
    assert _said("A trip to Porto", trips, trip=1.0) == ["round trip", "day trip"]
    # Two are named: the one that is pointed at.
    scales = {"type": "string", "enum": ["Celsius", "Fahrenheit", "Kelvin"]}
    warm = "Turn 300 Kelvin into Celsius now"
    assert _said(warm, scales, **{"into Celsius": 0.8, "Kelvin": 0.2}) == ["Celsius"]
    assert _said(warm, scales, **{"300 Kelvin": 0.8, "Celsius": 0.2}) == ["Kelvin"]


def test_what_the_request_names_is_given_where_pointing_doubts_it() -> None:
    pets = {"type": "array", "items": {"type": "string", "enum": ["pet_friendly", "gym"]}}
    assert _said("A pet friendly hotel", pets, odds=-4.0, hotel=1.0) == [["pet_friendly"]]
    assert _said("A pet friendly hotel", pets, odds=-9.0, hotel=1.0) == "left out"
    assert _said("A friendly hotel, no sports", pets, odds=-9.0, hotel=1.0) == "left out"


def test_a_description_may_list_the_values_or_show_how_they_are_written() -> None:
    def said(request: str, description: str, name: str = "it", **spans: float) -> Any:
        return _said(request, {"type": "string", "description": description}, name, **spans)

    assert said("The C major scale", "Either major or minor. Default is 'major'.", **{"C major": 1.0}) == ["major"]
    assert said("A heart card", "One of: 'spades', 'hearts'.", **{"a heart card": 1.0}) == ["hearts"]
    assert said("Um voo só de ida", "Pode ser 'só ida' ou 'ida e volta'.", voo=1.0) == ["só ida"]
    # It names none of them, or more may be meant than are listed.
    place = {"type": "string", "description": "Either major or minor", "default": ["major"]}
    assert _said("The C major scale", place, **{"C major": 1.0}) == ["C major"]
    assert said("A card of clubs", "One of: 'spades', 'hearts'.", clubs=1.0) == ["clubs"]
    assert said("A heart card", "Can be 'spades', 'hearts' etc.", **{"heart card": 1.0}) == ["heart card"]
    assert said("Some vegetarian pasta", "Diet, e.g. 'Vegetarian'.", vegetarian=1.0) == ["Vegetarian"]
    assert said("A gluten-free cake", "Diet such as Gluten free, Vegan", **{"gluten-free": 1.0}) == ["Gluten free"]
    assert said("Some vegan pasta", "Diet, e.g. 'Vegetarian'.", vegan=1.0) == ["vegan"]
    for name in ("room_type", "hotelRoomType"):
        assert said("A single room now", "Kind of room.", name, **{"single room": 1.0}) == ["single"]
    assert said("Um quarto duplo", "Tipo", "tipo_de_quarto", duplo=1.0) == ["duplo"]
    assert said("A single room now", "Room.", "room", **{"single room": 1.0}) == ["single room"]


def test_numbers_within_what_is_pointed_at_are_meant_too() -> None:
    number = {"type": "integer"}
    assert _said("Aged 58, I paid for 27 years", number, **{"58, I paid for 27": 0.4, "27": 0.6}) == [27]
    assert _said("It took 40 minutes", number, **{"40 minutes": 0.9, "It took": 0.1}) == [40]
    assert _said("For a dozen people", number, **{"a dozen": 1.0}) == [12]
    assert _said("Um saldo de 22 mil reais", number, **{"22 mil": 1.0}) == [22000]
    assert _said("Convert 15 million yen", number, **{"15": 1.0}) == [15000000]
    assert _said("In 2028 for 8 of 28", number, **{"8": 1.0}) == [8]


def test_of_a_list_of_values_those_that_are_denied_are_left_out() -> None:
    wished = {"type": "array", "items": {"type": "string", "enum": ["pool", "breakfast", "wifi"]}}
    hotel = "A hotel with a pool, but no breakfast and no wifi"
    assert _said(hotel, wished, pool=1.0) == [["pool"]]
    assert _said(hotel, wished | {"description": "What is not wanted."}, pool=1.0) == [["pool", "breakfast", "wifi"]]
    assert _said("A hotel without breakfast", wished, hotel=1.0) == [["breakfast"]]


def test_of_two_that_are_as_likely_the_one_said_first_is_that_of_the_first_parameter() -> None:
    likely, text = Pointed(2.0, {"Porto": 0.5, "Faro": 0.5}), {"type": "string"}
    (found,) = fill(_Pointer(it=likely, on=likely), "Porto to Faro", [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["Porto"], ["Faro"]]


def test_a_day_is_written_as_the_parameter_wants_it() -> None:
    text, stay = {"type": "string"}, "Two nights from March 4th, 2031, please."
    day = {"March 4th, 2031": 0.9, "March": 0.1}
    assert _said(stay, text | {"description": "First day, YYYY-MM-DD."}, **day) == ["2031-03-04"]
    assert _said(stay, text | {"description": "Dia (DD/MM/AAAA)."}, **day) == ["04/03/2031"]
    assert _said(stay, text | {"format": "date"}, **day) == ["2031-03-04"]
    assert _said(stay, text | {"format": "date-time"}, **day) is None
    # Not said how: either will do.
    assert _said(stay, text, **day) == ["March 4th, 2031", "2031-03-04"]
    brazil = {"04/03/2031": 1.0}
    assert _said("Quero uma noite em 04/03/2031, por favor.", text | {"format": "date"}, **brazil) == ["2031-03-04"]
    between = {"March 4th": 1.0}
    assert _said("From March 4th to May 6th, 2031", text | {"format": "date"}, **between) == ["2031-03-04"]
    # A day with its time is for the model to say.
    assert _said(stay, text | {"description": "YYYY-MM-DD HH:MM"}, **day) is None


def test_a_time_is_written_as_the_parameter_wants_it() -> None:
    clock = {"type": "string", "description": "Starts at, HH:MM."}
    assert _said("Wake me at half past six, Ana", clock, **{"half past six": 1.0}) == ["06:30"]
    assert _said("Me acorde às 9 da noite", clock, **{"9 da noite": 1.0}) == ["21:00"]
    seconds = clock | {"description": "24 hours, hh:mm:ss"}
    assert _said("Wake me at 6:30 pm, Ana", seconds, **{"6:30 pm": 1.0}) == ["18:30:00"]
    assert _said("Wake me at 6:30 pm, Ana", {"type": "string"}, **{"6:30 pm": 1.0}) == ["6:30 pm"]
    # Of twelve hours, or no time at all: what the model writes.
    twelve = clock | {"description": "HH:MM AM/PM"}
    assert _said("Wake me at 6:30 pm, Ana", twelve, **{"6:30 pm": 1.0}) == ["6:30 pm"]
    assert _said("Wake me at dawn, Ana", clock, dawn=1.0) is None


def test_a_day_and_a_time_may_be_wanted_in_one() -> None:
    both, call = (
        {"type": "string", "description": "YYYY-MM-DD HH:MM"},
        "Meet Ana tomorrow at 3 pm or on March 5th at 11:15",
    )
    assert _said(call, both, **{"tomorrow at 3 pm": 1.0}) == ["2026-11-30 15:00"]
    assert _said(call, both, **{"11:15": 1.0}) == ["2027-03-05 11:15"]
    shown = {"type": "string", "description": "Start, e.g. 2024-05-01T10:00:00"}
    assert _said("Das 9h às 10h30 de amanhã, por favor", shown, **{"9h": 1.0}) == ["2026-11-30T09:00:00"]
    # Without a day it is today's; with an offset that of this place.
    assert _said("Call Ana at 8 pm, please", both, **{"8 pm": 1.0}) == ["2026-11-29 20:00"]
    moment = datetime.datetime(2026, 11, 29, 20).astimezone().isoformat()
    assert _said("Call Ana at 8 pm, please", {"type": "string", "format": "date-time"}, **{"8 pm": 1.0}) == [moment]
    # The end is not the beginning, where both are told; and left out where one is.
    span = {"name": "f", "parameters": {"properties": {"it": both, "on": both}, "required": ["it"]}}
    pointer = _Pointer(it=Pointed(5.0, {"9h": 1.0}), on=Pointed(3.0, {"10h30": 0.6, "9h": 0.4}))
    for request, moments in (
        ("Das 9h às 10h30 de amanhã", [["2026-11-30 09:00"], ["2026-11-30 10:30"]]),
        ("Às 9h de amanhã", [["2026-11-30 09:00"]]),
    ):
        (found,) = fill(pointer, request, [span], TODAY)  # type: ignore[arg-type]
        assert [p["enum"] for p in found["parameters"]["properties"].values()] == moments
    # An example of a day or of a time says how it is written too.
    day, clock = (
        {"type": "string", "description": "Day, e.g. 2024-05-01"},
        {"type": "string", "description": "As 09:30"},
    )
    assert _said(call, day, tomorrow=1.0) == ["2026-11-30"]
    assert _said(call, clock, **{"3 pm": 1.0}) == ["15:00"]
    # Hours and days that a description has for other reasons.
    note = {"type": "string", "description": "Note; we read it from 09:00 to 17:00, since 2024-05-01."}
    assert _said(call, note, Ana=1.0) == ["Ana"]


def test_what_stands_between_quotation_marks_is_one_value() -> None:
    text, book = {"type": "string"}, "Find 'Salt: A Winter's Tale' by Ana, and \"Fog\"."
    assert _said(book, text, Salt=1.0) == ["Salt: A Winter's Tale"]
    assert _said(book, text, **{"A Winter's Tale": 1.0}) == ["Salt: A Winter's Tale"]
    assert _said(book, text, **{"Find 'Salt: A Winter's Tale'": 1.0}) == ["Salt: A Winter's Tale"]
    assert _said(book, text, **{'and "Fog"': 1.0}) == ["Fog"]
    # From its middle, or a word that stands outside too: as it is pointed at.
    assert _said("Tell Bo 'meet me in Rio at 5' now", text, Rio=1.0) == ["Rio"]
    assert _said("Is 'Salt and Fog' a Salt book?", text, Salt=1.0) == ["Salt"]
    assert _said("Ana's friends' book", text, **{"friends": 1.0}) == ["friends"]


def test_a_list_is_of_the_parts_that_are_said() -> None:
    texts, request = (
        {"type": "array", "items": {"type": "string"}},
        "Buy rice, black beans and a lime for 3, 4 or five.",
    )
    assert _said(request, texts, **{"rice, black beans and a lime": 1.0}) == [["rice", "black beans", "lime"]]
    assert _said(request, texts, rice=1.0) == [["rice"]]
    assert _said("Compre arroz, feijão e lima", texts, **{"arroz, feijão e lima": 1.0}) == [["arroz", "feijão", "lima"]]
    whole = {"type": "array", "items": {"type": "integer"}}
    both = {"rice as well as the beans, plus lime": 1.0}
    assert _said("rice as well as the beans, plus lime", texts, **both) is None  # all that is said: left to the model
    assert _said("Buy rice as well as the beans, plus lime", texts, **both) == [["rice", "beans", "lime"]]
    assert _said(request, whole, **{"3, 4 or five": 0.7, "3": 0.3}) == [[3, 4, 5]]
    assert _said("The mean of 2.5 and 3", whole, **{"2.5 and 3": 1.0}) is None
    assert _said("The mean of 2.5 and 3", {"type": "array", "items": {"type": "number"}}, **{"2.5 and 3": 1.0}) == [
        [2.5, 3]
    ]
    named = {"type": "array", "items": {"type": "string", "enum": ["beans", "lime", "rice", "salt"]}}
    assert _said(request, named, rice=1.0) == [["rice", "beans", "lime"]]
    # What a list must be beyond that, or lists of lists: left to the model.
    for more in ({"minItems": 2}, {"items": {"type": "array", "items": {"type": "string"}}}, {"items": {}}):
        assert _said(request, texts | more, rice=1.0) is None


def test_a_long_number_keeps_its_last_digit() -> None:
    parcel = "Where is parcel 12345678901234567891?"
    assert _said(parcel, {"type": "integer"}, **{"12345678901234567891": 1.0}) == [12345678901234567891]


def test_a_value_keeps_its_own_full_stop_and_loses_half_a_quotation() -> None:
    text = {"type": "string"}
    assert _said("How old is the U.S.?", text, **{"U.S.": 1.0}) == ["U.S."]
    assert _said("Is it Porto F.C. Tell me.", text, **{"Porto F.C": 1.0}) == ["Porto F.C."]
    assert _said("What is a Super Bros. game worth?", text, **{"Super Bros.": 1.0}) == ["Super Bros."]
    assert _said("Look for Ana. Then stop.", text, **{"Ana.": 1.0}) == ["Ana"]
    assert _said("Find the card 'Queen' now.", text, **{"the card 'Queen": 1.0}) == ["Queen"]
    assert _said("Find Ana's card.", text, **{"Ana's card": 1.0}) == ["Ana's card"]


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


def test_what_may_be_true_is_where_it_is_mentioned() -> None:
    told, place = _Pointer(ink=Pointed(2.0, {"x": 1.0})), {"ink": {"type": "boolean"}, "tray": {"type": "boolean"}}

    def ink(request: str, pointer: _Pointer = told) -> Any:
        (found,) = fill(pointer, request, [_function(("ink",), **place)])  # type: ignore[arg-type]
        assert "tray" not in found["parameters"]["properties"]
        return found["parameters"]["properties"]["ink"].get("enum")

    assert ink("Print with plenty of ink") == ink("Imprima com tinta no papel, por favor") == [True]
    assert ink("Don't waste ink") == ink("Print without ink") == ink("Deixe sem ink, por favor") == [False]
    # What is denied is something else; what is denied is what the parameter is for.
    assert ink("Print with ink, it can't wait until the others are done") == [True]
    place["ink"] = {"type": "boolean", "description": "Without any ink"}
    assert ink("Print without ink") == [True]
    # Needed and not mentioned, or in a language whose denials are not known: for the model to say.
    assert ink("Print it", _Pointer()) is None
    assert ink("Bitte das ist nicht mit der Tinte zu drucken") is None
