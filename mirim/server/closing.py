"""Closing JSON that was cut off, by appending alone, so that it is valid and fits its schema.

What was streamed cannot be taken back. The text is read into a value whose last part may be open; the open
part is finished along the schema: strings and enums towards something allowed, required keys with the
smallest value they may have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from mirim.core.check import FORMATS, Misfit, Schema, check, fits, resolve, types
from mirim.server.partial import Open, read, string
from mirim.server.patterns import matching

#: Alternatives tried at each place before giving up: schemas that branch widely must not run for ever.
_TRIES = 64
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def close(text: str, schema: Schema) -> str:
    """What to append to `text`, the beginning of a JSON value that fits `schema`.

    '' when it is whole already. Misfit when no continuation was found.
    """
    node = read(text)
    if not isinstance(node, Open):
        check(node, schema)
        return ""
    for suffix, value in _finish(node, schema, schema):
        if fits(value, schema):
            return suffix
    raise Misfit("", f"the JSON that begins {text[:60]!r} cannot be closed under its schema", "closing")


def _finish(node: Open, schema: Schema | bool, root: Schema) -> Iterator[tuple[str, Any]]:
    """(suffix, whole value) pairs that fit the schema, the plainest first."""
    seen = 0
    for plain in _branches(schema, root):
        for suffix, value in islice(_finish_plain(node, plain, root), _TRIES):
            if fits(value, schema, root):
                yield suffix, value
                seen += 1
                if seen >= _TRIES:
                    return


def _branches(schema: Schema | bool, root: Schema, depth: int = 0) -> Iterator[Schema]:
    """The schema with its alternatives spread out, each merged with what stands beside them."""
    if isinstance(schema, bool) or depth > 12:
        yield {}
        return
    schema = resolve(schema, root)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            rest = {k: v for k, v in schema.items() if k != key}
            if key == "allOf":
                merged = rest
                for part in schema[key]:
                    merged = _merge(merged, resolve(part, root) if isinstance(part, dict) else {})
                yield from _branches(merged, root, depth + 1)
                return
            for part in schema[key]:
                part = resolve(part, root) if isinstance(part, dict) else {}
                yield from _branches(_merge(rest, part), root, depth + 1)
            return
    yield schema


def _merge(a: Schema, b: Schema) -> Schema:
    out = {**a, **b}
    if "properties" in a and "properties" in b:
        out["properties"] = {**a["properties"], **b["properties"]}
    if "required" in a and "required" in b:
        out["required"] = list(dict.fromkeys([*a["required"], *b["required"]]))
    return out


def _finish_plain(node: Open, schema: Schema, root: Schema) -> Iterator[tuple[str, Any]]:
    if node.kind == "nothing":
        for value in _smallest(schema, root):
            yield json.dumps(value, ensure_ascii=False), value
    elif node.kind == "word":
        for word, value in (("true", True), ("false", False), ("null", None)):
            if word.startswith(node.text):
                yield word[len(node.text) :], value
    elif node.kind == "number":
        yield from _finish_number(node.text, schema)
    elif node.kind == "string":
        yield from _finish_string(node.text, schema)
    elif node.kind == "array":
        yield from _finish_array(node, schema, root)
    else:
        yield from _finish_object(node, schema, root)


def _finish_number(raw: str, schema: Schema) -> Iterator[tuple[str, Any]]:
    for option in _options(schema):
        text = json.dumps(option)
        if text.startswith(raw) and isinstance(option, int | float):
            yield text[len(raw) :], option
    for more in ("", *"0123456789", ".0"):
        if _NUMBER.fullmatch(raw + more):
            yield more, json.loads(raw + more)
    if re.fullmatch(r"-?[0-9]*", raw):
        # A whole number between bounds: the digits so far and as many more as lead into the range.
        low, high = _range(schema)
        sign, digits = (-1, raw[1:]) if raw.startswith("-") else (1, raw)
        least, most = (low, high) if sign > 0 else (-high, -low)
        for size in range(1, 20):
            start = int(digits or "0") * 10**size
            first = max(start, least, 10 ** (size - 1) if not digits else 0)
            if first <= min(start + 10**size - 1, most) and (digits or first) and not digits.startswith("0"):
                word = str(first)[len(digits) :]
                yield word, sign * first


def _range(schema: Schema) -> tuple[int, int]:
    low = max(schema.get("minimum", -(10**18)), schema.get("exclusiveMinimum", -(10**18) - 1) + 1)
    high = min(schema.get("maximum", 10**18), schema.get("exclusiveMaximum", 10**18 + 1) - 1)
    return int(-(-low // 1)), int(high // 1)


def _finish_string(raw: str, schema: Schema) -> Iterator[tuple[str, str]]:
    repair = _mend(raw)
    known = string(f'"{raw}{repair}"')
    if repair:
        # Inside an escape: end it first, whatever it turns out to be.
        raw += repair
    for option in _options(schema):
        if isinstance(option, str) and option.startswith(known):
            yield repair + json.dumps(option[len(known) :], ensure_ascii=False)[1:], option
    pattern = schema.get("pattern") or FORMATS.get(schema.get("format", ""))
    if pattern:
        for value in islice(matching(pattern, known), _TRIES):
            yield repair + json.dumps(value[len(known) :], ensure_ascii=False)[1:], value
    pad = "." * max(0, schema.get("minLength", 0) - len(known))
    yield repair + pad + '"', known + pad


def _mend(raw: str) -> str:
    """What ends an escape that was cut: after a backslash a quote mark's worth, after \\u its digits."""
    tail = re.search(r"(?:^|[^\\])(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)$", raw)
    if tail:
        # `\` becomes an escaped slash, `\u00` becomes U+00 and zeros enough; a lone half of a pair stays possible.
        digits = len(tail.group(1)) - 2
        return "/" if digits < 0 else "0020"[digits:]
    high = re.search(r"(?:^|[^\\])(?:\\\\)*\\u[dD][89abAB][0-9a-fA-F]{2}$", raw)
    return "\\udc00" if high else ""


