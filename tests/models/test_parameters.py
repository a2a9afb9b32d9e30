"""The same parameters as different clients write them are narrowed alike."""

from __future__ import annotations

from typing import Any

import pytest

from mirim.models.parameters import DEEP, named, narrowed, parameters
from mirim.models.pointing import Pointed
from mirim.models.slots import fill
from tests.models.pointed import Pointer

REQUEST = "Two large coffees to table 12, please."
TEXT, NULL = {"type": "string"}, {"type": "null"}
SIZES = {"type": "string", "enum": ["small", "large"]}


def _function(properties: dict[str, Any], required: tuple[str, ...] = ("drink",), **more: Any) -> dict[str, Any]:
    return {
        "name": "order",
        "parameters": {"type": "object", "properties": properties, "required": list(required), **more},
    }


def _told(function: dict[str, Any]) -> dict[str, Any]:
    """The values that what is asked for may have, by name; None for what must be null."""
    pointer = Pointer(drink=Pointed(3.0, {"coffees": 1.0}), table=Pointed(3.0, {"12": 1.0}))
    ((found, _),) = fill(pointer, REQUEST, [function])  # type: ignore[arg-type]
    return _values(found["parameters"])


def _values(schema: dict[str, Any]) -> dict[str, Any]:
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    return {
        name: _values(part) if "properties" in part else None if part == NULL else part["enum"]
        for name, part in schema["properties"].items()
    }


PLAIN = _function({"drink": TEXT, "size": SIZES, "table": {"type": "integer"}, "note": TEXT})
TOLD = {"drink": ["coffees"], "size": ["large"], "table": [12]}


def test_what_may_be_left_out_may_be_null_instead() -> None:
    assert _told(PLAIN) == TOLD
    every = ("drink", "size", "table", "note")
    strict = {
        "drink": TEXT,
        "size": {"type": ["string", "null"], "enum": ["small", "large", None]},
        "table": {"type": ["integer", "null"]},
        "note": {"type": ["string", "null"]},
    }
    assert _told(_function(strict, every, additionalProperties=False)) == TOLD | {"note": None}
    # OpenAPI 3.0, and a list of values that says no type.
    loose = strict | {"size": {"enum": ["small", "large", None]}, "note": TEXT | {"nullable": True}}
    assert _told(_function(loose, every)) == TOLD | {"note": None}


@pytest.mark.parametrize("where", ["$defs", "definitions"])
def test_values_may_stand_elsewhere(where: str) -> None:
    size = {"$ref": f"#/{where}/Size"}
    for written in (
        {"anyOf": [size, NULL], "default": None, "title": "Size"},
        {"oneOf": [NULL, {"allOf": [size], "description": "How large."}]},
        size | {"description": "How large."},
    ):
        properties = {
            "drink": TEXT | {"title": "Drink", "minLength": 1},
            "size": written,
            "table": {"anyOf": [{"type": "integer", "minimum": 1}, NULL], "default": None},
            "note": {"anyOf": [TEXT | {"maxLength": 80}, NULL], "default": None},
        }
        assert _told(_function(properties, **{where: {"Size": SIZES}})) == TOLD
    root = _function({"drink": TEXT, "size": size, "table": {"type": "integer"}})["parameters"]
    outside = {"$ref": f"#/{where}/Order", where: {"Order": root, "Size": SIZES}}
    assert _told({"name": "order", "parameters": outside}) == TOLD


def test_objects_hold_parameters_too() -> None:
    inner = {"size": SIZES, "note": TEXT}
    cup = {"type": "object", "properties": inner, "required": ["size"]}
    assert _told(_function({"drink": TEXT, "cup": cup, "table": {"type": "integer"}})) == {
        "drink": ["coffees"],
        "cup": {"size": ["large"]},
        "table": [12],
    }
    # Nothing is said for what the object holds: it is left out, or null, or holds nothing.
    note = {"type": "object", "properties": {"note": TEXT}}
    assert _told(_function({"drink": TEXT, "more": note})) == {"drink": ["coffees"]}
    assert _told(_function({"drink": TEXT, "more": note}, ("drink", "more"))) == {"drink": ["coffees"], "more": {}}
    assert _told(_function({"drink": TEXT, "more": note | {"type": ["object", "null"]}}, ("drink", "more"))) == {
        "drink": ["coffees"],
        "more": None,
    }
    # What an object that is given needs is left to the model where the request does not say it.
    seat = {"type": "object", "properties": {"table": {"type": "integer"}, "hall": TEXT}, "required": ["hall"]}
    ((found, _),) = fill(
        Pointer(table=Pointed(3.0, {"12": 1.0})),  # type: ignore[arg-type]
        REQUEST,
        [_function({"seat": seat}, ())],
    )
    assert found["parameters"]["properties"]["seat"]["properties"] == {
        "table": {"type": "integer", "enum": [12]},
        "hall": TEXT,
    }


def test_parameters_of_the_same_name_are_told_apart_by_what_holds_them() -> None:
    place = {"type": "object", "properties": {"city": TEXT}}
    function = _function({"from": place, "to": place, "date": TEXT})
    assert [name for name, _ in named(parameters(function))] == ["from city", "to city", "date"]
    assert [one.path for one in parameters(function)] == [("from", "city"), ("to", "city"), ("date",)]


def test_schemas_that_lead_back_to_themselves_end() -> None:
    node = {"type": "object", "properties": {"note": TEXT, "next": {"$ref": "#/$defs/Node"}}}
    function = _function({"first": {"$ref": "#/$defs/Node"}}, **{"$defs": {"Node": node}})
    found = list(parameters(function))
    assert len(found) == DEEP
    assert found[-1].schema == node
    assert narrowed(function, {one.path: None for one in found})["parameters"]["properties"] == {}
    turning = _function({"drink": {"allOf": [{"$ref": "#/properties/drink"}]}, "table": {"$ref": "#/nowhere"}})
    assert [one.name for one in parameters(turning)] == ["drink", "table"]


def test_values_are_kept_within_bounds() -> None:
    def told(schema: dict[str, Any]) -> Any:
        pointer = Pointer(table=Pointed(3.0, {"12": 0.4, "Two": 0.3, "table": 0.3}))
        ((found, _),) = fill(pointer, REQUEST, [_function({"table": schema}, ("table",))])  # type: ignore[arg-type]
        return found["parameters"]["properties"]["table"]

    assert told({"type": "integer", "minimum": 1, "maximum": 20})["enum"] == [12]
    assert told({"type": "integer", "maximum": 10, "description": "Any."}) == {
        "type": "integer",
        "description": "Any.",
        "enum": [2],
    }
    assert told(TEXT | {"pattern": "^[a-z]+$"})["enum"] == ["table"]
    assert told(TEXT | {"pattern": "^[A-Z]+$"}) == TEXT | {"pattern": "^[A-Z]+$"}
    assert told({"type": "array", "items": {"type": "integer"}, "maxItems": 3})["enum"] == [[12]]
    assert "enum" not in told({"type": "array", "items": {"type": "integer"}, "minItems": 2})
