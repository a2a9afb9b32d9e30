"""Which stretches of the documents an answer quotes."""

from __future__ import annotations

from mirim.assist.candidates import candidates
from mirim.assist.features import NAMES
from mirim.assist.policies import cite
from mirim.assist.policies.quote import MOST, choose
from mirim.assist.rank import Ranked
from mirim.core.types import Passage
from mirim.documents.search import Hit

TEXT = "One is here now. Two is here now. Three is here now. Four is here now. Five is here now."


def ranked(text: str, scores: dict[str, float], document: str = "d", lead: float = 0.0) -> list[Ranked]:
    """The sentences of a text, each with the score of the word that it opens with, -2 for the others."""
    passage = Passage(document, f"{document}.md", 0, len(text), "Guide", text, None, "en")
    features = tuple(lead if name == "lead" else 0.0 for name in NAMES)
    rows = [Ranked(c, features, scores.get(c.text.split()[0], -2.0)) for c in candidates([Hit(passage, 1.0)])]
    return sorted(rows, key=lambda r: -r.score)


def words(rows: list[Ranked]) -> list[str]:
    return [r.candidate.text.split()[0] for r in rows]


def test_a_stretch_grows_from_the_best_sentence_to_its_better_neighbour() -> None:
    assert words(choose(ranked(TEXT, {"Three": 2, "Four": 0}), 24))[:2] == ["Three", "Four"]
    assert words(choose(ranked(TEXT, {"Three": 2, "Two": 0}), 24))[:2] == ["Two", "Three"]


def test_a_table_row_stands_for_itself() -> None:
    text = "| Unit | Opens |\n| --- | --- |\n| North | 7:00 |\n| South | 8:00 |\n\nOne is here now."
    assert choose(ranked(text, {"|": 1}), 30)[0].candidate.text == "| North | 7:00 |"
    assert len(choose(ranked(text, {"|": 1})[:1], 30)) == 1


def test_the_best_row_opens_the_answer_and_its_neighbours_follow_in_their_order() -> None:
    text = "| Unit | Opens |\n| --- | --- |\n| North | 7:00 |\n| South | 8:00 |\n| West | 9:00 |"
    for lead in (0.0, 1.0):
        rows = ranked(text, {}, lead=lead)
        rows = [rows[1], rows[0], rows[2]]
        assert [c.text for c in cite(choose(rows, 60))] == ["| South | 8:00 |\n| West | 9:00 |", "| North | 7:00 |"]
    (whole,) = cite(choose(ranked(text, {}), 60))
    assert whole.text == "| North | 7:00 |\n| South | 8:00 |\n| West | 9:00 |"


def test_the_words_are_shared_by_several_stretches_and_neighbours_become_one_citation() -> None:
    rows = ranked(TEXT, {"One": 1, "Five": 0.5, "Two": 0})
    chosen = choose(rows, 15)
    assert words(chosen) == ["One", "Five", "Two"]
    assert [c.text for c in cite(chosen)] == ["One is here now. Two is here now.", "Five is here now."]


def test_a_sentence_longer_than_the_words_is_quoted_whole_and_alone() -> None:
    assert words(choose(ranked(TEXT, {"Three": 1}), 2)) == ["Three"]


def test_at_most_five_stretches() -> None:
    rows = [r for name in "abcdefg" for r in ranked(TEXT, {"One": 1}, name)]
    rows.sort(key=lambda r: -r.score)
    assert len(cite(choose(rows, 24))) <= MOST
    assert len({r.candidate.passage.document for r in choose(rows, 1000)}) == MOST


def test_an_answer_brings_its_question_along() -> None:
    text = "Can I eat?\n\nOne is here now.\n\nCan I drink?\n\nTwo is here now."
    rows = ranked(text, {"One": 1})
    assert [c.text for c in cite(choose(rows[:1], 30))] == ["Can I eat?\n\nOne is here now."]
    assert [c.text for c in cite(choose(rows, 30))] == [text]


def test_a_question_that_a_heading_answers_gets_the_section_from_its_start() -> None:
    assert words(choose(ranked(TEXT, {"Four": 1}, lead=1.0), 12)) == ["Four", "One", "Two"]
    assert words(choose(ranked(TEXT, {"Two": 1}, lead=1.0), 12)) == ["One", "Two", "Three"]


def test_a_section_of_one_sentence_leaves_room_for_others() -> None:
    old, new = ranked("One is here now.", {"One": 2}, "old", lead=1.0), ranked(TEXT, {"Two": 1}, "new")
    assert {r.candidate.passage.document for r in choose([*old, *new], 24)} == {"old", "new"}
