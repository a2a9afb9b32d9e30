"""Rows of public sets and of requests: one JSON object a line, and what all readers of them ask of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.files import numbered_jsonl

_SPACES = re.compile(r"[ \t]+")

Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The lines of a file, one with "asked" once for each of its questions. UsageError when these are no pairs, or its
    task is no text."""
    for number, row in numbered_jsonl(path):
        if not isinstance(row.get("task", ""), str):
            raise UsageError(f'{path} line {number}: "task" is {row["task"]!r}; write a text, such as "read"')
        if not isinstance(row.get("asked", []), list):
            raise UsageError(f'{path} line {number}: "asked" holds {row["asked"]!r}, not pairs of question and answer')
        if "asked" not in row:
            yield number, row
            continue
        for pair in row["asked"]:
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
                raise UsageError(f'{path} line {number}: "asked" holds {pair!r}, not a question and its answer')
            yield number, row | {"input": pair[0], "output": pair[1], "answerable": bool(pair[1].strip())}


def language_of(row: Row) -> str:
    """ "pt" or "en": what "lang" begins with, so that "pt-BR" is Portuguese."""
    return "pt" if str(row.get("lang")).lower()[:2] == "pt" else "en"


def flat(text: str) -> str:
    return _SPACES.sub(" ", str(text)).strip()


def standing(said: str, text: str) -> list[tuple[int, int]]:
    """Where words stand in a text: as whole words, or within others where they nowhere are."""
    inside = [match.span() for match in re.finditer(re.escape(said), text)] if said else []
    whole = [(a, b) for a, b in inside if not (_word(text, a) or _word(text, b))]
    return whole or inside


def _word(text: str, at: int) -> bool:
    """Whether a place is within a word."""
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


def function_of(row: Row) -> dict[str, Any]:
    """OpenAI's shape of a function whose parameters are a list of {name, description?, enum?, required?}."""
    places: dict[str, Any] = {}
    for parameter in row.get("parameters") or []:
        place: dict[str, Any] = {"type": "string"}
        if parameter.get("enum"):
            place["enum"] = parameter["enum"][:4]
        elif parameter.get("description"):
            place["description"] = parameter["description"]
        places[parameter["name"]] = place
    required = [p["name"] for p in row.get("parameters") or [] if p.get("required")]
    function: dict[str, Any] = {"name": row["name"]}
    if row.get("description"):
        function["description"] = row["description"]
    function["parameters"] = {"type": "object", "properties": places, "required": required}
    return {"type": "function", "function": function}
