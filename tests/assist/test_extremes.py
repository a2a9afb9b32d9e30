"""The most and the least of a table: what a question asks for, what cells say, and which row comes first."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mirim.assist.amounts import Amount, amounts
from mirim.assist.answer import Assistant
from mirim.assist.superlatives import superlative
from mirim.core.project import Project
from mirim.core.types import Message
from mirim.documents.ingest import ingest

LODGE = """# Pousada do Farol

## Quartos

| Quarto | Hóspedes | Diária | Tamanho |
| --- | --- | --- | --- |
| Concha | 2 | R$ 310 | 18 m² |
| Duna | 3 | R$ 1.090,50 | 31 m² |
| Maré | 5 | R$ 402 | 40 m² |
| Rede na varanda | 1 | R$ 95 | 6 m² |
| Sótão da Duna | 4 | – | 22 m² |

## Passeios de barco

Os barcos saem do píer e voltam antes do jantar.

| Passeio | Duração | Sai às |
| --- | --- | --- |
| Ilha das Garças | 3 horas | 9h às 12h |
| Mangue | 45 minutos | 7h30 às 8h15 |
| Pôr do sol | 2 horas | 16h30 às 18h30 |

## Extras

- Sauna: R$ 40 a hora
- Lavanderia, por cesto – R$ 25
- Aluguel de bicicleta: R$ 60 por dia
- Rede extra: grátis

## Cachorros

Cachorros de até 12 kg dormem no quarto.
"""

BOATS = """# Northmere boats

## Hire

| | Dinghy | Punt | Launch |
| --- | --- | --- | --- |
| Price an hour | £14 | £9 | £31 |
| Length | 3.4 m | 5.1 m | 6.2 m |
| Seats | 3 | 5 | 9 |

## Repairs

| Work | Price | Ready in |
| --- | --- | --- |
| New rope | £6 | same day |
| Hull, small hole | £85 | 1–2 weeks |
| Engine, full service | £210 | 5 working days |
| Estimate | free | 3 days |

