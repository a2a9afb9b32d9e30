"""How long the shortest value of a JSON Schema is: what never ends, or fits no model, is refused before the work."""

from __future__ import annotations

import math
from typing import Any

#: Rounds in which the way out of references that lead back is sought: one settles what is nested in order.
_ROUNDS = 32


def least(schema: Any, places: dict[str, Any]) -> float:
    """Characters of the shortest JSON that fits, about; `places` is where each "$ref" of the schema leads.

    Infinite when a reference leads back to itself with no way out, even one that is not needed: a model that
    followed it could not end.
    """
    known = dict.fromkeys(places, math.inf)
    for _ in range(_ROUNDS):
        before = dict(known)
        for ref in reversed(places):
            known[ref] = _shortest(places[ref], known)
        if known == before:
            break
    return max([_shortest(schema, known), *(size for size in known.values() if size == math.inf)])


def _shortest(schema: Any, known: dict[str, float]) -> float:
    if not isinstance(schema, dict) or "const" in schema or "enum" in schema:
        return 1
    if "$ref" in schema:
        return known[schema["$ref"]]
    named = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else "null")
    # Each once: what is named twice would be looked at twice, at every depth.
    kinds = [named] if isinstance(named, str) else dict.fromkeys(named)
    sizes = [min((_of_kind(kind, schema, known) for kind in kinds), default=1)]
    sizes += [_shortest(part, known) for part in schema.get("allOf", ())]
    sizes += [min(_shortest(part, known) for part in schema[key]) for key in ("anyOf", "oneOf") if key in schema]
    return max(sizes)


def _of_kind(kind: str, schema: dict[str, Any], known: dict[str, float]) -> float:
    if kind == "string":
        return 2 + int(schema.get("minLength", 0))
    if kind == "array":
        first, count = schema.get("prefixItems", []), int(schema.get("minItems", 0))
        size = 2 + sum(_shortest(part, known) for part in first[:count])
        more = count - len(first)
        return size if more <= 0 else size + more * (2 + _shortest(schema.get("items"), known))
    if kind == "object":
        parts, rest = schema.get("properties", {}), schema.get("additionalProperties")
        return 2 + sum(
            len(key) + 4 + _shortest(parts.get(key, rest), known) for key in dict.fromkeys(schema.get("required", ()))
        )
    return 1
