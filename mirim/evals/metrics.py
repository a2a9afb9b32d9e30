"""Measures of an answer against a reference. All are between 0 and 1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from mirim.documents.words import fold

#: Portuguese texts quote English names too, so there both languages' articles go.
_ARTICLES = {"en": r"\b(a|an|the)\b", "pt": r"\b(a|an|the|o|as|os|uma|um|umas|uns)\b"}
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str, language: str = "en") -> str:
    """SQuAD's normalisation (Rajpurkar et al. 2016): lower case, no ASCII punctuation, no articles, single spaces."""
    text = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(_ARTICLES.get(language, _ARTICLES["en"]), " ", text).split())


def exact_match(answer: str, references: Sequence[str], language: str = "en") -> float:
    """1 when the answer is one of the references, normalised."""
    return float(any(normalise(answer, language) == normalise(r, language) for r in references))


def token_f1(answer: str, references: Sequence[str], language: str = "en") -> float:
    """Best harmonic mean of token precision and recall over the references."""
    return max(
        (_f1(normalise(answer, language).split(), normalise(r, language).split()) for r in references), default=0.0
    )


def _f1(given: list[str], wanted: list[str]) -> float:
    if not given or not wanted:
        return float(given == wanted)
    same = sum((Counter(given) & Counter(wanted)).values())
    return 2 * same / (len(given) + len(wanted))


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F (Lin 2004): longest common subsequence of words, accents folded so that Portuguese counts.

    The usual package strips every letter outside a-z before it compares, which breaks Portuguese words apart.
    """
    a, b = re.findall(r"\w+", fold(answer)), re.findall(r"\w+", fold(reference))
    if not a or not b:
        return 0.0
    common = _lcs(a, b)
    return 2 * common / (len(a) + len(b))


def _lcs(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by bit vectors (Hyyrö 2004)."""
    where: dict[str, int] = {}
    for i, word in enumerate(a):
        where[word] = where.get(word, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for word in b:
        hit = row & where.get(word, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(a) - row.bit_count()


def holds(answer: str, fact: str) -> float:
    """1 when the key fact stands in the answer: same words in the same order, marks, case and accents apart.

    Amounts match however they are written: 'R$ 180,00', 'R$180' and '180.00' are one; 'US$ 180' is another, and so is
    '-180'. An empty fact is never held.
    """
    wanted, given = _said(fact), _said(answer)
    ends = range(len(wanted), len(given) + 1)
    return float(bool(wanted) and any(all(map(_same, given[end - len(wanted) : end], wanted)) for end in ends))


#: How money is written, in folded text. A bare "$" may be any dollar's, or the real's.
_MONEY = {
    "brl": r"r\$|brl\b|reais\b|real\b",
    "usd": r"us\$|usd\b|dollars?\b|dolar(?:es)?\b",
    "eur": r"€|eur\b|euros?\b",
    "gbp": r"£|gbp\b|pounds?\b|libras?\b",
    "": r"\$",
}
_CURRENCY = "|".join(f"(?P<NAME{n}>{marks})" for n, marks in enumerate(_MONEY.values()))
#: A number with what it is an amount of, or a word. Only beside a number are words such as "real" money.
_PART = re.compile(
    rf"(?:(?:\b|(?<!\w))(?:{_CURRENCY.replace('NAME', 'before')})\s*)?"
    r"(?P<minus>(?<![\w)])[-−](?=\d))?(?<![\w.,])(?P<number>\d+(?:[.,]\d+)*)"
    rf"(?:\s*(?:{_CURRENCY.replace('NAME', 'behind')}))?|\w+"
)


def _said(text: str) -> list[tuple[str, str]]:
    """(word or canonical number, currency or '') in order, folded."""
    said = []
    for found in _PART.finditer(fold(text)):
        if number := found["number"]:
            marks = [money for n, money in enumerate(_MONEY) if found[f"before{n}"] or found[f"behind{n}"]]
            said.append((f"{'-' if found['minus'] else ''}{_number(number)}", "".join(marks[:1])))
        else:
            said.append((found.group(), ""))
    return said


def _same(given: tuple[str, str], wanted: tuple[str, str]) -> bool:
    return given[0] == wanted[0] and (given[1] == wanted[1] or not (given[1] and wanted[1]))


def _number(text: str) -> str:
    """One spelling of a number: no thousands marks, '_' before the decimals, no zeros that say nothing.

    A mark is a thousands mark where every group after the first has three digits, or where another mark ends
    the number. What fits neither, such as a date, stays as it is.
    """
    groups, marks = re.split(r"[.,]", text), re.findall(r"[.,]", text)
    grouped = len(set(marks)) == 1 and len(groups[0]) <= 3 and groups[0] != "0" and all(len(g) == 3 for g in groups[1:])
    whole, decimals = (groups, "") if grouped or not marks else (groups[:-1], groups[-1].rstrip("0"))
    inner = set(marks[: len(whole) - 1])
    if len(whole) > 1 and (len(whole[0]) > 3 or any(len(g) != 3 for g in whole[1:]) or len(inner) > 1):
        return text
    if not grouped and inner & set(marks[-1:]):
        return text
    return "".join(whole) + (f"_{decimals}" if decimals else "")


def percentile(values: Sequence[float], share: float) -> float:
    """Linear-interpolated percentile of a non-empty sequence."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
