"""Whether a request wants what it mentions: yes, unless a word near it denies it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mirim.documents.words import parted, stems
from mirim.examples.tasks import slot

#: Words by which a request, or a parameter, may not want what it mentions.
_DENIED = {
    "en": re.compile(
        r"n['’]t\b|\b(?:not?|dont|without|w/o|never|neither|nor|nobody|nothing|except|skip\w*|exclud\w+|omit\w*|disabl\w+"
        r"|remov\w+|ignor\w+|avoid\w*|(?:turn|switch)(?:ed|ing)? off|leav(?:e|ing)(?=[^.;!?]* out\b))\b",
        re.IGNORECASE,
    ),
    "pt": re.compile(
        r"\b(?:n[ãa]o|sem|nem|nunca|nada|ningu[ée]m|exceto|dispens\w+|exclu(?!siv)\w+|deslig\w+|desativ\w+|remov\w+"
        r"|tir[ae]r?(?! (?:uma?s? )?fotos?\b)|ignor\w+|evit\w+)\b",
        re.IGNORECASE,
    ),
}
#: What denies nothing, for all its words: a reminder, and a denial of a denial.
_REMINDED = re.compile(
    r"\b(?:(?:do not|don['’]?t|never|n[ãa]o|nunca)(?: se| me)? (?:forget|esque\w+|deixe\w*)|why not|por que n[ãa]o)\b",
    re.IGNORECASE,
)
_TWICE = re.compile(
    r"\b(?:do not|don['’]?t|no need to|n[ãa]o|nem)(?: precisa)? "
    r"(?:avoid|skip|exclude|omit|ignore|remove|disable|evit\w+|dispens\w+|exclu(?!siv)\w+|ignor\w+|remov\w+|tir[ae]r?)\b",
    re.IGNORECASE,
)
#: Words of a description that say of anything that it is wanted.
_WISHED = frozenset("want need includ quer desej inclu".split())
#: Where a clause ends; the words of it behind and before a denial that are looked at, in so many characters at most.
_CLAUSE = re.compile(
    r"[.;:!?]\s|,\s|\n|\b(?:but|mas|por[ée]m)\b|\band (?=(?:i|we)\b)|\be (?=$|n[ãa]o\b|nem\b)", re.IGNORECASE
)
BEHIND, BEFORE, NEAR = 6, 5, 120
#: Words between a denial and what it denies.
BETWEEN = 2


def wanted(name: str, schema: Mapping[str, Any], request: str, language: str) -> bool | None:
    """Whether a parameter that is true or false is to be true, given that the request mentions it: it is where nothing
    denies it, and where the parameter itself says what is not to be and the request says so. `language`: "" where it
    cannot be told. None in one whose denials are not known."""
    asked, request = _asked(name, schema), _REMINDED.sub(_blank, request)
    known = _known(language)
    for one in known:
        denied = _DENIED[one]
        about = set(stems(denied.sub(" ", asked), one, content=True)) - _WISHED
        for twice in (True, False):
            for match in (_TWICE if twice else denied).finditer(request):
                behind = stems(_CLAUSE.split(request[match.end() : match.end() + NEAR])[0], one)[:BEHIND]
                before = stems(_CLAUSE.split(request[max(match.start() - NEAR, 0) : match.start()])[-1], one)[-BEFORE:]
                if about.intersection(behind + before):
                    return bool(denied.search(asked)) != twice
    return True if known else None


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def denied(span: tuple[int, int], request: str, language: str) -> bool:
    """Whether a request denies what it says at `span`: "no pets", "sem glúten"."""
    before = _CLAUSE.split(request[max(span[0] - NEAR, 0) : span[0]])[-1]
    known = _known(language)
    return any(
        len(before[match.end() :].split()) <= BETWEEN for one in known for match in _DENIED[one].finditer(before)
    )


def denying(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a parameter says what is not to be."""
    asked = _asked(name, schema)
    # It may be in another language than the request.
    return any(pattern.search(asked) for pattern in _DENIED.values())


def _asked(name: str, schema: Mapping[str, Any]) -> str:
    """What a parameter is, without what goes without saying."""
    return f"{parted(name)} {slot.UNSAID.sub(' ', str(schema.get('description') or ''))}"


def _known(language: str) -> list[str]:
    """The languages whose denials a request may have; all where its own cannot be told."""
    return [language] if language in _DENIED else [] if language else list(_DENIED)
