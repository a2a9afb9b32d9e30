"""Which of several answers is given, and what speaks for it."""

import json
import math
from importlib import resources

import pytest

from mirim.models.answers import NAMES, POINTED, choose, features

TEXT = "The mill was opened in 1904 by Carl Brandt. Ana Prado owned it from 1921, and painted it ten years later."


def _told(question: str, answer: str, text: str = TEXT, language: str = "en", *others: str) -> dict[str, float]:
    (first, *_) = features(question, [text], {answer: 1.0, **dict.fromkeys(others, 1.0)}, language)
    return dict(zip(NAMES, first, strict=True))


def test_every_feature_has_a_weight() -> None:
    fitted = json.loads(resources.files("mirim.models").joinpath("answers.json").read_text("utf-8"))
    assert {kind: set(weights) for kind, weights in fitted.items()} == {
        "plain": set(NAMES),
        "pointed": {*NAMES, *POINTED},
    }
    # What holds of answers anywhere: one that others share, near the question's words, not the question again.
    for weights in fitted.values():
        assert weights["agreed"] + weights["agreed_log"] > 0
        assert weights["near"] + weights["before"] + weights["after"] + weights["sentence"] > 0
        assert weights["asked"] + weights["all_asked"] < 0
    assert fitted["pointed"]["pointed"] + fitted["pointed"]["pointed_log"] > 0


def test_what_is_pointed_at_speaks_for_answers_that_say_the_like() -> None:
    given = {"1904": 0.5, "1921": 0.5, "Ana Prado": 0.5}
    plain = features("When was it?", [TEXT], given, "en")
    shown = features("When was it?", [TEXT], given, "en", {"in 1921": 0.75, "Ana": 0.25})
    assert [row[: len(NAMES)] for row in shown] == plain
    assert [row[len(NAMES)] for row in shown] == pytest.approx([0, 0.75 * 2 / 3, 0.25 * 2 / 3])
    assert [row[len(NAMES) + 1] for row in shown] == pytest.approx([math.log(0.02 + row[len(NAMES)]) for row in shown])
    assert choose("When was it?", [TEXT], given, "en", {"1921": 1.0}) == "1921"
    assert choose("When was it?", [TEXT], given, "en", {"1904": 1.0}) == "1904"


def test_what_answers_share_counts_by_their_worth() -> None:
    given = {"in 1904": 1.0, "1904": 0.5, "Carl Brandt": 0.5}
    rows = [dict(zip(NAMES, row, strict=True)) for row in features("When was it opened?", [TEXT], given, "en")]
    assert rows[0]["agreed"] == pytest.approx(0.5 + 0.25 * 2 / 3)
    assert rows[1]["agreed"] == pytest.approx(0.25 + 0.5 * 2 / 3)
    assert rows[2]["agreed"] == pytest.approx(0.25)
    assert rows[2]["agreed_log"] == pytest.approx(math.log(0.27))
    # Two without a word are the same.
    (row, _) = features("When?", [TEXT], {"…": 1.0, "—": 1.0}, "en")
    assert row[NAMES.index("agreed")] == 1


def test_an_answer_that_says_the_question_again_is_told() -> None:
    told = _told("Who opened the mill?", "the mill")
    assert (told["asked"], told["all_asked"]) == (1, 1)
    told = _told("Who opened the mill?", "Brandt's mills")
    assert told["asked"] == pytest.approx(1 / 2)
    assert told["all_asked"] == 0
    # Words that say nothing say nothing again either.
    assert _told("Who was it?", "it was")["all_asked"] == 0


