"""JSON cut anywhere is closed by appending alone, and fits its schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirim.core.check import Misfit, check
from mirim.server.closing import close
from mirim.server.review import refuse

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3},
        "age": {"type": "integer", "minimum": 18, "maximum": 120},
        "height": {"type": "number"},
        "kind": {"enum": ["adult", "adulterer", "child"]},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-(00|1[0-9])+x?$"},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "home": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
        "alive": {"type": "boolean"},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2},
    },
    "required": ["name", "age", "height", "kind", "code", "born", "tags", "home", "alive", "pair"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}
VALUE = {
    "name": 'Zoé "the\\ bee" \n 😀',
    "age": 47,
    "height": -1.5e3,
    "kind": "adult",
    "code": "AB-0010x",
    "born": "1999-12-31",
    "tags": ["a", "b", "c"],
    "home": {"city": "Belém"},
    "alive": True,
    "pair": [1, "x"],
}


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
def test_every_cut_of_a_fitting_text_is_closed(ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(VALUE, ensure_ascii=ascii_only, indent=indent)
    for cut in range(len(text) + 1):
        whole = text[:cut] + close(text[:cut], PERSON)
        check(json.loads(whole), PERSON)


def test_nothing_is_appended_to_what_is_whole() -> None:
    assert close(json.dumps(VALUE) + "  ", PERSON) == ""


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("", {"type": "object"}),
        ('{"a', {"type": "object"}),
        ('{"a": 1,', {"type": "object"}),
        ("[1,", {"type": "array", "items": {"type": "integer"}}),
        ('"\\u00', {"type": "string"}),
        ('"\\ud83d', {"type": "string"}),
        ('"\\\\', {"type": "string"}),
        ("-", {"type": "integer", "minimum": -40, "maximum": -20}),
        ("3", {"type": "integer", "minimum": 300, "maximum": 999}),
        ("1e", {"type": "number"}),
        ("tr", {}),
        ('{"x": {"y": [[', {"type": "object"}),
        ('"b', {"enum": ["aa", "bb", "bbb"]}),
        ('{"', {"type": "object", "properties": {"k": {"const": 5}}, "additionalProperties": False}),
        ("[", {"type": "array", "items": {"$ref": "#"}, "minItems": 0}),
        ("{", {"oneOf": [{"type": "object", "properties": {"t": {"const": "a"}}, "required": ["t"]}]}),
        ("{", {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"type": "boolean"}}}]}),
    ],
)
def test_odd_ends(text: str, schema: dict[str, Any]) -> None:
    check(json.loads(text + close(text, schema)), schema)


def test_what_cannot_be_closed_is_said() -> None:
    with pytest.raises(Misfit):
        close('"zz', {"enum": ["a"]})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "string", "pattern": "abc"},
        {"type": "number", "multipleOf": 3},
        {"type": "number", "minimum": 0},
        {"type": "strnig"},
        {"$ref": "#/$defs/none"},
        {"enum": []},
        {"properties": []},
        {"not": {}},
        {"type": "string", "format": "hostname"},
        [],
        {"items": 3},
        {"type": "string", "pattern": "^[a-z]{5000}$"},
        {"type": "string", "pattern": "^(?:(?:a?){30}){30}$"},
        {"type": "object", "properties": {"c": {"$ref": "#"}}, "required": ["c"]},
        {
            "type": "object",
            "properties": {"c": {"$ref": "#/$defs/c"}},
            "$defs": {
                "c": {"anyOf": [{"$ref": "#/$defs/d"}]},
                "d": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/c"}},
            },
        },
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 1000, "items": {"type": "array", "minItems": 1000}},
        {"anyOf": [{"type": "null"}] * 6000},
    ],
)
def test_schemas_that_cannot_be_kept_are_refused(schema: Any) -> None:
    with pytest.raises(Misfit):
        refuse(schema)


def test_what_is_malformed_is_told_behind_what_cannot_be_kept() -> None:
    beyond = {"multipleOf": 2, "minimum": 1, "format": "hostname", "pattern": "a"}
    for malformed in ({"type": 5}, {"format": []}, {"minLength": "x"}, {"pattern": "^(a$"}, {"properties": []}):
        with pytest.raises(Misfit) as refused:
            refuse({"properties": {"a": beyond, "b": malformed}})
        assert (refused.value.path, refused.value.kind) == (".properties.b", "schema")
    with pytest.raises(Misfit, match="multipleOf"):
        refuse({"properties": {"a": beyond, "b": {"not": {}}}})


def test_a_property_named_type_is_like_any_other() -> None:
    check({"type": "a"}, {"anyOf": [{"properties": {"type": True}, "required": ["type"]}]})
    with pytest.raises(Misfit):
        check({"type": "a"}, {"anyOf": [{"properties": {"type": {"enum": ["b"]}}}]})


def test_the_large_schema_is_accepted() -> None:
    refuse(PERSON)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#"}}}, "required": ["c"]},
        {"type": "object", "properties": {"c": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["c"]},
        {
            "type": "object",
            "properties": {"$ref": {"const": {"$ref": "x"}}, "enum": {"$ref": "#/properties/a"}, "a": {}},
        },
        {"type": "array", "minItems": 2, "prefixItems": [{"type": "string"}, {"type": "null"}], "items": False},
        {"$ref": "#/$defs/0", "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(99)} | {"99": {}}},
        {"type": ["string", "null"], "minLength": 10**9},
    ],
)
def test_schemas_with_a_way_out_are_accepted(schema: dict[str, Any]) -> None:
    refuse(schema)
