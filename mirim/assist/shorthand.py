"""Words as people type them in a hurry, written out: 'vcs abrem q horas' asks as 'vocês abrem que horas' does.

Documents have the whole words, and neither stems nor vectors know the short ones. Only questions are read so; what a
document says stays as it is.
"""

from __future__ import annotations

import re

from mirim.documents.words import detect

#: Short forms of each language that are words of no other, "short whole words" after "short whole words".
_PLAIN = {
    "pt": "vc você, vcs vocês, qto quanto, qtos quantos, qta quanta, qtas quantas, qnto quanto, qntos quantos, "
    "qnta quanta, qntas quantas, qdo quando, qnd quando, qndo quando, oq o que, oque o que, pq por que, hj hoje, "
    "tbm também, mto muito, mta muita, mtos muitos, mtas muitas, dps depois, msm mesmo, qlqr qualquer, qq qualquer, "
    "ngm ninguém, td tudo, pfv por favor, pfvr por favor, obg obrigado, vlw valeu, blz beleza, ñ não, tô estou, "
    "tá está, pgto pagamento, apê apartamento",
    "en": "pls please, plz please, thx thanks, tmrw tomorrow, appt appointment, wknd weekend, w/o without",
}
#: Those that are something else in another language, once the text around them tells which it is.
_AMONG = {
    "pt": "q que, tb também, eh é, to estou, ta está, tava estava, qro quero, hrs horas, hs horas, "
    "fds fim de semana, cel celular, ap apartamento, p/ para, c/ com, s/ sem",
    "en": "u you, ur your, abt about, hrs hours, w/ with",
}


def _table(forms: str) -> dict[str, str]:
    rows = (row.split(maxsplit=1) for row in forms.split(", "))
    return {short: whole for short, whole in rows}


_ALWAYS = {short: whole for forms in _PLAIN.values() for short, whole in _table(forms).items()}
_OF = {language: _table(forms) for language, forms in _AMONG.items()}
#: A word that stands alone: no part of an address, of "c/c" or of "2x".
_WORD = re.compile(r"(?<![\w@./&'’-])[^\W\d_]+(?:/o?(?=\s)|(?![\w@/&'’]|-\w|\.\w))")


def written_out(text: str, language: str = "") -> str:
    """A question with its short forms written out, read in `language` where it does not tell its own.

    What is in capitals beside small letters is an abbreviation of another kind ("TB") and stays. A question all in
    capitals is read in small letters: vectors know hardly any word in capitals.
    """
    whole = _replaced(text.lower() if text.isupper() else text, _ALWAYS)
    return _replaced(whole, _OF.get(detect(whole) or language, {}))


def _replaced(text: str, table: dict[str, str]) -> str:
    def out(match: re.Match[str]) -> str:
        word = match.group()
        return word if word.isupper() else table.get(word.lower(), word)

    return _WORD.sub(out, text)
