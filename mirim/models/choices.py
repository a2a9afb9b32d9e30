"""Which of the values that a parameter lists a request names: those of its `enum`, or of its description in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mirim.documents import codes
from mirim.documents.words import fold, kindred, parted, stems
from mirim.examples.tasks import slot

#: What says that a list in a description is of all values, or of some; up to the end of the sentence.
_ALL = re.compile(
    r"\b(?:either|one of|(?:valid|possible|allowed|accepted|supported) (?:values|options)|options|choices"
    r"|(?:can|must|may|should) be|um d[eo]s?|uma d[ae]s?|valores|opções|(?:pode|deve) ser)\b:?(?P<list>[^;.]*)",
    re.IGNORECASE,
)
_SOME = re.compile(
    r"(?:\be\.g\.|\bi\.e\.|\bex\.:?|\b(?:eg|for example|such as|like|including|por exemplo|como)\b)[,:]?"
    r"(?P<list>[^;.)]*)",
    re.IGNORECASE,
)
_MORE = re.compile(r"\betc\b|\.\.\.|…|\bor similar\b|\be outr[ao]s\b", re.IGNORECASE)
_QUOTED = re.compile(r"(?<!\w)['\"‘“`]([^'\"’”`]{1,40})['\"’”`](?!\w)")
_BETWEEN = re.compile(r"\s*,\s*(?:(?:and|or|e|ou)\s+)?|\s+(?:and|or|e|ou)\s+|\s*/\s*", re.IGNORECASE)
#: What says that a parameter is a currency, a country or a language; its code; or its name.
_KINDS = {
    "currency": r"currenc(?:y|ies)|moedas?",
    "country": r"countr(?:y|ies)|pa[ií]s(?:es)?",
    "language": r"languages?|idiomas?|l[íi]nguas?",
}
_CODE = re.compile(r"\bcodes?\b|\bc[óo]digos?\b|\bISO\b", re.IGNORECASE)
_CODE_OF = (
    r"\b(?:{0}) \(?(?:codes?|c[óo]digos?)\b|\bISO(?: [\d-]+)? (?:{0})\b|\bcodes? (?:of|for) (?:\w+ ){{0,3}}(?:{0})\b"
    r"|\bc[óo]digos?(?: ISO)? d[aeo]s? (?:\w+ ){{0,3}}(?:{0})\b"
)
_NAME = re.compile(r"\b(?:names?|words?|as said|nomes?|palavras?)\b", re.IGNORECASE)
#: What is of a currency, a country or a language and none itself, by its name and by its description.
_NONE = re.compile(
    r"\b(?:symbols?|signs?|s[íi]mbolos?|pairs?|par|amounts?|quantias?|valor(?:es)?|numbers?|n[úu]mero|phones?|telefone)\b",
    re.IGNORECASE,
)
_UNLIKE = re.compile(
    r"\b(?:symbols?|s[íi]mbolos?|pairs?|dial\w*|calling|phones?|telefone|programming)\b", re.IGNORECASE
)
#: A parameter that is a kind of something.
_KIND = re.compile(r"(?:.* )?(?P<en>\w+) (?:type|kind)$|tipo (?:d[aeo] )?(?P<pt>\w+)$")
#: Words of a value that a description lists at most, where no quotation marks tell where it ends.
_LONGEST = 3
#: Letters of a value at least that may be written as one word or as several ("multi-player").
_JOINED = 6


#: Words that part a value from its contrary ("paid", "not_paid"), and how many before it in a request may be such.
_WITHOUT = frozenset("no non not never without dont doesnt isnt arent nao sem nem nunca".split())
_WITH = frozenset(("with", "com"))
_BEFORE = 2


class Named(NamedTuple):
    """A value that a request names: where, and whether by all of its words."""

    value: Any
    spans: tuple[tuple[int, int], ...]
    whole: bool


def listed(schema: Mapping[str, Any]) -> list[Any]:
    """The values that a parameter may have, as far as it lists them all."""
    values = schema.get("enum")
    if isinstance(values, list):
        return values
    says = str(schema.get("description") or "")
    if schema.get("type") != "string" or _MORE.search(says):
        return []
    for match in _ALL.finditer(says):
        found = _QUOTED.findall(match["list"])
        if not found and match.group().lower().startswith("either "):
            # "Either the name or the number" is no list of values; one of values has the one that is taken otherwise.
            some = _pieces(match["list"])
            taken = {*_QUOTED.findall(says), str(schema.get("default"))}
            found = some if taken.intersection(some) else []
        if len(found) > 1:
            return list(dict.fromkeys(found))
    return []


def coded(name: str, schema: Mapping[str, Any]) -> str:
    """The kind of code (`codes.KINDS`) that a parameter takes: what it lists or shows is one, or it speaks of codes.
    Money is given by its code unless a parameter asks for its name. "" where it takes none."""
    values, says = schema.get("enum"), str(schema.get("description") or "")
    if isinstance(values, list):
        shown = [value for value in values if isinstance(value, str)]
        return next((kind for kind in codes.KINDS if shown and set(shown) <= set(codes.codes(kind))), "")
    called = f"{parted(name)}: {' '.join(says.split()[:2])}"
    if schema.get("type") != "string" or _NONE.search(called) or _UNLIKE.search(says):
        return ""
    for kind, words in _KINDS.items():
        if re.search(rf"\b(?:{words})\b", called, re.IGNORECASE):
            shown = [str(schema.get("default")), *_QUOTED.findall(says)]
            wanted = _CODE.search(f"{called} {says}") or any(one in codes.codes(kind) for one in shown)
            return kind if wanted or (kind == "currency" and not _NAME.search(says)) else ""
        if re.search(_CODE_OF.format(words), says, re.IGNORECASE):
            return kind
    return ""


def spelt(said: str, schema: Mapping[str, Any], language: str) -> str:
    """What is said as the description writes it, where it gives it as an example: 'Vegetarian' for "vegetarian"."""
    says = str(schema.get("description") or "")
    examples = _QUOTED.findall(says) + [one for match in _SOME.finditer(says) for one in _pieces(match["list"])]
    words = _words(said, language)
    if said in examples or not words:
        return said
    return next((one for one in examples if _words(one, language) == words), said)


def bare(name: str, said: str) -> str:
    """What is said for a kind without the thing itself: 'single' for "single room" as a `room_type`."""
    found = _KIND.match(parted(name))
    first, _, last = said.rpartition(" ")
    thing = (found["en"] or found["pt"]).lower() if found else ""
    return first if first and thing and last.lower().removesuffix("s") == thing.removesuffix("s") else said


def named(values: Sequence[Any], request: str, language: str) -> list[Named]:
    """Those of `values` that a request names, by all of their words in any form, or else by words that none of the
    others has; not those that are part of a longer one."""
    spoken = [(match.span(), _words(match.group(), language)) for match in re.finditer(r"(?<!\w['’])[^\W_]+", request)]
    content = [(span, words[0]) for span, words in spoken if words]
    contrary = _contraries(values)
    found = [
        Named(
            value,
            tuple(s for s in _spans(value, request, content, language) if _meant(value, s, request, contrary)),
            True,
        )
        for value in values
    ]
    whole = [one for one in found if one.spans]
    kept = [one for one in whole if not all(_within(span, one, whole) for span in one.spans)]
    said = {one.value for one in whole if isinstance(one.value, str)}
    # How many values have each word, so that the words that one alone has are found in one go.
    often = Counter(word for value in values for word in set(_words(str(value), language)))
    return kept + [
        Named(value, spans, False)
        for value in values
        if isinstance(value, str) and value not in said and (spans := _parts(value, often, content, language))
    ]


def _contraries(values: Sequence[Any]) -> set[str]:
    """Values, folded, that another one denies: "paid" where there is "not_paid"."""
    denied = [words for value in values if isinstance(value, str) and _WITHOUT & {*(words := _plain(value))}]
    return {" ".join(word for word in words if word not in _WITHOUT) for words in denied}


def _meant(value: Any, span: tuple[int, int], request: str, contrary: set[str]) -> bool:
    """Whether the words before those of a value deny it where it is a denial, and do not where it is none and another
    value would be meant."""
    words = _plain(value) if isinstance(value, str) else []
    if not words or not contrary:
        return True
    before = _plain(re.split(r"[.,;:!?]", request[: span[0]])[-1])[-_BEFORE:]
    inside = _plain(request[slice(*span)])
    denies = not _WITHOUT.isdisjoint([*before, *inside])
    if not _WITHOUT.isdisjoint(words):
        return denies or "".join(inside) == "".join(words)
    bare = [word for word in words if word not in _WITH]
    return not (denies and " ".join(bare) in contrary)


def _plain(text: str) -> list[str]:
    """The words of a text or of a value, folded; "n't" as "not"."""
    return re.findall(r"[^\W_]+", fold(re.sub(r"n['’]t\b", " not", parted(text))))


def _within(span: tuple[int, int], one: Named, every: Sequence[Named]) -> bool:
    return any(
        a <= span[0] and span[1] <= b and (a, b) != span for other in every if other is not one for a, b in other.spans
    )


def _spans(
    value: Any, request: str, content: Sequence[tuple[tuple[int, int], str]], language: str
) -> tuple[tuple[int, int], ...]:
    """Where a request says a value, word for word or in other forms of its words."""
    if found := slot.places(value, request):
        return found
    if not isinstance(value, str) or not (words := _words(value, language)):
        return ()
    spans = [
        (content[at][0][0], content[at + len(words) - 1][0][1])
        for at in range(len(content) - len(words) + 1)
        if [word for _, word in content[at : at + len(words)]] == words
    ]
    joined = re.sub(r"[\W_]", "", fold(value))
    if len(joined) >= _JOINED and not spans:
        spaced = r"[\W_]?".join(map(re.escape, joined))
        spans = [match.span() for match in re.finditer(rf"(?<!\w){spaced}(?!\w)", request, re.IGNORECASE)]
    return tuple(spans)


def _parts(
    value: str, often: Counter[str], content: Sequence[tuple[tuple[int, int], str]], language: str
) -> tuple[tuple[int, int], ...]:
    """Where a request has words of a value that no other has; `often`: how many values have each word."""
    words = set(_words(value, language))
    own = {word for word in words if often[word] == 1}

    def others(word: str) -> bool:
        return any(kindred(word, one) for one, count in often.items() if count > (one in words))

    return tuple(
        span for span, word in content if word in own or (any(kindred(word, one) for one in own) and not others(word))
    )


def _words(text: str, language: str) -> list[str]:
    """Stems of a value's words, whether blanks, lines or capitals part them."""
    apart, language = parted(text), language or "en"
    return stems(apart, language, content=True) or stems(apart, language)


def _pieces(listing: str) -> list[str]:
    """The values of a list in words."""
    if quoted := _QUOTED.findall(listing):
        return quoted
    parts = [part.strip(" '\"()") for part in _BETWEEN.split(listing)]
    return [part for part in parts if part and len(part.split()) <= _LONGEST]
