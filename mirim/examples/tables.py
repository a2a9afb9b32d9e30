"""Table rows and 'name: value' lines turned into the questions they answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.documents import passages
from mirim.documents.markdown import headless
from mirim.documents.words import fold
from mirim.examples.facts import facts

_RULE = re.compile(r"^[\s|:\-]+$")
_REMARKS = frozenset("remarks notes note comments observacao observacoes obs remark comentarios".split())
#: Lines at the head of a message.
_MAIL = frozenset("date from to subject cc bcc sent data de para assunto enviado sent by reply-to".split())
_PLAIN = frozenset("yes no sim nao - x ok".split())

_ROW = {
    "en": {
        "money": ("How much is {e}?", "How much does {e} cost?", "What is the price of {e}?", "{e} {a}"),
        "duration": ("What is the {a} for {e}?", "How long is the {a} for {e}?", "{e} {a}"),
        "hour": ("What are the hours of {e} ({a})?", "What time for {e}, {a}?", "{e} {a} hours"),
        "time": ("When is {e} available?", "What is the {a} for {e}?", "Which days for {e}?"),
        "": ("What is the {a} for {e}?", "{a} of {e}?", "{e} {a}", "Which {a} for {e}?"),
        "yes": ("Is it {a} for {e}?", "{e}: {a}?"),
    },
    "pt": {
        "money": ("Quanto custa {e}?", "Qual o preço de {e}?", "Quanto sai {e}?", "{e} {a}"),
        "duration": ("Qual o prazo de {a} para {e}?", "Quanto tempo de {a} para {e}?", "{e} {a}"),
        "hour": ("Qual o horário de {e} ({a})?", "Que horas {e}, {a}?", "{e} {a} horário"),
        "time": ("Que dias tem {e}?", "Quando tem {e}?", "{e} {a}"),
        "": ("Qual é {o} {a} de {e}?", "{a} de {e}?", "{e} {a}", "{e}: qual {o} {a}?"),
        "yes": ("{e}: {a}?", "{e} tem {a}?"),
    },
}
_LINE = {
    "en": {
        "money": ("How much is {e}?", "What does {e} cost?"),
        "duration": ("How long for {e}?", "{e}: how long?"),
        "hour": ("What time for {e}?", "When is {e}?"),
        "time": ("When is {e}?", "Which day for {e}?"),
        "contact": ("What is the {e} number?", "How do I reach {e}?"),
        "place": ("Where is {e}?",),
        "": ("What about {e}?", "What should I know about {e}?", "{e}?"),
    },
    "pt": {
        "money": ("Quanto é {e}?", "Quanto custa {e}?"),
        "duration": ("Quanto tempo para {e}?", "{e}: quanto tempo?"),
        "hour": ("Qual o horário para {e}?", "Que horas {e}?"),
        "time": ("Quando é {e}?", "Que dia é {e}?"),
        "contact": ("Qual o contato de {e}?", "Como falo com {e}?"),
        "place": ("Onde fica {e}?",),
        "": ("E {e}?", "O que preciso saber sobre {e}?", "Como é {e}?"),
    },
}


def of_row(text: str, start: int, end: int, language: str) -> Iterator[tuple[str, str]]:
    """(question, kind) that the table row `text[start:end]` answers, read with its header row.

    A label and its value in a table without one are read as a line.
    """
    row = cells(text[start:end])
    header = _header(text, start)
    if not header and len(row) == 2 and all(row):
        yield from of_line(f"{row[0].rstrip(':')}: {row[1]}", language)
    if len(row) < 2 or len(header) != len(row) or row == header:
        return
    # Codes such as L003 stand before the name of what they are codes of.
    at = next((i for i, cell in enumerate(row[:2]) if re.search(r"[^\W\d]{3}", cell)), -1)
    if at < 0 or len(row[at].split()) > 10:
        return
    entity = row[at]
    for name, value in zip(header[at + 1 :], row[at + 1 :], strict=True):
        attribute = name.replace("_", " ").strip().lower()
        if not value or not attribute or fold(attribute) in _REMARKS or len(attribute.split()) > 6:
            continue
        kind = _kind(value, attribute)
        for frame in _ROW[language][kind]:
            article = "a" if _feminine(attribute) else "o"
            question = frame.format(e=entity, a=attribute, o=article)
            yield question[:1].upper() + question[1:], "row"


def of_line(text: str, language: str) -> Iterator[tuple[str, str]]:
    """(question, kind) that a line such as 'Cortisol: between 7:00 and 9:00.' answers."""
    found = re.match(r"([A-ZÀ-Ý0-9][^:|?.;,]{2,45}): (?=\S)(.{2,200})$", text)
    if not found or len(found.group(1).split()) > 6 or re.search(r"\d$", found.group(1)):
        return
    if fold(found.group(1)) in _MAIL:
        return
    name, value = found.groups()
    entity = name[:1].lower() + name[1:] if not name[1:2].isupper() else name
    held = [f.kind for f in facts(value)]
    kind = next((k for k in held if k in _LINE[language]), "")
    for frame in _LINE[language][kind]:
        question = frame.format(e=entity)
        yield question[:1].upper() + question[1:], "line"


def cells(row: str) -> list[str]:
    """Cells of a Markdown table row without marks of emphasis."""
    return [re.sub(r"\*{1,2}|`|__", "", cell).strip() for cell in passages.cells(row)]


def _header(text: str, start: int) -> list[str]:
    """The header row above the row at `start`; the first row with words when the head is empty.

    None, [], when that row is no other than the rest: a label, and a value beside it.
    """
    begin = start
    while begin > 0:
        above = text.rfind("\n", 0, begin - 1) + 1
        if not text[above : begin - 1].lstrip().startswith("|"):
            break
        begin = above
    for line in text[begin:start].split("\n"):
        if line.strip() and not _RULE.match(line):
            row = cells(line)
            bare = _RULE.match(text[begin : text.find("\n", begin)]) is not None
            return [] if bare and (line.lstrip("| ").startswith("**") or headless([row])) else row
    return []


def _kind(value: str, attribute: str) -> str:
    if fold(value) in _PLAIN:
        return "yes"
    if re.search(r"pric|cost|fee|rate|amount|preco|valor|custo|taxa|r\$", fold(attribute)) and re.search(r"\d", value):
        return "money"
    held = [f.kind for f in facts(value)]
    return next((k for k in held if k in ("money", "hour", "duration", "time")), "")


def _feminine(word: str) -> bool:
    first = fold(word.split()[0])
    return first.endswith(("a", "cao", "sao", "dade", "gem", "tude")) and not first.endswith(("ma", "dia"))
