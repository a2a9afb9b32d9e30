"""Questions from documents alone: what a text states, asked the way people ask, in English and Portuguese.

Each question knows the span that answers it. They come from a document's own questions (FAQs), from headings,
from table rows and 'name: value' lines, and from sentences whose facts are taken out and asked for. Then they
are worded as people type: keywords, greetings, everyday words, slips.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mirim.core.types import Document, Span
from mirim.documents.passages import cut
from mirim.documents.words import STOPWORDS, fold, tokens
from mirim.examples import english, headings, portuguese, tables
from mirim.examples.units import Unit, units
from mirim.examples.wording import about, keywords, slips, vary

#: Languages that questions can be made in.
LANGUAGES = ("en", "pt")
#: Questions of one sentence at most, and the share of them that may be answered by yes or no.
EACH, YES_NO = 3, 0.3

_RULES = {"en": english.ask, "pt": portuguese.ask}
_WANTED = frozenset(
    "money duration hour time count place person contact percent condition how why definition what faq".split()
)
_INLINE = re.compile(r"([^?]{8,150}\?)\s+(\S.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the span that answers it.

    text, lead   the span as answering sees it, and what stands above it
    kind         what was asked for ('money', 'faq', 'row'…), or who asked ('teacher')
    topic        the heading's topic where the question names it, '' otherwise
    plain        the question before it was reworded, without its topic; `plain_topic` with it
    """

    question: str
    language: str
    span: Span
    text: str
    lead: str
    kind: str
    topic: str = ""
    plain: str = ""
    plain_topic: str = ""


def ask(
    document: Document, rng: random.Random, most: int = 60, skip: Callable[[str], bool] = lambda question: False
) -> Iterator[Asked]:
    """Up to `most` questions of a document, spread over its passages; the same for the same seed.

    A question that `skip` holds for is not asked, nor is anything of the sentences right below it.
    """
    language = document.language
    if language not in LANGUAGES:
        return
    pools: list[list[Asked]] = []
    spoken = bool(re.search(r"\bvoc[êe]", document.text, re.I))
    for passage in cut(document):
        pool = [a for u in units(passage) for a in _of_unit(u, document, language, spoken, rng, skip)]
        # Taken from the end: questions after facts before others, by and large.
        order = {id(a): rng.random() + 0.7 * (a.kind in _WANTED) for a in pool}
        pools.append(sorted(pool, key=lambda a: order[id(a)]))
    seen: set[str] = set()
    given = 0
    while any(pools) and given < most:
        for pool in pools:
            if pool and given < most:
                one = pool.pop()
                key = " ".join(tokens(one.question))
                if key and key not in seen and not skip(one.question) and not skip(one.plain):
                    seen.add(key)
                    given += 1
                    yield one


def _of_unit(
    unit: Unit, document: Document, language: str, spoken: bool, rng: random.Random, skip: Callable[[str], bool]
) -> list[Asked]:
    """A few questions that one sentence answers, its best kinds first."""
    above = question_above(unit)
    inline = _INLINE.match(unit.text)
    if (above and skip(above)) or (inline and skip(inline.group(1))):
        return []
    found: list[tuple[str, str]] = []
    body = unit.text
    if inline and not unit.raw.startswith("|"):
        found += [(inline.group(1), "faq"), (inline.group(1), "faq")]
        body = inline.group(2)
    if above and unit.place == 0:
        found += [(above, "faq"), (above, "faq")]
    elif unit.place == 0 and len(unit.text.split()) >= 6:
        found += [(q, "heading") for q in headings.ask(unit.lead, language) if rng.random() < 0.4]
    if unit.raw.lstrip().startswith("|"):
        rows = list(tables.of_row(document.text, unit.start, unit.end, language))
        found += rng.sample(rows, min(EACH, len(rows)))
    else:
        line = list(tables.of_line(body, language))
        asked = line or list(_RULES[language](body, spoken))
        if line:
            value = body.partition(": ")[2]
            asked += list(_RULES[language](value, spoken)) if len(value.split()) > 6 else []
        facts = [a for a in asked if a[1]]
        plain = [a for a in asked if not a[1]]
        chosen = rng.sample(facts, min(EACH - 1, len(facts)))
        if plain and rng.random() < (YES_NO if chosen else 2 * YES_NO):
            chosen.append(rng.choice(plain))
        found += chosen
    return [a for q, kind in found if (a := _word(q, kind, unit, language, rng))]


def _word(question: str, kind: str, unit: Unit, language: str, rng: random.Random) -> Asked | None:
    """The question with its topic, where it needs one, in somebody's words."""
    question = re.sub(r"\s+", " ", question).strip()
    if not 2 <= len(question.split()) <= 32:
        return None
    asked = Asked(question, language, unit.span, unit.text, unit.lead, kind, plain=question)
    if kind == "faq":
        return replace(asked, question=vary(question, kind, language, rng) if rng.random() < 0.7 else question)
    name = headings.topic(headings.last(unit.lead))
    topic = ""
    if kind != "heading" and name and not headings.named(question, name, language):
        stop = STOPWORDS[language]
        own = [w for w in tokens(question) if w not in stop]
        # A sentence with few words of its own takes its meaning from the heading: so must its question.
        if (len(own) <= 3 and kind != "row") or rng.random() < (0.1 if kind == "row" else 0.3):
            topic = name
    if topic:
        question = about(question, name, language, rng)
        asked = replace(asked, topic=topic, plain_topic=question)
        if rng.random() < 0.25:
            words = keywords(f"{name} {asked.plain}", kind, language, rng)
            return replace(asked, question=slips(words, rng))
    elif not _stands(question, language):
        return None
    return replace(asked, question=vary(question, kind, language, rng))


def _stands(question: str, language: str) -> bool:
    """Whether a question says enough to be asked of a whole library."""
    stop = STOPWORDS[language]
    return len({w for w in tokens(question) if w not in stop and len(w) > 2}) >= 2


def question_above(unit: Unit) -> str:
    """The question right above a sentence, '' when there is none."""
    heading = unit.passage.heading
    label = unit.lead[len(heading) :].strip() if unit.lead.startswith(heading) else ""
    for text in (label, heading.rpartition(" > ")[2].strip()):
        if text.endswith("?") and len(text.split()) >= 2:
            # Only the last question counts: a label may follow the heading of another.
            return text
    return ""


def of_quote(question: str, unit: Unit, language: str, kind: str) -> Asked:
    """A question that somebody else wrote about a sentence."""
    return Asked(question, language, unit.span, unit.text, unit.lead, kind, plain=question)


def content(text: str, language: str) -> set[str]:
    """Folded content words."""
    stop = STOPWORDS.get(language, frozenset())
    return {w for w in tokens(fold(text)) if w not in stop}
