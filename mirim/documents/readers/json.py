"""Records, as help desks, shops and content systems export them (JSON, or one record a line): those of short values as
a table, others each under its title.

Figures stay as they are written, texts that are pages are read as such. What says nothing to people, such as pictures
written as letters, is left out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.documents.blocks import joined
from mirim.documents.draft import Draft, Refused
from mirim.documents.markdown import tabled
from mirim.documents.readers.html import page
from mirim.documents.store import named
from mirim.documents.text import clean, decode

SUFFIXES = (".json", ".jsonl", ".ndjson")
MEDIA = "application/json"
VERSION = 1
ISOLATE = True

#: Characters of a value that still stands in a table's cell, and of a title.
_CELL, _TITLE = 120, 120
#: Lists of figures longer than this are data for programs.
_FIGURES = 50
#: Fields that say what a record is about, the best first.
_TITLES = (
    "question pergunta title titulo título subject assunto headline heading summary resumo name nome label term termo"
).split()
#: Fields that say whose words they are, where none says what it is about.
_WRITERS = tuple("author autor from de sender remetente role user usuário usuario".split())
#: Fields whose texts stand by themselves.
_BODIES = frozenset(
    "answer resposta reply response body corpo content conteúdo conteudo text texto message mensagem description "
    "descrição descricao".split()
)
_PAGE = re.compile(r"<(?:p|div|br|ul|ol|table|h[1-6]|span|strong|em|a)\b[^>]*>", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|[_\-.]+")
_BLOB = re.compile(r"(?:data:[\w/+.-]+;base64,)?[A-Za-z0-9+/=_\-\r\n]{400,}")
#: Files that programs keep for themselves.
_LOCKS = frozenset({"package-lock.json", "npm-shrinkwrap.json", "composer.lock"})


def read(path: Path) -> Draft:
    if path.name.lower() in _LOCKS or path.name.lower().endswith(".map"):
        raise Refused("was written by a program for itself; put in what it was made from")
    text, notes = decode(path.read_bytes())
    told: Counter[str] = Counter()
    value = _lines(text, told) if _by_line(path, text) else _whole(text)
    del text
    title = named(path.name)
    # Without a heading of its own the first record's would stand for the document.
    content = joined(f"{block}\n\n" for block in [f"# {title}", *_blocks(value, 2, told)])
    notes += [f"{note}: {count}" for note, count in told.items()]
    return Draft(clean(content), title, notes=tuple(notes))


def _by_line(path: Path, text: str) -> bool:
    return path.suffix.lower() != ".json" or bool(re.match(r"\s*\{[^\n]*\}[ \t\r]*\n\s*\{[^\n]*\}", text))


def _whole(text: str) -> Any:
    try:
        return _parse(text.strip().lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Refused(f"is not JSON ({place}: {error.msg}); export it again, or mend that line") from error


def _lines(text: str, told: Counter[str]) -> Any:
    found: list[Any] = []
    broken: list[int] = []
    for number, match in enumerate(re.finditer(r"[^\n]*\n|[^\n]+\Z", text), 1):
        line = match.group().strip().lstrip("\ufeff\x1e")
        if line:
            try:
                found.append(_parse(line))
            except json.JSONDecodeError:
                broken.append(number)
    if len(broken) >= max(1, len(found)):
        # One record over many lines, whatever the file's name says; or the reason why it is none.
        return _whole(text)
    if broken:
        told[f"lines that are no records, left out, the first of them line {broken[0]}"] = len(broken)
    return found


def _parse(text: str) -> Any:
    # Figures as they are written: 12.50 is a price, and some are longer than any number may be.
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which a name that comes twice keeps both values."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = [found[key], value] if key in found and found[key] != value else value
    return found


def _records(value: Any) -> list[dict[str, Any]]:
    """What a value lists, where it lists records: a list of objects, or an object of objects that are alike."""
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(one, dict) and one for one in value.values()):
        shapes = [frozenset(one) for one in value.values()]
        if len(shapes[0].intersection(*shapes)) * 2 >= max(map(len, shapes)):
            return [{"": key, **one} for key, one in value.items()]
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return value
    return []


def _blocks(value: Any, level: int, told: Counter[str]) -> Iterator[str]:
    """A value as blocks of Markdown, its records under headings of a level."""
    if records := _records(value):
        yield from _table(records, told) if _short(records) else _sections(records, level, told)
    elif isinstance(value, dict):
        yield from _fields(value, level, told)
    elif isinstance(value, list):
        yield from _list(value, level, told)
    elif said := _said(value, told):
        yield said


def _short(records: list[dict[str, Any]]) -> bool:
    """Whether records are rows of a table: several, of much the same fields, each a short value."""
    fields = {key for record in records for key in record}
    values = (value for record in records for value in record.values())
    return (
        len(records) > 1
        and 1 < len(fields) <= 40
        and 2 * sum(map(len, records)) >= len(fields) * len(records)
        and not any(isinstance(v, dict | list) or len(str(v)) > _CELL or "\n" in str(v) for v in values)
    )


def _table(records: list[dict[str, Any]], told: Counter[str]) -> Iterator[str]:
    fields = dict.fromkeys(key for record in records for key in record)
    rows = ([_said(record.get(key), told) for key in fields] for record in records)
    yield joined(tabled((row for part in ([[_label(key) for key in fields]], rows) for row in part), len(fields)))


def _sections(records: list[dict[str, Any]], level: int, told: Counter[str]) -> Iterator[str]:
    for number, record in enumerate(records, 1):
        key = _titled(record)
        words = " ".join(_said(record[key], told).split()) if key is not None else ""
        short = len(words) <= _TITLE
        title = words if short else f"{words[:_TITLE].rpartition(' ')[0] or words[:_TITLE]} …"
        yield from _under(title or str(number), level)
        yield from _fields({k: v for k, v in record.items() if k != key or not short}, level + 1, told)


def _titled(record: dict[str, Any]) -> str | None:
    """The field that says what a record is about."""
    if "" in record:
        return ""
    known = {_label(key): key for key, value in record.items() if isinstance(value, str) and value.strip()}
    return next((known[name] for name in (*_TITLES, *_WRITERS) if name in known), None)


def _under(title: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} {title}" if level <= 6 else f"**{title}**"


def _fields(record: dict[str, Any], level: int, told: Counter[str]) -> Iterator[str]:
    """Short values in lines of their own, long ones as paragraphs; what is listed below comes under its name."""
    lines: list[str] = []
    for key, value in record.items():
        label = _label(key)
        if isinstance(value, dict | list) and not _flat(value):
            blocks = list(_blocks(value, level + 1, told))
            blocks = [*_under(label, level), *blocks] if blocks else []
        else:
            values = value if isinstance(value, list) else [value]
            if _figures(values):
                told["lists of figures, left out"] += 1
                continue
            said = ", ".join(filter(None, (_said(one, told) for one in values)))
            lead = "" if label in _BODIES or not said else f"**{label}:** "
            if lead and "\n" not in said and len(said) <= _CELL:
                lines.append(f"- {lead}{said}")
                continue
            blocks = [lead.strip(), said] if "\n" in said else [lead + said]
        if lines and any(blocks):
            yield "\n".join(lines)
            lines = []
        yield from filter(None, blocks)
    if lines:
        yield "\n".join(lines)


def _list(values: list[Any], level: int, told: Counter[str]) -> Iterator[str]:
    if _figures(values):
        told["lists of figures, left out"] += 1
        return
    for value in values:
        if isinstance(value, dict | list):
            yield from _blocks(value, level, told)
        elif said := _said(value, told):
            yield said if "\n" in said else f"- {said}"


def _flat(value: Any) -> bool:
    """Whether a list holds only short values."""
    return isinstance(value, list) and all(not isinstance(v, dict | list) and len(str(v)) <= _CELL for v in value)


def _figures(values: list[Any]) -> bool:
    """Whether a list is data for programs."""
    return len(values) > _FIGURES and all(isinstance(v, str) and re.fullmatch(r"-?[\d.eE+-]+", v) for v in values)


def _said(value: Any, told: Counter[str]) -> str:
    """A single value as text, '' for what says nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip()
    if len(text) >= 400 and _BLOB.fullmatch(text):
        told["values that are no text, such as pictures written as letters, left out"] += 1
        return ""
    if _PAGE.search(text):
        try:
            return page(text)[0].strip()
        except Refused:
            return ""
    # Signs that would make headings or rules of what a person wrote.
    return re.sub(r"^(?=#{1,6}[ \t])", r"\\", clean(text).strip(), flags=re.M)


def _label(key: str) -> str:
    """A field's name as words: createdAt → created at."""
    words = " ".join(_CAMEL.sub(" ", key).split())
    return words.lower() if words != words.upper() else words
