"""Facts inside a sentence: amounts, times, places, people, with the words that belong to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NUMBER = (
    r"(?:\d+(?:[.,]\d+)*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|"
    r"fifty|sixty|half an?|uma?|dois|duas|três|quatro|cinco|seis|sete|oito|nove|dez|onze|doze|quinze|vinte|trinta|"
    r"quarenta|cinquenta|sessenta|mei[ao])"
)
_UNIT = (
    r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|segundos?|minutos?|horas?|dias?|semanas?|mês|meses|anos?)"
)
_DAY = (
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|weekdays|weekends|public holidays|"
    r"segunda(?:s|-feira)?|terça(?:s|-feira)?|quarta(?:s|-feira)?|quinta(?:s|-feira)?|sexta(?:s|-feira)?|sábados?|domingos?)"
)
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    r"janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro)"
)
_CLOCK = r"(?:\d{1,2}(?::\d\d|h\d{0,2}(?!\w))(?:\s*(?:am|pm|a\.m\.|p\.m\.))?|\d{1,2}\s*(?:am|pm|a\.m\.|p\.m\.)|noon|midnight|meio-dia|meia-noite)"  # noqa: E501
_NAME = r"[A-ZÀ-Ý][\w'À-ÿ-]+(?:\s(?:d[aeo]s?\s|of\s|e\s)?[A-ZÀ-Ý][\w'À-ÿ-]+)*"
_PLACES = (
    r"(?:street|avenue|road|floor|room|building|desk|counter|reception|entrance|unit|website|portal|app|office|lab|"
    r"laboratory|gate|hall|pharmacy|hospital|car park|ward|"
    r"rua|avenida|praça|andar|sala|bloco|prédio|balcão|recepção|entrada|unidade|site|portal|aplicativo|térreo|"
    r"subsolo|setor|laboratório|guichê|farmácia|secretaria|estacionamento|hospital)"
)

_PATTERNS = (
    ("contact", r"\(?\d{2}\)?\s?\d{4,5}[-. ]\d{4}|\b\d{3,5}[-.]\d{4}\b|\S+@[\w-]+\.[\w.-]*\w|\b(?:ext(?:ension|\.)|ramal)\s?\d+|\b0800[ -]?\d[\d -]+\d"),  # noqa: E501
    ("money", r"(?:R\$|US\$|\$|€|£)\s?\d+(?:[.,]\d+)*|\b\d+(?:[.,]\d+)*\s(?:reais|dollars|euros)\b"),
    ("percent", r"\b\d+(?:[.,]\d+)?\s?(?:%|per cent\b|por cento\b)"),
    ("hour", rf"\b{_CLOCK}(?:\s?(?:to|until|till|and|às|as|a|até|e|-|–)\s?{_CLOCK})?"),
    ("duration", rf"\b{_NUMBER}(?:\s?(?:-|–|to|a|or|ou|e|and)\s?{_NUMBER})?[\s-](?:full |business |working |calendar |whole |mais )?{_UNIT}\b(?:\s(?:úteis|corridos|and a half|e meia))?"),  # noqa: E501
    ("time", rf"\b{_DAY}(?:(?:,| e| and| to| a| or| ou| through| até)\s?(?:os |aos |on )?{_DAY})*\b|\b\d{{1,2}}º?\s(?:of |de )?{_MONTH}\b(?:\s(?:de\s)?\d{{4}})?|\b{_MONTH}\s\d{{1,2}}(?:,?\s\d{{4}})?\b|\b{_MONTH}\s(?:of |de )?\d{{4}}\b|\b(?:in|since|em|desde)\s(?P<y>(?:1[5-9]|20)\d\d)\b"),  # noqa: E501
    ("person", rf"\b(?:Dr|Dra|Mr|Mrs|Ms|Sr|Sra|Prof|Doctor|Nurse|Doutora?|Professora?)\b\.?\s{_NAME}"),
    ("place", rf"\b(?:the |a |an |o |a )?(?:{_NAME}\s|[a-zà-ÿ-]+\s|\d+(?:st|nd|rd|th|º|ª)\s){{0,2}}{_PLACES}\b(?:\s(?:do|da|de|of)\s(?:the\s)?{_NAME}|\s{_NAME}|\s\d+)?"),  # noqa: E501
    ("count", rf"\b{_NUMBER}\s(?P<noun>(?:(?!{_UNIT}\b)[a-zà-ÿ-]+\s)?[a-zà-ÿ-]{{2,}}s(?:\s(?:of|de)\s[a-zà-ÿ]+)?)\b"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(p, 0 if kind in ("person",) else re.I)) for kind, p in _PATTERNS)
#: Cheap signs without which the dearer patterns cannot match.
_GATES = {
    "contact": re.compile(r"@|\d{4}|ext|ramal", re.I),
    "place": re.compile(rf"\b{_PLACES}\b", re.I),
    "count": re.compile(rf"\b{_NUMBER}\s", re.I),
    "duration": re.compile(rf"\b{_UNIT}\b", re.I),
    "person": re.compile(r"\b(?:Dr|M[rs]|Sr|Prof|Doc|Nurse|Dou)"),
}
_PLACE_LEAD = re.compile(r"\b(?:at|in|on|to|from|near|no|na|nos|nas|em|ao|à|pelo|pela|num|numa)\s$", re.I)
_AGE = re.compile(r"\b(?:under|over|aged|age|ages|older than|younger than|menores de|maiores de|acima de|abaixo de|"
                  r"a partir d[eo]s?|mais de|menos de|between|entre|até)\s$", re.I)  # fmt: skip
_NOT_COUNTED = frozenset(
    "is has was does its his this us as plus less yes always às mais menos dias anos mas nos das dos".split()
)


@dataclass(frozen=True, slots=True)
class Fact:
    """`kind` of a stretch of text; `unit` of a duration, `noun` of what is counted, as they stand in the text."""

    kind: str
    text: str
    start: int
    end: int
    unit: str = ""
    noun: str = ""


def facts(text: str, most: int = 3) -> list[Fact]:
    """The facts of a sentence, left to right, none inside another; the surer kinds first claim their words."""
    return list(_facts(text)[:most])


@lru_cache(maxsize=8192)
def _facts(text: str) -> tuple[Fact, ...]:
    taken: list[Fact] = []
    for kind, pattern in _COMPILED:
        if kind in _GATES and not _GATES[kind].search(text):
            continue
        for match in pattern.finditer(text):
            start, end = match.span()
            if kind == "time" and match.group("y"):
                start = match.start("y")
            if any(start < f.end and f.start < end for f in taken):
                continue
            before = text[:start]
            if kind == "place":
                start = _place(before, match)
                if start < 0:
                    continue
            if kind == "duration" and re.search(r"year|ano", match.group(), re.I) and _AGE.search(before):
                continue
            noun = match.group("noun") if kind == "count" else ""
            if kind == "count" and (
                noun.split(" of ")[0].split(" de ")[0].split()[-1].lower() in _NOT_COUNTED
                or (_AGE.search(before) and "an" in noun[:2])
            ):
                continue
            unit = re.search(_UNIT, match.group(), re.I) if kind == "duration" else None
            taken.append(Fact(kind, text[start:end], start, end, _plural(unit.group().lower()) if unit else "", noun))
    return tuple(sorted(taken, key=lambda f: f.start))


def _place(before: str, match: re.Match[str]) -> int:
    """Where a place begins, if a preposition of place stands right before it or inside its first words."""
    if _PLACE_LEAD.search(before):
        return match.start()
    inside = list(re.finditer(r"\b(?:at|in|on|to|from|near|no|na|em|ao|à)\s", match.group(), re.I))
    return match.start() + inside[-1].end() if inside else -1


def _plural(unit: str) -> str:
    return "meses" if unit == "mês" else unit if unit.endswith("s") else unit + "s"
