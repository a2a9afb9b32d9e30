"""Whether a request wants what it mentions: yes, unless a word near it denies it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mirim.documents.words import stems

#: Words by which a request, or a parameter, may not want what it mentions.
_DENIED = {
    "en": re.compile(
        r"n['’]t\b|\b(?:not?|dont|without|w/o|never|neither|nor|nobody|nothing|off|skip\w*|exclud\w+|omit\w*|hid(?:e|ing)"
        r"|disabl\w+|remov\w+|ignor\w+|leav(?:e|ing)|except|avoid\w*|minus|free)\b",
        re.IGNORECASE,
    ),
    "pt": re.compile(
        r"\b(?:n[ãa]o|sem|nem|nunca|nada|ningu[ée]m|fora|exceto|menos|dispens\w+|exclu\w+|deslig\w+|desativ\w+|remov\w+"
        r"|tir[ae]\w*|ignor\w+|evit\w+)\b",
        re.IGNORECASE,
    ),
}
#: Where a clause ends; the words of it behind and before a denial that are looked at.
_CLAUSE = re.compile(r"[.;:!?]\s|,\s|\n")
BEHIND, BEFORE = 6, 5


def wanted(name: str, schema: Mapping[str, Any], request: str, language: str) -> bool | None:
    """Whether a parameter that is true or false is to be true, given that the request mentions it: it is where nothing
    denies it, and where the parameter itself says what is not to be and the request says so. `language`: "" where it
    cannot be told. None in one whose denials are not known."""
    asked = f"{name.replace('_', ' ')} {schema.get('description') or ''}"
    known = [language] if language in _DENIED else [] if language else list(_DENIED)
    for one in known:
        denied = _DENIED[one]
        about = set(stems(denied.sub(" ", asked), one, content=True))
        for match in denied.finditer(request):
            behind = stems(_CLAUSE.split(request[match.end() :])[0], one)[:BEHIND]
            before = stems(_CLAUSE.split(request[: match.start()])[-1], one)[-BEFORE:]
            if about.intersection(behind + before):
                return bool(denied.search(asked))
    return True if known else None
