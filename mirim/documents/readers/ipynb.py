"""Notebooks: what is written between the code, the code, and what it answered in words or as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.documents.blocks import joined
from mirim.documents.draft import Draft, Refused
from mirim.documents.readers.html import page
from mirim.documents.readers.markdown import prose
from mirim.documents.text import clean, decode

SUFFIXES = (".ipynb",)
MEDIA = "application/x-ipynb+json"
VERSION = 1
ISOLATE = True

#: Characters of an answer that are kept; logs of trainings run to millions.
_ANSWER = 4000
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def read(path: Path) -> Draft:
    text, notes = decode(path.read_bytes())
    try:
        book = json.loads(text)
    except ValueError as error:
        raise Refused(f"is not a notebook: {error}; open it in its program and save it again") from error
    # Version 3 kept the cells in sheets.
    sheets = _list(book, "worksheets")
    cells = _list(book, "cells") or [cell for sheet in sheets for cell in _list(sheet, "cells")]
    if not cells:
        raise Refused("is a notebook without cells, or none at all; open it in its program and save it again")
    facts = book.get("metadata") if isinstance(book, dict) else None
    title = str(facts.get("title") or "") if isinstance(facts, dict) else ""
    content = joined(f"{block}\n\n" for cell in cells for block in _blocks(cell, notes))
    return Draft(clean(content), title, notes=tuple(dict.fromkeys(notes)))


def _blocks(cell: Any, notes: list[str]) -> Iterator[str]:
    kind, source = (cell.get("cell_type"), _text(cell, "source", "input")) if isinstance(cell, dict) else ("", "")
    if kind == "code":
        yield from _fenced(source)
        for answer in _list(cell, "outputs"):
            yield from _answer(answer, notes)
    elif kind == "heading":
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {' '.join(source.split())}"
    elif kind == "markdown":
        yield prose(clean(source))
    elif source.strip():
        yield source


def _answer(answer: Any, notes: list[str]) -> Iterator[str]:
    data = answer.get("data", answer) if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        return
    markup, said = _text(data, "text/html", "html"), _text(data, "text/plain", "text")
    if answer.get("output_type") in ("error", "pyerr"):
        notes.append("errors that the code ended with were not read")
    elif "<table" in markup:
        yield page(markup)[0]
    elif any(str(name).startswith("image/") or name in ("png", "jpeg", "svg") for name in data):
        notes.append("pictures that the code drew were not read")
    elif said.strip():
        if len(said) > _ANSWER:
            notes.append(f"answers of the code longer than {_ANSWER} characters were cut")
        yield from _fenced(_COLOURS.sub("", said)[:_ANSWER])


def _fenced(code: str) -> Iterator[str]:
    if code.strip():
        fence = max(["```", *(run + "`" for run in re.findall(r"`{3,}", code))], key=len)
        yield "\n".join((fence, code.strip("\n"), fence))


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _text(value: Any, *names: str) -> str:
    """A text, which notebooks write as a list of lines."""
    for name in names:
        if found := value.get(name):
            return "".join(map(str, found)) if isinstance(found, list) else str(found)
    return ""
