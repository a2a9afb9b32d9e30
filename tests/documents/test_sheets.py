"""Workbooks: tables where people put them, numbers as cells show them, and what is hidden, damaged or hostile."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mirim.documents import archive, kinds, sheets
from mirim.documents.draft import Refused
from mirim.documents.extract import extract
from mirim.documents.number_formats import Shown

S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
FORMATS = ("General", "0%", "dd/mm/yyyy", "hh:mm")
OPEN = "urn:oasis:names:tc:opendocument:xmlns"
ODS = "application/vnd.oasis.opendocument.spreadsheet"

Cell = str | int | float | tuple[float, int] | None


def grid(rows: Sequence[Sequence[Cell]], after: str = "") -> str:
    """A sheet's XML; (number, which of its formats) is a number with a format, None an empty cell."""
    lines = []
    for number, row in enumerate(rows, 1):
        cells = ""
        for column, value in enumerate(row):
            place = f'r="{chr(65 + column)}{number}"'
            if isinstance(value, str):
                cells += f'<c {place} t="inlineStr"><is><t>{value}</t></is></c>'
            elif value is not None:
                value, style = value if isinstance(value, tuple) else (value, 0)
                cells += f'<c {place} s="{style}"><v>{value}</v></c>'
        lines.append(f'<row r="{number}">{cells}</row>')
    return f'<worksheet xmlns="{S}"><sheetData>{"".join(lines)}</sheetData>{after}</worksheet>'


def merged(*places: str) -> str:
    return "<mergeCells>" + "".join(f'<mergeCell ref="{place}"/>' for place in places) + "</mergeCells>"


def xlsx(path: Path, named: dict[str, str], *, entries: str = "", money: str = "$", **parts: str) -> Path:
    """A workbook of sheets by name; `entries` takes the place of their list. Its last format is of `money`."""
    formats = (*FORMATS, f"&quot;{money}&quot; #,##0.00")
    listed = "".join(f'<sheet name="{name}" r:id="s{i}"/>' for i, name in enumerate(named))
    links = "".join(f'<Relationship Id="s{i}" Type="{R}/worksheet" Target="s{i}.xml"/>' for i in range(len(named)))
    links += f'<Relationship Id="f" Type="{R}/styles" Target="styles.xml"/>'
    links += f'<Relationship Id="t" Type="{R}/sharedStrings" Target="texts.xml"/>'
    own = "".join(f'<numFmt numFmtId="{200 + i}" formatCode="{f}"/>'
                  for i, f in enumerate(formats))  # fmt: skip
    styles = "".join(f'<xf numFmtId="{200 + i}"/>' for i in range(len(formats)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{S}" xmlns:r="{R}"><sheets>{entries or listed}</sheets></workbook>',
        )
        packed.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{links}</Relationships>")
        packed.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{S}"><numFmts>{own}</numFmts><cellXfs>{styles}</cellXfs></styleSheet>',
        )
        for i, sheet in enumerate(named.values()):
            packed.writestr(f"xl/s{i}.xml", sheet)
        for name, content in parts.items():
            packed.writestr(f"xl/{name}.xml", content)
    return path


def ods(path: Path, tables: str, styles: str = "", manifest: str = "") -> Path:
    spaces = " ".join(f'xmlns:{name}="{OPEN}:{name}:1.0"' for name in ("office", "table", "text", "style"))
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("mimetype", ODS)
        packed.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:automatic-styles>{styles}</office:automatic-styles>"
            f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>",
        )
        packed.writestr("META-INF/manifest.xml", manifest)
    return path


def opened(path: Path) -> tuple[Any, str]:
    document, notes = extract(path, path.name, kinds.choose(path)[0])
    return document, " | ".join(notes)


def text(path: Path) -> str:
    return str(opened(path)[0].text)


def test_titles_tables_below_and_beside_each_other(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        ["Prices of May"],
        ["Test", "Price", None, "Room", "Floor"],
        ["X-ray", 50, None, "Garden", 1],
        ["Scan", 90.5, None, "Lake", 2],
        [],
        ["Unit", "Opens"],
        ["Centre", (0.3125, 3)],
    ]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows)})) == (
        "Prices of May\n\n| Test | Price |\n| --- | --- |\n| X-ray | 50 |\n| Scan | 90.5 |\n\n"
        "| Room | Floor |\n| --- | --- |\n| Garden | 1 |\n| Lake | 2 |\n\n"
        "| Unit | Opens |\n| --- | --- |\n| Centre | 07:30 |\n"
    )


