"""The parameters of a function, each by itself, in the many ways in which clients write the same one.

One that may be left out is not in `required`, or it is and may be null (OpenAI's strict mode, Pydantic's `Optional`).
The values of one stand with it or under `$defs`. Some stand within an object, which is a parameter itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mirim.core.check import Misfit, Schema, resolve, types

#: Objects within objects, and schemas that stand for others, that are looked into.
DEEP = 6
#: Where an object is put together of several, or of names that fit a pattern, its parameters do not stand in one place.
_JOINED = frozenset({"allOf", "anyOf", "oneOf", "$ref", "patternProperties"})

Path = tuple[str, ...]
Given = Mapping[Path, Mapping[str, Any] | None]


class Parameter(NamedTuple):
    """One that is no object of others. `schema`: without null, what it refers to in its place. `optional`: it may be
    left out, or null, or what holds it may."""

    path: Path
    schema: Mapping[str, Any]
    optional: bool

    @property
    def name(self) -> str:
        return self.path[-1]


def parameters(function: Mapping[str, Any]) -> Iterator[Parameter]:
    """Those of a function in OpenAI's shape that stand in one place."""
    root = function.get("parameters") or {}
    return _within(_plain(root, root)[0], root, (), False)


def named(several: Iterable[Parameter]) -> list[tuple[str, Parameter]]:
    """Parameters of a function and what they are called: by their own names, and where two have the same by those of
    the objects that hold them too."""
    several = list(several)
    counts = Counter(one.name for one in several)
    return [(one.name if counts[one.name] == 1 else " ".join(one.path), one) for one in several]


def narrowed(function: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """The function with other schemas for those of its parameters that are given one, without those that have None.
    What is left of them is required: a small model leaves out much."""
    root = function["parameters"]
    return {**function, "parameters": _narrowed(_plain(root, root)[0], root, (), given)[0]}


def _within(schema: Schema, root: Schema, path: Path, optional: bool) -> Iterator[Parameter]:
    for name, part in _properties(schema).items():
        if isinstance(part, dict):
            inner, nullable = _plain(part, root)
            here, loose = (*path, name), optional or nullable or name not in _required(schema)
            if len(here) < DEEP and _properties(inner):
                yield from _within(inner, root, here, loose)
            else:
                yield Parameter(here, inner, loose)


def _narrowed(schema: Schema, root: Schema, path: Path, given: Given) -> tuple[Schema, bool]:
    """The schema, and whether anything in it is given."""
    kept: dict[str, Any] = {}
    asked, some = set(), False
    for name, part in _properties(schema).items():
        here = (*path, name)
        if not any(one[: len(here)] == here for one in given):
            kept[name] = part
            continue
        inner, nullable = _plain(part, root)
        value, told = (given[here], True) if here in given else _narrowed(inner, root, here, given)
        asked.add(name)
        if value is not None and told:
            kept[name], some = value, True
        elif name in _required(schema):
            kept[name] = {"type": "null"} if nullable else value or part
    required = [name for name in kept if name in asked or name in _required(schema)]
    # An object without properties would hold any.
    return {"additionalProperties": False, **schema, "properties": kept, "required": required}, some


def _properties(schema: Schema) -> dict[str, Any]:
    """Those of an object that says them all in one place."""
    found = schema.get("properties")
    return found if isinstance(found, dict) and not _JOINED & set(schema) else {}


def _required(schema: Schema) -> list[str]:
    return schema.get("required") or []


def _plain(schema: Schema, root: Schema, deep: int = 0) -> tuple[Schema, bool]:
    """A schema with what it refers to in its place, and without null; and whether it may be null."""
    schema = _led(schema, root)
    nullable = schema.get("nullable") is True
    for key in ("anyOf", "oneOf", "allOf"):
        parts = schema.get(key)
        if deep < DEEP and isinstance(parts, list) and all(isinstance(part, dict) for part in parts):
            others = [part for part in parts if part.get("type") != "null"]
            if len(others) == 1:
                around = {name: value for name, value in schema.items() if name != key}
                inner, null = _plain({**_led(others[0], root), **around}, root, deep + 1)
                return inner, nullable or null or len(parts) > 1
    kinds = [kind for kind in types(schema) if kind != "null"]
    values = schema.get("enum")
    if kinds and "null" in types(schema):
        schema, nullable = {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}, True
    if isinstance(values, list) and None in values and len(values) > 1:
        schema, nullable = {**schema, "enum": [value for value in values if value is not None]}, True
    if isinstance(items := schema.get("items"), dict):
        schema = {**schema, "items": _led(items, root)}
    return schema, nullable


def _led(schema: Schema, root: Schema) -> Schema:
    """What a schema refers to, under what it says itself; as it is where that leads nowhere."""
    if "$ref" not in schema:
        return schema
    try:
        found = resolve(schema, root)
    except Misfit:
        return schema
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}
