"""Whether a claim and the source that shares its words say the same, or one says that it is so and the other not."""

from __future__ import annotations

import re
from typing import NamedTuple

from mirim.documents.words import stems, tokens

#: Words that deny, folded; an apostrophe parts "n't".
_NO = {
    "en": frozenset("no not nor never none nobody nothing neither cannot without t dont".split()),
    "pt": frozenset("nao nunca jamais nem sem nenhum nenhuma ninguem nada tampouco".split()),
}
_EXCEPT = frozenset("except unless exceto salvo".split())
#: Where a part of a sentence ends that is denied by itself.
_PART = re.compile(
    r"[,;:.!?)]+(?=\s|$)|[(–—]|\s(?=(?:but|if|when|while|because|although|except|unless|mas|por[eé]m|quando|enquanto"
    r"|porque|embora|caso|exceto|salvo)\b)",
    re.IGNORECASE,
)


class _Sides(NamedTuple):
    """The stems that a text affirms and those that it denies; whether it opens with a no, and with nothing else."""

    affirmed: set[str]
    denied: set[str]
    no: bool
    bare: bool


def agree(claim: str, language: str, lead: str, text: str, spoken: str) -> bool:
    """Whether what a claim in `language` affirms and denies, a source in `spoken` does not say the other way round.

    lead   the headings and the question above the source's text; they count for what the text does not name
    """
    said, source, head = _sides(claim, language), _sides(text, spoken), _sides(lead, spoken)
    above = head.affirmed - source.affirmed - source.denied
    # A heading affirms nothing and denies nothing; to a question, the text's opening is the answer.
    answered = source.bare or lead.rstrip().endswith("?")
    yes = source.affirmed | (set() if answered and source.no else above)
    no = source.denied | (set() if answered and not source.no else above) | (head.denied - yes)
    return said.affirmed & no <= yes and said.denied & yes <= no


def _sides(text: str, language: str) -> _Sides:
    """What a text affirms and denies, part by part."""
    negations = _NO.get(language, _NO["en"])
    said: dict[bool, set[str]] = {False: set(), True: set()}
    opening: list[tuple[bool, bool]] = []
    denied = rest = False
    for part in filter(None, map(tokens, _PART.split(text))):
        negated = not negations.isdisjoint(part)
        # "No dogs, except guide dogs" and "open, except on Sundays".
        denied = not denied if part[0] in _EXCEPT else rest or negated
        about = set(stems(" ".join(w for w in part if w not in negations), language, content=True))
        # "You must not, whatever happens, wear gloves": what is denied comes later. "No, ..." is an answer.
        rest = rest or (negated and not about and len(part) > 1)
        said[denied] |= about
        opening.append((denied, not about))
    return _Sides(said[False], said[True], *(opening[0] if opening else (False, False)))
