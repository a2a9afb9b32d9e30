"""What functions gave back, in words: for models that never learned to read it, which write something made up instead.

A table or an object is said field by field, a text as it is; of a long one what answers the request is read out.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

from mirim.core.types import Engine, Passage
from mirim.documents.words import parted
from mirim.models.read import read, reads_sentences

#: What is said of nothing, and of what is true and what is not.
_NOTHING = {"en": "Nothing came back.", "pt": "Nada foi devolvido."}
_WORDS = {"en": {True: "yes", False: "no"}, "pt": {True: "sim", False: "não"}}
#: Characters of a text that is said whole, and of what has fields: whoever asks for a list wants all of it.
TEXT, FIELDS = 400, 2000


def said(told: str, language: str) -> str:
    """Plain words for the JSON, or the Python literal, that a function gave back; a text as it is."""
    try:
        words = "\n".join(_lines(_value(told), language)).strip()
    except RecursionError:
        words = told.strip()
    return _whole(words) or _NOTHING.get(language, _NOTHING["en"])


def answering(engine: Engine, request: str, told: str, name: str, language: str) -> str:
    """As `said`; of a long text what answers the request."""
    words = said(told, language)
    most = TEXT if words == told.strip() else FIELDS
    if len(words) <= most or not reads_sentences(engine):
        return words
    found = read(engine, request, [Passage("", "", 0, len(words), parted(name), words)], language)
    if found is None or not found.text:
        return words
    part = found.passage.text[found.start : found.end].strip()
    return f"{'… ' if found.start else ''}{part}{' …' if found.end < len(words) else ''}"


def called(name: str, arguments: str, language: str) -> str:
    """A call in words: what was called, and with what."""
    try:
        given = _value(arguments)
        values = given.values() if isinstance(given, dict) else ()
        return _whole(", ".join((parted(name), *(_inline(value, language, nested=True) for value in values))))
    except RecursionError:
        return parted(name)


def _whole(words: str) -> str:
    """The words without halves of characters, which JSON can name."""
    return words.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _value(told: str) -> Any:
    """Numbers stay as they are written."""
    bare = told.strip()
    try:
        return json.loads(bare, parse_float=str, parse_int=str, parse_constant=str)
    except ValueError:
        pass
    if bare[:1] in ("{", "["):
        # So some clients write what a function of theirs returned.
        try:
            return ast.literal_eval(bare)
        except (ValueError, SyntaxError, MemoryError):
            pass
    return bare


def _lines(value: Any, language: str) -> Iterator[str]:
    """Each field, or each thing listed, on a line of its own; a field alone without a mark before it."""
    if isinstance(value, dict):
        mark = "- " if len(value) > 1 else ""
        for key, item in value.items():
            if _rows(item):
                yield f"{mark}{_key(key)}:"
                yield from (f"{'  ' if mark else ''}- {_inline(part, language)}" for part in item)
            else:
                yield f"{mark}{_key(key)}: {_inline(item, language, nested=True)}"
    elif isinstance(value, list | tuple):
        yield from (f"- {_inline(item, language)}" for item in value)
    elif value not in (None, ""):
        yield _inline(value, language)


def _rows(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value)


def _inline(value: Any, language: str, nested: bool = False) -> str:
    """All of it on one line; an object within an object in brackets."""
    if isinstance(value, dict):
        fields = "; ".join(f"{_key(key)}: {_inline(item, language, nested=True)}" for key, item in value.items())
        return f"({fields})" if nested and fields else fields or "—"
    if isinstance(value, list | tuple):
        return ", ".join(_inline(item, language, nested=True) for item in value) or "—"
    if isinstance(value, bool):
        return _WORDS.get(language, _WORDS["en"])[value]
    return "—" if value is None or value == "" else str(value)


def _key(key: Any) -> str:
    """The words of a field's name; what is no name of a program, such as a person's, stays as it is."""
    word = str(key)
    return parted(word) if word.isidentifier() and word[:1].islower() else word
