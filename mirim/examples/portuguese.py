"""Portuguese sentences turned into the questions they answer: clause patterns, no parser.

Portuguese keeps its word order in questions, so the fact is taken out with its preposition and the question
word is put in front; a sentence as it stands, with a question mark, asks for yes or no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.documents.words import STOPWORDS, fold, rarity
from mirim.examples.english import CAPITALS
from mirim.examples.facts import Fact, facts

#: Imperative (as documents give orders) → infinitive.
_ORDERS = {
    "aguarde": "aguardar", "anote": "anotar", "apresente": "apresentar", "assine": "assinar", "avise": "avisar",
    "beba": "beber", "busque": "buscar", "cancele": "cancelar", "chegue": "chegar", "coloque": "colocar",
    "coma": "comer", "compareça": "comparecer", "confira": "conferir", "confirme": "confirmar",
    "consulte": "consultar", "consuma": "consumir", "continue": "continuar", "dirija": "dirigir", "durma": "dormir",
    "entre": "entrar", "entregue": "entregar", "envie": "enviar", "escolha": "escolher", "escreva": "escrever",
    "espere": "esperar", "evite": "evitar", "faça": "fazer", "fale": "falar", "fique": "ficar", "fume": "fumar",
    "guarde": "guardar", "informe": "informar", "interrompa": "interromper", "lave": "lavar", "leve": "levar",
    "ligue": "ligar", "mantenha": "manter", "marque": "marcar", "mostre": "mostrar", "pague": "pagar",
    "peça": "pedir", "pergunte": "perguntar", "preencha": "preencher", "prefira": "preferir", "procure": "procurar",
    "reclame": "reclamar", "remarque": "remarcar", "repita": "repetir", "reserve": "reservar", "responda": "responder",
    "retire": "retirar", "solicite": "solicitar", "suspenda": "suspender", "tome": "tomar", "traga": "trazer",
    "troque": "trocar", "use": "usar", "utilize": "utilizar", "venha": "vir", "verifique": "verificar",
    "vá": "ir", "vista": "vestir", "volte": "voltar", "veja": "ver", "acesse": "acessar", "abra": "abrir",
    "agende": "agendar", "baixe": "baixar", "compre": "comprar", "digite": "digitar", "deixe": "deixar",
    "desligue": "desligar", "esvazie": "esvaziar", "jogue": "jogar", "ande": "andar", "pare": "parar", "passe": "passar",  # noqa: E501
    "aplique": "aplicar", "reduza": "reduzir", "permaneça": "permanecer", "obtenha": "obter", "clique": "clicar",
}  # fmt: skip
#: 'we' of the organisation → 'vocês' of the reader, where the rule -mos → -m does not hold.
_WE = {
    "temos": "têm",
    "somos": "são",
    "estamos": "estão",
    "vamos": "vão",
    "damos": "dão",
    "pomos": "põem",
    "viemos": "vieram",
}
_VERBS = frozenset(
    """é são está estão foi foram era eram será serão pode podem deve devem precisa precisam tem têm há fica ficam custa
    custam abre abrem fecha fecham funciona funcionam atende atendem dura duram leva levam chega chegam sai saem começa
    começam termina terminam vale valem vai vão exige exigem inclui incluem cobre cobrem cobra cobram paga pagam recebe
    recebem aceita aceitam oferece oferecem permite permitem espera esperam faz fazem dá dão liga ligam traz trazem
    passa passam entra entram segue seguem usa usam pede pedem envia enviam responde respondem aparece aparecem expira
    vence serve servem muda mudam continua continuam existe existem acontece acontecem ocorre ocorrem sobe sobem circula
    circulam volta voltam guarda guardam mostra mostram emite emitem avisa avisam marca marcam nasceu morreu tornou
    venceu ganhou perdeu fez teve deu veio criou fundou escreveu construiu começou terminou recebeu publicou conta
    contém possui possuem tinha havia ocupa ocupam produz vive vivem representa realiza realizam costuma costumam
    deixa deixam perde perdem ganha ganham demora demoram necessita trabalha trabalham mora cabe cabem vem vêm
    comporta comportam corresponde acompanha acompanham assina assinam analisa confere libera entrega entregam
    devolve devolvem cobrimos""".split()
)
_BAD_SUBJECT = re.compile(
    r"^(?:ele|ela|eles|elas|isso|isto|este|esta|esse|essa|estes|estas|esses|essas|aquele|aquela|que|quem|qual|onde|"
    r"e|mas|ou|ali|aqui|assim|então|depois|antes|também|nesse|nessa|neste|nesta|nesses|nestes|por|para|com|em|no|na|nos|"
    r"nas|ao|à|aos|às|de|do|da|se|quando|como|só|já|até|sem|após|durante|desde|entre|sob|sobre|pelo|pela|nele|nela)\b",
    re.I,
)
_VAGUE = re.compile(
    r"\b(?:nada|ninguém|nenhum|nenhuma|cada um|cada uma|isso|isto|ele|ela|eles|elas|dele|dela|nele|nela|disso|nisso|lo|la|los|las|esse|essa|este|esta)\b",  # noqa: E501
    re.I,
)
_OPENING = re.compile(
    r"^(?:além disso|também|porém|entretanto|no entanto|por isso|assim|portanto|então|por exemplo|ou seja|lembre-se de que|"  # noqa: E501
    r"atenção|importante|em geral|normalmente|infelizmente|por favor|observação|obs)\b[,:]? |^(?:sim|não)[,:] ",
    re.I,
)
_STOP_REST = re.compile(
    r",? (?:porque|pois|já que|embora|mas|enquanto|a menos que|mesmo que|para que|e (?:a|o|os|as|ele|ela|você|nós|não|é|"  # noqa: E501
    r"depois|pode|deve|peça|leve|traga|use|evite)|, que|, onde|, e)\b.*",
    re.I,
)
_PREPOSITION = re.compile(
    r"(?:(?:^|\b)(?:em|dentro de|por|durante|de|do|da|dos|das|até|há|após|depois de|com|a cada|cerca de|pelo menos|no mínimo|no máximo|"  # noqa: E501
    r"a partir de|a partir das|às|as|à|ao|aos|a|o|os|das|no|na|nos|nas|entre|desde|mais de|menos de|apenas|somente|só|"
    r"aproximadamente|nos dias|no dia|dia|aos|toda|todo|todas as|todos os|mínimo de|máximo de|num|numa)\s+)+$",
    re.I,
)
_DANGLING = frozenset(
    "o a os as um uma de do da dos das em no na nos nas por para com e ou que ao à aos às seu sua meu minha se até pelo pela".split()  # noqa: E501
)


def ask(sentence: str, spoken: bool = True) -> Iterator[tuple[str, str]]:
    """(question, kind) for each question that a pattern finds the sentence to answer; kind '' is a yes or no.

    `spoken` says that the document speaks to its reader, so that 'seu' means the reader's.
    """
    text = re.sub(r"[*_`]|\s*\([^)]*\)", "", sentence).strip().rstrip(".!;:").strip()
    text = _OPENING.sub("", CAPITALS.sub("", text))
    if not 3 <= len(text.split()) <= 45 or "|" in text or "?" in text:
        return
    if spoken:
        for pattern, put in _YOURS:
            text = re.sub(pattern, put, text, flags=re.I)
    yield from _conditional(text)
    for clause in re.split(
        r"\s*(?:[;:](?=\s)|[—–]|, (?:e|mas) (?=(?:o|a|os|as|você|nós|um|uma|não)\b)|(?<=[a-zà-ÿ0-9)]{3})\. )\s*", text
    ):
        clause = _main(clause)
        if 3 <= len(clause.split()) <= 26:
            for question, kind in _of_clause(clause):
                if (
                    not _VAGUE.search(question)
                    and not re.search(r"\b[A-Z]\?$", question)
                    and "vocês vocês" not in question.lower()
                ):
                    yield question, kind


_YOURS = (
    (r"\b(?:os )?seus\b", "meus"), (r"\b(?:as )?suas\b", "minhas"), (r"\b(?:o )?seu\b", "meu"),
    (r"\b(?:a )?sua\b", "minha"),
)  # fmt: skip


def _conditional(text: str) -> Iterator[tuple[str, str]]:
    opening = re.match(r"(?:se|caso) ([^,]{8,90}), (.+)", text, re.I)
    if opening and not _VAGUE.search(opening.group(1)) and len(opening.group(1).split()) >= 3:
        yield f"O que acontece se {_turn(opening.group(1))}?", "condition"
        yield f"E se {_turn(opening.group(1))}?", "condition"
    purpose = re.match(r"para ([a-zà-ÿ]+r)( [^,]{3,60}), (.+)", text, re.I)
    if purpose:
        what = _turn(purpose.group(1).lower() + purpose.group(2))
        yield f"Como faço para {what}?", "how"
        yield f"O que preciso fazer para {what}?", "how"
    reason = re.search(r"^([^,;]{10,80}?),? (?:porque|pois) (.{8,})", text)
    if reason:
        clause = _main(reason.group(1))
        if _verb_at(clause.split()) > 0:
            yield f"Por que {_turn(_lower(clause))}?", "why"


def _main(clause: str) -> str:
    clause = clause.strip().strip(",")
    found = re.match(
        r"(?:se|quando|caso|para|em|no|na|nos|nas|ao|após|depois|antes|durante|com|sem|por|até|aos|às|entre|desde|de) "
        r"[^,]{2,80}, (.+)",
        clause,
        re.I,
    )
    return found.group(1) if found else clause


def _turn(text: str) -> str:
    """What the document says to 'você' as the reader would say it."""
    pairs = (
        (r"\bvocê pode\b", "posso"), (r"\bvocê deve\b", "devo"), (r"\bvocê precisa\b", "preciso"),
        (r"\bvocê tem\b", "tenho"), (r"\bvocê (?:tiver)\b", "eu tiver"), (r"\bvocê está\b", "estou"),
        (r"\bvocê é\b", "eu sou"), (r"\bvocê quiser\b", "eu quiser"), (r"\bvocê\b", "eu"),
        (r"\b(?:na|no) noss[oa]\b", "aí na"), (r"\bnoss[oa]s? ", ""), (r"\bnós (?=\w+mos\b)", ""), (r"\bnós\b", "vocês"),  # noqa: E501
        (r"\b(para|de|com|por|a) eu\b", r"\1 mim"),
    )  # fmt: skip
    for pattern, put in pairs:
        text = re.sub(pattern, put, text, flags=re.I)
    return re.sub(r"\b([a-zà-ÿ]{2,}[aeio])mos\b", lambda m: _they(m.group()), text, count=1, flags=re.I)


def _they(word: str) -> str:
    low = word.lower()
    if low in _WE:
        return f"vocês {_WE[low]}"
    # 'mesmos', 'últimos': words that only look like verbs.
    if low in (
        "mesmos",
        "últimos",
        "próximos",
        "termos",
        "ramos",
        "máximos",
        "mínimos",
        "ótimos",
        "gramos",
        "prêmios",
        "íntimos",
    ):
        return word
    return f"vocês {low[:-3]}m" if low[-4] in "ae" else f"vocês {low[:-4]}em"


def _lower(text: str) -> str:
    """The sentence inside a question: its first word without the capital, unless it is a name."""
    first, space, rest = text.partition(" ")
    word = fold(first.strip(",.'"))
    common = rarity(word, "pt") < 1 or word in STOPWORDS["pt"] or _we(first)
    return (
        (
            first.lower()
            if common and not rest[:1].isupper()
            else first[:1].lower() + first[1:]
            if word in STOPWORDS["pt"]
            else first
        )
        + space
        + rest
    )


def _we(word: str) -> bool:
    return bool(re.fullmatch(r"[A-ZÀ-Ý]?[a-zà-ÿ]+[aeio]mos", word)) and _they(word) != word


def _verb_at(words: list[str]) -> int:
    """Place of the finite verb, -1 when none is known; 0 for a clause that opens with one."""
    for i, word in enumerate(words[:11]):
        low = word.lower().strip(",")
        if low in _VERBS or _we(low):
            if i and _BAD_SUBJECT.match(" ".join(words[:i])):
                return -1
            if i and re.search(r"[,;:]|\bque\b|\bquem\b", " ".join(words[:i])):
                return -1
            return i
    return -1


def _of_clause(clause: str) -> Iterator[tuple[str, str]]:
    words = clause.split()
    low = [w.lower().strip(",") for w in words]
    negative = low[0] == "não"
    order = low[1] if negative else low[0]
    if order in _ORDERS:
        rest = _short(_turn(" ".join(words[2 if negative else 1 :])))
        yield from _order(_ORDERS[order], rest, clause, negative)
        return
    at = _verb_at(words)
    if at < 0:
        return
    definition = re.match(
        r"((?:o |a |os |as )?(?:[\wÀ-ÿ'-]+ ){0,3}[\wÀ-ÿ'-]+) (?:é|são) (?:um|uma|o|a|os|as) ", clause, re.I
    )
    named = definition and len(re.findall(r"\b[A-ZÀ-Ý]", definition.group(1)[1:])) > 0
    if (
        definition
        and at
        and not named
        and not _BAD_SUBJECT.match(definition.group(1))
        and "mente " not in definition.group(1)
    ):
        yield (
            f"O que é {_lower(definition.group(1))}?"
            if low[at] == "é"
            else f"O que são {_lower(definition.group(1))}?",
            "definition",
        )
    body = _lower(clause)
    for fact in facts(clause):
        for question in _for_fact(body, clause, fact, at):
            yield question, fact.kind
    plain = re.sub(r"\b[Nn]ão ", "", _short(_turn(body)), count=1)
    if at or _we(low[0]) or low[0] in ("há", "é", "pode", "podem", "tem"):
        yield _sentence(plain), ""


def _order(verb: str, rest: str, clause: str, negative: bool) -> Iterator[tuple[str, str]]:
    if negative:
        yield _sentence("Posso", verb, rest), ""
    else:
        yield _sentence("Preciso" if len(rest) % 2 else "Devo", verb, rest), ""
    found = facts(clause)
    for fact in found:
        place = rest.find(fact.text)
        if place < 0:
            continue
        before, wh, after = _front(rest, place, fact)
        if wh:
            yield _sentence(wh, "não devo" if negative else "devo", verb, before, after), fact.kind
    if (
        not found
        and not negative
        and verb in ("levar", "trazer", "vestir", "evitar", "comer", "beber", "tomar", "apresentar")
    ):
        tail = re.search(r" (?:antes|depois|no dia|na véspera|durante|para) [\wÀ-ÿ ]+$", rest)
        yield _sentence("O que devo", verb, tail.group().strip() if tail else ""), "what"


def _for_fact(body: str, clause: str, fact: Fact, at: int) -> Iterator[str]:
    words = clause.split()
    if fact.kind == "person" and re.sub(r"^(?:o|a) ", "", clause, flags=re.I).startswith(fact.text):
        yield _sentence("Quem", _turn(" ".join(words[at:])))
        return
    if fact.kind == "contact":
        about = body[: fact.start]
        if re.search(r"\b(?:é|são)\b", about):
            yield _sentence("Qual é", re.split(r"\b(?:é|são)\b", about)[0])
        return
    place = body.find(fact.text)
    if place < 0:
        return
    subject, verb = " ".join(words[:at]), words[at].lower()
    if fact.kind == "money" and verb in ("custa", "custam", "é", "são", "vale", "fica", "sai") and at:
        tail = re.sub(r"^[ ,]*", "", _short(body[place + len(fact.text) :]))
        tail = tail if re.match(r"(?:por|para|com|no|na|em|a)\b", tail) else ""
        wh = f"Quanto {verb}" if verb in ("custa", "custam", "sai", "fica", "vale") else f"Qual {verb}"
        yield _sentence(wh, _turn(_lower(subject)), _turn(tail))
        return
    if place < len(subject) and fact.kind != "count":
        return
    if fact.kind == "count" and place == 0:
        yield _sentence(_how_many(fact.noun), _turn(_short(" ".join(words[at:]))))
        return
    before, wh, after = _front(body, place, fact)
    if wh and before.split():
        yield _sentence(wh, _turn(before), _turn(after))


def _front(text: str, place: int, fact: Fact) -> tuple[str, str, str]:
    """(what stands before the fact, question words, what stands after), question words '' when it does not fit."""
    before, after = text[:place], text[place + len(fact.text) :].strip(" ,")
    found = _PREPOSITION.search(before)
    lead = found.group().strip().lower() if found else ""
    before = before[: found.start()] if found else before
    if "," in before or re.search(r"\b(?:e|ou|cada|que|se|quando|primeir[oa]s?|últim[oa]s?)\s*$", before):
        return "", "", ""
    if re.search(r"\b(?:que|quando|se|onde)\b", before):
        return "", "", ""
    after = "" if text[place + len(fact.text) :].startswith(",") else _short(after, 8)
    moved = re.match(r"(?:antes|depois|após|de antecedência|de atraso|mais tarde|mais cedo)\b.*", after)
    after = "" if re.match(r"(?:e|ou|a|às|-|–|/)\b", after) else after
    wh = ""
    if fact.kind == "duration":
        if moved:
            wh, after = (f"Com quanto tempo {after}" if after.startswith("de ante") else f"Quanto tempo {after}"), ""
        elif "a cada" in lead:
            wh = "De quanto em quanto tempo"
        elif lead.startswith(("em", "dentro")):
            wh = "Em quanto tempo"
        elif lead.startswith("até"):
            wh = "Até quanto tempo" if fact.unit[:3] in ("min", "hor") else "Em até quanto tempo"
        elif lead.startswith(("por", "durante")):
            wh = "Por quanto tempo"
        elif lead.startswith(("após", "depois")):
            wh = "Depois de quanto tempo"
        elif lead.startswith(("de", "da", "do")):
            wh = f"{'De quantas' if fact.unit.endswith('as') else 'De quantos'} {fact.unit}"
        else:
            wh = "Quanto tempo" if fact.unit not in ("anos",) else "Quantos anos"
    elif fact.kind == "hour":
        wh = (
            "Até que horas" if lead.startswith("até") else "A partir de que horas" if lead.startswith("a partir")
            else "Em que horário" if lead.endswith("das") or lead == "entre" or re.search(r"\s(?:às|até|a|e)\s", fact.text)  # noqa: E501
            else "A que horas"
        )  # fmt: skip
    elif fact.kind == "time":
        weekday = re.match(r"seg|ter|qua|qui|sex|sáb|dom", fact.text, re.I)
        wh = (
            "Em que dias"
            if weekday
            else "Em que ano"
            if fact.text.isdigit()
            else "Até quando"
            if lead.startswith("até")
            else "Quando"
        )
    elif fact.kind == "place":
        if lead in ("no", "na", "em", "nos", "nas", "num", "numa", ""):
            wh = "Onde"
        elif lead in ("ao", "à", "a"):
            wh = "Aonde"
    elif fact.kind == "count":
        wh = (
            _how_many(fact.noun)
            if not lead or lead in ("apenas", "só", "somente", "até", "pelo menos", "no máximo")
            else ""
        )
    elif fact.kind == "money":
        wh = "Quanto" if not lead.endswith("de") else "De quanto"
    elif fact.kind == "percent":
        wh = "Qual a porcentagem que" if not lead.endswith("de") else ""
    return before.strip(), wh, after


def _how_many(noun: str) -> str:
    last = fold(noun.split(" de ")[0].split()[-1])
    feminine = last.endswith(("as", "oes", "ades", "agens", "vezes", "refeicoes")) and last not in (
        "dias",
        "programas",
        "problemas",
        "mapas",
    )
    return f"Quantas {noun}" if feminine else f"Quantos {noun}"


def _keeps(tail: str) -> bool:
    """Whether what follows a comma still belongs to the question: not another order, not 'nem'."""
    words = tail.strip(" ,").split()
    return bool(words) and words[0] != "nem" and words[0].lower() not in _ORDERS


def _short(rest: str, most: int = 16) -> str:
    rest = re.sub(
        r"(?: nem|, (?:[a-zà-ÿ]+) )\b.*", lambda m: m.group() if _keeps(m.group()) else "", _STOP_REST.sub("", rest)
    )
    words = rest.split()
    if len(words) > most:
        rest = re.split(r"[,;]", rest)[0]
        words = rest.split()[:most]
    while words and words[-1].lower() in _DANGLING:
        words.pop()
    return " ".join(words).strip(" ,;.")


def _sentence(*parts: str) -> str:
    text = " ".join(p.strip() for p in parts if p.strip())
    text = re.sub(r"\s+([,.])", r"\1", text).strip(" ,;.")
    while text.rpartition(" ")[2].lower() in _DANGLING:
        text = text.rpartition(" ")[0].strip(" ,;.")
    return text[:1].upper() + text[1:] + "?"
