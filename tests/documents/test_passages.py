from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirim.core.types import Document
from mirim.documents.passages import MOST, cut, sentences
from mirim.documents.store import sections
from mirim.examples.units import units

MARKDOWN = st.lists(
    st.sampled_from(
        [
            "# Title", "## Exams", "### Blood", "A plain sentence. Another one, of Dr. Silva!", "", "", "- item one",
            "- item two. With more.", "1. first", "| a | b |", "| --- | --- |", "| 1 | R$ 2,00 |", "```", "code # no",
            "> quoted", "word " * 50, "supercalifragilistic" * 30, "O exame custa R$ 1.200,00. Ligue às 8h.", "***",
            "日本語のテキスト。次の文。", "\t indented", "## ",
        ]
    )
    | st.text(max_size=60),
    max_size=40,
).map("\n".join)  # fmt: skip


def document(text: str, **other: object) -> Document:
    return Document("d", "d.md", "text/markdown", "Guide", text, sections=sections(text), **other)  # type: ignore[arg-type]


def spelled(text: str, language: str = "") -> list[str]:
    return [text[a:b] for a, b in sentences(text, language)]


@given(MARKDOWN, st.sampled_from(["", "en", "pt", "xx"]))
def test_sentences_hold_every_letter_once(text: str, language: str) -> None:
    last = 0
    outside = ""
    for start, end in sentences(text, language):
        assert last <= start < end
        assert text[start:end] == text[start:end].strip() != ""
        outside += text[last:start]
        last = end
    assert not (outside + text[last:]).strip()


@given(MARKDOWN, st.integers(20, 200))
def test_passages_are_exact_ordered_and_complete(text: str, most: int) -> None:
    found = cut(document(text), most)
    last = 0
    kept = ""
    for passage in found:
        assert passage.text == text[passage.start : passage.end] != ""
        assert last <= passage.start
        kept += text[last : passage.start]
        last = passage.end
        assert max(len(passage.text.split()), len(passage.text) // 12) <= most + 1
    kept += text[last:]
    # Outside passages there are only heading lines.
    assert all(not line.strip() or line.lstrip().startswith("#") for line in kept.split("\n"))
    assert len({p.id for p in found}) == len(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Silva comes at 8 a.m. on Mondays. Call us.", ["Dr. Silva comes at 8 a.m. on Mondays.", "Call us."]),
        ("O valor é R$ 1.200,00. A Sra. Souza atende.", ["O valor é R$ 1.200,00.", "A Sra. Souza atende."]),
        (
            "Use frutas, p.ex. Banana. Veja www.x.com.br. Fim",
            ["Use frutas, p.ex. Banana.", "Veja www.x.com.br.", "Fim"],
        ),
        ("See No. 5 of art. 7. Then stop.", ["See No. 5 of art. 7.", "Then stop."]),
        ("J. K. Rowling wrote it. Yes?", ["J. K. Rowling wrote it.", "Yes?"]),
        (
            '"Stay calm." He left! Why? (Nobody knows.) End',
            ['"Stay calm."', "He left!", "Why?", "(Nobody knows.)", "End"],
        ),
        (
            "Open from 8:00 to 12:30. Closed at 1.5 km. 24 hours",
            ["Open from 8:00 to 12:30.", "Closed at 1.5 km.", "24 hours"],
        ),
        ("a line\nthat goes on. Then\nanother", ["a line\nthat goes on.", "Then\nanother"]),
        ("## Head. Ing\nBody. More", ["## Head. Ing", "Body.", "More"]),
        ("- one. Two.\n- three", ["- one. Two.", "- three"]),
    ],
)
def test_sentence_ends(text: str, expected: list[str]) -> None:
    assert spelled(text) == expected


def test_heading_paths_and_no_passage_across_headings() -> None:
    text = "# Guide\n\nIntro.\n\n## Exams\n\nGeneral.\n\n### Blood\n\nFast 8 hours.\n\n## Hours\n\nFrom 8 to 18.\n"
    assert [(p.heading, p.text) for p in cut(document(text))] == [
        ("Guide", "Intro."),
        ("Guide > Exams", "General."),
        ("Guide > Exams > Blood", "Fast 8 hours."),
        ("Guide > Hours", "From 8 to 18."),
    ]


def test_a_heading_over_nothing_is_content() -> None:
    assert [p.text for p in cut(document("# Guide\n\n## Closed on Sundays\n\n## Open on Mondays\n"))] == [
        "## Closed on Sundays",
        "## Open on Mondays",
    ]


def test_long_tables_are_cut_by_rows_and_remember_their_header() -> None:
    rows = "\n".join(f"| Exam number {i} | {i} reais and {i} cents each | morning |" for i in range(100))
    found = cut(document(f"| Exam | Price | When |\n| --- | --- | --- |\n{rows}\n"))
    assert len(found) > 3
    assert all(p.text.startswith("|") and p.text.endswith("|") for p in found)
    assert [p.header for p in found[1:]] == ["| Exam | Price | When |"] * (len(found) - 1)


@pytest.mark.parametrize("above", ["", "Table 3. Prices of exams.\n"])
def test_cells_of_a_long_table_keep_their_columns(above: str) -> None:
    """Whether it has a caption and whatever its first heading is."""
    rows = "\n".join(f"| Exam {i} | {i} reais | on each of the mornings of the week |" for i in range(100))
    found = cut(document(f"{above}|  | Price | When |\n| --- | --- | --- |\n{rows}\n"))
    assert units(found[-1])[0].header == ("", "Price", "When")


def test_pages_come_from_offsets() -> None:
    text = "First page text.\n\nSecond page text.\n"
    found = cut(document(text + "\n".join(["word " * 100] * 3), pages=(0, 18)), MOST)
    assert found[0].page == 1
    assert found[-1].page == 2


def test_a_million_dots_take_no_time() -> None:
    text = "Contents " + "." * 300_000 + " 7\n\n" + "```\n\nx\n\n" * 1001 + "a\n\n" * 20_000
    assert cut(document(text))


def test_what_every_passage_repeats_is_bounded() -> None:
    """Otherwise a megabyte of heading or of columns comes back with every passage below it."""
    wide = " | ".join(f"column {i}" for i in range(400))
    rows = "\n".join(f"| {' | '.join(f'{r} {i}' for i in range(400))} |" for r in range(3))
    found = cut(document(f"# {'long ' * 2000}\n\n| {wide} |\n|{' --- |' * 400}\n{rows}\n"))
    assert len(found) > 10
    assert max(len(p.heading) + len(p.header) for p in found) < 2000
    assert sum(p.text.count("long") for p in found) == 2000
