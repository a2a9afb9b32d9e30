"""Words as search sees them: lower case, accents folded, stemmed; and which language a text is in.

Everything starts from the folded form, so a question typed without accents meets a text written with them.
Stemming is Snowball (Porter 2001) by PyStemmer; Portuguese words get the accents of productive endings back
first and lose their plural (as in the first step of RSLP, Orengo and Huyck 2001), because Snowball's
Portuguese rules are written for accented words and leave most irregular plurals alone.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache
from typing import Any

_WORD = re.compile(r"[^\W_]+")
#: Where the words of a program's name meet. The plural of an acronym ("IDs") is no word.
_SEAM = re.compile(
    r"[_\s]+|(?<=[^\W\d_])[-.](?=[^\W\d_])|(?:(?<=[a-zà-ÿ])|(?<=[a-zà-ÿ]\d))(?=[A-ZÀ-Ý])|(?<=[A-ZÀ-Ý])(?=[A-ZÀ-Ý][a-zà-ÿ]{2})"
)

#: Scripts written without spaces: runs of them are cut into overlapping pairs of characters.
_UNSPACED = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]+")

_SNOWBALL = {"en": "english", "pt": "portuguese", "es": "spanish", "fr": "french", "de": "german", "it": "italian"}

_EN = """a about above after again all also am an and any are aren as at be because been before being below between
both but by can could couldn did didn do does doesn doing don down during each either else etc ever every few for from
further get give had hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn
it its itself just let ll me more most mr mrs ms must my myself no nor not now of off on once only or other our ours
ourselves out over own please re s same shall she should shouldn since so some such t tell than that the their theirs
them themselves then there these they this those through to too under until up upon us ve very was wasn we were weren
what when where whether which while who whom whose why will with won would wouldn yes you your yours yourself
yourselves m"""

_PT = """a ah ai ainda algo algum alguma algumas alguns ao aos apenas aquela aquelas aquele aqueles aquilo as ate
atraves cada com como cujo cuja da daquela daquele das de dela delas dele deles demais depois desde dessa dessas desse
desses desta destas deste destes disso disto do dos e eh ela elas ele eles em enquanto entao entre era eram essa essas
esse esses esta estao estar estas estava estavam este esteja estes esteve estive estou eu foi fomos for fora foram
forem fosse fossem fui ha havia isso isto ja la lhe lhes logo mais mas me mesma mesmas mesmo mesmos meu meus minha
minhas muito na nao nas nem nenhum nenhuma nessa nessas nesse nesses nesta nestas neste nestes no nos nossa nossas
nosso nossos num numa o onde os ou outra outras outro outros para pela pelas pelo pelos per perante pode podem poder
por porem porque pois posso pra pro qual quais quando quanta quantas quanto quantos que quem se seja sejam sem sempre
sendo ser sera serao seria seriam seu seus sim sob sobre sou sua suas tal tambem tao te tem temos tenha tenho ter tera
teve tinha tinham toda todas todo todos tu tua tudo um uma umas uns vai vao vem voce voces vos"""

_ES = """de la que el en y a los del se las por un para con no una su al lo como mas pero sus le ya o este si porque
esta entre cuando muy sin sobre tambien me hasta hay donde quien desde todo nos durante todos uno les ni contra otros
ese eso ante ellos e esto mi antes algunos que unos yo otro otras otra el tanto esa estos mucho quienes nada muchos
cual poco ella estar estas algunas algo nosotros es son fue ser era han ha tiene puede"""

_FR = """le la les de des du un une et en est que qui dans pour par sur au aux ce cette ces il elle ils elles ne pas
plus se son sa ses leur leurs avec ou mais nous vous je tu on y sont ete etre avoir fait comme si tout tous aussi bien
peut entre sans"""

_DE = """der die das und in den von zu mit sich des auf fur ist im dem nicht ein eine als auch es an werden aus er hat
dass sie nach wird bei einer um am sind noch wie einem uber einen so zum war haben nur oder aber vor zur bis mehr durch
man sein wurde sei ich wir ihr kann muss"""

_IT = """di e il la che in un per non una con si da del le dei al i gli sono della lo come nel piu anche alla ma su ha
dalla delle ed o nella se questo dal ai essere era loro ci io quando due ancora fatto tra degli alle stato cosi molto
mi anni prima nei sul questa quella puo"""

_NL = """de het een van en in is dat op te zijn voor met niet die aan er om ook als dan maar bij nog uit door over
naar wordt worden wel tot deze kan heeft hebben of ze hij"""


def fold(text: str) -> str:
    """Lower case without accents: 'Ação' → 'acao', 'ß' → 'ss', full-width digits → digits."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))


