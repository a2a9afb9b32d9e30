"""Quizzes: one passage, several questions about it in one conversation.

Reading a passage costs most of an exercise's tokens; each further question about it costs little and teaches as much.
The questions are made from the passage's own sentences, which hold their answers word for word (cloze translation,
Lewis et al. 2019, "Unsupervised Question Answering by Cloze Translation"); some ask for what the passage does not say.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from mirim.core.types import Example, Message, Passage
from mirim.documents.sentences import sentences
from mirim.documents.words import STOPWORDS
from mirim.examples.drills import BLANK, RULES
from mirim.examples.facts import facts
from mirim.examples.tasks import answer, example

#: Questions about one passage, characters of a passage, and the share of questions that it does not answer.
MOST, ROOM, ABSENT = 8, 900, 0.12
#: Sentences of a short passage at most, the share of quizzes about one, and what `passage` of their metadata says.
FEW, BRIEF, SHORT = 3, 0.5, "short"
#: Of sentences learned apart: the share that comes with the one before it; for each question that one answers, how
#: many that it does not; of those that answer nothing, the share that comes at all.
PAIRED, VAIN, EMPTY = 0.35, 0.35, 0.1
#: The kind of these examples: of their conversations every answer is learned.
KIND = "quiz"
_NAME = re.compile(r"(?<=[a-zà-ÿ,;] )[A-ZÀ-Ý][\w’'-]+(?: (?:d[aeo]s? |of |the )?[A-ZÀ-Ý][\w’'-]+)*")
_YEAR = re.compile(r"\b1[0-9]\d\d\b|\b20[0-2]\d\b")
_NUMBER = re.compile(r"\b\d[\d.,]*\d\b|\b\d\b")
_PHRASE = re.compile(r"\b(?:the|an?|his|her|their|its|[oa]s?|um|uma|seus?|suas?) (?:[a-zà-ÿ-]+ ){0,1}[a-zà-ÿ-]{4,}\b")
_WORD = re.compile(r"\b[a-zà-ÿ]{6,}\b")
_KINDS = (("year", _YEAR), ("number", _NUMBER), ("name", _NAME), ("phrase", _PHRASE), ("word", _WORD))
_WHO = {
    "en": {
        "year": ("When", "In what year", "What year"),
        "number": ("How many", "How much", "What number"),
        "name": ("Who", "What", "Which", "Where", "What is the name of what"),
        "phrase": ("What", "Which thing", "Who"),
        "word": ("What", "How"),
    },
    "pt": {
        "year": ("Quando", "Em que ano"),
        "number": ("Quantos", "Quantas", "Quanto", "Qual número"),
        "name": ("Quem", "O que", "Qual", "Onde", "Como se chama"),
        "phrase": ("O que", "Qual", "Quem"),
        "word": ("O que", "Como", "Qual"),
    },
}
_COPY = {
    "en": ('Which sentence begins with "{words}"?', 'What follows "{words}"?'),
    "pt": ('Que frase começa com "{words}"?', 'O que vem depois de "{words}"?'),
}

Asked = tuple[str, str]


def make(texts: Sequence[tuple[str, str]], count: int, seed: int | str) -> Iterator[Example]:
    """`count` quizzes from (text, language) pairs, drawn at random."""
    rng = random.Random(f"{seed} quizzes")
    made = 0
    while made < count:
        text, language = texts[rng.randrange(len(texts))]
        made += 1
        if found := quiz(text, language, rng):
            yield found


def quiz(text: str, language: str, rng: random.Random) -> Example | None:
    """Of a stretch of `text`: the stretch, and questions about it; None where it gives fewer than two."""
    text = " ".join(text.split())
    spans = [s for s in sentences(text, language) if 30 < s[1] - s[0] < 320]
    if len(spans) < 5:
        return None
    first, short = rng.randrange(len(spans) - 3), rng.random() < BRIEF
    chosen = [text[a:b] for a, b in spans[first : first + (rng.randint(1, FEW) if short else rng.randint(2, 8))]]
    while len(chosen) > 2 and sum(map(len, chosen)) > ROOM:
        chosen.pop()
    passage = " ".join(chosen)
    others = [text[a:b] for a, b in spans[:first] + spans[first + len(chosen) :]]
    asked: list[Asked] = []
    order = list(range(len(chosen)))
    for _ in range(2):
        rng.shuffle(order)
        for home in order:
            if others and rng.random() < ABSENT:
                found = _ask(rng.choice(others), passage, language, rng, absent=True)
            else:
                found = _ask(chosen[home], passage, language, rng)
            # No answer twice: the second could be had by looking at the first.
            if found and found[1] not in {a for _, a in asked}:
                asked.append(found)
    if short:
        return conversation(passage, "", asked[: 1 + len(chosen)], language, SHORT)
    return conversation(passage, "", asked[: rng.randint(3, MOST)], language)


def conversation(
    passage: str, title: str, asked: Iterable[Asked], language: str, length: str = "", least: int = 2
) -> Example | None:
    """The passage with the first question, then the others, each with its answer; None for fewer than `least`."""
    turns: list[Message] = []
    for question, said in asked:
        if turns:
            turns += [Message("user", f"? {question}")]
        else:
            turns += answer.messages(
                question, [Passage("", "", 0, len(passage), title, passage, None, language)], language
            )
        turns += [Message("assistant", said)]
    if len(turns) < 2 * least:
        return None
    made = {"kind": KIND, "language": language} | ({"passage": length} if length else {})
    return example("answer", tuple(turns[:-1]), turns[-1].content, (), made)


def grouped(rows: Iterable[tuple[str, str, str, str, str]], rng: random.Random) -> Iterator[Example]:
    """Quizzes from people's (passage, title, question, answer, language), those of one passage together; and once more
    with the answer of one of them taken out."""
    for (passage, title, language), asked in _homes(rows).items():
        rng.shuffle(asked)
        for at in range(0, len(asked), MOST):
            if found := conversation(passage, title, asked[at : at + MOST], language):
                yield found
        if found := lacking(passage, title, asked, language, rng):
            yield found


def apart(rows: Iterable[tuple[str, str, str, str, str]], rng: random.Random) -> Iterator[Example]:
    """From the same, each sentence of a passage by itself or with the one before it: the questions that it answers, and
    some of the others, which are refused. No smaller text teaches which sentence a question is about."""
    for (passage, title, language), asked in _homes(rows).items():
        spans = sentences(passage, language)
        homes = [[i for i, (a, b) in enumerate(spans) if said in passage[a:b]] for _, said in asked]
        # An answer that stands in two sentences may be one in either, or in neither.
        known = [(found[0], pair) for pair, found in zip(asked, homes, strict=True) if len(found) == 1]
        for at, (_, end) in enumerate(spans):
            first = at - 1 if at and rng.random() < PAIRED else at
            own = [pair for home, pair in known if first <= home <= at]
            others = [(question, answer.REFUSAL[language]) for home, (question, _) in known if not first <= home <= at]
            if not own and rng.random() > EMPTY:
                continue
            kept = rng.sample(own, min(len(own), MOST // 2))
            vain = sum(rng.random() < VAIN for _ in kept) if kept else 1
            kept += rng.sample(others, min(len(others), vain))
            rng.shuffle(kept)
            if found := conversation(passage[spans[first][0] : end], title, kept, language, least=1):
                yield found


def _homes(rows: Iterable[tuple[str, str, str, str, str]]) -> dict[tuple[str, str, str], list[Asked]]:
    """The questions about each (passage, title, language)."""
    homes: dict[tuple[str, str, str], list[Asked]] = defaultdict(list)
    for passage, title, question, said, language in rows:
        homes[passage, title, language].append((question, said))
    return homes


def lacking(passage: str, title: str, asked: Sequence[Asked], language: str, rng: random.Random) -> Example | None:
    """The passage without the sentence that answers one of the questions, and all of them: those that it alone answered
    are refused. None where nothing is left to ask, or to read."""
    spans = sentences(passage, language)
    homes = [[i for i, (a, b) in enumerate(spans) if said in passage[a:b]] for _, said in asked]
    known = sorted({found[0] for found in homes if len(found) == 1})
    if len(spans) < 3 or not known:
        return None
    gone = rng.choice(known)
    left = (passage[: spans[gone][0]] + passage[spans[gone][1] :]).strip()
    refused = answer.REFUSAL[language]
    # An answer that also stands elsewhere may not be one there.
    kept = [
        (question, refused if found == [gone] and said not in left else said)
        for (question, said), found in zip(asked, homes, strict=True)
        if found == [gone] or gone not in found
    ]
    rng.shuffle(kept)
    return conversation(left, title, kept[:MOST], language)


def _ask(sentence: str, passage: str, language: str, rng: random.Random, *, absent: bool = False) -> Asked | None:
    """A question that the sentence answers, and its answer: the refusal where `absent`."""
    kind = rng.random()
    found = (
        _copy(sentence, passage, language, rng)
        if kind < 0.15 and not absent
        else _pattern(sentence, language, rng)
        if kind < 0.45
        else None
    ) or _cloze(sentence, passage, language, rng, absent)
    if not found or not absent:
        return found
    question, said = found
    return None if said in passage else (question, answer.REFUSAL[language])


def _copy(sentence: str, passage: str, language: str, rng: random.Random) -> Asked | None:
    words = sentence.split()
    if len(words) < 6:
        return None
    inside = rng.random() < 0.6
    first = rng.randrange(0, len(words) - 4) if inside else 0
    count = rng.randint(2, 4)
    said = " ".join(words[first : first + count])
    if passage.count(said) != 1:
        return None
    rest = " ".join(words[first + count : first + count + rng.randint(2, 6)]) if inside else sentence
    return (_COPY[language][inside].format(words=said), rest.rstrip(",;:")) if rest else None


def _pattern(sentence: str, language: str, rng: random.Random) -> Asked | None:
    asked = [(q, kind) for q, kind in RULES[language](sentence) if kind]
    if not asked:
        return None
    question, kind = rng.choice(asked)
    alike = [f.text for f in facts(sentence) if f.kind == kind]
    return (question, alike[0]) if len(alike) == 1 else None


def _cloze(sentence: str, passage: str, language: str, rng: random.Random, absent: bool) -> Asked | None:
    found: list[tuple[str, str, int]] = []
    for kind, pattern in _KINDS:
        spans = [(kind, m.group(), m.start()) for m in pattern.finditer(sentence)]
        spans = [
            s for s in spans if s[1].lower() not in STOPWORDS.get(language, ()) and (absent or passage.count(s[1]) == 1)
        ]
        # What people ask for: names and numbers before any word.
        found += spans
        if len(found) >= 2:
            break
    if not found:
        return None
    kind, target, at = rng.choice(found)
    left, right = sentence[:at], sentence[at + len(target) :]
    before, after = left.split(), right.split()
    if rng.random() < 0.35:
        head = " ".join(before[-rng.randint(3, 10) :]) + " " * (left[-1:] == " ")
        return head + BLANK + " " * (right[:1] == " ") + " ".join(after[: rng.randint(3, 10)]), target
    # In words of the sentence, but not in its order and not all of them.
    rest = re.sub(r"[^\w\s’'-]", " ", " ".join(after[:8] + before[-8:])).split()
    kept = [w for w in rest if rng.random() > 0.1]
    if rng.random() < 0.2:
        cut = rng.randrange(len(kept) + 1)
        kept = kept[cut:] + kept[:cut]
    kept = kept[: rng.randint(4, 12)]
    if len(kept) < 3:
        return None
    return f"{rng.choice(_WHO[language][kind])} {' '.join(kept)}?", target
