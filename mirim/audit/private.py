"""What a text holds that no model should learn: numbers that name one person, and secrets; read as tables, too."""

from __future__ import annotations

import re

from mirim.audit.identifiers import SEVERITY, identifiers, masked
from mirim.audit.labelled import labelled
from mirim.audit.passwords import secrets

#: As many figures near each other as the shortest of these numbers has; most passages have not.
_FIGURES = re.compile(r"\d(?:\D{0,4}\d){5}")


def numbers(text: str) -> dict[str, str]:
    """value → kind of each identifier in a text. What the heading of a column says of a number goes before what it
    looks like."""
    kinds: dict[str, str] = {}
    for part in ("\n".join(labelled(text)), text):
        for kind, value in identifiers(part):
            kinds.setdefault(value, kind)
    return kinds


def passwords(text: str) -> dict[str, str]:
    """value → name of each secret in a text."""
    names: dict[str, str] = {}
    for part in (text, "\n".join(labelled(text))):
        for name, value in secrets(part):
            names.setdefault(value, name)
    return names


def private(text: str) -> dict[str, str]:
    """value → what it is, of all in a text that `audit` calls an error."""
    found = passwords(text)
    if _FIGURES.search(text):
        found |= {value: kind for value, kind in numbers(text).items() if SEVERITY[kind] == "error"}
    return found


def concealed(text: str) -> str:
    """A text with all of that masked, to be shown."""
    for value in sorted(private(text), key=len, reverse=True):
        text = text.replace(value, masked(value))
    return text
