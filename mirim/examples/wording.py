"""A question in somebody else's words and fingers: everyday words, keywords, greetings, slips of the hand."""

from __future__ import annotations

import random
import re
from functools import cache
from importlib import resources

from mirim.documents.synonyms import alternatives
from mirim.documents.words import STOPWORDS, fold, rarity, tokens

#: What people add to keywords to say what they are after.
_HINTS = {
    "en": {
        "money": ("price", "how much", "cost"), "duration": ("how long", "time"), "hour": ("what time", "hours"),
        "time": ("when", "which days"), "place": ("where", "address"), "contact": ("phone", "contact"),
        "count": ("how many",), "person": ("who",), "how": ("how to",), "condition": ("what happens",),
        "frequency": ("how often",), "percent": ("percentage",),
    },
    "pt": {
        "money": ("preço", "quanto custa", "valor"), "duration": ("quanto tempo", "prazo"), "hour": ("que horas", "horário"),  # noqa: E501
        "time": ("quando", "que dias"), "place": ("onde", "onde fica"), "contact": ("telefone", "contato"),
        "count": ("quantos",), "person": ("quem",), "how": ("como",), "condition": ("o que acontece",),
        "frequency": ("de quanto em quanto tempo",), "percent": ("quantos por cento",),
    },
}  # fmt: skip
_ABOUT = {
    "en": ("{q} for {n}?", "{n}: {l}?", "About {n}: {l}?", "I have a question about {n}. {Q}?", "It's about {n}. {Q}?",
           "{q}, for {n}?", "Regarding {n}, {l}?"),
    "pt": ("{q} ({n})?", "{n}: {l}?", "Sobre {n}: {l}?", "Tenho uma dúvida sobre {n}. {Q}?", "É sobre {n}. {Q}?",
           "No caso de {n}, {l}?", "Em relação a {n}, {l}?"),
}  # fmt: skip
_OPEN = {
    "en": ("Hi, {l}", "Hello! {Q}", "Please, {l}", "Could you tell me: {l}", "Quick question: {l}", "Sorry to bother you. {Q}",  # noqa: E501
           "I couldn't find it on the page. {Q}", "My sister asked me: {l}", "Good morning. {Q}"),
    "pt": ("Oi, {l}", "Bom dia! {Q}", "Por favor, {l}", "Queria saber: {l}", "Uma dúvida: {l}", "Desculpa incomodar. {Q}",  # noqa: E501
           "Não achei na página. {Q}", "Minha irmã perguntou: {l}", "Olá! {Q}"),
}  # fmt: skip
_KEYS = {c: near for line in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for c, near in zip(line[1:], line, strict=False)}


def about(question: str, name: str, language: str, rng: random.Random) -> str:
    """The question with its topic said, where the sentence took it from the heading above."""
    bare = question.rstrip("?").strip()
    frames = _ABOUT[language]
    # "for" reads well only after short questions without a topic of their own.
    short = len(bare.split()) <= 8 and " for " not in bare and not re.match(r"What (?:happens|should I do) if", bare)
    frame = frames[0] if ":" in bare else rng.choice(frames if short else frames[1:5])
    return _fill(frame, bare, name)


def _fill(frame: str, bare: str, name: str = "") -> str:
    lower = bare if re.match(r"(?:I\b|[A-Z]{2}|[A-Z]\w*\s[A-Z])", bare) else bare[:1].lower() + bare[1:]
    text = frame.format(q=bare, Q=bare, l=lower, n=name)
    return text[:1].upper() + text[1:]


def vary(question: str, kind: str, language: str, rng: random.Random) -> str:
    """Another way to ask the same; often the question as it is."""
    roll = rng.random()
    if roll < 0.2:
        text = keywords(question, kind, language, rng)
    elif roll < 0.32:
        text = _fill(rng.choice(_OPEN[language]), question)
    else:
        text = question
    if rng.random() < 0.45:
        text = swap(text, language, rng)
    return slips(text, rng)


def keywords(question: str, kind: str, language: str, rng: random.Random) -> str:
    """The words that matter, as typed into a search box: 'blood test fasting how long'."""
    stop = STOPWORDS[language]
    words = [w for w in re.findall(r"[\w$%:'-]+", question) if fold(w) not in stop and fold(w) not in _ASKING]
    if len(words) < 2:
        return question
    while len(words) > 6:
        # The commonest word says least.
        words.remove(min(words, key=lambda w: rarity(fold(w), language)))
    hints = _HINTS[language].get(kind)
    hint = [rng.choice(hints)] if hints else []
    text = " ".join(hint + words if rng.random() < 0.4 else words + hint)
    return text.lower()


_ASKING = frozenset(
    "much many long often soon happens know tell question quanto quanta quantos quantas acontece saber faco".split()
)


def swap(question: str, language: str, rng: random.Random) -> str:
    """One word or phrase exchanged for another of the thesaurus that means the same."""
    pieces = [(m.start(), m.end()) for m in re.finditer(r"[^\W_]+", question)]
    words = [fold(question[a:b]) for a, b in pieces]
    # Search matches by stems; a question is rewritten only where the very words are in the thesaurus.
    members = _members(language)
    found = [g for g in alternatives(words, language) if " ".join(words[g.start : g.end]) in members]
    if not found:
        return question
    group = rng.choice(found)
    start, end = pieces[group.start][0], pieces[group.end - 1][1]
    new = " ".join(rng.choice(group.members))
    old = question[start:end]
    return question[:start] + (new[:1].upper() + new[1:] if old[:1].isupper() and start == 0 else new) + question[end:]


@cache
def _members(language: str) -> frozenset[str]:
    """Every word and phrase of the thesaurus, folded."""
    file = resources.files("mirim.documents").joinpath("thesaurus", f"{language}.txt")
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return frozenset(" ".join(tokens(m)) for line in lines if not line.startswith("#") for m in line.split("|"))


def slips(question: str, rng: random.Random) -> str:
    """Lower case, no accents, no question mark, a letter doubled, dropped, exchanged or hit beside."""
    text = question
    if rng.random() < 0.25:
        text = text.lower()
    if rng.random() < 0.15:
        text = fold(text)
    if rng.random() < 0.25:
        text = text.rstrip("?")
    if rng.random() < 0.08:
        text = _slip(text, rng)
    return text


def _slip(text: str, rng: random.Random) -> str:
    places = [i for i in range(2, len(text) - 2) if text[i - 1 : i + 2].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    if kind == 1:
        return text[:i] + text[i + 1 :]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    return text[:i] + _KEYS.get(text[i].lower(), text[i]) + text[i + 1 :]
