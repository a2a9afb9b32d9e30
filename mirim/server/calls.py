"""Calls of functions: what one may look like, and what a model wrote as OpenAI writes it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

from mirim.core.check import Schema
from mirim.server.review import simplify

#: What says by itself which other properties an object may hold.
_APART = frozenset(
    "additionalProperties patternProperties unevaluatedProperties allOf anyOf oneOf $ref enum const".split()
)
#: What describes an object; more than one of them in a schema hold together.
_PARTS = frozenset({"properties", "allOf", "anyOf", "oneOf", "$ref"})


def call_schema(tools: Sequence[dict[str, Any]]) -> Schema:
    """What a call may look like: one of the functions with arguments that fit it."""
    options: list[Schema] = []
    places: dict[str, Schema] = {}
    for tool in tools:
        function = tool["function"]
        place = f"arguments{len(options)}"
        arguments = closed(simplify(function.get("parameters") or {"type": "object", "properties": {}}))
        if arguments.get("properties") == {} and not _APART & set(arguments):
            # A list of none: the function takes nothing, where deeper down it would be an object of anything.
            arguments["additionalProperties"] = False
        places[place] = {"type": "object", **_moved(arguments, f"#/$defs/{place}")}
        options.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": {"$ref": f"#/$defs/{place}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return {"anyOf": options, "$defs": places}


def closed(schema: Any) -> Any:
    """Objects that list their properties and say nothing of others hold no others: a function is called with what it
    takes. Where parts are put together (allOf and the like) one part cannot know what the others list."""
    links: dict[str, set[str]] = {}
    _closed(schema, "#", "#", links, set())
    joined: set[str] = set()
    found = links.get("", set())
    while found:
        joined |= found
        found = {place for one in found for place in links.get(one, ())} - joined
    return _closed(schema, "#", "#", links, joined)


def _closed(schema: Any, path: str, whole: str, links: dict[str, set[str]], joined: set[str]) -> Any:
    """`whole`: the place that describes the object at `path` by itself, "" where others describe it too. `links` gets
    the places that are referred to from each; those in `joined` are parts of something."""
    if not isinstance(schema, dict):
        return schema
    whole = "" if path in joined else whole
    alone = whole if len(_PARTS & set(schema)) < 2 else ""
    if isinstance(schema.get("$ref"), str):
        links.setdefault(alone, set()).add(schema["$ref"])

    def at(part: Any, *words: str) -> Any:
        place = "/".join([path, *(word.replace("~", "~0").replace("/", "~1") for word in words)])
        return _closed(part, place, place, links, joined)

    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs", "definitions") and isinstance(value, dict):
            # Names, not keywords.
            out[key] = {name: at(part, key, name) for name, part in value.items()}
        elif key in ("allOf", "anyOf", "oneOf") and isinstance(value, list):
            by = "" if key == "allOf" and len(value) > 1 else alone
            out[key] = [_closed(part, f"{path}/{key}/{n}", by, links, joined) for n, part in enumerate(value)]
        elif key == "prefixItems" and isinstance(value, list):
            out[key] = [at(part, key, str(n)) for n, part in enumerate(value)]
        else:
            out[key] = at(value, key) if key in ("items", "additionalProperties") else value
    listed = out.get("properties")
    lists = isinstance(listed, dict) and listed and {*out.get("required", ())} <= {*listed}
    if whole and lists and not _APART & set(out):
        out["additionalProperties"] = False
    return out


def _moved(schema: Any, place: str) -> Any:
    """References of a schema that moves into a larger document, pointed to its new place there."""
    if isinstance(schema, list):
        return [_moved(part, place) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {k: _moved(v, place) for k, v in schema.items()}
    if isinstance(out.get("$ref"), str):
        out["$ref"] = place + out["$ref"].removeprefix("#").rstrip("/")
    return out


def loose(text: str) -> dict[str, Any] | None:
    """A call written as a bare object, as some models do."""
    try:
        row = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if (
        isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and isinstance(row.get("arguments", row.get("parameters")), dict)
    ):
        return row
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """A call as OpenAI's clients read it, from {"name", "arguments" or "parameters"}."""
    arguments = json.dumps(row.get("arguments", row.get("parameters", {})), ensure_ascii=False)
    if re.search("[\ud800-\udfff]", arguments):
        # Halves of characters can only be written as escapes.
        arguments = json.dumps(json.loads(arguments))
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": row["name"], "arguments": arguments},
    }
