"""Calls of functions: what one may look like, and what a model wrote as OpenAI writes it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from mirim.server.check import Schema
from mirim.server.review import simplify


def call_schema(tools: Sequence[dict[str, Any]], name: str = "") -> Schema:
    """What a call may look like: one of the functions (or the one named) with arguments that fit it."""
    options: list[Schema] = []
    places: dict[str, Schema] = {}
    for tool in tools:
        function = tool["function"]
        if name and function["name"] != name:
            continue
        place = f"arguments{len(options)}"
        arguments = simplify(function.get("parameters") or {"type": "object", "properties": {}})
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
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(row, dict) and isinstance(row.get("arguments", row.get("parameters")), dict):
        return row
    return None


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    arguments = row.get("arguments", row.get("parameters", {}))
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": row["name"], "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
