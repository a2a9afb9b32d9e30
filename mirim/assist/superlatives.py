"""What a question asks for the most or the least of: "the cheapest plan", "qual demora mais", "menor taxa"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from mirim.documents.words import fold

#: Words of a question that need not say that it chooses: "cheapest plan?"; and characters of a question that is read.
SHORT, LONGEST = 4, 2000


class Adjective(NamedTuple):
    """What a word asks for: the most (1) or the least (-1) of amounts of these kinds, any where there are none, in a
    column whose name may have one of the words of `names`; of amounts of the `opposite` kinds it asks for the
    other end. `bare` is what may ask for the most comfortable as well; `degree` what Portuguese says with "mais" or
    "menos" before it, behind what it is the most of."""

    sign: int
    kinds: tuple[str, ...]
    names: str
    opposite: tuple[str, ...] = ()
    bare: bool = False
    degree: bool = False


_PRICE = "pric|fee|cost|rate|charge|rent|fare|tariff|preco|valor|taxa|tarifa|mensal|custo|alugue|diaria|anuidade|aula"
_PAY = r"salar|wage|\bpay|paid|remunera|ganho|bolsa|\ban? hour|por hora"
_TIME = "time|day|length|duration|ready|wait|how long|takes|prazo|tempo|duracao|dias|espera|demora|leva"
_SIZE = "area|size|capacity|seats|places|spaces|vagas|sleeps|holds|lugares|tamanho|capacidade|pessoas|people"
_HEIGHT, _LENGTH, _DEPTH = "height|altura", "length|comprimento|distan|extensao", "depth|deep|profund"
_WIDTH, _AGE, _WEIGHT = "width|wide|largura", r"\bage|idade|year|\bano|built|since|desde|fundad", "weight|peso"
_CLOCK, _FAR = (
    "open|close|start|begin|leave|end|hour|abre|fecha|inicio|comeca|entrada|saida|horario|hora",
    "distan|km|mile",
)
_SPEED, _SOUND = ("speed",), r"noise|sound|\bdb|ruido|barulho|\bsom"
_HEAT, _STRENGTH = "temperat", r"\babv|alcoh?ol|strength|\bteor"

#: Superlatives by themselves, and what says as much, in both languages, folded.
_WHOLE: dict[str, Adjective] = {
    r"cheapest|(?:least|less) (?:expensive|costly)|lowest[- ]priced?|costs? (?:the )?least|custam? menos"
    r"|melhor(?:es)? precos?": Adjective(-1, ("money",), _PRICE),
    r"most expensive|dearest|priciest|costliest|costs? (?:the )?most|custam? mais": Adjective(1, ("money",), _PRICE),
    r"(?:best|highest)[- ]paid|pays? (?:the )?(?:best|most)|pagam? (?:mais|melhor)|ganham? mais|mais bem pag[oa]s?": (
        Adjective(1, ("money",), _PAY)
    ),
    r"(?:worst|lowest)[- ]paid|pays? (?:the )?(?:worst|least)|pagam? (?:menos|pior)|ganham? menos": (
        Adjective(-1, ("money",), _PAY)
    ),
    r"fastest|quickest|takes? (?:the )?(?:least|shortest)|demoram? menos": Adjective(-1, ("duration",), _TIME, _SPEED),
    r"slowest|takes? (?:the )?(?:longest|most)|demoram? mais": Adjective(1, ("duration",), _TIME, _SPEED),
    r"longest|duram? mais": Adjective(1, ("duration", "length"), f"{_TIME}|{_LENGTH}"),
    r"shortest|duram? menos": Adjective(-1, ("duration", "length"), f"{_TIME}|{_LENGTH}"),
    r"heaviest": Adjective(1, ("weight",), _WEIGHT),
    r"lightest": Adjective(-1, ("weight",), _WEIGHT),
    r"tallest": Adjective(1, ("length",), _HEIGHT),
    r"deepest": Adjective(1, ("length",), _DEPTH),
    r"shallowest": Adjective(-1, ("length",), _DEPTH),
    r"widest": Adjective(1, ("length",), _WIDTH),
    r"narrowest": Adjective(-1, ("length",), _WIDTH),
    r"nearest|closest": Adjective(-1, ("length",), _FAR),
    r"furthest|farthest": Adjective(1, ("length",), _FAR),
    r"earliest": Adjective(-1, ("clock", "date"), _CLOCK),
    r"latest": Adjective(1, ("clock", "date"), _CLOCK),
    r"quietest": Adjective(-1, ("sound",), _SOUND),
    r"loudest|noisiest": Adjective(1, ("sound",), _SOUND),
    r"strongest": Adjective(1, ("percent",), _STRENGTH),
    r"weakest": Adjective(-1, ("percent",), _STRENGTH),
    r"hottest|warmest": Adjective(1, ("temperature",), _HEAT),
    r"coldest|coolest": Adjective(-1, ("temperature",), _HEAT),
    r"oldest": Adjective(1, ("duration",), _AGE),
    r"youngest": Adjective(-1, ("duration",), _AGE),
}
#: What Portuguese has the most or the least of by "mais" and "menos" before it.
_DEGREES: dict[str, Adjective] = {
    r"barat(?:inh)?[oa]s?|em conta|economic[oa]s?": Adjective(-1, ("money",), _PRICE),
    r"car(?:inh)?[oa]s?|salgad[oa]s?": Adjective(1, ("money",), _PRICE),
    r"rapid[oa]s?|rapidamente|ligeir[oa]s?": Adjective(-1, ("duration",), _TIME, _SPEED),
    r"lent[oa]s?|demorad[oa]s?": Adjective(1, ("duration",), _TIME, _SPEED),
    r"long[oa]s?|comprid[oa]s?": Adjective(1, ("duration", "length"), f"{_TIME}|{_LENGTH}"),
    r"curt[oa]s?|breves?": Adjective(-1, ("duration", "length"), f"{_TIME}|{_LENGTH}"),
    r"pesad[oa]s?": Adjective(1, ("weight",), _WEIGHT),
    r"leves?": Adjective(-1, ("weight",), _WEIGHT),
    r"alt[oa]s?": Adjective(1, (), _HEIGHT),
    r"baix(?:inh)?[oa]s?": Adjective(-1, (), _HEIGHT),
    r"fund[oa]s?|profund[oa]s?": Adjective(1, ("length",), _DEPTH),
    r"ras[oa]s?": Adjective(-1, ("length",), _DEPTH),
    r"larg[oa]s?": Adjective(1, ("length",), _WIDTH),
    r"estreit[oa]s?": Adjective(-1, ("length",), _WIDTH),
    r"pert[oa]s?|proxim[oa]s?": Adjective(-1, ("length",), _FAR),
    r"longe|distantes?": Adjective(1, ("length",), _FAR),
    r"ced[oa]": Adjective(-1, ("clock", "date"), _CLOCK),
    r"tarde": Adjective(1, ("clock", "date"), _CLOCK),
    r"silencios[oa]s?": Adjective(-1, ("sound",), _SOUND),
    r"barulhent[oa]s?": Adjective(1, ("sound",), _SOUND),
    r"fortes?": Adjective(1, ("percent",), _STRENGTH),
    r"frac[oa]s?": Adjective(-1, ("percent",), _STRENGTH),
    r"quentes?": Adjective(1, ("temperature",), _HEAT),
    r"fri[oa]s?|gelad[oa]s?": Adjective(-1, ("temperature",), _HEAT),
    r"velh[oa]s?|antig[oa]s?": Adjective(1, ("duration",), _AGE),
    r"nov[oa]s?|jove(?:m|ns)": Adjective(-1, ("duration",), _AGE),
    r"grandes?": Adjective(1, (), _SIZE),
    r"pequen[oa]s?": Adjective(-1, (), _SIZE),
}
#: What leaves it to other words which column is meant.
_ANY: dict[str, Adjective] = {
    r"largest|biggest|greatest|maior(?:es)?": Adjective(1, (), _SIZE),
    r"smallest|menor(?:es)?": Adjective(-1, (), _SIZE),
    r"highest": Adjective(1, (), _HEIGHT),
    r"lowest": Adjective(-1, (), _HEIGHT),
    r"fewest": Adjective(-1, (), ""),
    r"most|mais": Adjective(1, (), "", bare=True),
    r"least|menos": Adjective(-1, (), "", bare=True),
}
_PATTERNS = (
    *((re.compile(rf"\b(?:{names})\b"), adjective) for names, adjective in _WHOLE.items()),
    *(
        (re.compile(rf"\b(?:mais|menos) (?:{names})\b"), adjective._replace(degree=True))
        for names, adjective in _DEGREES.items()
    ),
    *((re.compile(rf"\b(?:{names})\b"), adjective) for names, adjective in _ANY.items()),
)
#: What has such words and asks for no most or least.
_NOT = re.compile(
    r"\bat (?:the )?(?:least|most|latest|earliest)\b|\bno (?:maximo|minimo)\b|\b(?:ao|pelo) menos\b|\bmore or less\b"
    r"|\b(?:latest|earliest)(?: date| time| day)? (?:i|we|you|they|people|someone|that)\b"
    r"|\ba mais\b(?! [a-z]{4}| em conta)|\bmais (?:ou menos|de|algum|alguma|um|uma|nada|tarde (?:do )?que)\b"
    r"|\b(?:muito|alg[a-z]+) mais\b|\bmaior parte\b|\b(?:maior|menor)(?:es)? (?:de|que|do que)\b"
    r"|\bmost (?:of|people|days)\b|\bnao\b[^.?!]{0,80}\bmais\b(?! [a-z]{4})"
)
_PARTS = re.compile(r"[.?!;:](?:\s|$)|, | [-–—] ")
#: Without one of these "mais barato" is "cheaper" and no "cheapest".
_CHOOSES = re.compile(
    r"\b(?:qual|quais|que|quem|onde|quando|which|what|whats|who|where|when|the)\b"
    r"|\b[oa]s? (?:[a-z]+ )?(?:mais|menos|maior|menor)\b"
)
_ADVERB = re.compile(r"(?:rapido|rapidamente|cedo|tarde|longe|perto)$")
_DETERMINER = re.compile(r"the|your|their|our|its|his|her|my|which|what|what's|whats|[oa]s?|qual|quais|com|d[eao]|de")
_BEHIND = re.compile(r"\W*(?:(?:of|d[eao]s?|em|n[ao]s?|the) )?([a-z]{3,})")
_CLOSES = re.compile(
    r"\b(?:clos(?:e|es|ing)|shuts?|ends?|finish(?:es)?|fecha(?:m|ndo)?|encerra|termina|sa(?:i|em|ida))\b"
)
_OPENS = re.compile(r"\b(?:open(?:s|ing)?|starts?|begins?|abre[m]?|comeca[m]?|inicia|entra[m]?)\b")


@dataclass(frozen=True, slots=True)
class Superlative:
    """What is asked for the most or the least of.

    edge      1 for the ends of amounts that reach from one number to another, as hours do, -1 for their beginnings
    rest      what asks, folded, without it; `whole` the whole question
    beside    the word behind it, or those before it, the nearest first: the first that says something is what it is
              the most of, and stands over the table or in it
    """

    adjective: Adjective
    edge: int
    rest: str
    whole: str
    beside: tuple[str, ...]


def superlative(question: str) -> Superlative | None:
    """The superlative of a question; None where it has none, or several, or is very long."""
    whole = _asked(question)
    text = _clause(whole)
    found = _found(text)
    short = len(text.split()) <= SHORT
    if len(found) != 1 or not (short or _CHOOSES.search(text)):
        return None
    m, adjective = found[0]
    before = text[: m.start()].split()[::-1]
    # In Portuguese what is cheapest stands before it. Of what comes or ends earliest nothing need be said.
    beside: list[str] = []
    if adjective.degree:
        beside = [] if _ADVERB.search(m.group()) else before
    elif adjective.bare or not before or _DETERMINER.fullmatch(before[0]):
        beside = _BEHIND.findall(text, m.end())[:1]
    edge = 1 if _CLOSES.search(text) else -1 if _OPENS.search(text) else adjective.sign
    return Superlative(adjective, edge, f"{text[: m.start()]} {text[m.end() :]}", whole, tuple(beside))


def said(question: str) -> frozenset[str]:
    """The folded words of a question's superlatives."""
    return frozenset(word for m, _ in _found(_asked(question)) for word in m.group().split())


def _asked(question: str) -> str:
    """A question, folded, without what is no superlative; '' for one that is very long."""
    return _NOT.sub(" ", fold(question)) if len(question) <= LONGEST else ""


def _found(text: str) -> list[tuple[re.Match[str], Adjective]]:
    """The superlatives of a folded text."""
    found: list[tuple[re.Match[str], Adjective]] = []
    for pattern, adjective in _PATTERNS:
        for m in pattern.finditer(text):
            if not any(a.start() < m.end() and m.start() < a.end() for a, _ in found):
                opposite = adjective.degree and m.group().startswith("menos")
                found.append((m, adjective._replace(sign=-adjective.sign) if opposite else adjective))
    return found


def _clause(text: str) -> str:
    """What asks, without the story around it: "which bike is the lightest? i have stairs"."""
    parts = [part for part in _PARTS.split(text) if any(p.search(part) for p, _ in _PATTERNS)]
    return parts[0] if len(parts) == 1 and len(parts[0].split()) > 2 else text