def test_a_table_with_an_empty_row_in_it_goes_on(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Test", "Price"], ["X-ray", 50], ["Scan", 60], [], ["Blood", 9], [], ["Notes below."]]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows)})) == (
        "| Test | Price |\n| --- | --- |\n| X-ray | 50 |\n| Scan | 60 |\n| Blood | 9 |\n\nNotes below.\n"
    )


def test_groups_under_titles_of_their_own_share_a_header(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Test", "Price"], ["X-ray", 50], [], ["Ultrasound"], ["Knee", 80], ["Hip", 90], []]
    rows += [["Unit", "Street"], ["Lake", "Reed Street"]]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows)})) == (
        "| Test | Price |\n| --- | --- |\n| X-ray | 50 |\n\nUltrasound\n\n"
        "| Test | Price |\n| --- | --- |\n| Knee | 80 |\n| Hip | 90 |\n\n"
        "| Unit | Street |\n| --- | --- |\n| Lake | Reed Street |\n"
    )


def test_a_header_goes_on_below_a_title_that_stands_alone(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Test", "Price"], ["X-ray", 50], [], ["Ultrasound"], [], ["Knee", 80]]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows)})) == (
        "| Test | Price |\n| --- | --- |\n| X-ray | 50 |\n\nUltrasound\n\n"
        "| Test | Price |\n| --- | --- |\n| Knee | 80 |\n"
    )


def test_rows_of_words_below_a_wide_header_are_no_header(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Name", "Shift", None], ["Ana", "morning", "desk"], ["Rui", "night", "door"]]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows, merged("B1:C1"))})) == (
        "| Name | Shift | Shift |\n| --- | --- | --- |\n| Ana | morning | desk |\n| Rui | night | door |\n"
    )


def test_an_empty_column_before_one_of_values_parts_nothing(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Test", None, "Price"], ["X-ray", None, 50], ["Scan", None, 60]]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows)})) == (
        "| Test | Price |\n| --- | --- |\n| X-ray | 50 |\n| Scan | 60 |\n"
    )


def test_cells_that_reach_into_others(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        ["Opening hours", None, None, None],
        ["Unit", "Weekdays", None, "Saturday"],
        [None, "from", "to", None],
        ["Centre", "7:00", "19:00", "closed"],
        ["By the lake", None, None, None],
        ["Lake", "8:00", "20:00", "8:00"],
        [None, "9:00", "12:00", "holidays"],
    ]
    sheet = grid(rows, merged("A1:D1", "A2:A3", "B2:C2", "D2:D3", "A5:D5", "A6:A7"))
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": sheet})) == (
        "Opening hours\n\n| Unit | Weekdays from | Weekdays to | Saturday |\n| --- | --- | --- | --- |\n"
        "| Centre | 7:00 | 19:00 | closed |\n| By the lake |  |  |  |\n"
        "| Lake | 8:00 | 20:00 | 8:00 |\n| Lake | 9:00 | 12:00 | holidays |\n"
    )


def test_one_column_is_a_list_and_a_form_is_read_row_by_row(tmp_path: Path) -> None:
    named = {"Areas": grid([["Where we deliver"], ["Lagoon"], ["Harbour"]]), "Form": grid([["Made by Ana."]])}
    assert text(xlsx(tmp_path / "a.xlsx", named)) == (
        "## Areas\n\nWhere we deliver\n\n- Lagoon\n- Harbour\n\n## Form\n\nMade by Ana.\n"
    )
    # Cells along the diagonal: a table of them would be almost all empty.
    cells = [(i, j) for i in range(26) for j in {i, (i + 1) % 26}]
    rows = [[f"a{r}{c}" if (r, c) in cells else None for c in range(26)] for r in range(26)]
    assert "- a00; a01\n- a11; a12\n" in text(xlsx(tmp_path / "b.xlsx", {"Sheet1": grid(rows)}))


