"""Which of the values that a parameter lists, or of the codes that it takes, a request names."""

from __future__ import annotations

from typing import Any

from tests.models.pointed import meant


def test_money_countries_and_languages_are_given_by_their_codes_where_codes_are_wanted() -> None:
    text, pay = {"type": "string"}, "How many Canadian dollars are 500 US dollars, in plain English, from Brazil?"
    assert meant(pay, text, "currency", **{"500 US": 0.7, "Canadian": 0.3}) == ["USD"]
    assert meant(pay, text | {"description": "Moeda (código)"}, **{"Canadian dollars": 1.0}) == ["CAD"]
    assert meant(pay, text | {"description": "Name of the currency"}, "currency", **{"US dollars": 1.0}) == [
        "US dollars"
    ]
    assert meant("Quanto são 30 reais em euros?", text, "moeda", reais=0.4, euros=0.6) == ["EUR"]
    assert meant(pay, text, "toCurrency", **{"US dollars": 1.0}) == ["USD"]
    codes = {"type": "array", "items": {"type": "string", "description": "ISO code of a currency"}}
    assert meant(pay, codes, **{"Canadian dollars are 500 US dollars": 0.9, "500": 0.1}) == [["CAD", "USD"]]
    assert meant(pay, text | {"description": "Language, e.g. 'pt'"}, English=1.0) == ["en"]
    assert meant(pay, text | {"description": "Language, e.g. 'Portuguese'"}, English=1.0) == ["English"]
    assert meant(pay, text | {"description": "Two-letter country code"}, Brazil=1.0) == ["BR"]
    assert meant(pay, text | {"enum": ["BRL", "EUR", "USD"]}, pay=1.0) == ["USD"]
    # Values that are codes of languages too, but sizes or said as they are.
    assert meant("Use sm please", text | {"enum": ["sm", "lg"]}, sm=1.0) == ["sm"]
    assert meant("Put it into pt, please", text | {"enum": ["pt", "en"]}, pt=1.0) == ["pt"]
    assert meant("Put it into English", text | {"enum": ["pt", "en"]}, English=1.0) == ["en"]
    # Held to what no code is like.
    assert meant(pay, text | {"pattern": "[a-z]{3}"}, "currency", **{"500 US": 1.0}) == "left out"
    # None is named: what is pointed at.
    assert meant("Convert 20 bitcoin", text, "currency", bitcoin=1.0) == ["bitcoin"]


def test_values_are_named_by_their_words_in_any_form() -> None:
    kinds = {"type": "string", "enum": ["multi-player", "Gluten Free", "single_room", "women"]}
    for said, value in (
        ("Find a multiplayer game", "multi-player"),
        ("Any gluten-free bread?", "Gluten Free"),
        ("Two single rooms", "single_room"),
    ):
        assert meant(said, kinds, said=1.0) == [value]
    list_of = {"type": "array", "items": {"type": "string", "enum": ["Goals Scored", "Assists Made", "Cards Received"]}}
    assert meant("What about Messi's goals and assists?", list_of, goals=1.0) == [["Goals Scored", "Assists Made"]]
    # Kindred words of the other language.
    cabin = {"type": "string", "enum": ["economy", "business", "first"]}
    assert meant("Um voo amanhã, classe econômica", cabin, voo=1.0) == ["economy"]
    # A value within a longer one is not meant; one word for all values names none.
    miles = {"type": "string", "enum": ["miles", "nautical_miles"]}
    assert meant("In nautical miles, please", miles, **{"nautical miles": 1.0}) == ["nautical_miles"]
    trips = {"type": "string", "enum": ["round trip", "day trip"]}
    assert meant("A trip to Porto", trips, trip=1.0) == ["round trip", "day trip"]
    # Two are named: the one that is pointed at.
    scales = {"type": "string", "enum": ["Celsius", "Fahrenheit", "Kelvin"]}
    warm = "Turn 300 Kelvin into Celsius now"
    assert meant(warm, scales, **{"into Celsius": 0.8, "Kelvin": 0.2}) == ["Celsius"]
    assert meant(warm, scales, **{"300 Kelvin": 0.8, "Celsius": 0.2}) == ["Kelvin"]


