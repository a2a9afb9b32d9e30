"""Texts that do not answer a question, hard ones first: what a judge must learn to refuse."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mirim.core.types import Passage
from mirim.documents.words import STOPWORDS, fold, rarity, stems, tokens
from mirim.examples.facts import facts
from mirim.examples.kinds import asked as asked_kinds
from mirim.examples.kinds import holds
from mirim.examples.questions import Asked, question_above
from mirim.examples.units import Unit
from mirim.examples.wording import keywords

#: A text that covers this much of what the answering one covers may answer too, and is no negative.
COVERS = 0.7
#: A question that shares less than this with its own answer cannot tell by its words what else might answer.
FEW = 0.25
#: Texts of one document that are compared with a question at most.
LOOKED = 60


@dataclass(frozen=True, slots=True)
class Wrong:
    """A question with a text that does not answer it."""

    question: str
    text: str
    lead: str
    kind: str


def wrong(asked: Asked, near: Sequence[Unit], far: Sequence[Unit], rng: random.Random) -> Iterator[Wrong]:
    """Texts that share most with the question and do not hold its answer: of the same document, then of others."""
    stems = _stems(asked.question, asked.language)
    own = _cover(stems, f"{asked.text} {asked.lead}", asked.language)
    for whole, kind in ((near, "same document"), (far, "look-alike")):
        # Of a long document a part is looked through: there are hard ones in any part.
        pool = whole if len(whole) <= LOOKED else rng.sample(whole, LOOKED)
        ranked = sorted(
            (-_cover(stems, f"{u.text} {u.lead}", asked.language), i)
            for i, u in enumerate(pool)
            if not _same(asked, u) and not may_answer(asked, u, stems, own)
        )
        if ranked:
            # Mostly the hardest, sometimes any: the easy ones must stay easy.
            pick = rng.choice(ranked[: 3 if rng.random() < 0.7 else len(ranked)])[1]
            yield Wrong(asked.question, pool[pick].text, pool[pick].lead, kind)


def swapped(asked: Asked, names: Sequence[str], rng: random.Random) -> Wrong | None:
    """The question about something else: its topic, or its rarest word, exchanged for another document's."""
    have = set(tokens(f"{asked.text} {asked.lead} {asked.question}"))
    others = [n for n in names if not have & {w for w in tokens(n) if w not in STOPWORDS[asked.language]}]
    if not others:
        return None
    name = rng.choice(others)
    question = asked.question
    if asked.topic and asked.topic in question:
        return Wrong(question.replace(asked.topic, name), asked.text, asked.lead, "other subject")
    words = [w for w in question.split() if fold(w.strip("?.,:")) in have and len(w) > 4 and w.strip("?.,:").isalpha()]
    rare = [w for w in words if rarity(fold(w.strip("?.,:")), asked.language) > 0.85]
    if not rare:
        return None
    old = rng.choice(rare).strip("?.,:")
    return Wrong(question.replace(old, name, 1), asked.text, asked.lead, "other subject")


_CLASH = {
    "en": {"money": "How much does {n} cost?", "duration": "How long does {n} take?", "time": "When is {n}?",
           "place": "Where is {n}?", "person": "Who is in charge of {n}?", "contact": "What number do I call about {n}?"},  # noqa: E501
    "pt": {"money": "Quanto custa {n}?", "duration": "Quanto tempo leva {n}?", "time": "Quando é {n}?",
           "place": "Onde fica {n}?", "person": "Quem é responsável por {n}?", "contact": "Qual o telefone para {n}?"},
}  # fmt: skip


def clash(unit: Unit, topic: str, language: str, rng: random.Random) -> Wrong | None:
    """A question about the text's own topic for a kind of answer that the text does not hold."""
    if not topic:
        return None
    held = {f.kind for f in facts(f"{unit.text} {unit.lead}", most=12)}
    held |= {"time"} if "hour" in held else set()
    text = fold(unit.text)
    frames = _CLASH[language]
    absent = [k for k in frames if k not in held and holds(text, frozenset({k})) < 0]
    if not absent:
        return None
    kind = rng.choice(sorted(absent))
    question = frames[kind].format(n=topic)
    if rng.random() < 0.35:
        question = keywords(question, kind, language, rng)
    return Wrong(question, unit.text, unit.lead, "type clash")


def without(passage: Passage, asked: Asked) -> str:
    """The passage's text with the sentence that answers taken out; '' when little is left."""
    start, end = asked.span.start - passage.start, asked.span.end - passage.start
    if start < 0 or end > len(passage.text):
        return ""
    rest = (passage.text[:start].rstrip() + "\n" + passage.text[end:].lstrip()).strip()
    return rest if len(rest.split()) >= 12 and asked.text not in rest else ""


def may_answer(asked: Asked, unit: Unit, stems: frozenset[str] | None = None, own: float | None = None) -> bool:
    """Whether a text might answer too: it shows the kind asked for and covers nearly as much of the question."""
    stems = _stems(asked.question, asked.language) if stems is None else stems
    own = _cover(stems, f"{asked.text} {asked.lead}", asked.language) if own is None else own
    language = unit.passage.language or asked.language
    cover = _cover(stems, f"{unit.text} {unit.lead}", language)
    kinds = asked_kinds(fold(asked.question))
    if holds(fold(unit.text), kinds) < 0:
        return False
    if asked.kind in ("heading", "faq") and unit.lead == asked.lead:
        return True
    said = _cover(stems, asked.text, asked.language)
    if said < FEW:
        # Asked in other words altogether: what says the same as the answer answers too.
        answer = _stems(asked.text, asked.language)
        return len(answer & _stems(unit.text, language)) >= COVERS * len(answer)
    mine = {f.text.lower() for f in facts(asked.text)}
    if mine & {f.text.lower() for f in facts(unit.text)} and cover >= own / 2:
        return True
    return cover >= COVERS * own and _cover(stems, unit.text, language) >= COVERS * said


def _same(asked: Asked, unit: Unit) -> bool:
    above = question_above(unit)
    return (
        unit.text == asked.text
        or (
            unit.passage.document == asked.span.document and unit.start < asked.span.end and asked.span.start < unit.end
        )
        or (asked.kind == "faq" and bool(above) and above in asked.lead)
    )


@lru_cache(maxsize=8192)
def _stems(text: str, language: str) -> frozenset[str]:
    return frozenset(stems(text, language, content=True))


def _cover(stems: frozenset[str], text: str, language: str) -> float:
    """Share of the question's stems that a text has."""
    return len(stems & _stems(text, language)) / len(stems) if stems else 0.0