def parted(name: str) -> str:
    """A program's name as the words that it is made of: 'check_in_date', 'checkInDate', 'check-in-date' and
    'CHECK_IN_DATE' are 'check in date'. An acronym among them stays one: 'userID' is 'user ID'."""
    words = _SEAM.sub(" ", name).split()
    return " ".join(word if word.isupper() and len(word) > 1 and not name.isupper() else word.lower() for word in words)


#: Words of each language that say nothing of the topic, folded as `tokens` folds.
STOPWORDS: dict[str, frozenset[str]] = {"en": frozenset(_EN.split()), "pt": frozenset(_PT.split())}

_COMMON = {
    **STOPWORDS,
    "es": frozenset(_ES.split()),
    "fr": frozenset(_FR.split()),
    "de": frozenset(_DE.split()),
    "it": frozenset(_IT.split()),
    "nl": frozenset(_NL.split()),
}


def tokens(text: str) -> list[str]:
    """The words of a text in order, folded. Digits count; apostrophes part words; CJK comes as pairs."""
    found = _WORD.findall(fold(text))
    if text.isascii() or not _UNSPACED.search(text):
        return found
    return [piece for word in found for piece in (_pairs(word) if _UNSPACED.search(word) else [word])]


def _pairs(run: str) -> list[str]:
    pieces: list[str] = []
    last = 0
    for match in _UNSPACED.finditer(run):
        pieces += [run[last : match.start()]] if match.start() > last else []
        chars = match.group()
        pieces += [chars[i : i + 2] for i in range(max(1, len(chars) - 1))]
        last = match.end()
    return pieces + ([run[last:]] if last < len(run) else [])


_RESTORE = (
    # plural → singular, on the folded form
    (re.compile(r"(?<=.{2})(?:oes|aes)$"), "ao"),
    (re.compile(r"(?<=.{3})ais$"), "al"),
    (re.compile(r"(?<=.{2})eis$"), "el"),
    (re.compile(r"(?<=.{2})ns$"), "m"),
    # borrowed words and acronyms: "chips", "DVDs", "e-mails"
    (re.compile(r"(?<=.[bcdfghjklmpqrtvwxyz])s$"), ""),
    # accents of endings that Snowball looks for
    (re.compile(r"cao$"), "ção"),
    (re.compile(r"(?<=.{2})ao$"), "ão"),
    (re.compile(r"avel$"), "ável"),
    (re.compile(r"ivel$"), "ível"),
    (re.compile(r"encia(s?)$"), r"ência\1"),
    (re.compile(r"ancia(s?)$"), r"ância\1"),
)


@cache
def _stemmer(language: str) -> Any:
    """PyStemmer's object, or None for a language without one."""
    if language not in _SNOWBALL:
        return None
    from mirim.core.extras import need

    return need("Stemmer", "documents").Stemmer(_SNOWBALL[language])


class _Stems(dict[str, str]):
    """word → stem in one language, filled as words are met."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __missing__(self, word: str) -> str:
        if len(self) > 200_000:
            self.clear()
        self[word] = found = _stem(word, self.language)
        return found


class _Content(_Stems):
    """The same with '' for words that say nothing."""

    def __missing__(self, word: str) -> str:
        if word in STOPWORDS.get(self.language, ()):
            return ""
        return super().__missing__(word)


_stems: dict[str, _Stems] = {}
_content: dict[str, _Content] = {}


def stem(word: str, language: str) -> str:
    """The folded stem of a word: 'marcações' and 'marcacao' share one in 'pt'. Unknown languages: folded only."""
    if language not in _stems:
        _stems[language] = _Stems(language)
    return _stems[language][word]


def stems(text: str, language: str, content: bool = False) -> list[str]:
    """The stems of a text's words in order; with `content` those of stop words are left out."""
    if content:
        held: _Stems = _content.setdefault(language, _Content(language))
        return list(filter(None, map(held.__getitem__, tokens(text))))
    held = _stems.setdefault(language, _Stems(language))
    return list(map(held.__getitem__, tokens(text)))


def _stem(word: str, language: str) -> str:
    folded = fold(word)
    stemmer = _stemmer(language)
    # Codes, numbers and very long strings are not words of any language.
    if stemmer is None or len(folded) > 40 or any(c.isdigit() for c in folded):
        return folded
    if language == "pt":
        for pattern, ending in _RESTORE:
            folded = pattern.sub(ending, folded)
    return fold(stemmer.stemWord(folded)) or fold(word)


#: Letters that kindred stems begin with alike.
HEAD = 4