def test_numbers_of_a_workbook(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        ["Exame", "Preço", "Desconto para os convênios", "Vale até", "Das", "Dose"],
        ["Raio X do tórax", (1234.5, 4), (0.15, 1), (46146, 2), (0.5625, 3), 0.1 + 0.2],
        ["Os exames não são feitos aos domingos", (50, 4), (0.1, 1), (46147, 2), (0.75, 3), 12.0],
    ]
    parts = {"texts": f'<sst xmlns="{S}"><si><t>O preço das consultas não muda até o fim do ano</t></si></sst>'}
    document, notes = opened(xlsx(tmp_path / "a.xlsx", {"Preços": grid(rows)}, money="R$", **parts))
    assert "| Raio X do tórax | R$ 1.234,50 | 15% | 2026-05-04 | 13:30 | 0,3 |\n" in document.text
    assert document.text.startswith("## Preços\n")
    assert (document.language, notes) == ("pt", "")


@pytest.mark.parametrize(
    ("value", "code", "shown", "portuguese"),
    [
        (5.0, "", "5", "5"),
        (0.1 + 0.2, "General", "0.3", "0,3"),
        (12345678901234, "", "12345678901234", "12345678901234"),
        (1234.5, "#,##0.00", "1,234.50", "1.234,50"),
        (-5, "0.00", "-5.00", "-5,00"),
        (-5, "#,##0.00_);(#,##0.00)", "(5.00)", "(5,00)"),
        (1.005, "0.00", "1.01", "1,01"),
        (0.155, "0.0%", "15.5%", "15,5%"),
        (1500000, '#,##0.0,,"M"', "1.5M", "1,5M"),
        (2, "#.##", "2", "2"),
        (45, "[$R$-416] #,##0.00", "R$ 45,00", "R$ 45,00"),
        (0, '_-"R$"\\ * #,##0.00_-;\\-"R$"\\ * #,##0.00_-;_-"R$"\\ * "-"??_-;_-@_-', "R$ -", "R$ -"),
        (12345678901, '000"."000"."000\\-00', "123.456.789-01", "123.456.789-01"),
        (1234567, "00000\\-000", "01234-567", "01234-567"),
        (12345678000190, '00"."000"."000"/"0000-00', "12.345.678/0001-90", "12.345.678/0001-90"),
        (11987654321, "\\(00\\)\\ 00000\\-0000", "(11) 98765-4321", "(11) 98765-4321"),
        (5, '0" dias"', "5 dias", "5 dias"),
        (5, ";;;", "", ""),
        (0.3, "# ?/?", "0.3", "0,3"),
        (46146, '[$-416]d" de "mmmm" de "yyyy;@', "2026-05-04", "2026-05-04"),
        (46146, "mmm/yy", "2026-05", "2026-05"),
        (46146.5625, "dd/mm/yyyy hh:mm", "2026-05-04 13:30", "2026-05-04 13:30"),
        (46146.9999999, "dd/mm/yyyy hh:mm", "2026-05-05", "2026-05-05"),
        (0.5625, "h:mm AM/PM", "13:30", "13:30"),
        (1.5, "[h]:mm", "36:00", "36:00"),
        (59, "yyyy-mm-dd", "1900-02-28", "1900-02-28"),
        (-3, "dd/mm/yyyy", "-3", "-3"),
        (2958465, "dd/mm/yyyy", "9999-12-31", "9999-12-31"),
        (2958465.9999999, "dd/mm/yyyy hh:mm", "2958466", "2958466"),
        (0, "dd/mm/yyyy", "", ""),
        (9e9, "dd/mm/yyyy", "9000000000", "9000000000"),
        (1e300, "0.00", "1e+300", "1e+300"),
    ],
)
def test_formats(value: float, code: str, shown: str, portuguese: str) -> None:
    assert Shown()(value, code) == shown
    assert Shown(comma=True)(value, code) == portuguese


def test_days_counted_from_1904() -> None:
    assert Shown(late=True)(46146 - 1462, "dd/mm/yyyy") == "2026-05-04"
    assert Shown(late=True)(2958465, "dd/mm/yyyy") == "2958465"


