"""English sentences turned into the questions they answer: clause patterns, no parser.

A sentence is read as subject, auxiliary or verb, and rest, by closed lists of words (the way of overgenerating
and filtering of Heilman and Smith 2010, without its parser). What does not fit a pattern gives no question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.documents.words import fold, rarity
from mirim.examples.facts import Fact, facts

_AUX = frozenset(
    "is are was were can must should will may might could would cannot can't mustn't shouldn't won't isn't aren't "
    "wasn't weren't couldn't wouldn't".split()
)
_SPLIT_AUX = {"cannot": ("can", "not"), "won't": ("will", "not")}
_BASES = """accept allow answer apply arrive ask attend begin book bring build call cause charge check choose close
collect come complete confirm contact contain cost cover cut deliver depend develop do drink eat end examine expire
explain fall fast fill find finish follow get give go happen have help hold include increase inform involve issue keep
last lead leave live look lose make mean meet move need occur offer open operate order park pay perform place play
prepare present produce protect provide publish put reach read receive refund register remain remove renew reply
request require reserve respond return run see sell send serve share show sign join start stay stop store study supply
support take tell test travel treat try use visit wait want wash weigh win work write accompany handle bill fund grow
close host invite lend rent ship train clean scan print enter exit pick drop avoid wear rest remember switch turn hand
cancel reschedule affect carry cross bear become create found invent lead marry name own rule spread contribute form""".split()  # noqa: E501
_IRREGULAR = {
    "began": "begin", "brought": "bring", "built": "build", "came": "come", "chose": "choose", "did": "do",
    "drank": "drink", "ate": "eat", "fell": "fall", "found": "find", "got": "get", "gave": "give", "went": "go",
    "had": "have", "held": "hold", "kept": "keep", "led": "lead", "left": "leave", "lost": "lose", "made": "make",
    "meant": "mean", "met": "meet", "paid": "pay", "ran": "run", "saw": "see", "sold": "sell", "sent": "send",
    "showed": "show", "took": "take", "told": "tell", "won": "win", "wrote": "write", "wore": "wear", "bore": "bear",
    "became": "become", "spread": "spread", "grew": "grow", "lent": "lend",
}  # fmt: skip
_IMPERATIVES = frozenset(
    """arrive ask attend avoid bring call check choose collect come complete confirm contact drink eat empty fast fill
    find finish follow give go hand hold inform join keep leave let look make move order park pay pick place plan prepare
    present press print put read register remember remove renew reply report reserve return save see send show sign stay
    stop store switch take tell train turn use visit wait wash wear write cancel book apply bathe carry count dress
    drop empty enter expect give join label lie open pour rest rinse scan schedule shake start talk tick try""".split()  # noqa: E501
)
_PERSON = {
    "you": "I", "your": "my", "yours": "mine", "yourself": "myself", "we": "you", "our": "your", "us": "you",
    "ours": "yours", "ourselves": "yourselves",
}  # fmt: skip
#: Participles and adjectives that follow "has"/"have" when it is an auxiliary.
_PERFECT = re.compile(r"^(?:been|become|had|gone|done|made|taken|given|seen|\w+ed)$")
_BAD_SUBJECT = re.compile(
    r"\b(?:it|they|he|she|this|these|those|which|that|who|whose|there|what|how|where|why|one|some|all|both|here|i|and then)\b|[,;:()]",  # noqa: E501
    re.I,
)
_STOP_REST = re.compile(
    r",? (?:because|since|so that|although|but|while|unless|even if|(?:and|or|then|so) (?:it|they|we|you|your|my|I|the|"
    r"then|do|say|let|open|fill|ask|a \w+ (?:will|is|can))|, which|, who|, then)\b.*",
    re.I,
)
_OPENING = re.compile(r"^(?:however|then|also|please|in addition|for example|moreover|otherwise|therefore|note that|"
                      r"remember that|as a rule|in general|usually|normally|of course|sorry)\b,? |^(?:yes|no), ", re.I)  # fmt: skip  # noqa: E501
#: A heading in capitals that a plain text file runs into the sentence below it.
CAPITALS = re.compile(r"^(?:[A-ZÀ-Ý0-9][A-ZÀ-Ý0-9,:'/-]*\s+){1,8}(?=[A-ZÀ-Ý][a-zà-ÿ]|[AEO]\s[a-zà-ÿ])")
_PREPOSITION = re.compile(
    r"(?:\b(?:for|within|in|at|on|from|until|till|by|up to|at least|at most|about|around|after|every|between|only|of|"
    r"to|over|under|more than|less than|no later than|or|and|just|the|as|a maximum of|approximately|nearly|almost|"
    r"maximum of|minimum of|through)\s+)+$",
    re.I,
)


def ask(sentence: str, spoken: bool = True) -> Iterator[tuple[str, str]]:
    """(question, kind) for each question that a pattern finds the sentence to answer; kind '' is a yes or no.

    `spoken` is of use in Portuguese only: English tells 'your' from 'his'.
    """
    text = re.sub(r"[*_`]|\s*\([^)]*\)", "", sentence).strip().rstrip(".!;:").strip()
    text = _OPENING.sub("", CAPITALS.sub("", text))
    if not 3 <= len(text.split()) <= 45 or "|" in text or "?" in text:
        return
    yield from _conditional(text)
    for question, kind in _clauses(text):
        if not _VAGUE.search(question.partition(" ")[2]) or kind == "condition":
            yield question, kind


def _clauses(text: str) -> Iterator[tuple[str, str]]:
    for clause in re.split(
        r"\s*(?:[;:](?=\s)|[—–]|, (?:and|but|so) (?=(?:the|you|we|a|an|it|they)\b)|(?<=[a-z0-9)]{3})\. )\s*", text
    ):
        clause = _main(clause)
        if 3 <= len(clause.split()) <= 26:
            yield from _of_clause(clause)


def _conditional(text: str) -> Iterator[tuple[str, str]]:
    opening = re.match(r"(if|when|unless) ([^,]{8,90}), (.+)", text, re.I)
    if (
        opening
        and opening.group(1).lower() == "if"
        and not _VAGUE.search(opening.group(2)[:12] + opening.group(2)[-9:])
    ):
        yield f"What happens if {_turn(opening.group(2))}?", "condition"
        yield f"What should I do if {_turn(opening.group(2))}?", "condition"
    purpose = re.match(r"to ([a-z]+ [^,]{4,60}), (.+)", text, re.I)
    if purpose and purpose.group(1).split()[0].lower() in _BASES_OR_ORDERS:
        yield f"How do I {_turn(purpose.group(1))}?", "how"
    reason = re.search(r"^([^,;]{10,80}?),? because (.{8,})", text)
    if reason:
        for question, _ in _yes_no(_main(reason.group(1)), why=True):
            yield "Why " + question[0].lower() + question[1:], "why"


def _main(clause: str) -> str:
    """The main clause, without what is put before it."""
    clause = clause.strip().strip(",")
    found = re.match(r"(?:if|when|unless|to|for|in|on|at|after|before|during|as|with|without|by|from|once) [^,]{2,80}, (.+)",  # noqa: E501
                     clause, re.I)  # fmt: skip
    return found.group(1) if found else clause


def _turn(text: str) -> str:
    """What the document says to 'you' as the reader would say it."""
    words = re.sub(r"\b(?:you are|you're)\b", "I am", text, flags=re.I)
    words = re.sub(r"\b(?:we are|we're)\b", "you are", words, flags=re.I)
    words = re.sub(r"\b[A-Za-z]+\b", lambda m: _PERSON.get(m.group().lower(), m.group()), words)
    # After a verb or preposition "you" was an object.
    words = re.sub(
        r"\b(to|for|with|from|of|by|at|about|tell|call|give|send|let|help|ask|contact|see|show|remind|allow|told|sent|"
        r"gave|called|tells|gives|sends|calls|lets|helps|asks|[a-z]+ing) I\b",
        r"\1 me",
        words,
    )
    return words


def _subject(words: list[str]) -> str:
    """The subject as the question has it, '' when it cannot stand by itself."""
    text = " ".join(words)
    if not words or len(words) > 9 or _BAD_SUBJECT.search(text):
        return ""
    if words[0].lower() in _PERSON:
        return _turn(text)
    first = words[0]
    # A capital at the start of a sentence is lowered unless the word is a name.
    usual = (
        rarity(fold(first.split("-")[0]), "en") < 1 or first.endswith("s") or (len(words) > 1 and words[1].islower())
    )
    named = first in _NAMES or (len(words) > 1 and words[1][0].isupper())
    common = first.lower() in _COMMON_FIRST or (usual and not named)
    if first.lower() in _OPENERS:
        return ""
    return _turn((first.lower() if common else first) + text[len(first) :])


_NAMES = frozenset(
    """Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August
    September October November December""".split()
)
_OPENERS = frozenset(
    "for at in on with after before if when outside so as to by from during once unless without until although".split()
)
_COMMON_FIRST = frozenset(
    """the a an each every your our my most many some any no all people patients children visitors customers members
    results orders payments requests appointments tests samples tickets parking fees prices minors companions students
    payment delivery shipping breakfast registration entrance entry access returns refunds consultations visits doctors
    nurses employees staff companies babies parents women men adults guests pets dogs reports images copies documents
    plain water coffee fasting blood new old first second two three four five""".split()
)


class _Clause:
    """Subject, auxiliary and rest of a clause, `base` the verb without its ending after an auxiliary 'do'."""

    def __init__(self, subject: str, aux: str, rest: str, negative: bool, bare: str) -> None:
        self.subject, self.aux, self.rest, self.negative, self.bare = subject, aux, rest, negative, bare


def _parse(clause: str) -> _Clause | None:
    words = clause.split()
    lower = [w.lower().strip(",") for w in words]
    negative = lower[:2] == ["do", "not"] or lower[0] in ("don't", "never")
    start = 2 if lower[:2] == ["do", "not"] else 1 if lower[0] in ("don't", "never", "please", "always") else 0
    if start < len(lower) and (lower[start] in _IMPERATIVES or (start and lower[start] in _BASES)):
        return _Clause("I", "should", _turn(_lower_first(" ".join(words[start:]))), negative, "")
    for i in range(1, min(len(words), 10)):
        word = lower[i]
        if word in _AUX or (word in ("has", "have") and i + 1 < len(lower) and _PERFECT.match(lower[i + 1])):
            subject = _subject(words[:i])
            if not subject:
                return None
            aux, *more = _SPLIT_AUX.get(word, (word.removesuffix("n't"),))
            rest = words[i + 1 :]
            negative = bool(more) or word.endswith("n't") or (bool(rest) and rest[0].lower() == "not")
            rest = rest[1:] if rest and rest[0].lower() == "not" else rest
            aux = _agree(subject, aux)
            return _Clause(subject, aux, _turn(" ".join(rest)), negative, " ".join(words[i:]))
        found = _verb(word)
        later = next((j for j in range(i + 1, min(len(words), 10)) if lower[j] in _AUX), 0)
        joined = {"and", "that", "but"} & set(lower[i:later])
        if found and later and not joined and not any("," in w for w in words[i:later]):
            # "growths called polyps can be removed": the participle is part of the subject.
            continue
        if found and word not in ("does", "do", "did"):
            if lower[0] in ("the", "a", "an") and i == 1:
                continue
            subject = _subject(words[:i])
            plural = found[1] == "do"
            if plural and subject and _singular(subject):
                # "The car park closes": a noun that looks like a verb.
                continue
            if (
                not subject
                or (plural and _singular(subject))
                or lower[i - 1] in ("to", "of", "for", "a", "the", "and", "your")
            ):
                return None
            aux = "do" if subject in ("I", "you") and found[1] == "does" else found[1]
            return _Clause(subject, aux, _turn(" ".join([found[0], *words[i + 1 :]])), False, " ".join(words[i:]))
    return None


def _singular(subject: str) -> bool:
    last = subject.split()[-1]
    return subject.split()[0].lower() in ("a", "an", "each", "every") or (
        subject not in ("I", "you")
        and not last.endswith("s")
        and last.lower() not in ("people", "children", "women", "men", "staff")
    )


def _agree(subject: str, aux: str) -> str:
    aux = {"may": "can", "might": "could"}.get(aux, aux)
    if subject == "I":
        return {"are": "am", "were": "was"}.get(aux, aux)
    return {"is": "are", "was": "were"}.get(aux, aux) if subject == "you" else aux


def _verb(word: str) -> tuple[str, str] | None:
    """(base, auxiliary) of a finite form of a known verb."""
    if word in _VERBS:
        return word, "do"
    if word in ("has",):
        return "have", "does"
    if word in _IRREGULAR:
        return _IRREGULAR[word], "did"
    for ending, put in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and word[: -len(ending)] + put in _VERBS:
            return word[: -len(ending)] + put, "does"
    for ending, put in (("ied", "y"), ("ed", ""), ("ed", "e")):
        if word.endswith(ending) and word[: -len(ending)] + put in _VERBS:
            return word[: -len(ending)] + put, "did"
    return None


_VERBS = frozenset(_BASES)
_BASES_OR_ORDERS = _VERBS | _IMPERATIVES


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _of_clause(clause: str) -> Iterator[tuple[str, str]]:
    parsed = _parse(clause)
    definition = re.match(r"((?:an? |the )?(?:[\w'-]+ ){0,3}[\w'-]+) is (?:an? |the name )", clause, re.I)
    if (
        definition
        and not _BAD_SUBJECT.search(definition.group(1))
        and definition.group(1).lower().split()[0] not in _PERSON
    ):
        yield f"What is {_subject(definition.group(1).split()) or definition.group(1)}?", "definition"
    found = facts(clause)
    if parsed is None:
        return
    if not found:
        yield from _objects(parsed)
    for fact in found:
        yield from _for_fact(parsed, clause, fact)
    yield from _yes_no_of(parsed)


def _yes_no(clause: str, why: bool = False) -> Iterator[tuple[str, str]]:
    parsed = _parse(clause)
    if parsed is not None and why and parsed.negative:
        yield _sentence(parsed.aux, parsed.subject, "not", _short(parsed.rest)), ""
    elif parsed is not None:
        yield from _yes_no_of(parsed)


def _yes_no_of(clause: _Clause) -> Iterator[tuple[str, str]]:
    rest = re.sub(r"^(have|offer|need|require|charge|provide) no\b", r"\1 any", _short(clause.rest))
    if len(rest.split()) >= 2 or clause.aux in ("is", "are"):
        if clause.negative and clause.aux == "should" and clause.subject == "I":
            yield _sentence("Can I", rest), ""
        else:
            yield _sentence(clause.aux.capitalize(), clause.subject, rest), ""


def _objects(clause: _Clause) -> Iterator[tuple[str, str]]:
    """'Bring your notebook' also answers 'What should I bring?'."""
    verb, _, after = clause.rest.partition(" ")
    things = ("bring", "wear", "eat", "avoid", "drink", "take", "show", "send")
    if (
        clause.subject == "I"
        and verb in things
        and after
        and not re.match(r"(?:as|it|them|this|off|care|part)\b", after)
    ):
        tail = re.search(r" (?:before|after|on|at|during|for|to) (?:the|my|that|an?) [\w ]+$", after)
        yield _sentence("What should I", verb, tail.group().strip() if tail else ""), "what"


_WH = {
    "duration": "How long", "time": "When", "hour": "What time", "count": "How many", "place": "Where",
    "percent": "What percentage", "money": "How much", "frequency": "How often",
}  # fmt: skip


def _for_fact(clause: _Clause, text: str, fact: Fact) -> Iterator[tuple[str, str]]:
    if fact.kind == "person" and text.startswith(fact.text):
        yield _sentence("Who", _turn(_short(clause.bare))), "person"
        return
    if fact.kind == "contact":
        verb = clause.rest.split(" ")[0]
        about = clause.rest[: clause.rest.find(fact.text)] if fact.text in clause.rest else ""
        about = re.sub(r"(?:\s+(?:on|at|by|to|through|phone|number|email|e-mail|or|and|the|is))+\s*$", "", about)
        if verb in ("call", "contact", "write", "phone", "ring") and about:
            yield f"How do I {about.strip()}?", "contact"
        elif clause.aux in ("is", "are") and not about:
            yield f"What is {clause.subject}?", "contact"
        return
    rest = clause.rest
    place = rest.find(_turn(fact.text))
    if place < 0:
        if fact.kind == "count" and clause.bare and text.lower().startswith(fact.text.lower()):
            yield _sentence("How many", fact.noun, _short(clause.bare)), "count"
        return
    before, after = rest[:place], rest[place + len(_turn(fact.text)) :]
    preposition = _PREPOSITION.search(before)
    lead = preposition.group().strip().lower() if preposition else ""
    before = before[: preposition.start()] if preposition else before
    inner = before.split(" ")[1:]
    if "," in before or re.search(r"\b(?:and|or|each|every|first|last|same|other|one|which|least|most)\s*$", before):
        return
    if any(w in _AUX or w == "and" or w in ("when", "if", "which", "that", "who") for w in inner):
        return
    after = "" if after.startswith(",") or " and " in before else _short(after.strip(), 8)
    after = "" if after.startswith(("and", "or", "to ", "–", "-", "/")) else after
    wh, kind = _WH.get(fact.kind, "What"), fact.kind
    moved = re.match(r"(?:before|after|early|earlier|in advance|ahead|prior to|late|beforehand|old)\b.*", after)
    if kind == "duration":
        if lead.startswith("every"):
            wh = "How often"
        elif moved:
            wh, after = f"How long {after}", ""
        elif "within" in lead or lead == "in":
            wh = "How soon"
        elif lead.startswith("of") or (fact.unit and not lead and before.strip().count(" ") > 1):
            wh = f"How many {fact.unit}"
    elif kind == "time":
        wh = "Until when" if "until" in lead else wh
    elif kind == "hour":
        wh = "Until what time" if lead in ("until", "till", "by") else "From what time" if lead == "from" else wh
    elif kind == "count":
        wh = f"How many {fact.noun}"
    elif kind == "money":
        verb = before.split(" ")[0] if before else ""
        if lead.startswith("of") or (before.strip() and verb not in ("cost", "pay", "charge", "costs")):
            wh = "How much money" if verb in ("need",) else "How much"
    elif kind == "place" and before.split(" ")[-1:] == ["from"]:
        wh = "From where"
    if kind == "place" and lead.split(" ")[:1] == ["of"]:
        return
    question = _sentence(wh, clause.aux, clause.subject, before.strip(), after)
    if len(question.split()) >= 4:
        yield question, kind


def _short(rest: str, most: int = 14) -> str:
    rest = _STOP_REST.sub("", rest)
    words = rest.split()
    if len(words) > most:
        rest = re.split(r"[,;]", rest)[0]
        words = rest.split()[:most]
        while words and words[-1].lower() in _DANGLING:
            words.pop()
    return " ".join(words).strip(" ,;.")


_VAGUE = re.compile(r"\b(?:it|them|they|this|these|those|that)\b", re.I)
_DANGLING = frozenset(
    "the a an of to in on at for with by from and or that which who is are was as your my our their its if when".split()
)


def _sentence(*parts: str) -> str:
    text = " ".join(p.strip() for p in parts if p.strip())
    text = re.sub(r"\s+([,.])", r"\1", text).strip(" ,;.")
    while text.rpartition(" ")[2].lower() in _DANGLING:
        text = text.rpartition(" ")[0].strip(" ,;.")
    return text[:1].upper() + text[1:] + "?"