def kindred(one: str, other: str) -> bool:
    """Whether two stems look like forms of one word that stemming keeps apart: 'gestant' and 'gestac'.

    They share their first five letters and most of the longer one, or four letters when both are short.
    """
    if one[:HEAD] != other[:HEAD]:
        return False
    shorter, longer = sorted((len(one), len(other)))
    shared = next((i for i in range(HEAD, shorter) if one[i] != other[i]), shorter)
    return shared >= 0.6 * longer if shared > HEAD else shared == HEAD and longer <= 6


_SCRIPTS = (
    ("ja", re.compile(r"[぀-ヿ]")),
    ("ko", re.compile(r"[가-힣]")),
    ("zh", re.compile(r"[一-鿿]")),
    ("ar", re.compile(r"[؀-ۿ]")),
    ("he", re.compile(r"[֐-׿]")),
    ("ru", re.compile(r"[Ѐ-ӿ]")),
    ("el", re.compile(r"[Ͱ-Ͽ]")),
    ("hi", re.compile(r"[ऀ-ॿ]")),
    ("th", re.compile(r"[฀-๿]")),
)

#: Endings and letters that lean to one language when no common word decides: a headline, a short question.
_LEANS = (
    (
        "pt",
        re.compile(
            r"ç[aãoõ]|[ãõâêô]|lh[aeo]|nh[aeo]|(?:coes|cao|dade|mento|mente|agem|encia|ário|ária|eiro|eira)s?\b", re.I
        ),
    ),
    ("en", re.compile(r"(?:ing|tion|ness|ment|ly|ght|ck|sh|th|ed|ity|ous)s?\b|\b(?:wh|th|sh)", re.I)),
    ("es", re.compile(r"ñ|[¿¡]|cion(?:es)?\b|ción", re.I)),
    ("de", re.compile(r"ß|(?:ung|keit|lich|sch)(?:en)?\b", re.I)),
    ("fr", re.compile(r"[œê]|\b[ldcnj]['’]|eaux?\b", re.I)),
)

#: Characters that decide: more would not change the answer, only its cost.
_SAMPLE = 2000

#: word → (language, weight): a word of one language alone counts 1; shared words count in part, and more for
#: the two languages that mirim is made for, so that 'o exame de sangue' is enough to tell.
_VOTES: dict[str, tuple[tuple[str, float], ...]] = {}
for _one in frozenset[str]().union(*_COMMON.values()):
    _homes = [language for language, common in _COMMON.items() if _one in common]
    _VOTES[_one] = tuple((k, len(_homes) ** (-1.0 if k in STOPWORDS else -2.0)) for k in _homes)


def detect(text: str) -> str:
    """ISO 639-1 code of the main language, '' when the text does not say.

    By script, then by common words (those of one language alone count in full, shared ones in part),
    then by letters and endings. Made for English and Portuguese; six others are told apart from them.
    """
    if len(text) > _SAMPLE:
        # From the beginning and the middle: openings are often names, addresses and dates.
        middle = len(text) // 2
        text = text[: _SAMPLE // 2] + " " + text[middle : middle + _SAMPLE // 2]
    if not text.isascii():
        letters = sum(map(str.isalpha, text))
        for language, script in _SCRIPTS:
            # Japanese mixes kana into Chinese characters, so a smaller share decides.
            if len(script.findall(text)) > letters * (0.1 if language == "ja" else 0.4):
                return language
    scores = dict.fromkeys(_COMMON, 0.0)
    words = tokens(text)
    for word in words:
        for language, weight in _VOTES.get(word, ()):
            scores[language] += weight
    best, second = sorted(scores, key=lambda k: (-scores[k], k))[:2]
    if scores[best] < 10 or scores[best] < 2 * scores[second]:
        for language, marks in _LEANS:
            scores[language] += 0.3 * len(marks.findall(text[:600]))
        best, second = sorted(scores, key=lambda k: (-scores[k], k))[:2]
    if (
        scores[best] < 0.3
        or scores[best] < scores[second] * 1.1
        or scores[best] < (0.05 if len(words) > 30 else 0.02) * len(words)
    ):
        return ""
    return best


@cache
def _ranks(language: str) -> dict[str, int]:
    from importlib import resources

    file = resources.files("mirim.documents").joinpath("common", f"{language}.txt")
    return {w: i for i, w in enumerate(file.read_text("utf-8").split())} if file.is_file() else {}


def rarity(word: str, language: str) -> float:
    """How much a folded word says in everyday language, 0 (the commonest) to 1 (not among the 6,000 commonest).

    A question's small talk ('pretty sure', 'semana passada') is rare in a small corpus and yet says nothing;
    the lists in common/ are the commonest words of openly licensed text, in order (docs/answering.md).
    """
    ranks = _ranks(language)
    if word not in ranks:
        return 1.0
    return math.log1p(ranks[word]) / math.log1p(len(ranks))