def test_what_is_hidden_is_left_out_and_said(tmp_path: Path) -> None:
    sheet = (
        f'<worksheet xmlns="{S}"><cols><col min="2" max="2" hidden="1"/></cols><sheetData>'
        '<row r="1"><c r="A1" t="str"><v>Test</v></c><c r="B1" t="str"><v>Cost</v></c>'
        '<c r="C1" t="str"><v>Price</v></c></row>'
        '<row r="2" hidden="1"><c r="A2" t="str"><v>Withdrawn</v></c></row>'
        '<row r="3"><c r="A3" t="str"><v>Scan</v></c><c r="B3"><v>7</v></c><c r="C3"><v>60</v></c></row>'
        '<row r="4"><c r="A4" t="e"><v>#REF!</v></c><c r="C4"><f>SUM(C1:C3)</f></c></row></sheetData></worksheet>'
    )
    entries = '<sheet name="Sheet1" r:id="s0"/><sheet name="Salaries" state="veryHidden" r:id="s1"/>'
    file = xlsx(tmp_path / "a.xlsm", {"Sheet1": sheet, "Salaries": grid([["Ana", 1]])}, entries=entries)
    document, notes = opened(file)
    assert document.text == "| Test | Price |\n| --- | --- |\n| Scan | 60 |\n"
    for said in (
        "sheets were left out: Salaries",
        "hidden rows and columns of the sheet Sheet1 that were left out: 2",
        "#N/A, not a value, that were left out: 1",
        "did not work them out: 1",
    ):
        assert said in notes


def test_texts_that_cells_share(tmp_path: Path) -> None:
    texts = (
        f'<sst xmlns="{S}"><si><r><t>Blood </t></r><r><t>test</t></r><rPh><t>no</t></rPh></si>'
        "<si><t>7:00_x000D_\nto 9:00</t></si></sst>"
    )
    sheet = (
        f'<worksheet xmlns="{S}"><sheetData><row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
        '<row><c t="b"><v>1</v></c><c t="s"><v>99</v></c></row></sheetData></worksheet>'
    )
    assert text(xlsx(tmp_path / "a.xlsx", {"Plan1": sheet}, texts=texts)) == (
        "| Blood test | 7:00 to 9:00 |\n| --- | --- |\n| TRUE |  |\n"
    )


