"""Of an old notice and a new one that say the same with other numbers the new one comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.assist.answer import Assistant
from mirim.assist.newest import day_of
from mirim.core.project import Project
from mirim.documents.ingest import ingest
from mirim.documents.values import MONTHS


def answered(folder: Path, sources: dict[str, str], question: str) -> str:
    root = folder / "club"
    (root / "sources").mkdir(parents=True)
    (root / "mirim.toml").write_text('[project]\nname = "club"\nlanguage = "en"\n', "utf-8")
    more = {
        "boats.md": "# Boats\n\nCanoes are kept in the shed by the weir and lent to members who can swim.",
        "keys.md": "# Keys\n\nThe warden hands out keys to the shed against a signature.",
        "races.md": "# Races\n\nThe spring race starts at the stone bridge and ends at the mill.",
    }
    for name, text in {**more, **sources}.items():
        (root / "sources" / name).write_text(text, "utf-8")
    project = Project.open(root)
    ingest(project)
    with Assistant.open(project, model="none") as assistant:
        return assistant.answer(question).answer


LOCKER = "# Lockers\n\nA locker in the boathouse costs £{} a year."


@pytest.mark.parametrize(
    "sources",
    [
        {"a-2022.md": LOCKER.format(14), "b-2026.md": LOCKER.format(21)},
        {"a-2026-03.md": LOCKER.format(21), "b-2025-11.md": LOCKER.format(14)},
        {
            "a.md": LOCKER.format(14).replace("A locker", "From 1 May 2021 a locker"),
            "b.md": LOCKER.format(21).replace("A locker", "From 2 April 2026 a locker"),
        },
        {
            "a.md": LOCKER.format(14).replace("Lockers", "Notice of 09/10/2020"),
            "b.md": LOCKER.format(21).replace("Lockers", "Notice of 03/02/2025"),
        },
        {
            "a.md": f"{LOCKER.format(14)} So decided on June 3, 2019.",
            "b.md": f"{LOCKER.format(21)} So decided on May 30, 2024.",
        },
    ],
)
def test_the_newest_comes_first_and_the_old_one_is_no_rival(tmp_path: Path, sources: dict[str, str]) -> None:
    answer = answered(tmp_path, sources, "How much is a locker in the boathouse?")
    assert -1 < answer.find("£21") < answer.find("£14")


def test_a_question_that_names_its_year_is_answered_of_that_year(tmp_path: Path) -> None:
    sources = {"a-2022.md": LOCKER.format("14 in 2022 for"), "b-2026.md": LOCKER.format(21)}
    answer = answered(tmp_path, sources, "How much was a locker in the boathouse in 2022?")
    assert -1 < answer.find("£14") < answer.find("£21")


def test_what_says_something_of_another_number_stays_behind(tmp_path: Path) -> None:
    text = "# Lockers\n\nLocker number {} in the boathouse costs £{} a year."
    sources = {"a-2022.md": text.format(3, 14), "b-2026.md": text.format(8, 21)}
    answer = answered(tmp_path, sources, "How much is locker number 3 in the boathouse?")
    assert -1 < answer.find("£14") < answer.find("£21")


@pytest.mark.parametrize(
    "later",
    [
        LOCKER.format(21).replace("A locker", "From 1 January 2096 a locker"),
        LOCKER.format(21).replace("Lockers", "Lockers, prices in force from 1 January 2096"),
        f"{LOCKER.format(21)} This applies from 01/02/2096 on.",
        "# Lockers\n\nFees as of 1 January 2096:\n\n| Thing | Fee |\n| --- | --- |\n"
        "| A locker in the boathouse, a year | £21 |",
    ],
)
def test_what_is_not_in_force_yet_stays_behind_what_is(tmp_path: Path, later: str) -> None:
    sources = {
        "a.md": LOCKER.format(9).replace("A locker", "From 3 May 2021 a locker"),
        "b.md": LOCKER.format(14).replace("A locker", "From 2 April 2024 a locker"),
        "c.md": later,
    }
    answer = answered(tmp_path, sources, "How much is a locker in the boathouse?")
    assert "£14" in answer.partition("£21")[0]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        # It has no beginning, or its beginning is what is asked for.
        ("Where does the lantern parade start?", "2096"),
        ("When does booking of the canoe camp open?", "2096"),
    ],
)
def test_a_day_to_come_is_no_hindrance_by_itself(tmp_path: Path, question: str, first: str) -> None:
    text = (
        "# Plans\n\nThe lantern parade of 6 December {0} starts at the mill.\n\n"
        "# Camp\n\nBooking of the canoe camp opens from 3 March {0} on."
    )
    sources = {"a.md": text.format(2024), "b.md": text.format(2096)}
    answer = answered(tmp_path, sources, question)
    assert -1 < answer.find(first) < answer.find("2024")


def test_a_text_that_writes_months_first_is_read_so(tmp_path: Path) -> None:
    text = "# Lockers\n\nFrom {} on a locker in the boathouse costs £{} a year."
    sources = {
        "a.md": f"{text.format('05/04/2024', 21)} The shed was painted on 04/28/2024.",
        "b.md": f"{text.format('04/06/2024', 14)} The shed was shut on 03/30/2024.",
    }
    answer = answered(tmp_path, sources, "How much is a locker in the boathouse?")
    assert -1 < answer.find("£21") < answer.find("£14")


@pytest.mark.parametrize("language", ["en", "pt"])
def test_every_month_is_read_whole_and_short(language: str) -> None:
    for month, name in enumerate(MONTHS[language], 1):
        assert day_of(f"{name.title()} 2026") == day_of(f"{name[:3]} 2026") == (2026, month, 0), name


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Valid from 4 May 2026", (2026, 5, 4)),
        ("on May 4th, 2026 and since June 2025", (2026, 5, 4)),
        ("a partir de 1º de março de 2024", (2024, 3, 1)),
        ("ata_2023-11-30.pdf", (2023, 11, 30)),
        ("de 10/02/2024", (2024, 2, 10)),
        ("on 02/28/2024", (2024, 2, 28)),
        ("circular 12-2023", (2023, 12, 0)),
        ("it costs R$ 2025,00 and has 2024 seats", None),
        ("call 555-2020-4411", None),
    ],
)
def test_days_are_read_in_whole_or_by_their_month(text: str, day: tuple[int, int, int] | None) -> None:
    assert day_of(text) == day


def test_a_mere_year_counts_where_no_amount_is_expected() -> None:
    assert day_of("Prices 2026", alone=True) == (2026, 0, 0)
    assert day_of("R$2026", alone=True) is None
