"""Quizzes hold their answers word for word in the passage, or ask for what it does not say."""

from __future__ import annotations

import json
import random
from pathlib import Path

from mirim.core.types import Example
from mirim.examples import quiz, sets
from mirim.examples.tasks import answer

ENGLISH = (
    "In 1871 the town of Belmor built a school beside the old bridge. Its first teacher, Clara Venning, had come from "
    "the coast with forty books. The pupils walked 7 kilometres every morning. A storm carried the bridge away in "
    "1890. For 3 years a ferry brought the children across. The new bridge was opened by Tomas Reyle, a former pupil. "
    "He gave the school a bell that was cast in Verona. Nobody knows why the bell rings a little flat."
)
PORTUGUESE = (
    "Em 1902 a vila de Serrinha abriu uma biblioteca ao lado da estação. O primeiro bibliotecário, Joaquim Prado, "
    "trouxe 300 livros da capital. As crianças chegavam de trem às quintas-feiras. Em 1915 a enchente levou o telhado. "
    "Durante 2 anos os livros ficaram na igreja de Santa Rita. A nova sala foi paga por Helena Couto, antiga aluna. "
    "Ela deu à biblioteca um relógio feito em Lisboa. Ninguém sabe por que o relógio atrasa."
)
#: About the English text; the bridge stands in two of its sentences.
ASKED = [
    ("Who was the first teacher?", "Clara Venning"),
    ("How many books came?", "forty"),
    ("When did the storm come?", "1890"),
    ("What had stood beside the school?", "bridge"),
]


def _turns(example: Example) -> list[tuple[str, str]]:
    said = [m.content for m in example.messages]
    return list(zip(said[::2], said[1::2], strict=True))


def _made(count: int = 120) -> list[Example]:
    return list(quiz.make([(ENGLISH, "en"), (PORTUGUESE, "pt")], count, 3))


def test_answers_stand_in_the_passage_or_are_refusals() -> None:
    refused = 0
    for example in _made():
        passage = example.messages[0].content.rpartition("\n\n? ")[0]
        for _, said in _turns(example):
            assert said in passage or said == answer.REFUSAL[example.metadata["language"]]
            refused += said not in passage
    assert refused > 5


def test_a_passage_has_several_questions_each_with_an_answer_of_its_own() -> None:
    made = _made()
    assert len(made) > 60
    for example in made:
        turns = _turns(example)
        assert 2 <= len(turns) <= quiz.MOST
        assert len({said for _, said in turns}) == len(turns)
        assert all(question.startswith("? ") for question, _ in turns[1:])
    short = [e.metadata.get("passage") == quiz.SHORT for e in made]
    assert 0.3 < sum(short) / len(made) < 0.7
    longer = [len(_turns(e)) for e, is_short in zip(made, short, strict=True) if not is_short]
    assert sum(longer) / len(longer) > 3


def test_equal_seeds_make_equal_quizzes() -> None:
    assert [e.id for e in _made(20)] == [e.id for e in _made(20)]


def test_a_text_of_few_sentences_gives_none() -> None:
    assert quiz.quiz("One sentence that is long enough to count here.", "en", random.Random(1)) is None


def test_questions_of_people_about_one_passage_come_together(tmp_path: Path) -> None:
    rows = [
        {"task": "read", "lang": "en", "context": ENGLISH, "input": question, "output": said}
        for question, said in (
            ("Who was the first teacher?", "Clara Venning"),
            ("When did the storm come?", "1890"),
            ("Why does the bell ring flat?", "It was cast badly"),
            ("Where was the bell cast?", "Verona"),
        )
    ] + [{"task": "translate", "lang": "en-pt", "input": "door", "output": "porta"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    made, lacking = sets.quizzes(path)
    # The answer that the passage does not hold in these words is left out.
    assert {said for _, said in _turns(made)} == {"Clara Venning", "1890", "Verona"}
    # One of the answers was taken out with its sentence.
    said = [said for _, said in _turns(lacking)]
    assert said.count(answer.REFUSAL["en"]) == 1
    assert set(said) < {"Clara Venning", "1890", "Verona", answer.REFUSAL["en"]}


def test_what_a_sentence_that_was_taken_out_alone_answered_is_refused() -> None:
    asked = [*ASKED, ("Is there a lake?", answer.REFUSAL["en"])]
    gone = set()
    for seed in range(30):
        made = quiz.lacking(ENGLISH, "Belmor", asked, "en", random.Random(seed))
        assert made
        passage, _, first = made.messages[0].content.rpartition("\n\n? ")
        turns = dict([(first, _turns(made)[0][1]), *((q.removeprefix("? "), said) for q, said in _turns(made)[1:])])
        refused = {q for q, said in turns.items() if said == answer.REFUSAL["en"]} - {"Is there a lake?"}
        for question, said in asked:
            if question in refused:
                assert said not in passage
            elif question in turns:
                assert turns[question] == said
        gone |= refused
        # Both questions about one sentence go together; a word that stands elsewhere too is not refused.
        assert ("Who was the first teacher?" in refused) == ("How many books came?" in refused)
    assert gone == {"Who was the first teacher?", "How many books came?", "When did the storm come?"}
    assert quiz.lacking("One sentence. Another one.", "", [("Who?", "Another")], "en", random.Random(0)) is None


def test_a_sentence_by_itself_answers_its_own_questions_and_refuses_the_others() -> None:
    asked = [*ASKED, ("Where was the bell cast?", "Verona")]
    rows = [(ENGLISH, "Belmor", question, said, "en") for question, said in asked]
    texts: list[str] = []
    right: list[bool] = []
    for seed in range(40):
        for made in quiz.apart(rows, random.Random(seed)):
            passage, _, first = made.messages[0].content.rpartition("\n\n? ")
            turns = _turns(made)
            turns[0] = (f"? {first}", turns[0][1])
            text = passage.partition("\n")[2]
            texts.append(text)
            assert text in ENGLISH
            assert 1 <= len(turns) <= quiz.MOST
            for question, said in turns:
                wanted = dict(asked)[question.removeprefix("? ")]
                # What stands in two sentences may be meant in either, so it is not asked of any.
                assert wanted != "bridge"
                right.append(said == wanted)
                assert said == (wanted if wanted in text else answer.REFUSAL["en"])
    pairs = sum(". " in text for text in texts) / len(texts)
    assert 0.2 < pairs < 0.5
    assert 0.6 < sum(right) / len(right) < 0.85