def test_opendocument_shows_what_it_says(tmp_path: Path) -> None:
    file = ods(
        tmp_path / "a.ods",
        '<table:table table:name="Tabela"><table:table-row>'
        '<table:table-cell table:number-columns-spanned="2"><text:p>Preços de maio</text:p></table:table-cell>'
        "<table:covered-table-cell/></table:table-row>"
        "<table:table-row><table:table-cell><text:p>Exame<text:s text:c='2'/>novo</text:p></table:table-cell>"
        "<table:table-cell><text:p>Vale até</text:p></table:table-cell></table:table-row>"
        '<table:table-row table:number-rows-repeated="2"><table:table-cell office:value-type="currency" '
        'office:value="9.5"><text:p>R$ 9,50</text:p></table:table-cell><table:table-cell office:value-type="date" '
        'office:date-value="2026-05-04"><text:p>04/05/26</text:p></table:table-cell></table:table-row>'
        '<table:table-row table:visibility="collapse"><table:table-cell><text:p>gone</text:p></table:table-cell>'
        '</table:table-row><table:table-row table:number-rows-repeated="1048000"><table:table-cell '
        'table:number-columns-repeated="16384"/></table:table-row></table:table>'
        '<table:table table:name="Custos" table:style-name="t9"><table:table-row><table:table-cell><text:p>x</text:p>'
        "</table:table-cell></table:table-row></table:table>",
        '<style:style style:name="t9" style:family="table"><style:table-properties table:display="false"/>'
        "</style:style>",
    )
    document, notes = opened(file)
    assert document.text == (
        "Preços de maio\n\n| Exame novo | Vale até |\n| --- | --- |\n"
        "| R$ 9,50 | 2026-05-04 |\n| R$ 9,50 | 2026-05-04 |\n"
    )
    assert "sheets were left out: Custos" in notes
    assert "rows and columns of the sheet Tabela that were left out: 1" in notes


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    with pytest.raises(Refused, match="old Office document"):
        kinds.choose(tmp_path / "a.xls")
    (tmp_path / "page.xls").write_text("<html><table><tr><td>Test<td>Price<tr><td>Scan<td>60</table>")
    assert kinds.choose(tmp_path / "page.xls")[0] == "html"
    whole = xlsx(tmp_path / "b.xlsx", {"Sheet1": grid([["a", "b"]] * 500)}).read_bytes()
    (tmp_path / "b.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match="damaged or cut short"):
        opened(tmp_path / "b.xlsx")
    with pytest.raises(Refused, match="holds no text"):
        opened(xlsx(tmp_path / "c.xlsx", {"Sheet1": grid([])}))
    with pytest.raises(Refused, match="encrypted with a password; save a copy without one"):
        opened(ods(tmp_path / "d.ods", "", manifest="<m><encryption-data/></m>"))
    bombs = '<!DOCTYPE d [<!ENTITY a "lol">' + "".join(
        f'<!ENTITY b{i} "{(f"&b{i - 1};" if i else "&a;") * 10}">' for i in range(12)
    )
    sheet = f'{bombs}]><worksheet xmlns="{S}"><sheetData><row><c t="str"><v>&b11;</v></c></row></sheetData></worksheet>'
    with pytest.raises(Refused, match=r"without end|no text"):
        opened(xlsx(tmp_path / "e.xlsx", {"Sheet1": sheet}))
    file = xlsx(tmp_path / "f.xlsx", {"Sheet1": grid([["a", "b"]] * 50)})
    monkeypatch.setattr(sheets, "MOST", 99)
    with pytest.raises(Refused, match="more than 99 cells; split it"):
        opened(file)
    texts = f'<sst xmlns="{S}">{"<si><t>a</t></si>" * 100}</sst>'
    with pytest.raises(Refused, match="more than 99 cells; split it"):
        opened(xlsx(tmp_path / "g.xlsx", {"Sheet1": grid([["a", "b"]])}, texts=texts))
    monkeypatch.setattr(archive, "PART", 3000)
    with pytest.raises(Refused, match="unpacks to more than"):
        opened(file)


def test_cells_that_reach_everywhere_take_no_time(tmp_path: Path) -> None:
    rows = [["x", "y"]] * 3000
    spans = merged(*[f"A{i}:XFD1048576" for i in range(1, 3000)])
    started = time.process_time()
    with pytest.raises(Refused, match="more than"):
        opened(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows, spans)}))
    assert time.process_time() - started < 20
    sheet = f'<worksheet xmlns="{S}"><sheetData><row r="99999999"><c><v>1</v></c></row></sheetData></worksheet>'
    with pytest.raises(Refused, match="more than 1048576 rows in the sheet Sheet1"):
        opened(xlsx(tmp_path / "b.xlsx", {"Sheet1": sheet}))
    huge = (
        '<table:table table:name="a"><table:table-row table:number-rows-repeated="999999999"><table:table-cell '
        'table:number-columns-repeated="999999"><text:p>x</text:p></table:table-cell></table:table-row></table:table>'
    )
    with pytest.raises(Refused, match="more than"):
        opened(ods(tmp_path / "a.ods", huge))


def test_a_header_stands_above_an_empty_row(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["Prices"], ["Test", "Price"], [], ["X-ray", 50], ["Scan", 60]]
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": grid(rows)})) == (
        "Prices\n\n| Test | Price |\n| --- | --- |\n| X-ray | 50 |\n| Scan | 60 |\n"
    )


def test_a_currency_tells_the_language_where_words_do_not(tmp_path: Path) -> None:
    sheet = grid([["Raio X", (50, 4), 0.5]] * 2)
    assert "R$ 50,00 | 0,5 |" in text(xlsx(tmp_path / "a.xlsx", {"Sheet1": sheet}, money="R$"))


def test_an_old_workbook_that_breaks_its_library_is_damaged(tmp_path: Path) -> None:
    whole = (Path(__file__).parent / "samples/xls.xls").read_bytes()
    for size in (1600, 4138, 4619, 5211):
        (tmp_path / "a.xls").write_bytes(whole[:size])
        with pytest.raises(Refused, match="is damaged or cut short"):
            opened(tmp_path / "a.xls")


def test_entities_are_not_fetched_and_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret words")
    declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{tmp_path}/secret"><!ENTITY y "lol">]>'
    texts = f'{declared}<sst xmlns="{S}"><si><t>Open &x; to &y; all</t></si></sst>'
    sheet = f'<worksheet xmlns="{S}"><sheetData><row><c t="s"><v>0</v></c></row></sheetData></worksheet>'
    assert text(xlsx(tmp_path / "a.xlsx", {"Sheet1": sheet}, texts=texts)) == "Open to all\n"
