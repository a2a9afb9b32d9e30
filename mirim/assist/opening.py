"""Whether somebody is open, as people ask it ("vocês abrem segunda?"), asked as documents say it: for opening hours."""

from __future__ import annotations

from mirim.documents.values import WEEKDAYS
from mirim.documents.words import STOPWORDS, fold, tokens

#: Folded words that ask whether somebody is open, of each language.
_OPEN = {
    "en": frozenset("open opens opened opening close closes closed closing shut shuts".split()),
    "pt": frozenset(
        "abre abrem abrir aberto aberta abertos abertas fecha fecham fechar fechado fechada fechados funciona "
        "funcionam funcionando atende atendem trabalha trabalham".split()
    ),
}
#: Days as they are asked for, and how hours on them are asked for.
_DAYS = {
    "en": {day: f"on {day.title()}" for day in WEEKDAYS["en"]}
    | dict.fromkeys(("weekend", "weekends"), "on Saturday and Sunday"),
    "pt": {fold(day): f"na {day}-feira" for day in WEEKDAYS["pt"][:5]}
    | {fold(day): f"no {day}" for day in WEEKDAYS["pt"][5:]}
    | {"fim": "no sábado e no domingo"},
}
#: What may stand beside them: it names nothing that has hours of its own.
_BESIDE = {
    "en": frozenset("day days time hour hours today tomorrow tonight morning afternoon evening late early".split()),
    "pt": frozenset("dia dias hora horas hoje amanha manha tarde noite cedo semana feira".split()),
}
_ASKED = {
    "en": "On which days and at what times are you open? What are the opening hours{}?",
    "pt": "Em que dias e horários está aberto? Qual é o horário de funcionamento{}?",
}


def opening(question: str, language: str) -> list[str]:
    """Questions for opening hours, on the days that are named and on any, instead of one whether somebody is open that
    names nothing else; none for any other question."""
    if language not in _ASKED:
        return []
    words, days = tokens(question), _DAYS[language]
    named = [days[day] for word in words if (day := _one(word, days))]
    others = [
        word
        for word in words
        if word not in STOPWORDS[language] and word not in _OPEN[language] | _BESIDE[language] and not _one(word, days)
    ]
    if others or _OPEN[language].isdisjoint(words) or not (named or not _BESIDE[language].isdisjoint(words)):
        return []
    on = "".join(f" {day}" for day in dict.fromkeys(named))
    return [_ASKED[language].format(on) for on in dict.fromkeys((on, ""))]


def _one(word: str, days: dict[str, str]) -> str:
    """The day that a word names, be it of one or of all such days; '' for another word."""
    return next((day for day in (word, word.removesuffix("s")) if day in days), "")
