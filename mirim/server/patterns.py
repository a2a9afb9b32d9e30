"""Strings that match a regular expression: the short ones, for closing JSON under a schema's `pattern`."""

from __future__ import annotations

import re
import re._parser as _parser
from collections.abc import Iterator
from typing import Any


def matching(pattern: str, start: str) -> Iterator[str]:
    """Short strings that match an anchored pattern and begin with `start`."""
    for made, left in _walk(list(_parser.parse(pattern)), start):
        if not left:
            yield made


def steps(pattern: str) -> int:
    """Places that the shortest way through an expression has."""
    return _steps(_parser.parse(pattern))


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
        one = characters(kind, value)
        if left:
            if re.fullmatch(one[0], left[0], re.DOTALL):
                yield left[0], left[1:]
        else:
            yield one[1], ""


def characters(kind: str, value: Any) -> tuple[str, str]:
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


def _steps(ops: Any) -> int:
    total = 0
    for op, value in ops:
        name = str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            total += value[0] * max(1, _steps(value[2]))
        elif name == "SUBPATTERN":
            total += _steps(value[-1])
        elif name == "BRANCH":
            total += max((_steps(branch) for branch in value[1]), default=0)
        else:
            total += 1
    return total
