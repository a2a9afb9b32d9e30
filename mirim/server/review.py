"""What a JSON Schema may ask for: what no grammar here enforces is refused, or left a description."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from mirim.core.check import FORMATS, TYPES, Misfit, Schema, resolve, shown, types
from mirim.server.ambiguity import explodes
from mirim.server.least import least
from mirim.server.patterns import steps

ENFORCED = frozenset(
    "type enum const anyOf oneOf allOf properties required additionalProperties items prefixItems minItems maxItems "
    "minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum $ref $defs "
    "definitions".split()
)
NOTES = frozenset(
    "title description default examples $schema $id $comment deprecated readOnly writeOnly nullable strict "
    "discriminator".split()
)
#: From end to end, and the end no sign of money: an odd number of backslashes makes it one.
_ANCHORED = re.compile(r"\^(?:[^\\]|\\.)*\$\Z", re.DOTALL)
#: Schemas inside a schema, characters of the shortest value that fits, and places of a pattern: with more, closing
#: what was cut would take longer than writing it.
PARTS, LEAST, STEPS = 5_000, 20_000, 400


def refuse(schema: Any, path: str = "") -> None:
    """Raise Misfit where a schema is malformed, or else (kind "keyword") asks for what no grammar here enforces."""
    review = _Review(schema)
    review.look(schema, path, 0)
    if review.beyond:
        raise review.beyond
    size = least(schema, review.places)
    if size == math.inf:
        raise Misfit(path, 'a "$ref" leads back to itself without a way out; leave it out of "required"', "schema")
    if size > LEAST:
        raise Misfit(path, f"the shortest JSON that fits has {size:.0f} characters, the most is {LEAST}", "schema")


class _Review:
    def __init__(self, root: Any) -> None:
        self.root, self.parts = root, 0
        self.places: dict[str, Schema] = {}
        self.beyond: Misfit | None = None

    def _beyond(self, path: str, why: str) -> None:
        """Note what no grammar enforces: what stands behind it may be malformed."""
        self.beyond = self.beyond or Misfit(path, why, "keyword")

    def look(self, schema: Any, path: str, depth: int) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise Misfit(path, f"a schema is an object, got {shown(schema)}", "schema")
        self.parts += 1
        if depth > 40 or self.parts > PARTS:
            raise Misfit(path, f"a schema holds at most {PARTS} schemas, 40 deep", "schema")
        for key in schema:
            if key not in ENFORCED and key not in NOTES:
                self._beyond(path, f'"{key}" cannot be enforced here; leave it out')
        self._keywords(schema, path)
        for key in ("title", "description"):
            if not isinstance(schema.get(key, ""), str):
                raise Misfit(path, f'"{key}" must be text', "schema")
        if "$ref" in schema:
            self.places[schema["$ref"]] = resolve(schema, self.root)
        for where, part in _parts(schema, path):
            self.look(part, where, depth + 1)

    def _keywords(self, schema: Schema, path: str) -> None:
        bad = [k for k in types_or_misfit(schema, path) if k not in TYPES]
        if bad:
            raise Misfit(path, f'"type": {bad[0]!r} is not a JSON type', "schema")
        kinds = types(schema)
        for key in ("minItems", "maxItems", "minLength", "maxLength"):
            if key in schema and (not TYPES["integer"](schema[key]) or schema[key] < 0):
                raise Misfit(path, f'"{key}" must be a whole number', "schema")
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if key not in schema:
                continue
            if not TYPES["number"](schema[key]):
                raise Misfit(path, f'"{key}" must be a number', "schema")
            if kinds != ["integer"]:
                self._beyond(path, f'"{key}" can be enforced for integers only; leave it out')
        for key in ("enum", "anyOf", "oneOf", "allOf", "prefixItems"):
            if key in schema and (not isinstance(schema[key], list) or not schema[key]):
                raise Misfit(path, f'"{key}" must be a list that is not empty', "schema")
        for key in ("properties", "$defs", "definitions"):
            if key in schema and not isinstance(schema[key], dict):
                raise Misfit(path, f'"{key}" must be an object', "schema")
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(k, str) for k in required):
            raise Misfit(path, '"required" must be a list of names', "schema")
        if not isinstance(schema.get("format", ""), str):
            raise Misfit(path, '"format" must be text', "schema")
        if "format" in schema and schema["format"] not in FORMATS:
            self._beyond(path, f'"format": {schema["format"]!r} cannot be enforced; known: {", ".join(FORMATS)}')
        if "pattern" in schema:
            self._pattern(schema["pattern"], path)

    def _pattern(self, pattern: Any, path: str) -> None:
        if not isinstance(pattern, str) or not _ANCHORED.match(pattern):
            return self._beyond(path, '"pattern" must be text that begins with ^ and ends with $')
        if len(pattern) > 500 or re.search(r"\\[bBAZpP1-9]|\(\?[^:]", pattern):
            return self._beyond(path, f'"pattern": {pattern[:60]!r} uses what no grammar here enforces')
        try:
            re.compile(pattern)
            if steps(pattern) > STEPS:
                self._beyond(path, f'"pattern": {pattern[:60]!r} asks for more than {STEPS} characters')
            elif explodes(pattern):
                self._beyond(
                    path,
                    f'"pattern": {pattern[:60]!r} can be read in several ways each time it repeats; write it flatter',
                )
        except (re.error, RecursionError, OverflowError) as error:
            raise Misfit(path, f'"pattern" is not a regular expression: {error}', "schema") from error


def types_or_misfit(schema: Schema, path: str) -> list[Any]:
    kind = schema.get("type", [])
    if not isinstance(kind, str | list) or (isinstance(kind, list) and not all(isinstance(k, str) for k in kind)):
        raise Misfit(path, '"type" must be a name or a list of names', "schema")
    return [kind] if isinstance(kind, str) else kind


def _parts(schema: Schema, path: str) -> Iterator[tuple[str, Any]]:
    for key in ("properties", "$defs", "definitions"):
        for name, part in schema.get(key, {}).items():
            yield f"{path}.{key}.{name}", part
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, part in enumerate(schema.get(key, ())):
            yield f"{path}.{key}[{number}]", part
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield f"{path}.{key}", schema[key]


def simplify(schema: Any, notes: bool = False) -> Any:
    """The part of a schema that grammars enforce; the rest of it stays a description for the model. `notes`: what is
    said of values besides is kept too."""
    if not isinstance(schema, dict):
        return schema
    kinds = types(schema)
    out: Schema = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions"):
            out[key] = {name: simplify(part, notes) for name, part in value.items()}
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            out[key] = [simplify(part, notes) for part in value]
        elif key in ("items", "additionalProperties"):
            out[key] = simplify(value, notes)
        elif (key in ENFORCED and _enforceable(key, value, kinds)) or (notes and key in NOTES):
            out[key] = value
    return out


def _enforceable(key: str, value: Any, kinds: list[str]) -> bool:
    if key == "format":
        return value in FORMATS
    if key == "pattern":
        try:
            refuse({key: value})
        except Misfit:
            return False
    return key not in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") or kinds == ["integer"]
