"""Of a table's rows for bands of ages, weights or people, the one that holds what is asked comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.assist.answer import Assistant
from mirim.assist.bands import banded
from mirim.assist.candidates import candidates
from mirim.assist.rank import Ranked
from mirim.core.project import Project
from mirim.core.types import Passage
from mirim.documents.ingest import ingest
from mirim.documents.search import Hit

FERRY = """# Balsa do Rio Manso

## Passagens

| Passageiro | Ida | Ida e volta |
| --- | --- | --- |
| Criança de 4 a 9 anos | R$ 6 | R$ 11 |
| Jovem de 10 a 17 anos | R$ 9 | R$ 16 |
| Adulto de 18 a 64 anos | R$ 14 | R$ 25 |
| Idoso (65 anos ou mais) | R$ 7 | R$ 12 |

## Bagagem

| Peso da mala | Preço |
| --- | --- |
| até 8 kg | grátis |
| 9 a 20 kg | R$ 18 |
| acima de 20 kg | R$ 40 |
"""


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("quanto paga um menino de 12 anos para ida e volta?", "Jovem de 10 a 17 anos"),
        ("minha avó tem 71 anos, quanto é a ida?", "Idoso (65 anos ou mais)"),
        ("preço da mala de 15 quilos", "9 a 20 kg"),
        ("quanto custa levar uma mala de 31 kg?", "acima de 20 kg"),
    ],
)
def test_the_row_whose_band_holds_what_is_asked_opens_the_answer(tmp_path: Path, question: str, first: str) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "balsa"\nlanguage = "pt"\n', "utf-8")
    (tmp_path / "sources" / "balsa.md").write_text(FERRY, "utf-8")
    project = Project.open(tmp_path)
    ingest(project)
    with Assistant.open(project, model="none") as assistant:
        assert assistant.rank(question)[0].candidate.text.startswith(f"| {first}")


def best(question: str, header: str, *bands: str) -> str:
    """The band of the row that comes first, of rows that are as likely as they stand."""
    text = f"| {header} | Price |\n| --- | --- |\n" + "\n".join(f"| {band} | {n} |" for n, band in enumerate(bands))
    found = candidates([Hit(Passage("d", "d.md", 0, len(text), "Prices", text, None, "en"), 1.0)])
    rows = [Ranked(candidate, (), -float(number)) for number, candidate in enumerate(found)]
    ordered = banded(question, rows)
    assert [row.score for row in ordered] == [row.score for row in rows]
    assert sorted(row.candidate.start for row in ordered) == [row.candidate.start for row in rows]
    return ordered[0].candidate.text.split("|")[1].strip()


@pytest.mark.parametrize(
    ("question", "header", "bands", "first"),
    [
        ("for my 11-year-old", "Age", ("under 5s", "5-9", "10-12"), "10-12"),
        ("for a girl aged 5", "Age", ("under 5", "5 and over"), "5 and over"),
        ("for 7 and 13 year olds", "Years", ("1 to 4", "5 to 9", "10 to 14"), "5 to 9"),
        ("a room for 25 people", "Guests", ("up to 12 people", "13 to 30 people"), "13 to 30 people"),
        ("a board of 45 cm", "Length", ("10 – 30 cm", "31 – 60 cm"), "31 – 60 cm"),
        ("para 8 anos", "Idade", ("3 anos e menos", "dos 4 aos 6 anos", "7 anos em diante"), "7 anos em diante"),
        ("for a boy of 3 years", "Age", ("8 onwards", "4 through 7", "3 and under"), "3 and under"),
        ("um pacote de 2,5 kg", "Peso", ("até 2 kg", "entre 2 e 5 kg"), "entre 2 e 5 kg"),
        # Nothing holds it, or it counts something else, or an hour and an amount of money are no bands.
        ("for a man aged 90", "Age", ("5 to 9", "10 to 14"), "5 to 9"),
        ("12 pictures", "Age", ("5 to 9", "10 to 14"), "5 to 9"),
        ("open at 12:00", "Hours", ("8:00 - 11:00", "11:00 - 13:00"), "8:00 - 11:00"),
        ("12 days", "Days", ("1 to 10.12.2026 days", "2.000 to 3.000.000 days"), "1 to 10.12.2026 days"),
        ("for 12 pounds", "Voucher", ("£5 to £9", "£10 to £20"), "£5 to £9"),
    ],
)
def test_bands_as_they_are_written(question: str, header: str, bands: tuple[str, ...], first: str) -> None:
    assert best(question, header, *bands) == first


def test_a_row_that_is_asked_for_by_name_stays_first() -> None:
    rows = ("Otters, 5 to 9 years", "Herons, 10 to 14 years")
    assert best("can a boy of 12 years join the otters?", "Team", *rows) == rows[0]
    assert best("which team is for a boy of 12 years?", "Team", *rows) == rows[1]
