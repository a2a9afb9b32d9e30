"""Headings turned into questions, and the topic that a heading names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.documents.words import STOPWORDS, fold, rarity, tokens

_GERUND = {
    "book": "booking", "prepare": "preparing", "pay": "paying", "cancel": "cancelling", "return": "returning",
    "park": "parking", "visit": "visiting", "change": "changing", "apply": "applying", "renew": "renewing",
    "collect": "collecting", "request": "requesting", "register": "registering", "report": "reporting",
    "order": "ordering", "choose": "choosing", "contact": "contacting", "use": "using", "get": "getting",
    "send": "sending", "store": "storing", "track": "tracking", "arrive": "arriving", "make": "making",
    "treat": "treating", "diagnose": "diagnosing", "prevent": "preventing",
}  # fmt: skip
_BASE = {gerund: base for base, gerund in _GERUND.items()}


def last(lead: str) -> str:
    """The lowest heading of a path that names a topic; '' when none does."""
    for part in reversed(re.split(r"\s*>\s*", lead)):
        if topic(part):
            return part
    return ""


def topic(heading: str) -> str:
    """A heading as the name of a topic inside a sentence: 'Opening hours' → 'opening hours'; '' when it is none."""
    text = re.sub(r"^\d+(?:\.\d+)*[.)]?\s+|[.:;]+$|\s*\([^)]*\)", "", heading.strip()).strip()
    text = text.partition(": ")[0]
    words = text.split()
    if not 1 <= len(words) <= 6 or text.endswith(("?", "!")) or not re.search(r"[^\W\d]{3}", text):
        return ""
    first = fold(words[0])
    if first in _NOT_TOPIC or first in _BASE or _PAPERS & set(tokens(text)) or re.search(r"[,;@/]", text):
        return ""
    if text.isupper():
        text = text.lower()
    elif (
        not words[0].isupper()
        and (rarity(first, "en") < 1 or rarity(first, "pt") < 1)
        and not any(w[0].isupper() for w in words[1:])
    ):
        text = text[0].lower() + text[1:]
    return text


_NOT_TOPIC = frozenset(
    """how what when where who why which if before after do does is are can as to other others como que quando onde quem
    por porque se antes depois para ao a o os as no na nos nas e sobre outras outros mais faq contents index sumario
    perguntas questions introduction introducao about welcome note notes re fw page pagina other""".split()
)


#: What a document is says nothing of what it is about.
_PAPERS = frozenset(
    "handbook manual guide guia document documento page pagina list lista table tabela leaflet folha".split()
)


def ask(lead: str, language: str) -> Iterator[str]:
    """Questions that the first sentences under a heading path answer."""
    parts = [p for p in re.split(r"\s*>\s*", lead) if p]
    if len(parts) < 2:
        # A document's title promises more than its first sentence holds.
        return
    heading, above = parts[-1].strip(), topic(parts[-2]) if len(parts) > 1 else ""
    if heading.isupper():
        heading = heading.capitalize()
    yield from (_english if language == "en" else _portuguese)(heading, above)


def _english(heading: str, above: str) -> Iterator[str]:
    low = heading[:1].lower() + heading[1:]
    if found := re.match(r"how (?:to|you(?: can)?|we) (.+)", low):
        yield f"How do {'you' if low.startswith('how we') else 'I'} {_mine(found.group(1))}?"
    elif found := re.match(r"(what|when|where|who|which \w+) to (.+)", low):
        yield f"{found.group(1).capitalize()} should I {_mine(found.group(2))}?"
    elif found := re.match(r"(what|when|where|who) you (need|must|should|can|may|have)\b(.*)", low):
        verb = found.group(2)
        middle = f"do I {verb}" if verb in ("need", "have") else f"{verb} I"
        yield f"{found.group(1).capitalize()} {middle}{_mine(found.group(3))}?"
    elif (found := re.match(r"(\w+ing)\b (.+)", low)) and found.group(1) in _BASE:
        yield f"How do I {_BASE[found.group(1)]} {_mine(found.group(2))}?"
        yield f"I need help with {low}, what do I do?"
    elif name := topic(heading):
        many = name.endswith("s") and not name.endswith("ss")
        if above and len(name.split()) <= 3 and fold(above) != fold(name):
            yield f"What {'are' if many else 'is'} the {name} of {above}?"
            yield f"{above} {name}"
        yield f"What should I know about {name}?"
        yield f"Can you tell me about {name}?"


def _portuguese(heading: str, above: str) -> Iterator[str]:
    low = heading[:1].lower() + heading[1:]
    if found := re.match(r"como ([a-zà-ÿ]+r\b.*)", low):
        yield f"Como faço para {_meu(found.group(1))}?"
    elif found := re.match(r"(o que|quando|onde|quem|qual \w+) ([a-zà-ÿ]+[aei]r\b.*)", low):
        yield f"{found.group(1).capitalize()} devo {_meu(found.group(2))}?"
    elif found := re.match(r"(o que|quando|onde) você (precisa|pode|deve)(.*)", low):
        verb = {"precisa": "preciso", "pode": "posso", "deve": "devo"}[found.group(2)]
        yield f"{found.group(1).capitalize()} {verb}{_meu(found.group(3))}?"
    elif re.match(r"(?:quem|quanto|quando|onde|como|qual|quais|quantos|quantas|por que)\b", low):
        yield heading.rstrip(".: ") + "?" + (f" ({above})" if above else "")
    elif name := topic(heading):
        if above and len(name.split()) <= 3 and fold(above) != fold(name):
            many = name.split()[0].endswith("s")
            article = "as" if name.split()[0].endswith(("as", "ões", "ades")) else "os"
            yield f"Quais são {article} {name} de {above}?" if many else f"{name.capitalize()} de {above}"
            yield f"{above} {name}"
        yield f"O que preciso saber sobre {name}?"
        yield f"Como funciona {name}?"


def _mine(text: str) -> str:
    return re.sub(r"\byou\b", "I", re.sub(r"\byour\b", "my", text)).rstrip(" .:?")


def _meu(text: str) -> str:
    pairs = (("seus", "meus"), ("suas", "minhas"), ("seu", "meu"), ("sua", "minha"))
    for yours, mine in pairs:
        text = re.sub(rf"\b{yours}\b", mine, text)
    return text.rstrip(" .:?")


def named(question: str, name: str, language: str) -> bool:
    """Whether the question already says what a topic says."""
    stop = STOPWORDS[language]
    words = {w for w in tokens(name) if w not in stop}
    return bool(words) and len(words & set(tokens(question))) >= len(words) / 2
