"""What kind of thing a question asks for (an amount, a time, a place…), and whether a text holds one.

Answer-type matching is the oldest help in question answering (TREC-8, Voorhees 1999): cheap, bilingual,
and the best single guard against a sentence that shares the question's words but not its answer.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|sixty|half|"
    "uma?|dois|duas|tres|quatro|cinco|seis|sete|oito|nove|dez|onze|doze|quinze|vinte|trinta|quarenta|sessenta|mei[oa]"
)
_UNITS = (
    "seconds?|minutes?|min|hours?|hrs?|days?|weeks?|months?|years?|business days?|working days?|"
    "segundos?|minutos?|horas?|dias?|semanas?|mes|meses|anos?"
)
_WEEKDAYS = (
    "mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?|weekdays?|weekends?|"
    "segundas?|tercas?|quartas?|quintas?|sextas?|sabados?|domingos?"
)
_MONTHS = (
    "january|february|march|april|june|july|august|september|october|november|december|"
    "janeiro|fevereiro|marco|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro"
)

#: kind → (how a question asks for it, how a text shows it); both match folded lower-case text.
KINDS: dict[str, tuple[str, str]] = {
    "money": (
        r"\bhow much (?:is|are|do|does|did|will|would|for|money)|\bcosts?\b|\bprices?\b|\bfees?\b|\bcharged?\b|\bexpensive\b"  # noqa: E501
        r"|\bquanto (?:custa|custam|e|sai|fica|vou|se paga|pago|cobra|cobram|esta)\b|\bprecos?\b|\bvalor(?:es)?\b|\bcusto\b"  # noqa: E501
        r"|\btaxa\b|\bcobra(?:m|do|da)?\b|\bcaro\b|\bmulta\b",
        r"(?:r\$|us\$|\$|€|£)\s*\d|\b\d+(?:[.,]\d+)*\s*(?:reais|real|dollars?|euros?|brl|usd|eur|%)|\d[.,]\d{2}\b"
        r"|\bfree\b|\bno (?:extra )?(?:charge|cost|fee)\b|\bgratis\b|\bgratuit[oa]s?\b|\bsem (?:custo|cobranca|taxa)\b",
    ),
    "duration": (
        r"\bhow long\b|\bhow soon\b|\bhow many (?:seconds|minutes|hours|days|weeks|months|years)\b|\bhow (?:far|much) (?:in advance|ahead|earlier|notice|time)"  # noqa: E501
        r"|\bhow early\b|\bquanto tempo\b|\bquant[oa]s (?:segundos|minutos|horas|dias|semanas|meses|anos)\b|\bprazo\b|\bdemora\b"  # noqa: E501
        r"|\bantecedencia\b|\bdeadline\b|\bvalidity\b|\bvalidade\b|\bexpires?\b",
        rf"\b(?:\d+|{_NUMBER_WORDS})(?:\s*(?:-|to|a|or|ou|e|and)\s*(?:\d+|{_NUMBER_WORDS}))?\s*(?:-\s*)?(?:full |business |working |calendar |uteis )?(?:{_UNITS})\b"  # noqa: E501
        r"|\b\d+\s*h\b|\bsame day\b|\bmesmo dia\b|\bimmediately\b|\bimediat",
    ),
    "time": (
        r"\bwhat (?:time|day|days|date|hours)\b|\bwhich days?\b|\bwhen\b|\bopening hours\b|\bopen\b|\bclose[sd]?\b|\buntil what\b"  # noqa: E501
        r"|\b(?:a|ate) que horas?\b|\bque horas?\b|\bque dias?\b|\bquais dias\b|\bqual (?:o |e o )?(?:dia|horario)\b|\bquando\b|\bhorarios?\b"  # noqa: E501
        r"|\babre[m]?\b|\bfecha[m]?\b|\baberto\b|\bfunciona(?:m|mento)?\b",
        rf"\b\d{{1,2}}\s*(?::|h)\s*\d{{0,2}}\b|\b\d{{1,2}}\s*(?:am|pm|a\.m|p\.m|o'clock)\b|\b(?:{_WEEKDAYS})\b|\b(?:{_MONTHS})\b"
        r"|\b\d{1,2}/\d{1,2}\b|\b(?:19|20)\d\d\b|\bnoon\b|\bmidnight\b|\bmeio-dia\b|\bdaily\b|\bdiariamente\b|\b24 hours\b|\b24 horas\b|\b24h\b",  # noqa: E501
    ),
    "count": (
        r"\bhow many\b|\bhow old\b|\bwhat age\b|\bquant[oa]s\b|\bidade\b|\bmaximum number\b|\bnumero (?:maximo|de)\b",
        rf"\b\d+\b|\b(?:{_NUMBER_WORDS})\b",
    ),
    "contact": (
        r"\bphone\b|\btelephone\b|\bwhat number\b|\be-?mail\b|\bwhatsapp\b|\bcontact\b|\bget in touch\b|\breach\b"
        r"|\btelefone\b|\bligar\b|\bligo\b|\bqual (?:o )?numero\b|\bcontato\b|\bfal(?:ar|o) com\b",
        r"\d{4,5}[-. ]\d{4}\b|\(\d{2}\)\s*\d|\b\d{3}[-.]\d{4}\b|\S@\S+\.\S|\b0800\b|\bext(?:ension)?\.?\s*\d|\bramal\s*\d|\bwhatsapp\b",  # noqa: E501
    ),
    "place": (
        r"\bwhere\b|\baddress\b|\bwhich (?:floor|room|building|unit)\b|\bonde\b|\baonde\b|\bendereco\b|\bem qual (?:andar|unidade|sala)\b|\bqual (?:o )?andar\b",  # noqa: E501
        r"\b(?:street|st\.|avenue|ave\.|road|floor|room|building|desk|counter|reception|entrance|unit|website|portal|app|desk|office|lab|laboratory)\b"
        r"|\b(?:rua|av\.|avenida|praca|alameda|andar|sala|bloco|predio|balcao|recepcao|entrada|unidade|site|portal|aplicativo|app|terreo|subsolo|setor|laboratorio)\b",
    ),
    "person": (
        r"\bwho\b|\bwhom\b|\bwhich doctor\b|\bname of the\b|\bquem\b|\bqual (?:medic[oa]|doutora?)\b|\bnome d[oae]\b",
        r"\b(?:dr|dra|mr|mrs|ms|sr|sra|prof)\b\.?|\b(?:doctor|nurse|physician|manager|director|coordinator|officer|team|staff|guardian|parent)s?\b"
        r"|\b(?:medic[oa]|enfermeir[oa]|gerente|diretor[a]?|coordenador[a]?|encarregad[oa]|equipe|responsavel|pais)\b",
    ),
}
_ASKS = {kind: re.compile(ask) for kind, (ask, _) in KINDS.items()}
_HOLDS = {kind: re.compile(hold) for kind, (_, hold) in KINDS.items()}


@lru_cache(maxsize=4096)
def asked(folded_question: str) -> frozenset[str]:
    """Kinds that a folded, lower-case question asks for; empty when it asks for none that we know."""
    kinds = {kind for kind, pattern in _ASKS.items() if pattern.search(folded_question)}
    # "how many hours" is a duration, not any number.
    if "duration" in kinds:
        kinds.discard("count")
    return frozenset(kinds)


def holds(folded_text: str, kinds: frozenset[str]) -> float:
    """1 when the folded text shows one of the kinds, -1 when it shows none, 0 when nothing was asked for."""
    if not kinds:
        return 0.0
    return 1.0 if any(_HOLDS[kind].search(folded_text) for kind in kinds) else -1.0


def shown(folded_text: str) -> frozenset[str]:
    """Kinds that a text shows and that a question could ask it for; a bare number counts only by itself."""
    kinds = {kind for kind, pattern in _HOLDS.items() if pattern.search(folded_text)}
    if kinds - {"count", "place"}:
        kinds -= {"count", "place"}
    return frozenset(kinds)
