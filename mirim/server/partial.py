"""JSON whose end is missing, read as far as it goes: what is whole, and which part is open."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from mirim.core.check import Misfit


@dataclass(slots=True)
class Open:
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
    last: Open | None = None
    comma: bool = field(default=False)


_NUMBERISH = re.compile(r"[-+0-9.eE]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")


def read(text: str) -> Any:
    """The value, or an `Open` when the text ends first. Misfit when it begins no JSON value."""
    return _value(text, _skip(text, 0))[0]


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int) -> tuple[Any, int]:
    """The value at `at` and where it ends; an `Open` when the text ends first."""
    if at >= len(text):
        return Open("nothing"), at
    head = text[at]
    if head == '"':
        match = _STRING.match(text, at)
        if not match:
            return Open("string", text[at + 1 :]), len(text)
        return string(match.group()), match.end()
    if head == "{":
        return _read_object(text, at + 1)
    if head == "[":
        return _read_array(text, at + 1)
    if head in "-0123456789":
        match = _NUMBERISH.match(text, at)
        assert match is not None
        if match.end() == len(text):
            # More digits could have come: open, though it may be whole as it stands.
            return Open("number", match.group()), len(text)
        return json.loads(match.group()), match.end()
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return value, at + len(word)
        if word.startswith(text[at:]):
            return Open("word", text[at:]), len(text)
    raise Misfit("", f"{text[at : at + 20]!r} begins no JSON value", "closing")


def string(raw: str) -> str:
    """A string as JSON writes it, with its quotes, as what it stands for."""
    return str(json.loads(raw, strict=False))


def _read_array(text: str, at: int) -> tuple[Any, int]:
    items: list[Any] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return items, at + 1
    comma = False
    while True:
        if at >= len(text):
            return Open("array", done=items, place="item", comma=comma), at
        item, at = _value(text, at)
        if isinstance(item, Open):
            return Open("array", done=items, place="item", last=item, comma=comma), at
        items.append(item)
        at = _skip(text, at)
        if at >= len(text):
            return Open("array", done=items, place="after"), at
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
            return Open("object", done=pairs, place="item", comma=comma), at
        _expect(text, at, '"')
        key, at = _value(text, at)
        if isinstance(key, Open):
            return Open("object", done=pairs, place="key", last=key), at
        at = _skip(text, at)
        if at >= len(text):
            return Open("object", done=pairs, place="colon", key=key), at
        _expect(text, at, ":")
        value, at = _value(text, _skip(text, at + 1))
        if isinstance(value, Open):
            return Open("object", done=pairs, place="value", key=key, last=value), at
        pairs[key] = value
        at = _skip(text, at)
        if at >= len(text):
            return Open("object", done=pairs, place="after"), at
        if text[at] == "}":
            return pairs, at + 1
        _expect(text, at, ",")
        at, comma = _skip(text, at + 1), True


def _expect(text: str, at: int, mark: str) -> None:
    if text[at] != mark:
        raise Misfit("", f"{text[at : at + 20]!r} stands where {mark} belongs", "closing")


class Nesting:
    """How deep a growing JSON text is nested, counted as it comes."""

    def __init__(self, most: int) -> None:
        self.most, self.depth, self.inside, self.escaped = most, 0, False, False

    def room(self, text: str) -> int:
        """Characters of the next part of the text before it nests too deep: all of them where it does not."""
        for at, char in enumerate(text):
            if self.escaped:
                self.escaped = False
            elif self.inside:
                self.escaped, self.inside = char == "\\", char != '"'
            elif char == '"':
                self.inside = True
            elif char in "[{":
                if self.depth == self.most:
                    return at
                self.depth += 1
            elif char in "]}":
                self.depth -= 1
        return len(text)