def test_the_answer_is_looked_for_near_the_questions_words() -> None:
    near, far = (_told("When was the mill opened?", answer) for answer in ("1904", "1921"))
    assert near["near"] > far["near"] > 0
    assert (near["sentence"], near["best_sentence"]) == (1, 1)
    assert (far["sentence"], far["best_sentence"]) == (0, 0)
    # "mill" stands four words before it and "opened" two, right before and after count from one.
    assert near["near"] == near["before"] == pytest.approx((math.exp(-4 / 8) + math.exp(-2 / 8)) / 2)
    assert near["after"] == 0
    nearer = _told("When was the mill opened?", "in")
    assert nearer["before"] == pytest.approx((math.exp(-3 / 8) + math.exp(-1 / 8)) / 2)
    assert _told("Who was Brandt?", "Carl")["after"] == pytest.approx(math.exp(-1 / 8))
    assert _told("Who was Brandt?", "Carl Brandt")["near"] == _told("Who was Brandt?", "Brandt")["near"] == 0
    # Twice there: the place that is nearer counts.
    twice = f"In 1921 nothing happened at all in that part of the country. {TEXT}"
    assert _told("When did Prado own it?", "1921", twice)["near"] == _told("When did Prado own it?", "1921")["near"]


def test_words_that_stand_everywhere_say_less_of_where() -> None:
    text = "The mill was small. The mill was old. The mill was opened here."
    told = _told("Was the mill opened?", "small", text)
    often, once = 1 / (1 + math.log1p(3)), 1 / (1 + math.log1p(1))
    assert told["sentence"] == pytest.approx(often / (often + once))


def test_length_and_the_words_at_its_ends_are_told() -> None:
    told = _told("When?", "from 1921, and painted it")
    assert told["length"] == pytest.approx(math.log(5))
    assert told["length_squared"] == pytest.approx(math.log(5) ** 2)
    assert (told["opens"], told["ends"]) == (1, 1)
    told = _told("When?", "1921, and painted")
    assert (told["opens"], told["ends"], told["verbatim"]) == (0, 0, 1)


def test_an_answer_in_other_words_stands_where_most_of_its_words_are() -> None:
    told = _told("When did Ana Prado paint it?", "ten years after she owned it")
    assert told["verbatim"] == 0
    assert told["words"] == pytest.approx(4 / 6)
    assert told["sentence"] == 1
    # From "Ana" to "years", six words behind "opened"; the other sentence has one of its words.
    assert _told("Who opened it?", "Ana ten years, mill")["near"] == pytest.approx(math.exp(-6 / 8))
    assert _told("Who painted it later?", "Ana ten years, mill")["near"] == pytest.approx(math.exp(-1 / 8) / 2)
    nowhere = _told("When did Ana Prado paint it?", "oats")
    assert (nowhere["words"], nowhere["near"], nowhere["sentence"]) == (0, 0, 0)


def test_forms_of_a_word_are_one_word() -> None:
    text = "A consulta foi marcada em março. Os exames saíram em abril."
    told = _told("Quando marcaram as consultas?", "em março", text, "pt")
    assert told["best_sentence"] == 1
    assert (told["opens"], told["ends"]) == (1, 0)


@pytest.mark.parametrize("language", ["en", "pt", "de", ""])
@pytest.mark.parametrize(("question", "text"), [("?", ""), ("", "."), ("Who?", "日本語の文。"), ("É?", "Sim.")])
def test_strange_questions_and_texts_still_have_an_answer(question: str, text: str, language: str) -> None:
    given = {"…": 1.0, "a": 0.5, "日本語": 0.0, "-": 0.0}
    assert all(math.isfinite(value) for row in features(question, [text], given, language) for value in row)
    assert choose(question, [text], given, language) in given
    assert choose(question, [], {"only": 0.0}, language) == "only"


def test_the_one_that_answers_is_chosen() -> None:
    given = {"the mill": 0.3, "1904": 0.3, "1921": 0.3, "later": 0.1}
    assert choose("When was the mill opened?", [TEXT], given, "en") == "1904"
    assert choose("From when did Prado own it?", [TEXT], given, "en") == "1921"
    # In another text as well.
    assert choose("When was the mill opened?", ["Oats are cut in August.", TEXT], given, "en") == "1904"


def test_the_order_of_answers_and_texts_changes_nothing() -> None:
    given = {"the mill": 0.3, "1904": 0.3, "1921": 0.3, "later": 0.1}
    other = "Oats are cut in August."
    ahead = choose("When was the mill opened?", [TEXT, other], given, "en")
    behind = choose("When was the mill opened?", [other, TEXT], dict(reversed(given.items())), "en")
    assert ahead == behind
