"""Clause patterns: which questions a sentence gives, and that none is given where none fits."""

from __future__ import annotations

import pytest

from mirim.examples import english, headings, portuguese, tables
from mirim.examples.facts import facts


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("You must fast for 8 hours before the test.", "How long before the test must I fast?"),
        ("Results are ready within 3 working days.", "How soon are results ready?"),
        ("A first consultation takes 40 minutes.", "How long does a first consultation take?"),
        ("The laboratory opens at 7:00.", "What time does the laboratory open?"),
        ("Parking costs R$ 12.00.", "How much does parking cost?"),
        ("You can borrow five books.", "How many books can I borrow?"),
        ("Collect the kit from the reception of the Lagoa unit.", "Where should I collect the kit?"),
        ("Dr. Helena Prado sees members on Tuesdays.", "Who sees members on Tuesdays?"),
        ("If you lose the card, we print another one.", "What happens if I lose the card?"),
        ("To join the library, bring a proof of address.", "How do I join the library?"),
        ("Visitors may not smoke in the garden.", "Can visitors smoke in the garden?"),
        ("Lost property is held for 45 days at reception.", "How long is lost property held at reception?"),
        ("Do not drink coffee before the test.", "Can I drink coffee before the test?"),
        ("Reception staff cannot see passwords.", "Can reception staff see passwords?"),
        ("Small growths called polyps can be removed.", "Can small growths called polyps be removed?"),
    ],
)
def test_english(sentence: str, question: str) -> None:
    assert question in [q for q, _ in english.ask(sentence)]


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("A consulta custa R$ 350,00.", "Quanto custa a consulta?"),
        ("O laudo fica pronto em 5 dias úteis.", "Em quanto tempo o laudo fica pronto?"),
        ("O laboratório abre às 7h.", "A que horas o laboratório abre?"),
        ("Atendemos sem hora marcada até as 17h.", "Até que horas vocês atendem sem hora marcada?"),
        ("Chegue 15 minutos antes do exame.", "Quanto tempo antes do exame devo chegar?"),
        ("Se a conexão cair, o médico liga de novo.", "O que acontece se a conexão cair?"),
        ("Para cancelar o plano, avise a recepção.", "Como faço para cancelar o plano?"),
        ("Você pode pagar com cartão.", "Posso pagar com cartão?"),
        ("A clínica não realiza partos.", "A clínica realiza partos?"),
        ("Aceitamos cartão e dinheiro.", "Vocês aceitam cartão e dinheiro?"),
        ("As ligações são gravadas e guardadas por 90 dias.", "Por quanto tempo as ligações são gravadas e guardadas?"),
        ("A van liga Centro e Lagoa a cada 40 minutos.", "De quanto em quanto tempo a van liga Centro e Lagoa?"),
    ],
)
def test_portuguese(sentence: str, question: str) -> None:
    assert question in [q for q, _ in portuguese.ask(sentence)]


@pytest.mark.parametrize(
    "text",
    ["", "Yes.", "How long does it take?", "a | b | c", "12:00", "word " * 80, "?!…", "É", "Não", "Do not", "The"],
)
def test_nothing_comes_of_nothing(text: str) -> None:
    for ask in (english.ask, portuguese.ask):
        assert list(ask(text)) == []


def test_his_is_not_mine_unless_the_reader_is_spoken_to() -> None:
    sentence = "A escola é conhecida por seus alunos em todo o país."
    assert all("meus" not in q for q, _ in portuguese.ask(sentence, spoken=False))
    assert any("meus" in q for q, _ in portuguese.ask(sentence, spoken=True))


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("It costs R$ 1.234,56 a month.", "money", "R$ 1.234,56"),
        ("Wait two to three weeks.", "duration", "two to three weeks"),
        ("Em até 10 dias úteis.", "duration", "10 dias úteis"),
        ("Das 7h às 19h30.", "hour", "7h às 19h30"),
        ("On Mondays and Thursdays we meet.", "time", "Mondays and Thursdays"),
        ("em 12 de março de 2025", "time", "12 de março de 2025"),
        ("Call (11) 4002-8922.", "contact", "(11) 4002-8922"),
        ("Fale com a Dra. Ana Prado Lima hoje.", "person", "Dra. Ana Prado Lima"),
        ("pays 20% of it", "percent", "20%"),
        ("Drink five glasses of water.", "count", "five glasses of water"),
    ],
)
def test_facts(text: str, kind: str, found: str) -> None:
    assert (kind, found) in [(f.kind, f.text) for f in facts(text)]
    assert all(text[f.start : f.end] == f.text for f in facts(text))


def test_ages_are_no_durations() -> None:
    assert not [f for f in facts("Children under 12 years pay half.") if f.kind == "duration"]


TABLE = """| code | exam_name | price | remarks |
| --- | --- | --- | --- |
| L001 | Blood count | R$ 30.00 | none |
| L002 | Lipid panel |  | fasting |
"""


def test_rows_are_read_with_their_header() -> None:
    start = TABLE.index("| L001")
    asked = [q for q, _ in tables.of_row(TABLE, start, TABLE.index("\n", start), "en")]
    assert "How much is Blood count?" in asked
    assert not any("remarks" in q.lower() for q in asked)
    empty = TABLE.index("| L002")
    assert list(tables.of_row(TABLE, empty, TABLE.index("\n", empty), "en")) == []
    assert list(tables.of_row(TABLE, 0, TABLE.index("\n"), "en")) == []


def test_a_table_with_an_empty_head_is_read_by_its_first_row() -> None:
    text = "|  |  |\n| --- | --- |\n| Unidade | Telefone |\n| Lagoa | 4002-8922 |\n"
    start = text.index("| Lagoa")
    assert "Lagoa telefone" in [q for q, _ in tables.of_row(text, start, len(text) - 1, "pt")]


@pytest.mark.parametrize("label", ["**Diretora** | Ana Lima", "Telefone | 4002-8922"])
def test_labels_beside_values_have_no_header(label: str) -> None:
    text = f"|  |  |\n| --- | --- |\n| {label} |\n| Fax | 4002-8923 |\n"
    start = text.index("| Fax")
    assert [q for q, _ in tables.of_row(text, start, len(text) - 1, "en")] == [
        q for q, _ in tables.of_line("Fax: 4002-8923", "en")
    ]


def test_lines_with_a_name_and_a_value() -> None:
    assert ("What time for cortisol?", "line") in list(tables.of_line("Cortisol: between 7:00 and 9:00.", "en"))
    assert list(tables.of_line("Date: Fri, 10 Oct 2025 15:48:00 -0300", "en")) == []
    assert list(tables.of_line("See http://x.example for more", "en")) == []


@pytest.mark.parametrize(
    ("lead", "language", "question"),
    [
        ("Guide > How to book", "en", "How do I book?"),
        ("Guide > What to bring", "en", "What should I bring?"),
        ("Guide > Cancelling your appointment", "en", "How do I cancel my appointment?"),
        ("Guia > Como agendar", "pt", "Como faço para agendar?"),
        ("Guia > O que levar", "pt", "O que devo levar?"),
        ("Asthma > symptoms", "en", "What are the symptoms of asthma?"),
    ],
)
def test_headings(lead: str, language: str, question: str) -> None:
    assert question.lower() in [q.lower() for q in headings.ask(lead, language)]


def test_a_title_alone_is_no_question() -> None:
    assert list(headings.ask("Patient handbook", "en")) == []
