"""Measures against values worked out by hand and against the field's own scorer."""

import random

import pytest

from mirim.evals.metrics import exact_match, holds, normalise, percentile, rouge_l, token_f1


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("The cat, a dog & an owl!", "en", "cat dog owl"),
        ("  Anthem   of\tthe  Seas ", "en", "anthem of seas"),
        ("re-read", "en", "reread"),
        ("O gato e a casa", "en", "o gato e casa"),
        ("O gato, a casa e uns bois", "pt", "gato casa e bois"),
        ("the The Beatles", "pt", "beatles"),
        ("1914–1918", "en", "1914–1918"),
    ],
)
def test_squad_normalisation(text: str, language: str, expected: str) -> None:
    assert normalise(text, language) == expected


def test_f1_and_exact_match_take_the_best_reference() -> None:
    assert exact_match("the Denver Broncos.", ["Broncos", "Denver Broncos"]) == 1
    assert exact_match("Denver", ["Denver Broncos"]) == 0
    # two of three given tokens are right, both wanted ones are found: 2 * 2 / 5
    assert token_f1("Broncos of Denver", ["Denver Broncos", "nothing"]) == pytest.approx(0.8)
    assert token_f1("to be or not", ["to to"]) == pytest.approx(2 / 6)
    assert token_f1("", [""]) == 1
    assert token_f1("something", [""]) == 0
    assert token_f1("", ["something"]) == 0
    assert token_f1("x", []) == 0


@pytest.mark.slow
def test_rouge_l_equals_the_reference_scorer() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is a development dependency")
    reference = scorer.RougeScorer(["rougeL"])
    rng = random.Random(3)
    words = "the clinic opens at eight on monday and closes at noon when it rains".split()
    for _ in range(200):
        a, b = (" ".join(rng.choices(words, k=rng.randint(1, 90))) for _ in range(2))
        assert rouge_l(a, b) == pytest.approx(reference.score(b, a)["rougeL"].fmeasure, abs=1e-12)


def test_rouge_l_by_hand() -> None:
    # Lin 2004: the longest common subsequence is "police the gunman", then "the gunman"
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)
    assert rouge_l("São Paulo", "sao paulo") == 1
    assert rouge_l("", "a") == rouge_l("a", "") == 0
    assert rouge_l("z " * 300 + "a b c", "a b c") == pytest.approx(6 / 306)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("A consulta custa R$180 no total.", "R$ 180,00"),
        ("It costs R$ 1.234,50 today", "R$1,234.50"),
        ("It costs 1,234.5 reais", "R$ 1.234,50"),
        ("São 10.000 doses", "10,000"),
        ("Wait at least TWO hours.", "at least two hours"),
        ("Abre às 12:00.", "12:00"),
        ("Traga o cartão e a identidade", "cartao e a identidade"),
        ("O preço é 0,125 mg", "0.125"),
        ("It costs 180.00", "R$ 180"),
        ("We accept euros.", "euros"),
        ("pagamento em reais", "reais"),
        ("de 5-10 dias", "10 dias"),
        ("price: 5€", "5 euros"),
    ],
)
def test_a_key_fact_is_found_however_it_is_written(answer: str, fact: str) -> None:
    assert holds(answer, fact) == 1


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("It costs R$ 1800.", "R$ 180,00"),
        ("It costs R$ 18,50.", "R$ 18"),
        ("It costs R$ 180,50.", "R$ 180"),
        ("Version 2.5", "25"),
        ("On 25.12.2025", "2512.2025"),
        ("two hours at least", "at least two hours"),
        ("Vá ao Hospital Geral.", "Hospital Real"),
        ("It costs US$ 180.", "R$ 180"),
        ("It costs €180", "£180"),
        ("at a temperature of -5 °C", "5 °C"),
        ("anything", ""),
        ("", "12"),
    ],
)
def test_another_fact_is_not_taken_for_it(answer: str, fact: str) -> None:
    assert holds(answer, fact) == 0


def test_percentile_interpolates() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([1, 2], 0.5) == 1.5
    assert percentile([7], 0.95) == 7
    assert percentile(list(range(101)), 0.95) == 95
