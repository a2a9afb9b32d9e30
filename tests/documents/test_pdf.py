"""PDF: pages, lines and columns by where they stand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from mirim.documents.pdf_layout import layout
from mirim.documents.pdf_lines import Line, Page, Ruled, _leaves, _parts

sys.path.insert(0, str(Path(__file__).parent))
from reading import SAMPLES, read


def test_pdf_pages_headers_hyphens(make_pdf: Callable[..., bytes]) -> None:
    document = read(SAMPLES / "pdf.pdf")
    assert "Clinic handbook" not in document.text
    assert "\n1\n" not in document.text
    assert "examination" in document.text
    assert [document.page_at(document.text.index(w)) for w in ("Drink", "typical", "five days")] == [1, 2, 3]
    assert document.title == "Preparing for a scan"
    assert [s.heading for s in document.sections] == ["Preparing for a scan", "How long it takes"]


def test_pdf_whose_pages_differ_in_their_numbers_only(tmp_path: Path, make_pdf: Callable[..., bytes]) -> None:
    pages = [[(60, 780, 11, f"Certificate {i} holds for patient {70 + i}.")] for i in range(5)]
    (tmp_path / "forms.pdf").write_bytes(make_pdf(pages))
    assert "Certificate 3 holds for patient 73." in read(tmp_path / "forms.pdf").text


def test_pdf_sentence_over_two_pages(tmp_path: Path, make_pdf: Callable[..., bytes]) -> None:
    first = [(60, 700 - 14 * i, 11, f"Line {i} of the first page goes on and on") for i in range(3)]
    second = [(60, 700, 11, "and ends on the second page. Then more.")]
    (tmp_path / "a.pdf").write_bytes(make_pdf([first, second]))
    document = read(tmp_path / "a.pdf")
    assert "on and on\nand ends" in document.text
    assert document.page_at(document.text.index("and ends")) == 2


def _lines(*said: tuple[str, float, float]) -> list[Line]:
    return [Line(text, 50.0, 300.0, y, size, False) for text, y, size in said]


def test_a_table_that_goes_on_over_the_page_keeps_its_header() -> None:
    rows = [["Room", "Price"], ["Blue", "R$ 90"], ["Red", "R$ 80"]]
    first = (_lines(("Rooms to let", 800, 11), ("Red R$ 80", 60, 11)), [Ruled(rows, (40, 50, 310, 700))], 842.0)
    more = [["Green", "R$ 70"], ["Grey", "R$ 60"]]
    second = (
        _lines(("Green R$ 70", 780, 11), ("Ask at the desk.", 300, 11)),
        [Ruled(more, (40, 700, 311, 800))],
        842.0,
    )
    other = (_lines(("Green again", 780, 11)), [Ruled([*more], (90, 700, 311, 800))], 842.0)
    told = layout([first, second, other], {})
    assert told[1] == "| Room | Price |\n| --- | --- |\n| Green | R$ 70 |\n| Grey | R$ 60 |\n\nAsk at the desk."
    assert told[2].startswith("| Green | R$ 70 |\n| --- | --- |")


def test_columns_that_go_on_over_the_page_keep_their_header() -> None:
    def page(*rows: tuple[str, str]) -> Page:
        found = []
        for n, row in enumerate(rows):
            parts = [(50.0, 100.0, row[0]), (150.0, 200.0, row[1])]
            found.append(Line(" ".join(row), 50.0, 200.0, 600.0 - 14 * n, 11, False, parts=parts))
        return found, [], 842.0

    first = page(("Room", "Price"), ("Blue", "R$ 90"), ("Red", "R$ 80"))
    told = layout([first, page(("Green", "R$ 70"), ("Grey", "R$ 60"), ("Gold", "R$ 99"))], {})
    assert told[1].splitlines()[:3] == ["| Room | Price |", "| --- | --- |", "| Green | R$ 70 |"]
    other = layout([first, page(("Dish", "Guest"), ("Soup", "3"), ("Cake", "4"))], {})
    assert other[1].startswith("| Dish | Guest |")


def test_numbered_chapters_at_the_head_of_pages_are_no_running_header() -> None:
    def page(top: str, size: float, number: int) -> Page:
        # As much of the text differs from page to page as a reader needs to tell it from a form's.
        return _lines((top, 800, size), (f"{chr(97 + number) * 40} ends here.", 400, 11)), [], 842.0

    halls = [page(f"Hall {n // 2 + 1}" if n % 2 == 0 else "and more", 18, n) for n in range(8)]
    assert [t.splitlines()[0] for t in layout(halls, {})[::2]] == [f"# Hall {n}" for n in range(1, 5)]
    # The number of a page, or a header in the body's own type.
    for running in (
        [page(f"Rules {n + 3}", 18, n) for n in range(4)],
        [page(f"Part {n // 2}", 11, n) for n in range(8)],
    ):
        assert not [t for t in layout(running, {}) if "Rules" in t or "Part" in t]


def _row(*said: tuple[str, float]) -> list[tuple[str, float, float, float, float]]:
    """Letters six units wide and twelve high, of words that begin at the given places."""
    return [(c, x + 6 * i, x + 6 * i + 6, 0.0, 12.0) for text, x in said for i, c in enumerate(text)]


def test_what_begins_an_item_is_no_column() -> None:
    texts = [
        [text for _, _, text in _parts(row, 12.0)]
        for row in (_row(("•", 0), ("Towels", 40)), _row(("3.", 0), ("Caps", 40)), _row(("3", 0), ("Caps", 40)))
    ]
    assert texts == [["• Towels"], ["3. Caps"], ["3", "Caps"]]


def test_columns_that_stand_close_are_columns() -> None:
    assert [text for _, _, text in _parts(_row(("Price", 0), ("Note", 42)), 12.0)] == ["Price", "Note"]


def test_a_letter_below_and_further_back_begins_a_line() -> None:
    row = _row(("Part", 0), ("one", 30))

    def box(left: float, bottom: float) -> SimpleNamespace:
        return SimpleNamespace(left=left, right=left + 6, bottom=bottom, top=bottom + 12)

    # The next line; a number above the line; the letter after; one below that is further on, as in a fraction.
    assert [_leaves(row, box(*at)) for at in ((0, -14), (48, 5), (48, 0), (48, -14))] == [True, False, False, False]
