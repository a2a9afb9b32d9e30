from __future__ import annotations

import random

from mirim.assist.answer import Assistant, Calibration
from mirim.assist.calibrate import Held, _logistic, _ranking_weight, _threshold, fit
from mirim.assist.rank import NAMES, Ranked, probability
from mirim.core.project import Project
from mirim.core.types import Span


def test_the_prior_holds_where_there_is_little_to_learn_from() -> None:
    scale, judged, search, bias = _logistic([[0.0, 0.0, 0.0]], [1], True)
    assert search == 0
    assert abs(scale - 1.0) < 0.05
    assert 0 <= judged <= 0.2
    assert abs(bias) < 0.3


def test_a_judge_that_knows_is_trusted_and_one_that_guesses_is_not() -> None:
    rng = random.Random(0)
    labels = [rng.random() < 0.5 for _ in range(400)]
    knows = [[rng.gauss(0, 1), 3.0 if y else -3.0, 0.5] for y in labels]
    guesses = [[rng.gauss(0, 1), rng.choice((3.0, -3.0)), 0.5] for _ in labels]
    good = _logistic(knows, [int(y) for y in labels], True)[1]
    bad = _logistic(guesses, [int(y) for y in labels], True)[1]
    assert good > 0.4
    assert bad < 0.1


def test_the_threshold_refuses_its_share_of_what_has_no_answer() -> None:
    wrong = [i / 100 for i in range(100)]
    threshold = _threshold(wrong, 0.85)
    assert sum(p < threshold for p in wrong) == 85
    assert _threshold([], 0.85) == Calibration().threshold == 0.3
    assert _threshold([0.999], 0.85) == 0.9


def test_few_questions_keep_the_defaults_and_many_are_fitted(shop: Project) -> None:
    with Assistant.open(shop, model="none") as assistant:
        calibration, table = fit(assistant, [Held("How much is delivery?", "en", None)])
        assert (calibration.scale, calibration.threshold, table) == (1.0, 0.3, ())
        text = "\n".join(p.text for p in assistant.index.passages("handbook.md"))
        assert "R$ 25.00" in text
        passage = next(p for p in assistant.index.passages("handbook.md") if "R$ 25.00" in p.text)
        at = passage.start + passage.text.index("Delivery inside")
        known = Held("How much is delivery inside the city?", "en", Span("handbook.md", at, at + 40))
        strange = Held("Who won the chess championship last year?", "en", None)
        calibration, table = fit(assistant, [known] * 15 + [strange] * 15)
    assert table[0][1].startswith("15/15")
    assert calibration.judge == 0.0


def test_outside_means_outside_the_subject_whichever_sentence_was_chosen(shop: Project) -> None:
    with Assistant.open(shop, model="none") as assistant:
        # Answered by the documents, but by no sentence that will be chosen for these words.
        elsewhere = Held("How much is delivery inside the city?", "en", Span("handbook.md", 0, 1))
        strange = Held("Who won the chess championship last year?", "en", None)
        held = [elsewhere] * 15 + [strange] * 15
        _, table = fit(assistant, held, "unsupported")
        assert table[0][1] == "0/0"
        assistant.calibration, table = fit(assistant, held, "outside")
        assert table[0][1] == "15/15"
        assert not assistant.answer(elsewhere.question).abstained
        assert assistant.answer(strange.question).abstained


def test_the_judges_weight_in_the_ranking_is_what_puts_right_sentences_first(shop: Project) -> None:
    with Assistant.open(shop, model="none") as assistant:
        rows = assistant.rank("How much is delivery inside the city?")
    features = (0.0,) * len(NAMES)
    right, wrong = rows[0].candidate, rows[1].candidate
    span = Span(right.passage.document, right.start, right.end)
    trial = ([Ranked(wrong, features, 1.0, -3.0), Ranked(right, features, 0.5, 3.0)], span)
    assert _ranking_weight([trial]) == 0.1
    assert _ranking_weight([([Ranked(right, features, 1.0, -3.0)], span)]) == 0.0


def test_probability_is_safe_at_both_ends() -> None:
    assert 0 <= probability(-1e9) < 1e-9
    assert 1 - 1e-9 < probability(1e9) <= 1