def test_what_the_request_names_is_given_where_pointing_doubts_it() -> None:
    pets = {"type": "array", "items": {"type": "string", "enum": ["pet_friendly", "gym"]}}
    assert meant("A pet friendly hotel", pets, odds=-4.0, hotel=1.0) == [["pet_friendly"]]
    assert meant("A pet friendly hotel", pets, odds=-9.0, hotel=1.0) == "left out"
    assert meant("A friendly hotel, no sports", pets, odds=-9.0, hotel=1.0) == "left out"
    # Small words that stand in many requests name nothing, unless they are pointed at.
    units = {"type": "string", "enum": ["in", "cm"]}
    assert meant("a table in Lisbon", units, odds=-4.0, table=1.0) == "left out"
    assert meant("12 in wide", units, odds=2.0, **{"in": 1.0}) == ["in"]
    assert meant("12 cm wide", units, odds=-4.0, table=1.0) == ["cm"]


def test_a_description_may_list_the_values_or_show_how_they_are_written() -> None:
    def said(request: str, description: str, name: str = "it", **spans: float) -> Any:
        return meant(request, {"type": "string", "description": description}, name, **spans)

    assert said("The C major scale", "Either major or minor. Default is 'major'.", **{"C major": 1.0}) == ["major"]
    assert said("A heart card", "One of: 'spades', 'hearts'.", **{"a heart card": 1.0}) == ["hearts"]
    assert said("Um voo só de ida", "Pode ser 'só ida' ou 'ida e volta'.", voo=1.0) == ["só ida"]
    # It names none of them, or more may be meant than are listed.
    place = {"type": "string", "description": "Either major or minor", "default": ["major"]}
    assert meant("The C major scale", place, **{"C major": 1.0}) == ["C major"]
    assert said("A card of clubs", "One of: 'spades', 'hearts'.", clubs=1.0) == ["clubs"]
    assert said("A heart card", "Can be 'spades', 'hearts' etc.", **{"heart card": 1.0}) == ["heart card"]
    assert said("Some vegetarian pasta", "Diet, e.g. 'Vegetarian'.", vegetarian=1.0) == ["Vegetarian"]
    assert said("A gluten-free cake", "Diet such as Gluten free, Vegan", **{"gluten-free": 1.0}) == ["Gluten free"]
    assert said("Some vegan pasta", "Diet, e.g. 'Vegetarian'.", vegan=1.0) == ["vegan"]
    for name in ("room_type", "hotelRoomType"):
        assert said("A single room now", "Kind of room.", name, **{"single room": 1.0}) == ["single"]
    assert said("Um quarto duplo", "Tipo", "tipo_de_quarto", duplo=1.0) == ["duplo"]
    assert said("A single room now", "Room.", "room", **{"single room": 1.0}) == ["single room"]


def test_of_a_list_of_values_those_that_are_denied_are_left_out() -> None:
    wished = {"type": "array", "items": {"type": "string", "enum": ["pool", "breakfast", "wifi"]}}
    hotel = "A hotel with a pool, but no breakfast and no wifi"
    assert meant(hotel, wished, pool=1.0) == [["pool"]]
    assert meant(hotel, wished | {"description": "What is not wanted."}, pool=1.0) == [["pool", "breakfast", "wifi"]]
    assert meant(hotel, wished, "withoutThese", pool=1.0) == [["pool", "breakfast", "wifi"]]
    assert meant("A hotel without breakfast", wished, hotel=1.0) == [["breakfast"]]


def test_a_value_and_its_contrary_differ_in_a_small_word() -> None:
    def said(request: str, *values: Any) -> Any:
        return meant(request, {"type": "string", "enum": list(values)}, **{"x": 1.0})

    assert said("invoices that were paid", "not_paid", "paid") == ["paid"]
    assert said("invoices that weren't paid", "paid", "not_paid") == ["not_paid"]
    assert said("a smoking room", "no_smoking", "smoking") == ["smoking"]
    assert said("a nonsmoking room", "smoking", "non-smoking") == ["non-smoking"]
    assert said("água sem gás", "com_gas", "sem_gas") == ["sem_gas"]
    assert said("água com muito gás", "sem_gas", "com_gas") == ["com_gas"]
    # Where no value is the contrary, what stands before is for nothing.
    assert said("no smoking, please", "smoking", "family") == ["smoking"]
    assert said("Give me 100 of them", 1, 10, 100) == [100]
    assert said("Give me 5%", 0.5, 0.05) == [0.05]
    assert said("What's the cheapest shirt in L", "S", "M", "L") == ["L"]
