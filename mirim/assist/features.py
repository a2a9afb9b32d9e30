"""Numbers that say how well a sentence may answer a question: word overlap, meaning, answer type, rank.

Every feature is between about -1 and 1 whatever the corpus, so that weights fitted on one hold on another.
Words weigh by inverse document frequency (Spärck Jones 1972); a question word that the sentence lacks may
be covered in part by another word for the same thing (mirim.documents.synonyms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mirim.assist.candidates import Candidate
from mirim.documents.synonyms import Stems, alternatives
from mirim.documents.words import HEAD, STOPWORDS, fold, kindred, rarity, stem, tokens
from mirim.examples.kinds import asked, holds

NAMES = (
    "sentence",  # share of the question's weight (of its ABOUT heaviest words) that stands in the sentence
    "lead",  # … in the sentence or its heading and lead
    "passage",  # … in the whole passage and its heading
    "soft_sentence",  # the same three, near meanings counting in part
    "soft_lead",
    "soft_passage",
    "kin_sentence",  # share in words that only a kindred form of stands there
    "kin_lead",
    "kin_passage",
    "missing",  # weight of the heaviest question word that the passage lacks, near meanings counted
    "unknown",  # share of the question's weight in words that the corpus does not have at all
    "pairs",  # neighbouring question words that are neighbours in the sentence or its lead
    "type",  # answer type asked for and shown: 1, asked for and absent: -1
    "type_passage",
    "search",  # search score beside the best passage's
    "rank",  # 1 for the first passage, falling
    "first",  # 1 when the sentence opens its section
    "short",  # 1 for a sentence of up to 3 words, falling
    "focus",  # share of the sentence's own weight that the question has
    "known",  # how much of a question there is: 0 without content words, near 1 from 4 on
)

#: How much a word's alternative in the thesaurus counts beside the word itself.
ALTERNATIVE = 0.85
#: What remains of the weight of the commonest word of everyday language.
COMMON = 0.1
#: Words that a question is about at most: people tell a story before they ask, and no passage repeats it.
ABOUT = 5


@dataclass(frozen=True, slots=True)
class Question:
    """A question's content words as stems with weights, in order, and what else each could be called."""

    stems: tuple[str, ...]
    others: tuple[tuple[Stems, ...], ...]
    weights: tuple[float, ...]
    unknown: float
    language: str
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Text:
    """A text's content words: stem → folded word in order of first appearance, and the stems by their first letters."""

    bag: dict[str, str]
    heads: dict[str, list[str]]

    def related(self, one: str) -> bool:
        """Whether it has a kindred form of a stem."""
        return any(kindred(one, other) for other in self.heads.get(one[:HEAD], ()))


def _stands(stems: Stems, texts: Sequence[_Text]) -> bool:
    """Whether the texts hold all of the stems between them."""
    return all(any(s in text.bag for text in texts) for s in stems)


def _above(candidate: Candidate) -> str:
    """What stands over a sentence and gives it meaning: headings, a question, the header of a table."""
    return " ".join((candidate.lead, *candidate.header))


