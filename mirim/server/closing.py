"""Closing JSON that was cut off, by appending alone, so that it is valid and fits its schema.

What was streamed cannot be taken back. The text is read into a value whose last part may be open; the open
part is finished along the schema: strings and enums towards something allowed, required keys with the
smallest value they may have.
"""

from __future__ import annotations

import json
import re
import re._parser as _parser
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from mirim.server.check import FORMATS, Misfit, Schema, check, fits, resolve, types

#: Alternatives tried at each place before giving up: schemas that branch widely must not run for ever.
_TRIES = 64


def close(text: str, schema: Schema) -> str:
    """What to append to `text`, the beginning of a JSON value that fits `schema`.

    '' when it is whole already. Misfit when no continuation was found.
    """
    node, _ = _read(text, _skip(text, 0))
    if not isinstance(node, _Open):
        check(node, schema)
        return ""
    for suffix, value in _finish(node, schema, schema):
        if fits(value, schema):
            return suffix
    raise Misfit("", f"the JSON that begins {text[:60]!r} cannot be closed under its schema", "closing")


# -- reading what is there -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """An unfinished value. `kind`: nothing, word, number, string, array, object.

    text     what was read of a word, a number or a string (a string without its opening quote)
    done     items or pairs that are whole
    place    arrays and objects: 'item' (one is due or may follow), 'after' (one just ended), 'key', 'colon'
    key      of the pair that is open
    last     the open item, or value of the pair
    """

    kind: str
    text: str = ""
    done: Any = None
    place: str = ""
    key: str = ""
    last: _Open | None = None
    comma: bool = field(default=False)


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBERISH = re.compile(r"[-+0-9.eE]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _read(text: str, at: int) -> tuple[Any, int]:
    """The value at `at` and where it ends; an `_Open` when the text ends first."""
    if at >= len(text):
        return _Open("nothing"), at
    head = text[at]
    if head == '"':
        match = _STRING.match(text, at)
        if not match:
            return _Open("string", text[at + 1 :]), len(text)
        return _string(match.group()), match.end()
    if head == "{":
        return _read_object(text, at + 1)
    if head == "[":
        return _read_array(text, at + 1)
    if head in "-0123456789":
        match = _NUMBERISH.match(text, at)
        assert match is not None
        if match.end() == len(text):
            # More digits could have come: open, though it may be whole as it stands.
            return _Open("number", match.group()), len(text)
        return json.loads(match.group()), match.end()
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return value, at + len(word)
        if word.startswith(text[at:]):
            return _Open("word", text[at:]), len(text)
    raise Misfit("", f"{text[at : at + 20]!r} begins no JSON value", "closing")


def _string(raw: str) -> str:
    return str(json.loads(raw, strict=False))


def _read_array(text: str, at: int) -> tuple[Any, int]:
    items: list[Any] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return items, at + 1
    comma = False
    while True:
        if at >= len(text):
            return _Open("array", done=items, place="item", comma=comma), at
        item, at = _read(text, at)
        if isinstance(item, _Open):
            return _Open("array", done=items, place="item", last=item, comma=comma), at
        items.append(item)
        at = _skip(text, at)
        if at >= len(text):
            return _Open("array", done=items, place="after"), at
        if text[at] == "]":
            return items, at + 1
        _expect(text, at, ",")
        at, comma = _skip(text, at + 1), True


def _read_object(text: str, at: int) -> tuple[Any, int]:
    pairs: dict[str, Any] = {}
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return pairs, at + 1
    comma = False
    while True:
        if at >= len(text):
            return _Open("object", done=pairs, place="item", comma=comma), at
        _expect(text, at, '"')
        key, at = _read(text, at)
        if isinstance(key, _Open):
            return _Open("object", done=pairs, place="key", last=key), at
        at = _skip(text, at)
        if at >= len(text):
            return _Open("object", done=pairs, place="colon", key=key), at
        _expect(text, at, ":")
        value, at = _read(text, _skip(text, at + 1))
        if isinstance(value, _Open):
            return _Open("object", done=pairs, place="value", key=key, last=value), at
        pairs[key] = value
        at = _skip(text, at)
        if at >= len(text):
            return _Open("object", done=pairs, place="after"), at
        if text[at] == "}":
            return pairs, at + 1
        _expect(text, at, ",")
        at, comma = _skip(text, at + 1), True


def _expect(text: str, at: int, mark: str) -> None:
    if text[at] != mark:
        raise Misfit("", f"{text[at : at + 20]!r} stands where {mark} belongs", "closing")


# -- finishing it ------------------------------------------------------------------------------------------


def _finish(node: _Open, schema: Schema | bool, root: Schema) -> Iterator[tuple[str, Any]]:
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


def _finish_plain(node: _Open, schema: Schema, root: Schema) -> Iterator[tuple[str, Any]]:
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
    known = _string(f'"{raw}{repair}"')
    if repair:
        # Inside an escape: end it first, whatever it turns out to be.
        raw += repair
    for option in _options(schema):
        if isinstance(option, str) and option.startswith(known):
            yield repair + json.dumps(option[len(known) :], ensure_ascii=False)[1:], option
    pattern = schema.get("pattern") or FORMATS.get(schema.get("format", ""))
    if pattern:
        for value in islice(_matching(pattern, known), _TRIES):
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


def _finish_array(node: _Open, schema: Schema, root: Schema) -> Iterator[tuple[str, list[Any]]]:
    items: list[Any] = node.done

    def part(number: int) -> Any:
        first = schema.get("prefixItems", ())
        return first[number] if number < len(first) else schema.get("items", True)

    if node.last is not None:
        heads = [(s, [*items, v]) for s, v in islice(_finish(node.last, part(len(items)), root), _TRIES)]
    elif node.place == "item" and node.comma:
        heads = [(s, [*items, v]) for s, v in islice(_finish(_Open("nothing"), part(len(items)), root), _TRIES)]
    else:
        heads = [("", list(items))]
    for head, value in heads:
        suffix, full = head, list(value)
        while len(full) < schema.get("minItems", 0):
            made = next(_smallest(part(len(full)), root), None)
            suffix += (", " if full else "") + json.dumps(made, ensure_ascii=False)
            full.append(made)
        yield suffix + "]", full


def _finish_object(node: _Open, schema: Schema, root: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
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
        found = islice(_finish(_Open("nothing"), part(node.key), root), _TRIES)
        heads = [(": " + s, {**done, node.key: v}) for s, v in found]
    elif node.place == "key" and node.last is not None:
        for suffix, key in _keys(node.last.text, known, done, rest):
            for more, value in islice(_finish(_Open("nothing"), part(key), root), 8):
                heads.append((f"{suffix}: {more}", {**done, key: value}))
    elif node.comma:
        unused = [k for k in (*schema.get("required", ()), *known) if k not in done]
        for key in unused or ([f"key{len(done)}"] if rest is not False else []):
            for more, value in islice(_finish(_Open("nothing"), part(key), root), 8):
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
    start = _string(f'"{raw}{repair}"')
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


# -- strings under a pattern ---------------------------------------------------------------------------------


def _matching(pattern: str, start: str) -> Iterator[str]:
    """Short strings that match an anchored pattern and begin with `start`."""
    for made, left in _walk(list(_parser.parse(pattern)), start):
        if not left:
            yield made


def _walk(ops: list[Any], left: str) -> Iterator[tuple[str, str]]:
    """(text made, what is left of the given beginning) for each way through `ops`."""
    if not ops:
        yield "", left
        return
    for head, rest in _step(ops[0], left):
        for tail, end in _walk(ops[1:], rest):
            yield head + tail, end


def _step(op: Any, left: str) -> Iterator[tuple[str, str]]:
    kind, value = str(op[0]), op[1]
    if kind == "AT":
        yield "", left
    elif kind == "SUBPATTERN":
        yield from _walk(list(value[-1]), left)
    elif kind == "BRANCH":
        for branch in value[1]:
            yield from _walk(list(branch), left)
    elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high, body = value[0], min(int(value[1]), value[0] + len(left) + 1), list(value[2])
        for count in range(low, high + 1):
            yield from _walk(body * count, left)
    else:
        one = _characters(kind, value)
        if left:
            if re.fullmatch(one[0], left[0], re.DOTALL):
                yield left[0], left[1:]
        else:
            yield one[1], ""


def _characters(kind: str, value: Any) -> tuple[str, str]:
    """A pattern of one character, and a plain character that matches it."""
    if kind == "LITERAL":
        return re.escape(chr(value)), chr(value)
    if kind == "NOT_LITERAL":
        one = f"[^{re.escape(chr(value))}]"
    elif kind == "ANY":
        one = "."
    else:
        parts = []
        for name, part in value:
            if str(name) == "NEGATE":
                parts.append("^")
            elif str(name) == "RANGE":
                parts.append(f"{re.escape(chr(part[0]))}-{re.escape(chr(part[1]))}")
            elif str(name) == "LITERAL":
                parts.append(re.escape(chr(part)))
            else:
                parts.append({"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}.get(str(part).split("_")[-1], ""))
                if "NOT_" in str(part):
                    parts[-1] = parts[-1].upper()
        one = f"[{''.join(parts)}]"
    for char in "a0A .-_/@#,:" + "".join(map(chr, range(33, 0x250))):
        if re.fullmatch(one, char):
            return one, char
    return one, chr(0xFFFD)