Boats that are not fetched within a month cost £2 a day.
"""


def _project(folder: Path, language: str, text: str) -> Project:
    (folder / "sources").mkdir()
    (folder / "mirim.toml").write_text(f'[project]\nname = "house"\nlanguage = "{language}"\n', "utf-8")
    (folder / "sources" / "house.md").write_text(text, "utf-8")
    project = Project.open(folder)
    ingest(project)
    return project


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("qual o quarto mais barato?", "Rede na varanda"),
        ("Qual é o quarto mais caro que vocês têm?", "Duna"),
        ("qual quarto tem a menor diária", "Rede na varanda"),
        ("qual o maior quarto?", "Maré"),
        ("qual quarto cabe mais hóspedes", "Maré"),
        ("qual quarto os hóspedes mais elogiam?", ""),
        ("qual passeio é o mais demorado?", "Ilha das Garças"),
        ("qual passeio demora menos, minha filha enjoa", "Mangue"),
        ("que passeio sai mais cedo?", "Mangue"),
        ("qual passeio volta mais tarde, o que sai de barco?", "Pôr do sol"),
        ("qual o extra mais caro?", "- Aluguel de bicicleta"),
        ("e o extra mais em conta", "- Rede extra"),
        # Of the rows with a word that only some have.
        ("qual o quarto Duna mais barato", ""),
    ],
)
def test_the_row_with_the_most_or_least_opens_the_answer(tmp_path: Path, question: str, first: str) -> None:
    with Assistant.open(_project(tmp_path, "pt", LODGE), model="none") as assistant:
        best = assistant.rank(question)[0]
        if not first:
            assert best.told < 0
            return
        assert best.candidate.text.startswith((f"| {first}", first))
        answer = assistant.answer(question)
        assert not answer.abstained
        assert first in answer.answer.splitlines()[0]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("what's your cheapest repair work?", "Estimate"),
        ("Which repair is the most expensive? I have little money", "Engine, full service"),
        ("which repair work takes longest", "Hull, small hole"),
        ("what is the quickest repair", "New rope"),
        # A table that has a column for each thing: the row of what is asked tells all of them.
        ("which boat for hire is the longest", "Length"),
        ("which is the cheapest boat to hire by the hour?", "Price an hour"),
    ],
)
def test_free_is_least_and_tables_may_stand_the_other_way_round(tmp_path: Path, question: str, first: str) -> None:
    with Assistant.open(_project(tmp_path, "en", BOATS), model="none") as assistant:
        assert assistant.rank(question)[0].candidate.text.startswith(f"| {first}")
        assert not assistant.answer(question).abstained


@pytest.mark.parametrize(
    "question",
    [
        "what is the cheapest pizza?",
        "which repair do people like most?",
        "which repair is the safest",
        "what's the earliest age for hire?",
        "does it cost more if I fetch the boat at the latest in May?",
        "at least two boats for hire",
    ],
)
def test_what_no_table_tells_is_left_to_search(tmp_path: Path, question: str) -> None:
    with Assistant.open(_project(tmp_path, "en", BOATS), model="none") as assistant:
        assert all(row.told < 0 for row in assistant.rank(question))


def test_a_table_in_several_passages_counts_in_whole(tmp_path: Path) -> None:
    rows = [f"| Model {n} with a name of some words | £{500 - n * (-1) ** n} |" for n in range(90)]
    text = "# Lamps\n\n| Lamp | Price |\n| --- | --- |\n" + "\n".join(rows) + "\n"
    with Assistant.open(_project(tmp_path, "en", text), model="none") as assistant:
        assert assistant.index.count > 3
        assert assistant.rank("which is the cheapest lamp?")[0].candidate.text.startswith("| Model 88 ")
        assert assistant.rank("which is the most expensive lamp?")[0].candidate.text.startswith("| Model 89 ")


@pytest.mark.parametrize(
    ("question", "sign"),
    [
        ("the cheapest?", -1),
        ("o menos barato", 1),
        ("qual custa menos", -1),
        ("qual é a menos demorada", -1),
        ("se eu ficar dez dias fica mais barato?", 0),
        ("quanto pago a mais por isso", 0),
        ("não tenho mais o recibo", 0),
        ("no mínimo quantos dias", 0),
        ("para menores de 12 anos", 0),
        ("the cheapest or the fastest?", 0),
        ("what's the latest I can come", 0),
        ("", 0),
    ],
)
def test_which_questions_ask_for_a_most_or_a_least(question: str, sign: int) -> None:
    found = superlative(question)
    assert (found.adjective.sign if found else 0) == sign


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("R$ 1.234,50", Amount("money", 1234.5, 1234.5)),
        ("£1,120 each", Amount("money", 1120, 1120)),
        ("R$ 12 mil", Amount("money", 12000, 12000)),
        ("grátis", Amount("money", 0, 0)),
        ("14,5 kg", Amount("weight", 14.5, 14.5)),
        ("400 m²", Amount("area", 400, 400)),
        ("18 cm", Amount("length", 0.18, 0.18)),
        ("8–10 weeks", Amount("duration", 56, 70)),
        ("half a day", Amount("duration", 0.5, 0.5)),
        ("same day", Amount("duration", 0, 0)),
        ("9h às 18h30", Amount("clock", 9, 18.5)),
        ("7am to 5pm", Amount("clock", 7, 17)),
        ("25 de setembro", Amount("date", 9 * 31 + 25, 9 * 31 + 25)),
        ("0,35%", Amount("percent", 0.35, 0.35)),
        ("15,000 staples", Amount("number", 15000, 15000)),
        ("0.125", Amount("number", 0.125, 0.125)),
    ],
)
def test_cells_are_read_as_amounts(cell: str, amount: Amount) -> None:
    (found,) = amounts(cell)
    assert found.kind == amount.kind
    assert (found.low, found.high) == pytest.approx((amount.low, amount.high))


def test_a_cell_without_a_number_is_none() -> None:
    assert amounts("–") == amounts("") == amounts("on request") == ()


@pytest.mark.parametrize(
    ("language", "text", "turns"),
    [
        ("pt", LODGE, [("qual o quarto mais barato?", "Rede"), ("e o mais caro?", "Duna"), ("e o maior?", "Maré")]),
        (
            "en",
            BOATS,
            [
                ("which repair work is the cheapest?", "Estimate"),
                ("and the most expensive?", "Engine"),
                ("and which one takes longest?", "Hull"),
            ],
        ),
    ],
)
def test_a_superlative_takes_the_place_of_the_one_before(
    tmp_path: Path, language: str, text: str, turns: list[tuple[str, str]]
) -> None:
    said: list[Message] = []
    with Assistant.open(_project(tmp_path, language, text), model="none") as assistant:
        for question, first in turns:
            answer = assistant.answer(question, said).answer
            assert answer.startswith(f"- {first}")
            said += [Message("user", question), Message("assistant", answer)]


def test_of_an_old_list_and_a_new_one_the_new_one_tells(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "house"\nlanguage = "pt"\n', "utf-8")
    for year, prices in (("2024", (80, 60, 95)), ("2019", (40, 70, 50)), ("2097", (10, 20, 5))):
        rows = "\n".join(f"| {name} | R$ {n} |" for name, n in zip(("Bronze", "Prata", "Ouro"), prices, strict=True))
        text = f"# Planos {year}\n\n| Plano | Mensalidade |\n| --- | --- |\n{rows}\n"
        (tmp_path / "sources" / f"planos-{year}.md").write_text(text, "utf-8")
    project = Project.open(tmp_path)
    ingest(project)
    with Assistant.open(project, model="none") as assistant:
        for question, first in (
            ("qual o plano mais barato?", "| Prata | R$ 60"),
            ("qual o plano mais barato em 2019?", "| Bronze | R$ 40"),
        ):
            assert assistant.rank(question)[0].candidate.text.startswith(first)


def test_what_is_very_long_is_read_at_once_or_not_at_all() -> None:
    began = time.perf_counter()
    for text in ("não " * 200_000, "mais " * 200_000, "the cheapest, " * 50_000):
        assert superlative(text) is None
    assert amounts("9h e " * 100_000) == amounts("12 a " * 100_000) == ()
    assert time.perf_counter() - began < 10


def test_a_row_out_of_reach_is_not_told(tmp_path: Path) -> None:
    with Assistant.open(_project(tmp_path, "pt", LODGE), model="none") as assistant:
        question = "qual o quarto mais barato?"
        assert assistant.order(question, "pt", assistant.find(question))[0].told > 0
        gone = assistant.find(question, lambda passage: "Rede na varanda" in passage.text)
        assert gone
        assert all(row.told < 0 for row in assistant.order(question, "pt", gone))