class Featurizer:
    """Holds what must not be computed twice: stems of sentences and passages, frequencies.

    `frequency(stem)` is the number of passages with the stem, `count` the number of passages,
    """

    def __init__(self, frequency: Callable[[str], int], count: int) -> None:
        self.frequency, self.count = frequency, max(count, 1)
        self._weights: dict[str, float] = {}
        self._texts: dict[tuple[str, str], _Text] = {}
        self._shown: dict[tuple[str, frozenset[str]], float] = {}

    def weight(self, stem_: str) -> float:
        if stem_ not in self._weights:
            n = self.frequency(stem_)
            # Words that the corpus lacks weigh as much as the rarest ones it has.
            self._weights[stem_] = math.log(1 + (self.count - n + 0.5) / (max(n, 1) + 0.5)) if n < self.count else 0.05
        return self._weights[stem_]

    def question(self, text: str, language: str) -> Question:
        words = tokens(text)
        stop = STOPWORDS.get(language, frozenset())
        found: dict[str, dict[Stems, None]] = {}
        rare: dict[str, float] = {}
        for word in words:
            if word not in stop:
                one = stem(word, language)
                found.setdefault(one, {})
                rare[one] = max(rare.get(one, 0.0), rarity(word, language))
        for group in alternatives(words, language):
            inside = [stem(w, language) for w in words[group.start : group.end] if w not in stop]
            for one in inside:
                found[one].update(dict.fromkeys(group.stems))
        stems = tuple(found)
        others = tuple(tuple(o for o in more if o != (one,)) for one, more in found.items())
        weights = tuple(self.weight(s) * (COMMON + (1 - COMMON) * rare[s]) for s in stems)
        total = sum(weights) or 1.0
        unknown = sum(w for s, o, w in zip(stems, others, weights, strict=True) if not self._known(s, o)) / total
        return Question(stems, others, weights, unknown, language, asked(fold(text)))

    def _known(self, stem_: str, others: tuple[Stems, ...]) -> bool:
        return bool(self.frequency(stem_)) or any(all(map(self.frequency, other)) for other in others)

    def _text(self, text: str, language: str) -> _Text:
        key = (text, language)
        found = self._texts.get(key)
        if found is None:
            if len(self._texts) > 20_000:
                self._texts.clear()
            stop = STOPWORDS.get(language, frozenset())
            bag = {stem(w, language): w for w in tokens(text) if w not in stop}
            heads: dict[str, list[str]] = {}
            for one in bag:
                heads.setdefault(one[:HEAD], []).append(one)
            found = self._texts[key] = _Text(bag, heads)
        return found

    def _shows(self, text: str, kinds: frozenset[str]) -> float:
        """Whether a text shows the kind of answer that is asked for, see mirim.examples.kinds."""
        key = (text, kinds)
        if key not in self._shown:
            if len(self._shown) > 20_000:
                self._shown.clear()
            self._shown[key] = holds(fold(text), kinds)
        return self._shown[key]

    def features(self, question: Question, candidate: Candidate, best_score: float) -> list[float]:
        """One number for each of NAMES."""
        language = candidate.passage.language or question.language
        texts = [self._text(t, language) for t in (candidate.text, _above(candidate), candidate.passage.text)]
        total = sum(sorted(question.weights)[-ABOUT:]) or 1.0

        hard = [0.0, 0.0, 0.0]
        soft = [0.0, 0.0, 0.0]
        kin = [0.0, 0.0, 0.0]
        missing = 0.0
        for one, others, weight in zip(question.stems, question.others, question.weights, strict=True):
            # In the sentence; then also in its lead; then also anywhere in the passage.
            nearest, related = 0.0, False
            for i, text in enumerate(texts):
                if nearest < 1.0:
                    if one in text.bag:
                        nearest = 1.0
                    elif not nearest and any(_stands(other, texts[: i + 1]) for other in others):
                        nearest = ALTERNATIVE
                hard[i] += weight * (nearest == 1.0)
                soft[i] += weight * nearest
                related = related or (not nearest and text.related(one))
                kin[i] += weight * (related and not nearest)
            missing = max(missing, weight * (1 - nearest))
        bags = [text.bag for text in texts]
        sentence, near = bags[0], bags[1] | bags[0]
        own = sum(map(self.weight, sentence)) or 1.0
        shared = sum(self.weight(s) for s in sentence if s in question.stems)
        length = len(candidate.text.split())
        content = len(question.stems)
        return [
            *(min(1.0, share / total) for share in (*hard, *soft, *kin)),
            missing / (max(question.weights) if question.weights else 1.0),
            question.unknown,
            self._pairs(question, near),
            self._shows(candidate.text, question.kinds),
            self._shows(candidate.passage.text, question.kinds),
            candidate.score / best_score if best_score > 0 else 0.0,
            1 / (1 + candidate.rank),
            1.0 if candidate.place == 0 else 0.0,
            max(0.0, 1 - (length - 3) / 6) if length > 3 else 1.0,
            shared / own,
            1 - 1 / (1 + content * content / 4),
        ]

    @staticmethod
    def _pairs(question: Question, bag: dict[str, str]) -> float:
        if len(question.stems) < 2:
            return 0.0
        order = {s: i for i, s in enumerate(bag)}
        close = sum(
            1
            for a, b in zip(question.stems, question.stems[1:], strict=False)
            if a in order and b in order and abs(order[a] - order[b]) <= 2
        )
        return close / (len(question.stems) - 1)
