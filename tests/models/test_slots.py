"""What a request says for a function's parameters: what is asked, what is pointed at, and what may be written then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mirim.models.pointing import Pointed
from mirim.models.slots import MOST, SAID, USUAL, fill, likeliest, serves
from tests.models.pointed import Pointer

REQUEST = 'Print 30 copies of "menu.pdf" on Canon-Lobby, please.'


def _function(required: Sequence[str] = (), **places: Any) -> dict[str, Any]:
    return {
        "name": "print",
        "description": "Print a file.",
        "parameters": {"type": "object", "properties": places, "required": list(required)},
    }


def _filled(place: dict[str, Any], **spans: float) -> Any:
    pointer = Pointer(print=Pointed(3.0, {REQUEST: 1.0}), it=Pointed(2.0, spans))
    ((found, _),) = fill(pointer, REQUEST, [_function(("it",), it=place)])  # type: ignore[arg-type]
    return found["parameters"]["properties"]["it"].get("enum")


def test_each_parameter_is_asked_for_and_a_function_by_its_name() -> None:
    pointer = Pointer(print=Pointed(3.0, {REQUEST: 1.0}), scan=None)
    size = {"type": "string", "enum": ["A4", "A3"]}
    printing = _function(paper_size=size, copies={"type": "integer", "description": "How many."})
    scanning = {"name": "scan", "parameters": {"properties": {"copies": {"type": "string"}}}}
    (printed, _), (scanned, _) = fill(pointer, REQUEST, [printing, scanning])  # type: ignore[arg-type]
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
    pointer = Pointer(print=Pointed(3.0, {}), file=Pointed(2.0, {"menu.pdf": 1.0}))
    ((found, _),) = fill(pointer, REQUEST, [_function(("ink",), **places)])  # type: ignore[arg-type]
    assert found["parameters"]["properties"] == {
        "file": {"type": "string", "enum": ["menu.pdf"]},
        "ink": {"type": "string"} | {"enum": ["x"]},
    }
    # What the request gives is asked for, as what is needed anyway.
    assert found["parameters"]["required"] == ["file", "ink"]
    # What nothing is said for holds nothing, and not whatever comes to mind.
    ((found, _),) = fill(Pointer(print=Pointed(3.0, {})), REQUEST, [_function(tray={"type": "string"})])  # type: ignore[arg-type]
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
    pointer = Pointer(it=Pointed(2.0, likely), on=Pointed(2.0, {"menu.pdf": 0.95, "Canon-Lobby": 0.05}))
    text = {"type": "string"}
    ((found, _),) = fill(pointer, REQUEST, [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    values = {name: place["enum"] for name, place in found["parameters"]["properties"].items()}
    assert values == {"it": ["Canon-Lobby"], "on": ["menu.pdf"]}
    # One that may be left out is, where nothing else is likely for it: the one that is the less likely given.
    alike = Pointed(2.0, {"menu.pdf": 0.999, "Print": 0.001})
    less = alike._replace(odds=1.0)
    ((found, _),) = fill(Pointer(it=less, on=alike), REQUEST, [_function(it=text, on=text)])  # type: ignore[arg-type]
    assert found["parameters"]["properties"] == {"on": text | {"enum": ["menu.pdf"]}}
    # If both are needed and what is left is hardly pointed at, both have the same words.
    alike = Pointed(2.0, {"menu.pdf": 0.99999, "Print": 0.00001})
    ((found, _),) = fill(Pointer(it=alike, on=alike), REQUEST, [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["menu.pdf"]] * 2
    # Words that stand twice may be meant twice.
    twice = "From Porto to Porto."
    pointer = Pointer(it=Pointed(2.0, {"Porto": 0.7, "From": 0.3}), on=Pointed(2.0, {"Porto": 0.7, "From": 0.3}))
    ((found, _),) = fill(pointer, twice, [_function(it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["Porto"]] * 2


def test_two_parts_of_a_quotation_are_the_same_words() -> None:
    book, text = "Lend 'Salt: A Tale' to Ana", {"type": "string"}
    title = {"Salt": 0.6, "Ana": 0.4}
    pointer = Pointer(it=Pointed(2.0, title), on=Pointed(2.0, {"A Tale": 0.9, "Ana": 0.1}))
    ((found, _),) = fill(pointer, book, [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
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
    # But where it may be left out, a text or number that the request does not have is not made up.
    text, listed = {"type": "string"}, {"type": "string", "enum": ["a", "b"]}
    pointer = Pointer(it=Pointed(9.0, {REQUEST: 1.0}), one=Pointed(9.0, {REQUEST: 1.0}))
    ((found, _),) = fill(pointer, REQUEST, [_function(it=text, one=listed)])  # type: ignore[arg-type]
    assert found["parameters"]["properties"] == {"one": listed}


def test_a_share_is_written_as_the_description_has_it() -> None:
    for description, request, expected in (
        ("Monthly rate in percent.", "3.5% a month", [3.5]),
        ("Taxa em porcentagem, por exemplo 0.5%.", "3.5% ao mês", [3.5]),
        ("Rate, as a decimal (0.05 is 5%).", "at 3.5 percent", [0.035]),
        ("Desconto, como fração.", "3.5 por cento", [0.035]),
        ("Chance, from 0 to 1.", "3.5%", [0.035]),
        ("From 0 to 1.5.", "3.5%", [3.5, 0.035]),
        ("Rounded to so many decimals.", "3.5%", [3.5, 0.035]),
        ("As a decimal.", "3.5 a month", [3.5]),
        # The same number is no share elsewhere.
        ("As a decimal.", "3.5 units at 3.5% off", [0.035, 3.5]),
        ("In percent.", "3.5 units at 3.5% off", [3.5]),
    ):
        place = {"type": "number", "description": description}
        function = {"name": "f", "parameters": {"properties": {"rate": place}}}
        ((found, _),) = fill(Pointer(rate=Pointed(9.0, {"3.5": 1.0})), request, [function])  # type: ignore[arg-type]
        assert found["parameters"]["properties"]["rate"]["enum"] == expected, description


def test_a_share_may_be_said_in_hundredths() -> None:
    function = {"name": "f", "parameters": {"properties": {"rate": {"type": "number"}}}}
    ((found, _),) = fill(Pointer(rate=Pointed(1.0, {"3.5": 1.0})), "3.5% a year", [function])  # type: ignore[arg-type]
    assert found["parameters"]["properties"]["rate"]["enum"] == [3.5, 0.035]
    ((found, _),) = fill(Pointer(rate=Pointed(1.0, {"5": 1.0})), "5 at 15%", [function])  # type: ignore[arg-type]
    assert found["parameters"]["properties"]["rate"]["enum"] == [5]


def test_what_cannot_be_told_is_left_as_it_is() -> None:
    text = {"type": "string"}
    joined = {"name": "print", "parameters": {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}}
    bare = {"name": "print"}
    for odd in ({"properties": ["it"]}, {"properties": {"it": True}}, {"required": None}, {}):
        assert fill(Pointer(), REQUEST, [{"name": "print", "parameters": odd}]) == [  # type: ignore[arg-type]
            ({"name": "print", "parameters": odd}, {})
        ]
    nothing = {"name": "print", "parameters": {"properties": {"it": text}, "required": None}}
    ((found, _),) = fill(Pointer(), REQUEST, [nothing])  # type: ignore[arg-type]
    assert found["parameters"]["required"] == []
    # Too long to be seen whole: one parameter cannot be told without the others.
    long = _function(it=text, on=text)
    pointer = Pointer(it=None, on=Pointed(2.0, {"menu.pdf": 1.0}))
    assert fill(pointer, REQUEST, [joined, bare, long]) == [(one, {}) for one in (joined, bare, long)]  # type: ignore[arg-type]
    assert pointer.asked == ["it", "on"]
    # Too many to be asked for in passing.
    many = [_function(**{f"p{n}": text for n in range(MOST // 2)})] * 2
    assert all(found != one for (found, _), one in zip(fill(Pointer(), REQUEST, many), many, strict=True))  # type: ignore[arg-type]
    more = [*many, _function(it=text)]
    assert fill(Pointer(), REQUEST, more) == [(one, {}) for one in more]  # type: ignore[arg-type]
    assert serves(Pointer(), REQUEST, [bare] * MOST) == [-4.0] * MOST  # type: ignore[arg-type]
    assert serves(Pointer(), REQUEST, [bare] * (MOST + 1)) == [None] * (MOST + 1)  # type: ignore[arg-type]


def test_of_two_that_are_as_likely_the_one_said_first_is_that_of_the_first_parameter() -> None:
    likely, text = Pointed(2.0, {"Porto": 0.5, "Faro": 0.5}), {"type": "string"}
    ((found, _),) = fill(Pointer(it=likely, on=likely), "Porto to Faro", [_function(("it", "on"), it=text, on=text)])  # type: ignore[arg-type]
    assert [p["enum"] for p in found["parameters"]["properties"].values()] == [["Porto"], ["Faro"]]


def test_what_may_be_true_is_where_it_is_mentioned() -> None:
    told, place = Pointer(ink=Pointed(2.0, {"x": 1.0})), {"ink": {"type": "boolean"}, "tray": {"type": "boolean"}}

    def ink(request: str, pointer: Pointer = told) -> Any:
        ((found, _),) = fill(pointer, request, [_function(("ink",), **place)])  # type: ignore[arg-type]
        assert "tray" not in found["parameters"]["properties"]
        return found["parameters"]["properties"]["ink"].get("enum")

    assert ink("Print with plenty of ink") == ink("Imprima com tinta no papel, por favor") == [True]
    assert ink("Don't waste ink") == ink("Print without ink") == ink("Deixe sem ink, por favor") == [False]
    # What is denied is something else; what is denied is what the parameter is for.
    assert ink("Print with ink, it can't wait until the others are done") == [True]
    place["ink"] = {"type": "boolean", "description": "Without any ink"}
    assert ink("Print without ink") == [True]
    # Needed and not mentioned, or in a language whose denials are not known: for the model to say.
    assert ink("Print it", Pointer()) is None
    assert ink("Bitte das ist nicht mit der Tinte zu drucken") is None


def test_what_must_be_given_and_is_not_said_is_missing() -> None:
    def missing(*required: str, **places: Any) -> list[str]:
        ((_, found),) = fill(pointer, REQUEST, [_function(required, **places)])  # type: ignore[arg-type]
        return list(found)

    pointer = Pointer(file=Pointed(0.1, {"menu.pdf": 1.0}), paper=Pointed(-0.1, {"Canon-Lobby": 1.0}))
    text = {"type": "string"}
    assert missing("file", "paper", file=text, paper=text) == ["paper"]
    assert missing("file", file=text, paper=text) == []
    assert missing("paper", paper={"type": ["string", "null"]}) == []
    assert missing("paper", paper={"type": "object", "properties": {"tray": text}}) == []
    tray = {"type": "object", "properties": {"tray": text}, "required": ["tray"]}
    assert missing("paper", paper=tray) == ["tray"]
    assert missing("paper", "ink", paper=tray, ink=tray) == ["paper tray", "ink tray"]
    # Named, whatever pointing says; a question of yes or no; what goes without saying.
    assert missing("paper", paper={"type": "string", "enum": ["canon-lobby", "office"]}) == []
    assert missing("paper", paper={"type": "string", "enum": ["A4", "A3"]}) == ["paper"]
    assert missing("paper", paper={"type": "boolean"}) == []
    assert missing("paper", paper=text | {"const": "A4"}) == []
    # Pointed at, but there is no such thing in the request.
    pointer = Pointer(on=Pointed(9.0, {REQUEST: 1.0}))
    assert missing("on", on=text | {"format": "date"}) == ["on"]
    assert missing("on", on=text | {"description": "Starts at, HH:MM"}) == ["on"]
    assert (
        missing(on=text | {"format": "date"}) == missing("on", on=text) == missing("on", on={"type": "integer"}) == []
    )
    for says in ("Size, default is A4.", "Tamanho; o padrão é A4", "Tray, if not the first"):
        assert missing("paper", paper=text | {"description": says}) == []


def test_what_has_the_words_of_another_alone_is_missing() -> None:
    def missing(*required: str, **places: Any) -> list[str]:
        ((_, found),) = fill(pointer, "Convert 500 dollars", [_function(required, **places)])  # type: ignore[arg-type]
        return list(found)

    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    surely, hardly = Pointed(3.0, {"dollars": 1.0}), Pointed(3.0, {"dollars": 0.8, "500 dollars": 0.2})
    pointer = Pointer(money=surely, into=hardly)
    assert missing("money", "into", money=text, into=text) == ["into"]
    assert missing("into", "money", into=text, money=text) == ["into"]
    assert missing("money", money=text, into=text) == []
    assert missing("into", into=text) == []
    assert missing("money", "into", money=text, into=texts) == []
    assert missing("money", "into", money=text, into=text | {"default": "BRL"}) == []
    # Each has words of its own.
    pointer = Pointer(money=surely, into=Pointed(3.0, {"Convert": 0.5, "dollars": 0.5}))
    assert missing("money", "into", money=text, into=text) == []


def test_what_is_not_said_has_its_default() -> None:
    def given(place: dict[str, Any], odds: float = -0.1) -> Any:
        pointer = Pointer(it=Pointed(odds, {"menu.pdf": 1.0}))
        ((found, missing),) = fill(pointer, REQUEST, [_function(("it",), it=place)])  # type: ignore[arg-type]
        assert not missing
        return found["parameters"]["properties"]["it"]["enum"]

    assert given({"type": "string", "default": "A4"}) == ["A4"]
    assert given({"type": "string", "default": "A4"}, 0.1) == ["menu.pdf"]
    assert given({"type": "string", "default": "a", "enum": ["a", "b"]}) == ["a"]
    assert given({"type": "boolean", "default": False}) == [False]
    # One that does not fit is none.
    assert given({"type": "string", "default": 4}) == ["menu.pdf"]


def test_what_a_function_needs_tells_whether_it_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirim.models.meaning.available", lambda: False)
    text = {"type": "string"}
    printing = _function(("it", "on"), it=text, on=text, quick={"type": "boolean"})
    scanning = {"name": "scan", "parameters": {"properties": {"page": text}, "required": ["page"]}}
    said = Pointed(USUAL + 2, {"menu.pdf": 1.0})
    # By their names alone it would be the other.
    pointer = Pointer(print=Pointed(-1.0, {}), scan=Pointed(-0.5, {}), it=said, on=said)
    best, odds = likeliest(pointer, REQUEST, [scanning, printing]) or (-1, 0.0)  # type: ignore[arg-type]
    assert (best, odds) == (1, pytest.approx(-1.0 + 2 * SAID))
    # What is not said counts for nothing, not against it; what may be left out is not asked for.
    pointer = Pointer(print=Pointed(0.0, {}), it=Pointed(-9.0, {}), on=Pointed(6.0, {}))
    _, odds = likeliest(pointer, REQUEST, [printing]) or (-1, 0.0)  # type: ignore[arg-type]
    assert odds == pytest.approx(SAID * (3.0 - USUAL))
    assert pointer.asked == ["it", "on"]
    # One that surely serves is asked nothing more.
    pointer = Pointer(print=Pointed(3.5, {}))
    assert likeliest(pointer, REQUEST, [printing, scanning]) == (0, 3.5)  # type: ignore[arg-type]
    assert pointer.asked == ["print", "scan"]
    assert likeliest(Pointer(scan=None), REQUEST, [scanning]) is None  # type: ignore[arg-type]
    assert likeliest(Pointer(), REQUEST, []) is None  # type: ignore[arg-type]
