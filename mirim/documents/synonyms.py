"""Everyday words and the field's words for the same thing: 'throw up' and 'vomit', 'condução' and 'transporte'.

People ask in the first and documents speak in the second. The groups are written by people, one a line, in
thesaurus/<language>.txt; they are matched by stems, the longest phrase first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mirim.documents.words import STOPWORDS, stem, tokens

#: Words of a member at most.
LONGEST = 4

Stems = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What else the words `start:end` of a text could be called.

    stems    each alternative's content stems, which belong together
    members  the alternatives as words, accents folded
    """

    start: int
    end: int
    stems: tuple[Stems, ...]
    members: tuple[tuple[str, ...], ...]


@cache
def _groups(language: str) -> dict[Stems, tuple[tuple[Stems, tuple[str, ...]], ...]]:
    """Every member's stems, stop words included → (content stems, words) of the other members of its groups."""
    file = resources.files("mirim.documents").joinpath("thesaurus", f"{language}.txt")
    if not file.is_file():
        return {}
    found: dict[Stems, dict[Stems, tuple[str, ...]]] = {}
    stop = STOPWORDS.get(language, frozenset())
    for line in file.read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        members = [tuple(tokens(member)) for member in line.split("|")]
        keys = [tuple(stem(w, language) for w in words) for words in members]
        contents = [tuple(stem(w, language) for w in words if w not in stop) for words in members]
        for mine, own in zip(keys, contents, strict=True):
            others = found.setdefault(mine, {})
            for content, words in zip(contents, members, strict=True):
                if content and content != own:
                    others.setdefault(content, words)
    return {key: tuple(others.items()) for key, others in found.items() if others}


def alternatives(words: Sequence[str], language: str) -> list[Alternatives]:
    """Alternatives for stretches of `words` (as `tokens` gives them), left to right, the longest first."""
    groups = _groups(language)
    if not groups:
        return []
    stems = [stem(w, language) for w in words]
    found = []
    at = 0
    while at < len(stems):
        for size in range(min(LONGEST, len(stems) - at), 0, -1):
            others = groups.get(tuple(stems[at : at + size]))
            if others:
                found.append(Alternatives(at, at + size, *zip(*others, strict=True)))
                at += size
                break
        else:
            at += 1
    return found
