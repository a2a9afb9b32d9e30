"""Measures of an answer against a reference. All are between 0 and 1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from mirim.documents.words import fold

_ARTICLES = {"en": r"\b(a|an|the)\b", "pt": r"\b(o|a|os|as|um|uma|uns|umas)\b"}


def normalise(text: str, language: str = "en") -> str:
    """SQuAD's normalisation (Rajpurkar et al. 2016): lower case, no punctuation, no articles, single spaces."""
    text = text.lower()
    text = "".join(c for c in text if c not in string.punctuation and c not in "“”‘’«»–—…")
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

    Amounts match however they are written: 'R$ 180,00', 'R$180' and '180.00' are one.
    """
    return float(f" {_plain(fact)} " in f" {_plain(answer)} ")


def _plain(text: str) -> str:
    text = fold(text)
    text = re.sub(r"(?:r\$|us\$|\$|€)\s*", "", text)
    text = re.sub(r"(\d)[.,](\d{3})\b(?![.,]?\d)", r"\1\2", text)
    text = re.sub(r"(\d)[.,]00?\b", r"\1", text)
    text = re.sub(r"(\d)[.,](\d)", r"\1_\2", text)
    return " ".join(re.findall(r"\w+", text))


def percentile(values: Sequence[float], share: float) -> float:
    """Linear-interpolated percentile of a non-empty sequence."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
