"""What stands as an answer, what stands above it, and how a person reads it."""

from __future__ import annotations

from mirim.core.types import Passage
from mirim.examples.units import plain, readable, units

TABLE = """| Unit | Weekdays | Sunday |
| --- | --- | --- |
| Lagoa | 7:00 to 20:00 | closed |
| **Centro** |  | 9:00 |"""


def passage(text: str, header: str = "") -> Passage:
    return Passage("d", "d.md", 100, 100 + len(text), "Guide", text, None, "en", header)


def test_a_row_knows_the_header_of_its_table_and_the_header_is_no_answer() -> None:
    found = units(passage(f"Open all year.\n\n{TABLE}\n\nCall us."))
    assert [u.text for u in found] == ["Open all year.", "Lagoa | 7:00 to 20:00 | closed", "Centro | 9:00", "Call us."]
    assert [u.header for u in found] == [(), ("Unit", "Weekdays", "Sunday"), ("Unit", "Weekdays", "Sunday"), ()]


def test_rows_of_a_table_that_began_before_the_passage_know_its_header_too() -> None:
    found = units(passage("| Lagoa | 7:00 |", header="Unit | Opens"))
    assert [u.header for u in found] == [("Unit", "Opens")]


def test_the_first_sentence_below_a_question_opens_with_it() -> None:
    text = "Fast first.\n\n**Can I drink water?**\n\nYes. As much as you like."
    first, yes, more = units(passage(text))
    assert (first.opens, more.opens) == (first.start, more.start)
    assert text[yes.opens - 100 : yes.end - 100] == "**Can I drink water?**\n\nYes."


def test_rows_are_read_with_their_header_and_lists_line_by_line() -> None:
    whole = passage(f"Where we are.\n\n{TABLE}\n\n- Bring **water**.\n- Come early\n\nThat is all. Goodbye.")
    assert readable(whole, whole.start, whole.end) == (
        "Where we are.\n- Lagoa; Weekdays: 7:00 to 20:00; Sunday: closed.\n- Centro; Weekdays: –; Sunday: 9:00.\n"
        "- Bring water.\n- Come early.\nThat is all. Goodbye."
    )
    part = whole.text.index("| Lagoa"), whole.text.index("| **Centro")
    assert readable(whole, 100 + part[0], 100 + part[1]) == "- Lagoa; Weekdays: 7:00 to 20:00; Sunday: closed."


def test_steps_are_read_with_their_numbers() -> None:
    steps = passage("How to wash:\n\n1. Wet your hands.\n2) Use soap.\n10. Dry them.\n\nThat is all.")
    assert readable(steps, steps.start, steps.end) == (
        "How to wash:\n1. Wet your hands.\n2) Use soap.\n10. Dry them.\nThat is all."
    )
    second = steps.text.index("2)")
    assert readable(steps, 100 + second, 100 + second + len("2) Use soap.")) == "2) Use soap."


def test_marks_that_hold_no_words_are_not_read() -> None:
    code = passage("Type:\n\n```\nmirim build\n```\n\nThen wait.")
    assert readable(code, code.start, code.end) == "Type:\nmirim build. Then wait."


def test_quoted_mail_reads_without_its_marks() -> None:
    text = "> The fee is 45\n> reais. It rose.\n>\n> Regards"
    assert [u.text for u in units(passage(text))] == ["The fee is 45 reais.", "It rose.", "Regards"]


def test_what_compares_is_no_mark() -> None:
    rows = "| Glucose | < 100 mg/dL | > 126 mg/dL |\n| Freezer | - 18 °C | + 4 °C |"
    table = passage(f"| Test | Normal | High |\n| --- | --- | --- |\n{rows}")
    shown = readable(table, table.start, table.end)
    assert shown == "- Glucose; Normal: < 100 mg/dL; High: > 126 mg/dL.\n- Freezer; Normal: - 18 °C; High: + 4 °C."
    assert plain("> 200 mg/dL means high") == "> 200 mg/dL means high"
    assert plain("> Said by a guest") == "Said by a guest"
    assert plain("2**3 and A__B__C, **bold** and __more__") == "2**3 and A__B__C, bold and more"
    assert plain("**Attention. Read this") == "Attention. Read this"


def test_a_number_that_opens_a_row_is_read_with_its_header() -> None:
    table = passage("| Route | Ends at |\n| --- | --- |\n| 31 | Mill |\n| N7 | Weir |\n| 12/05 | closed |")
    assert readable(table, table.start, table.end) == (
        "- Route: 31; Ends at: Mill.\n- N7; Ends at: Weir.\n- Route: 12/05; Ends at: closed."
    )


def test_what_a_row_has_no_value_for_is_said() -> None:
    rows = "| Judo | 60 | 90 |  | 35 |\n| Total |  |  |  | 35 |\n|  | 12 | 14 | 15 | 16 |"
    table = passage(f"| Class | Once | Twice | Daily | Joining |\n| --- | --- | --- | --- | --- |\n{rows}")
    assert readable(table, table.start, table.end) == (
        "- Judo; Once: 60; Twice: 90; Daily: –; Joining: 35.\n- Total; Joining: 35.\n"
        "- Once: 12; Twice: 14; Daily: 15; Joining: 16."
    )
