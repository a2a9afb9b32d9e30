"""Exercises made from running text by program: finding, copying and refusing are skills that drill teaches.

A sentence of a passage with one name, number or rare word left out is the question; what was left out is the answer.
With the sentence taken out of the passage, the answer is the refusal. Keys and values read from lists teach the same
where grammar is no help.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from mirim.core.types import Example, Message, Passage
from mirim.documents.sentences import sentences
from mirim.documents.words import STOPWORDS
from mirim.examples import english, portuguese
from mirim.examples.facts import facts
from mirim.examples.tasks import answer, example, judge

#: What can be asked for: names (runs of capitalised words), numbers with what they count, long words.
_SPAN = re.compile(
    r"(?<=[a-zà-ÿ,;] )[A-ZÀ-Ý][\w’'-]+(?: (?:d[aeo]s? |of )?[A-ZÀ-Ý][\w’'-]+)*"
    r"|\b\d[\d.,]*(?: [a-zà-ÿ]{3,})?|\b[a-zà-ÿ]{7,}\b"
)
BLANK = "___"
#: Share of exercises whose answer is taken out of the passage. A model that cannot read yet refuses whenever a refusal
#: is the likeliest of all answers: at a quarter one of 7 million parameters refused nine questions of ten.
ABSENT = 0.2
#: Questions that patterns find a sentence to answer, by language.
RULES = {"en": english.ask, "pt": portuguese.ask}
_NAMES = (
    "Ana Rui Marta Pedro Lucia Tiago Sofia Miguel Clara Hugo Alice Bruno Diana Edgar Flora Ivo Julia Karen Leo Nina "
    "Oscar Paula Rosa Simon Teresa Vera Walter Bento Celia Dario"
).split()
_FACTS = {
    "en": (
        ("The code of {k} is {v}.", "What is the code of {k}?"),
        ("{k} lives at number {v}.", "At what number does {k} live?"),
        ("{k} paid {v} reais.", "How much did {k} pay?"),
        ("The appointment of {k} is on day {v}.", "On what day is the appointment of {k}?"),
        ("{k} works in room {v}.", "In which room does {k} work?"),
    ),
    "pt": (
        ("O código de {k} é {v}.", "Qual é o código de {k}?"),
        ("{k} mora no número {v}.", "Em que número {k} mora?"),
        ("{k} pagou {v} reais.", "Quanto {k} pagou?"),
        ("A consulta de {k} é no dia {v}.", "Em que dia é a consulta de {k}?"),
        ("{k} trabalha na sala {v}.", "Em que sala {k} trabalha?"),
    ),
}


def cloze(text: str, language: str, rng: random.Random) -> Iterator[Example]:
    """Of a stretch of `text`: a blank to fill, perhaps a refusal, and which sentence fills it."""
    chosen = _stretch(text, language, rng)
    if not chosen:
        return
    home = rng.randrange(len(chosen))
    whole = " ".join(chosen)
    found = [
        m.group()
        for m in _SPAN.finditer(chosen[home])
        if m.group() not in STOPWORDS.get(language, ()) and whole.count(m.group()) == 1
    ]
    if found:
        target = rng.choice(found)
        yield from _exercises(chosen, home, _cut(chosen[home], target, rng), target, language, rng)


def question(text: str, language: str, rng: random.Random) -> Iterator[Example]:
    """Of a stretch of `text`: a question that one of its sentences answers, as in cloze."""
    chosen = _stretch(text, language, rng)
    homes = list(range(len(chosen)))
    rng.shuffle(homes)
    for home in homes:
        asked = [(q, kind) for q, kind in RULES[language](chosen[home]) if kind]
        if asked:
            wanted, kind = rng.choice(asked)
            alike = [f.text for f in facts(chosen[home]) if f.kind == kind]
            target = alike[0] if len(alike) == 1 else chosen[home]
            yield from _exercises(chosen, home, wanted, target, language, rng)
            return


def _stretch(text: str, language: str, rng: random.Random, most: int = 900) -> list[str]:
    """A few sentences that follow one another, at most `most` characters."""
    text = " ".join(text.split())
    spans = [s for s in sentences(text, language) if 40 < s[1] - s[0] < 300]
    if len(spans) < 4:
        return []
    first = rng.randrange(len(spans) - 3)
    chosen = [text[a:b] for a, b in spans[first : first + rng.randint(3, 7)]]
    while len(chosen) > 3 and sum(map(len, chosen)) > most:
        chosen.pop()
    return chosen


def _exercises(
    chosen: list[str], home: int, asked: str, target: str, language: str, rng: random.Random
) -> Iterator[Example]:
    rest = " ".join(chosen[:home] + chosen[home + 1 :])
    refused = rng.random() < ABSENT and target not in rest
    text, said = (rest, answer.REFUSAL[language]) if refused else (" ".join(chosen), target)
    yield _made("answer", answer.messages(asked, [_passage(text, language)], language), said)
    right = rng.random() < 0.5
    shown = chosen[home] if right else chosen[(home + 1) % len(chosen)]
    yield _made("judge", judge.messages(shown, "", asked), "yes" if right else "no")


def _cut(sentence: str, target: str, rng: random.Random) -> str:
    """The sentence, or the part of it around the blank: a question rarely repeats a whole sentence."""
    left, _, right = sentence.partition(target)
    before, after = left.split(), right.split()
    kept = rng.randint(4, 12)
    head = " ".join(before[-kept:]) + " " * (left[-1:] == " ")
    return head + BLANK + " " * (right[:1] == " ") + " ".join(after[:kept])


_COPY = {
    "en": ('Which sentence begins with "{words}"?', 'What does the text say with the words "{words}"?'),
    "pt": ('Que frase começa com "{words}"?', 'O que diz o texto com as palavras "{words}"?'),
}


def copy(text: str, language: str, rng: random.Random) -> Iterator[Example]:
    """Of a stretch of `text`: the whole sentence that begins with some words, or holds them; a refusal without it."""
    chosen = _stretch(text, language, rng)
    if not chosen:
        return
    home = rng.randrange(len(chosen))
    words = chosen[home].split()
    inside = rng.random() < 0.5
    first = rng.randrange(1, max(2, len(words) - 3)) if inside else 0
    said = " ".join(words[first : first + rng.randint(2, 4)])
    if " ".join(chosen).count(said) != 1:
        return
    refused = rng.random() < ABSENT
    shown = " ".join(chosen[:home] + chosen[home + 1 :] if refused else chosen)
    target = answer.REFUSAL[language] if refused else chosen[home]
    asked = _COPY[language][inside].format(words=said)
    yield _made("answer", answer.messages(asked, [_passage(shown, language)], language), target)


def lookup(language: str, rng: random.Random) -> Iterator[Example]:
    """A list of facts of one kind or several, and a question for one of them, or for one that is not there."""
    names = rng.sample(_NAMES, rng.randint(3, 9))
    absent = names.pop()
    kinds = rng.sample(_FACTS[language], rng.randint(1, 2))
    facts = [(k, rng.choice(kinds), str(rng.randint(2, 9999))) for k in names]
    text = " ".join(fact.format(k=k, v=v) for k, (fact, _), v in facts)
    name, (_, question), value = rng.choice(facts)
    if rng.random() < ABSENT:
        name, value = absent, answer.REFUSAL[language]
    prompt = answer.messages(question.format(k=name), [_passage(text, language)], language)
    yield _made("answer", prompt, value)


def make(texts: Sequence[tuple[str, str]], count: int, seed: int | str) -> Iterator[Example]:
    """About `count` exercises from (text, language) pairs, drawn at random: blanks, questions, sentences, lookups."""
    rng = random.Random(f"{seed} drills")
    made = 0
    while made < count:
        text, language = texts[rng.randrange(len(texts))]
        kind = rng.random()
        if kind < 0.15:
            fresh = list(lookup(language, rng))
        else:
            make_one = copy if kind < 0.4 else cloze if kind < 0.7 else question
            fresh = list(make_one(text, language, rng))
        made += max(1, len(fresh))
        yield from fresh


def _passage(text: str, language: str) -> Passage:
    return Passage("", "", 0, len(text), "", text, None, language)


def _made(task: str, prompt: tuple[Message, ...], target: str) -> Example:
    return example(task, prompt, target, (), {"kind": "drill"})
