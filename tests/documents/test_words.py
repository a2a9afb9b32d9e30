from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirim.documents.words import STOPWORDS, detect, fold, kindred, parted, stem, stems, tokens


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, "check in date") for name in ("check_in_date", "checkInDate", "CheckInDate", "CHECK_IN_DATE")),
        ("check-in-date", "check in date"),
        ("guest.firstName", "guest first name"),
        ("códigoÓrgão", "código órgão"),
        ("userID", "user ID"),
        ("userIDs", "user ids"),
        ("HTMLPage2Print", "HTML page2 print"),
        ("ratio2.5", "ratio2.5"),
        ("4K", "4k"),
        ("_x__", "x"),
        ("", ""),
    ],
)
def test_a_name_is_parted_into_its_words(name: str, words: str) -> None:
    assert parted(name) == words


def test_tokens_are_folded_words() -> None:
    assert tokens("O preço é R$ 1.200,50, d'água!") == ["o", "preco", "e", "r", "1", "200", "50", "d", "agua"]


@pytest.mark.parametrize(
    ("a", "b", "language"),
    [
        ("marcação", "marcacoes", "pt"),
        ("informação", "informacoes", "pt"),
        ("hospital", "hospitais", "pt"),
        ("pulmões", "pulmao", "pt"),
        ("possível", "possiveis", "pt"),
        ("imagem", "imagens", "pt"),
        ("papéis", "papel", "pt"),
        ("agendar", "agendados", "pt"),
        ("chip", "chips", "pt"),
        ("DVD", "DVDs", "pt"),
        ("email", "emails", "pt"),
        ("fasting", "fasted", "en"),
        ("appointments", "appointment", "en"),
    ],
)
def test_forms_of_a_word_share_a_stem(a: str, b: str, language: str) -> None:
    assert stem(a, language) == stem(b, language)


@given(st.text(max_size=30), st.sampled_from(["en", "pt", "es", "", "xx"]))
def test_accents_never_matter(word: str, language: str) -> None:
    assert stem(word, language) == stem(fold(word), language)


def test_unknown_languages_are_only_folded() -> None:
    assert stem("Größen", "xx") == "grossen"
    assert stem("B12", "en") == "b12"


def test_content_leaves_stop_words_out() -> None:
    assert stems("the price of the exam", "en", content=True) == stems("price exam", "en")
    assert all(word == fold(word) for words in STOPWORDS.values() for word in words)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What are the opening hours?", "en"),
        ("Do I need to fast before the test?", "en"),
        ("Qual o preço da ressonância?", "pt"),
        ("Preciso estar em jejum?", "pt"),
        ("O exame de sangue exige jejum de oito horas.", "pt"),
        ("Horário de funcionamento", "pt"),
        ("¿Dónde está el hospital de la ciudad?", "es"),
        ("Où est la gare de cette ville ?", "fr"),
        ("البرمجة بلغة من الأدوات القوية", "ar"),
        ("이슈와 논점 국회입법조사처", "ko"),
        ("こんにちは世界、東京です", "ja"),
        ("12345 67,89", ""),
        ("", ""),
    ],
)
def test_detect(text: str, language: str) -> None:
    assert detect(text) == language


def test_detect_does_not_take_names_for_a_language() -> None:
    assert detect("| Ana | Bruno | Carla | Diego | Elisa | Fábio | " * 10) in ("", "pt")


@given(st.text())
def test_any_text_has_tokens_and_a_language(text: str) -> None:
    assert all(tokens(text))
    assert isinstance(detect(text), str)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gestant", "gestac", True),
        ("record", "recording", True),
        ("pagament", "pag", False),
        ("visit", "visa", False),
        ("abcd", "abcd", True),
        ("abc", "abc", False),
        ("intern", "international", False),
    ],
)
def test_kindred_stems_share_their_beginning(one: str, other: str, same: bool) -> None:
    assert kindred(one, other) is kindred(other, one) is same
