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
    {"additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref", "unevaluatedProperties"}
)


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
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs", "definitions") and isinstance(value, dict):
            # Names, not keywords.
            out[key] = {name: closed(part) for name, part in value.items()}
        else:
            out[key] = value if key in ("enum", "const", "default", "examples") else closed(value)
    if isinstance(out.get("properties"), dict) and out["properties"] and not _APART & set(out):
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
