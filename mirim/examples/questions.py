"""Questions from documents alone: what a text states, asked the way people ask, in English and Portuguese.

Each question knows the span that answers it. They come from a document's own questions (FAQs), from its
headings, from table rows, and from sentences that hold an amount, a time, a place…: the fact is taken out and
asked for. Words are then swapped for everyday ones, dropped, or typed carelessly.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mirim.core.types import Document, Passage, Span
from mirim.documents.passages import cut
from mirim.documents.sentences import sentences
from mirim.documents.synonyms import alternatives
from mirim.documents.words import STOPWORDS, fold, rarity, tokens
from mirim.examples.kinds import KINDS, shown


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the span that answers it. `text` is the span's text, `lead` what stands above it."""

    question: str
    language: str
    span: Span
    text: str
    lead: str
    kind: str


#: How a kind of answer is asked for; {} is what the sentence is about.
_FRAMES = {
    "en": {
        "money": (
            "how much is {}",
            "what does {} cost",
            "{} price",
            "how much do you charge for {}",
            "what is the fee for {}",
        ),
        "duration": ("how long {}", "how long does {} take", "how many days {}", "how long before {}", "{} how long"),
        "time": ("when {}", "what time {}", "what days {}", "{} opening hours", "until what time {}", "which day {}"),
        "count": ("how many {}", "how many {} allowed", "what is the limit for {}", "maximum {}"),
        "contact": (
            "what number do I call for {}",
            "how do I reach {}",
            "{} phone number",
            "who do I contact about {}",
        ),
        "place": ("where {}", "where do I go for {}", "where is {}", "{} address"),
        "person": ("who {}", "who is in charge of {}", "which doctor {}"),
        "": (
            "what about {}",
            "{}",
            "tell me about {}",
            "can I {}",
            "do I need {}",
            "is {} allowed",
            "what do you say about {}",
            "what should I know about {}",
            "how does {} work",
        ),
    },
    "pt": {
        "money": ("quanto custa {}", "qual o valor de {}", "preço de {}", "quanto vocês cobram por {}", "{} quanto é"),
        "duration": (
            "quanto tempo {}",
            "quantos dias {}",
            "qual o prazo para {}",
            "quantas horas {}",
            "{} demora quanto",
        ),
        "time": ("quando {}", "que horas {}", "que dia {}", "qual o horário de {}", "até que horas {}"),
        "count": ("quantos {}", "quantas {}", "qual o máximo de {}", "qual o limite de {}"),
        "contact": (
            "qual o telefone para {}",
            "com quem falo sobre {}",
            "como entro em contato sobre {}",
            "telefone {}",
        ),
        "place": ("onde {}", "onde fica {}", "aonde vou para {}", "qual o endereço de {}"),
        "person": ("quem {}", "quem é responsável por {}", "qual médico {}"),
        "": (
            "e {}",
            "{}",
            "como funciona {}",
            "posso {}",
            "preciso de {}",
            "pode {}",
            "o que devo saber sobre {}",
            "vocês têm {}",
            "tem que {}",
        ),
    },
}


def ask(document: Document, rng: random.Random, most: int = 60) -> Iterator[Asked]:
    """Up to `most` questions of a document, spread over its passages; the same for the same seed."""
    language = document.language if document.language in _FRAMES else ""
    if not language:
        return
    pools = [list(_of_passage(p, language, rng)) for p in cut(document)]
    for pool in pools:
        rng.shuffle(pool)
    seen: set[str] = set()
    given = 0
    while any(pools) and given < most:
        for pool in pools:
            if pool and given < most:
                one = pool.pop()
                key = " ".join(tokens(one.question))
                if key and key not in seen:
                    seen.add(key)
                    given += 1
                    yield one


def _of_passage(passage: Passage, language: str, rng: random.Random) -> Iterator[Asked]:
    lead = passage.heading
    question = ""
    spans = sentences(passage.text, language)
    for start, end in spans:
        text = passage.text[start:end]
        bare = _bare(text)
        if not re.search(r"\w", bare) or re.fullmatch(r"[\s|:\-=]+", text):
            continue
        if text.lstrip().startswith("#"):
            lead = _join(passage.heading, bare)
            question = bare if bare.endswith("?") else ""
            continue
        if bare.endswith("?") and len(bare.split()) >= 3:
            question, lead = bare, _join(passage.heading, bare)
            continue
        span = Span(passage.document, passage.start + start, passage.start + end)
        if question:
            yield Asked(question, language, span, bare, lead, "faq")
            yield Asked(typed(question, language, rng), language, span, bare, lead, "faq")
            question = ""
        yield from _of_sentence(bare, lead, span, language, rng)


def _of_sentence(text: str, lead: str, span: Span, language: str, rng: random.Random) -> Iterator[Asked]:
    about = topic(text, lead, language)
    if len(about) < 2:
        return
    kinds = sorted(shown(fold(text)))
    for kind in kinds[:2] or [""]:
        for _ in range(2):
            yield Asked(phrase(about, kind, language, rng), language, span, text, lead, kind or "statement")


def phrase(about: list[str], kind: str, language: str, rng: random.Random) -> str:
    """A question of a kind about some words, as somebody might type it."""
    few = [w for w in about if rng.random() < 0.75] or about[:2]
    few = few[: rng.randint(2, 5)]
    if rng.random() < 0.25:
        rng.shuffle(few)
    frames = _FRAMES[language]
    frame = rng.choice(frames[kind] if kind in frames else frames[""])
    text = frame.format(" ".join(few))
    text = text[0].upper() + text[1:] + ("?" if rng.random() < 0.7 else "")
    return typed(text, language, rng)


def topic(text: str, lead: str, language: str) -> list[str]:
    """What a sentence is about: its content words and its last heading's, without the words of the fact itself."""
    body = fold(text)
    for _, hold in KINDS.values():
        body = re.sub(hold, " ", body)
    stop = STOPWORDS[language]
    head = [w for w in tokens(lead.rpartition(">")[2]) if w not in stop and not w.isdigit()]
    words = [w for w in tokens(body) if w not in stop and not w.isdigit() and len(w) > 2]
    words.sort(key=lambda w: -rarity(w, language))
    kept = list(dict.fromkeys([*head[:4], *words[:5]]))
    order = {w: i for i, w in enumerate(tokens(f"{lead} {text}"))}
    return sorted(kept, key=lambda w: order.get(w, 0))


def typed(question: str, language: str, rng: random.Random) -> str:
    """The question in somebody else's words and fingers: an everyday word, no accents, lower case, a slip."""
    words = tokens(question)
    swaps = [a for a in alternatives(words, language) if a.end - a.start <= 2]
    text = question
    if swaps and rng.random() < 0.6:
        chosen = rng.choice(swaps)
        words[chosen.start : chosen.end] = list(rng.choice(chosen.members))
        text = " ".join(words) + ("?" if question.endswith("?") else "")
    if rng.random() < 0.3:
        text = fold(text)
    if rng.random() < 0.06 and len(text) > 12:
        at = rng.randrange(3, len(text) - 2)
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


def _bare(text: str) -> str:
    line = " ".join(text.split())
    if line.startswith("|"):
        line = " | ".join(c.strip() for c in line.strip("|").split("|") if c.strip())
    return re.sub(r"^(?:#{1,6}\s+|[-*+>]\s+|\d{1,3}[.)]\s+)+|\*\*|__|`", "", line).strip()


def _join(heading: str, below: str) -> str:
    return heading if below in heading else f"{heading} > {below}" if heading else below
