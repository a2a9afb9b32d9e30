"""Does a JSON value fit a JSON Schema? The one checker of requests, of tool arguments and of closed JSON.

Covers the keywords that grammars can enforce and nothing more; mirim.server.review finds what lies outside, so that
a schema is either kept to the letter or refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

Schema = dict[str, Any]

#: Formats that grammars enforce, as patterns.
FORMATS = {
    "date": r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
    "time": r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    "date-time": (
        r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        r"(\.[0-9]{3})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
    ),
    "uuid": r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
}
TYPES: dict[str, Any] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: not isinstance(v, bool) and (isinstance(v, int) or (isinstance(v, float) and v.is_integer())),
}


#: What an option that was not meant mostly fails at.
_COMMON = ("type", "enum", "required", "additionalProperties")


class Misfit(Exception):
    """`path` is where in the value ('messages[0].content'), `why` is what is wrong there, `kind` the keyword."""

    def __init__(self, path: str, why: str, kind: str = "") -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path, self.why, self.kind = path, why, kind


def check(value: Any, schema: Schema | bool, path: str = "", root: Schema | None = None) -> None:
    """Raise Misfit at the first place where `value` does not fit."""
    if schema is True:
        return
    if schema is False:
        raise Misfit(path, "nothing is allowed here", "false")
    schema = resolve(schema, root := root if root is not None else schema)
    kinds = types(schema)
    if kinds and not any(TYPES[k](value) for k in kinds):
        raise Misfit(path, f"expected {' or '.join(kinds)}, got {shown(value)}", "type")
    if "const" in schema and not same(value, schema["const"]):
        raise Misfit(path, f"must be {_told(schema['const'])}, got {shown(value)}", "enum")
    if "enum" in schema and not any(same(value, option) for option in schema["enum"]):
        raise Misfit(path, f"must be {_told(*schema['enum'])}, got {shown(value)}", "enum")
    if isinstance(value, str):
        _check_text(value, schema, path)
    elif isinstance(value, dict):
        _check_object(value, schema, path, root)
    elif isinstance(value, list):
        _check_array(value, schema, path, root)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema, path)
    # Last: what is wrong in one place says more than that none of several fits.
    _check_any(value, schema, path, root)


def fits(value: Any, schema: Schema | bool, root: Schema | None = None) -> bool:
    try:
        check(value, schema, "", root)
    except Misfit:
        return False
    return True


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow `$ref` inside the document; Misfit when it points nowhere or round in circles."""
    seen: set[str] = set()
    while "$ref" in schema:
        ref = schema["$ref"]
        if not isinstance(ref, str) or not ref.startswith("#") or ref in seen:
            raise Misfit("", f'"$ref": {ref!r} does not lead to a schema in this document', "$ref")
        seen.add(ref)
        here: Any = root
        for part in ref[1:].strip("/").split("/") if ref not in ("#", "#/") else ():
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(here, dict) or part not in here:
                raise Misfit("", f'"$ref": {ref!r} does not lead to a schema in this document', "$ref")
            here = here[part]
        if not isinstance(here, dict):
            raise Misfit("", f'"$ref": {ref!r} does not lead to a schema in this document', "$ref")
        schema = here
    return schema


def types(schema: Schema) -> list[str]:
    kind = schema.get("type")
    return [] if kind is None else [kind] if isinstance(kind, str) else list(kind)


def same(a: Any, b: Any) -> bool:
    """JSON equality: true is not 1."""
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def _check_any(value: Any, schema: Schema, path: str, root: Schema) -> None:
    for part in schema.get("allOf", ()):
        check(value, part, path, root)
    # A grammar cannot exclude a second fit, so oneOf means anyOf here.
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if not options:
            continue
        problems: list[Misfit] = []
        for option in _meant(value, options, path):
            try:
                check(value, option, path, root)
                break
            except Misfit as misfit:
                problems.append(misfit)
        else:
            # The option that got furthest into the value is the one that was meant; the first one of several.
            raise max(problems, key=lambda m: (m.kind not in _COMMON, m.path.count(".") + m.path.count("[")))


def _meant(value: Any, options: list[Any], path: str) -> list[Any]:
    """The options of the type that the value names ({"type": "text", ...}); all of them where that says nothing.
    Misfit when every option has a type of its own and none is the one that is named."""
    named = value.get("type") if isinstance(value, dict) else None
    if not isinstance(named, str):
        return options
    kinds = [_type_of(option) for option in options]
    found = [option for option, kind in zip(options, kinds, strict=True) if kind is None or named in kind]
    if not found:
        known = _told(*(word for kind in kinds for word in kind or ()))
        raise Misfit(f"{path}.type" if path else "type", f"must be {known}, got {shown(named)}", "enum")
    return found


def _type_of(option: Any) -> list[Any] | None:
    part = option.get("properties", {}).get("type") if isinstance(option, dict) else None
    return part.get("enum") if isinstance(part, dict) else None


def _check_text(value: str, schema: Schema, path: str) -> None:
    if len(value) < schema.get("minLength", 0):
        raise Misfit(path, f"needs at least {schema['minLength']} character(s), has {len(value)}", "minLength")
    if len(value) > schema.get("maxLength", len(value)):
        raise Misfit(path, f"holds at most {schema['maxLength']} characters, has {len(value)}", "maxLength")
    for pattern in filter(None, (schema.get("pattern"), FORMATS.get(schema.get("format", "")))):
        if not re.search(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, value):
            raise Misfit(path, f"does not match {pattern}", "pattern")


def _check_number(value: float, schema: Schema, path: str) -> None:
    for key, bad in (
        ("minimum", lambda v, b: v < b),
        ("maximum", lambda v, b: v > b),
        ("exclusiveMinimum", lambda v, b: v <= b),
        ("exclusiveMaximum", lambda v, b: v >= b),
    ):
        if key in schema and bad(value, schema[key]):  # type: ignore[no-untyped-call]
            word = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above"}.get(key, "below")
            raise Misfit(path, f"must be {word} {schema[key]}, got {value}", key)


def _check_array(value: list[Any], schema: Schema, path: str, root: Schema) -> None:
    if len(value) < schema.get("minItems", 0):
        raise Misfit(path, f"needs at least {schema['minItems']} item(s), has {len(value)}", "minItems")
    if len(value) > schema.get("maxItems", len(value)):
        raise Misfit(path, f"holds at most {schema['maxItems']} items, has {len(value)}", "maxItems")
    first = schema.get("prefixItems", ())
    for number, item in enumerate(value):
        part = first[number] if number < len(first) else schema.get("items", True)
        check(item, part, f"{path}[{number}]", root)


def _check_object(value: dict[str, Any], schema: Schema, path: str, root: Schema) -> None:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in known:
            check(item, known[key], where, root)
        elif rest is False:
            raise Misfit(where, "is not a known parameter", "additionalProperties")
        else:
            check(item, rest, where, root)
    for key in schema.get("required", ()):
        if key not in value:
            raise Misfit(f"{path}.{key}" if path else key, "is required", "required")


def shown(value: Any) -> str:
    """A value in a message: short, and in JSON's words."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)[:60]


def _told(*options: Any) -> str:
    """What a value may be, as JSON has it: true, not True."""
    words = [repr(o) if isinstance(o, str) else json.dumps(o, ensure_ascii=False) for o in options[:20]]
    return words[0] if len(options) == 1 else f"one of {', '.join(words)}"
