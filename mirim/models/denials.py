"""Whether a request wants what it mentions: yes, unless a word near it denies it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mirim.documents.words import parted, stems

#: Words by which a request, or a parameter, may not want what it mentions.
_DENIED = {
    "en": re.compile(
        r"n['’]t\b|\b(?:not?|dont|without|w/o|never|neither|nor|nobody|nothing|skip\w*|exclud\w+|omit\w*|disabl\w+"
        r"|remov\w+|ignor\w+|avoid\w*|leav(?:e|ing)(?=[^.;!?]* out\b))\b",
        re.IGNORECASE,
    ),
    "pt": re.compile(
        r"\b(?:n[ãa]o|sem|nem|nunca|nada|ningu[ée]m|exceto|dispens\w+|exclu\w+|deslig\w+|desativ\w+|remov\w+|tir[ae]r?"
        r"|ignor\w+|evit\w+)\b",
        re.IGNORECASE,
    ),
}
#: Where a clause ends; the words of it behind and before a denial that are looked at, in so many characters at most.
_CLAUSE = re.compile(r"[.;:!?]\s|,\s|\n")
BEHIND, BEFORE, NEAR = 6, 5, 120
#: Words between a denial and what it denies.
BETWEEN = 2


def wanted(name: str, schema: Mapping[str, Any], request: str, language: str) -> bool | None:
    """Whether a parameter that is true or false is to be true, given that the request mentions it: it is where nothing
    denies it, and where the parameter itself says what is not to be and the request says so. `language`: "" where it
    cannot be told. None in one whose denials are not known."""
    asked = f"{parted(name)} {schema.get('description') or ''}"
    known = _known(language)
    for one in known:
        denied = _DENIED[one]
        about = set(stems(denied.sub(" ", asked), one, content=True))
        for match in denied.finditer(request):
            behind = stems(_CLAUSE.split(request[match.end() : match.end() + NEAR])[0], one)[:BEHIND]
            before = stems(_CLAUSE.split(request[max(match.start() - NEAR, 0) : match.start()])[-1], one)[-BEFORE:]
            if about.intersection(behind + before):
                return bool(denied.search(asked))
    return True if known else None


def denied(span: tuple[int, int], request: str, language: str) -> bool:
    """Whether a request denies what it says at `span`: "no pets", "sem glúten"."""
    before = _CLAUSE.split(request[max(span[0] - NEAR, 0) : span[0]])[-1]
    known = _known(language)
    return any(
        len(before[match.end() :].split()) <= BETWEEN for one in known for match in _DENIED[one].finditer(before)
    )


def denying(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a parameter says what is not to be."""
    asked = f"{parted(name)} {schema.get('description') or ''}"
    # It may be in another language than the request.
    return any(pattern.search(asked) for pattern in _DENIED.values())


def _known(language: str) -> list[str]:
    """The languages whose denials a request may have; all where its own cannot be told."""
    return [language] if language in _DENIED else [] if language else list(_DENIED)