def _finish_array(node: Open, schema: Schema, root: Schema) -> Iterator[tuple[str, list[Any]]]:
    items: list[Any] = node.done

    def part(number: int) -> Any:
        first = schema.get("prefixItems", ())
        return first[number] if number < len(first) else schema.get("items", True)

    if node.last is not None:
        heads = [(s, [*items, v]) for s, v in islice(_finish(node.last, part(len(items)), root), _TRIES)]
    elif node.place == "item" and node.comma:
        heads = [(s, [*items, v]) for s, v in islice(_finish(Open("nothing"), part(len(items)), root), _TRIES)]
    else:
        heads = [("", list(items))]
    for head, value in heads:
        suffix, full = head, list(value)
        while len(full) < schema.get("minItems", 0):
            made = next(_smallest(part(len(full)), root), None)
            suffix += (", " if full else "") + json.dumps(made, ensure_ascii=False)
            full.append(made)
        yield suffix + "]", full


def _finish_object(node: Open, schema: Schema, root: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
    done: dict[str, Any] = node.done
    known: dict[str, Any] = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)

    def part(key: str) -> Any:
        return known.get(key, rest)

    heads: list[tuple[str, dict[str, Any]]] = []
    if node.place == "value" and node.last is not None:
        found = islice(_finish(node.last, part(node.key), root), _TRIES)
        heads = [(s, {**done, node.key: v}) for s, v in found]
    elif node.place == "colon":
        found = islice(_finish(Open("nothing"), part(node.key), root), _TRIES)
        heads = [(": " + s, {**done, node.key: v}) for s, v in found]
    elif node.place == "key" and node.last is not None:
        for suffix, key in _keys(node.last.text, known, done, rest):
            for more, value in islice(_finish(Open("nothing"), part(key), root), 8):
                heads.append((f"{suffix}: {more}", {**done, key: value}))
    elif node.comma:
        unused = [k for k in (*schema.get("required", ()), *known) if k not in done]
        for key in unused or ([f"key{len(done)}"] if rest is not False else []):
            for more, value in islice(_finish(Open("nothing"), part(key), root), 8):
                heads.append((f"{json.dumps(key, ensure_ascii=False)}: {more}", {**done, key: value}))
    else:
        heads = [("", dict(done))]
    for head, value in heads:
        suffix, full = head, dict(value)
        for key in schema.get("required", ()):
            if key not in full:
                full[key] = next(_smallest(part(key), root), None)
                mark = ", " if len(full) > 1 else ""
                suffix += f"{mark}{json.dumps(key, ensure_ascii=False)}: {json.dumps(full[key], ensure_ascii=False)}"
        yield suffix + "}", full


def _keys(raw: str, known: dict[str, Any], done: dict[str, Any], rest: Any) -> Iterator[tuple[str, str]]:
    repair = _mend(raw)
    start = string(f'"{raw}{repair}"')
    for key in known:
        if key.startswith(start) and key not in done:
            yield repair + json.dumps(key[len(start) :], ensure_ascii=False)[1:], key
    if rest is not False:
        key = start
        while key in done or key in known:
            key += "_"
        yield repair + key[len(start) :] + '"', key


def _options(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _smallest(schema: Schema | bool, root: Schema, depth: int = 0) -> Iterator[Any]:
    """Small values that fit, the smallest first."""
    if depth > 24:
        return
    for plain in _branches(schema, root):
        for value in _small(plain, root, depth):
            if fits(value, schema, root):
                yield value


def _small(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    if "const" in schema or "enum" in schema:
        yield from _options(schema)
        return
    kinds = types(schema) or (["object"] if "properties" in schema else ["array"] if "items" in schema else [])
    for kind in kinds or ["null", "string", "integer", "object", "array"]:
        if kind == "null":
            yield None
        elif kind == "boolean":
            yield from (False, True)
        elif kind in ("integer", "number"):
            low, high = _range(schema)
            yield min(max(0, low), high)
        elif kind == "string":
            yield from (value for _, value in islice(_finish_string("", schema), _TRIES))
        elif kind == "array":
            value = []
            first = schema.get("prefixItems", ())
            for number in range(schema.get("minItems", 0)):
                part = first[number] if number < len(first) else schema.get("items", True)
                value.append(next(_smallest(part, root, depth + 1), None))
            yield value
        else:
            known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
            yield {
                key: next(_smallest(known.get(key, rest), root, depth + 1), None) for key in schema.get("required", ())
            }
