"""Every reader on its own sample, and the fine points of each format."""

from __future__ import annotations

import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mirim.core import plugins
from mirim.documents import kinds
from mirim.documents.markdown import capitals, emboldened, tildes
from mirim.documents.readers.html import page
from mirim.documents.text import unscramble

sys.path.insert(0, str(Path(__file__).parent))
from reading import SAMPLES, read


@pytest.mark.parametrize("name", plugins.names(kinds.ROOM))
def test_sample(name: str) -> None:
    """A reader is complete once samples/<name>.<ending> and samples/<name>.expected lie beside the others."""
    module = kinds.readers()[name]
    [sample] = [p for p in SAMPLES.glob(f"{name}.*") if p.suffix != ".expected"]
    assert sample.suffix in module.SUFFIXES
    assert kinds.choose(sample) == (name, [])
    document = read(sample)
    assert document.media_type == module.MEDIA
    lines = document.text.split("\n")
    for line in (SAMPLES / f"{name}.expected").read_text("utf-8").splitlines():
        assert line in lines
    assert "\r" not in document.text
    assert document.text.endswith("\n")


def test_furniture_is_left_out() -> None:
    text = read(SAMPLES / "html.html").text
    for word in ("Início", "cookies", "alert", "Direitos"):
        assert word not in text


def test_metadata() -> None:
    assert read(SAMPLES / "markdown.md").title == "Visiting hours"
    assert read(SAMPLES / "markdown.md").licence == "CC0"
    assert read(SAMPLES / "html.html").title == "Convênios"
    assert read(SAMPLES / "eml.eml").metadata["created"] == "2025-12-01T09:00:00-03:00"
    assert read(SAMPLES / "csv.csv").language == "pt"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>a</p>b<p>c", "a\n\nb\n\nc"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n    - b\n- c"),
        ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b"),
        ("<p>H<sub>2</sub>O <em> x </em>y", "H2O *x* y"),
        ("<pre>a\n  b</pre>", "```\na\n  b\n```"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<p>a<br>b", "a\nb"),
        ("<h2>A <b>b</b></h2>c", "## A **b**\n\nc"),
        ("<p><a href='#x'>in</a> <a href='http://a/(b)'>out</a>", "in [out](http://a/(b))"),
        ("<details><summary>Q?</summary><p>A.</p></details>", "**Q?**\n\nA."),
        ("<table><tr><td>a|b<td>c<tr><td>d</table>", "| a\\|b | c |\n| --- | --- |\n| d |  |"),
        ("<table><tr><td rowspan=2>a<td>b<tr><td>c</table>", "| a | b |\n| --- | --- |\n| a | c |"),
        ("<table><tr><td>a<td><ul><li>x<li>y</ul><tr><td>b</table>", "| a | - x - y |\n| --- | --- |\n| b |  |"),
        ("<table><tr><td>a<td><ul><li>x<li>y</ul></table>", "a\n\n- x\n- y"),
        ("<table><tr><td>Glucose<td>99 mg/dL</table>", "|  |  |\n| --- | --- |\n| Glucose | 99 mg/dL |"),
        ("<table><tr><th>a<td>b<tr><th>c<td>d</table>", "|  |  |\n| --- | --- |\n| **a** | b |\n| **c** | d |"),
        ("<table><tr><td>Tel.<td>(11) 5555-01<tr><td>c<td>d</table>",
         "|  |  |\n| --- | --- |\n| Tel. | (11) 5555-01 |\n| c | d |"),
        ("<table><tr><td>Exam<td>2024<tr><td>c<td>R$ 5</table>", "| Exam | 2024 |\n| --- | --- |\n| c | R$ 5 |"),
        ("<h3><button aria-controls=a>How?</button></h3><p id=a hidden>So.", "### How?\n\nSo."),
        ("<button aria-expanded=false>How do I pay?</button><div style='display:none'>Here.</div>",
         "**How do I pay?**\n\nHere."),
        ("<p>text of it<button aria-expanded=false>Menu</button><ul hidden><li>Home</ul>", "text of it"),
        ("<p>text of it<section id=lgpd><h2>LGPD</h2>Five years.</section>", "text of it\n\n## LGPD\n\nFive years."),
        ("<p>text of it<div class=lgpd><h2>Cookies?</h2><button>Yes</button></div>", "text of it"),
        ("<nav>menu</nav><p>The content of this page, long enough.", "The content of this page, long enough."),
        ("<nav>menu only</nav>", "menu only"),
        ("<p>The text of it<ul id=menu-top class=nav-menu><li><a href=/>Home</a><ul><li><a href=/x>Us</a></ul></ul>",
         "The text of it"),
        ("<p>The text of it<div id=sidebar><h3>New</h3><a href=/1>Our fair</a> <a href=/2>A wall</a></div>",
         "The text of it"),
        ("<p>The text of it<div class=menu><a href=/s>Soup</a> 5 and <a href=/p>pie</a> 7</div>",
         "The text of it\n\n[Soup](/s) 5 and [pie](/p) 7"),
        ("<p>The text of it<div class=menu-forms><a href=/a.pdf>To join</a> <a href=/b.pdf>To leave</a></div>",
         "The text of it\n\n[To join](/a.pdf) [To leave](/b.pdf)"),
        ("<p>The text of it<div id=footer><a href=tel:1>555-0100</a> <a href=/m>Map</a></div>",
         "The text of it\n\n[555-0100](tel:1) [Map](/m)"),
        ("<p hidden>no</p><p style='display: none'>no</p><p>Yes, this is to be seen.", "Yes, this is to be seen."),
        ("<article><p>text of it</p><footer>By Ana</footer></article>", "text of it\n\nBy Ana"),
        ("<p>text of it<footer>rights<address>Rua 1, tel. 2</address></footer>", "text of it\n\nRua 1, tel. 2"),
        ("&lt;b&gt; &amp; &nbsp;x", "<b> & \u00a0x"),
    ],
)  # fmt: skip
def test_html(markup: str, expected: str) -> None:
    assert page(markup)[0] == expected


def test_spanning_bombs_are_bounded() -> None:
    text = page("<table><tr><td colspan=100000000 rowspan=100000000>a<td>b<tr><td>c</table>")[0]
    assert len(text) < 100_000


@pytest.mark.parametrize(
    "line", ["<p>open words", "<!-- open words", "<div\n", "<p>\n<p>", "~~~~\ncode\n\nTitle\n----", "```\nx"]
)
def test_marks_that_are_never_closed_take_no_time(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"{line}\n\n" * 20_000)
    started = time.process_time()
    read(path)
    assert time.process_time() - started < 10


def test_html_and_comments_in_markdown(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "A <!--> not --> b\n\n<div>\n<DIV class='x'>one</DIV>\n<p>two</p></div>\n\n<p>open\n\n"
        "<!-- hidden -->  \nend <!-- open\n"
    )
    assert read(path).text == "A b\n\none\n\ntwo\n\n<p>open\n\nend <!-- open\n"


def test_titles_above_a_table_are_not_its_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Price list;;\nMay 2026\n;;\nUnit;Test;Price\nLake;X-ray;9,50\n")
    assert read(tmp_path / "t.csv").text == (
        "Price list\n\nMay 2026\n\n| Unit | Test | Price |\n| --- | --- | --- |\n| Lake | X-ray | 9,50 |\n"
    )


def test_lines_of_tildes_in_plain_text_are_no_code() -> None:
    text = "Notice\n~~~~~~\nThe house opens at 8.\n\n~~~~\nHOURS\n\nUntil 6.\n~~~~\nThe end.\n"
    assert tildes(text) == "### Notice\nThe house opens at 8.\n\n\nHOURS\n\nUntil 6.\n\nThe end.\n"
    fenced = "Type:\n\n~~~sh\n# a comment\n~~~\n"
    assert tildes(fenced) == fenced


def test_frames_leave_no_tags(tmp_path: Path) -> None:
    (tmp_path / "f.html").write_text(
        "<html><head><title>F</title></head><frameset><frame src='a.html'><noframes><body><p>Open at <b>nine</b>.</p>"
        "</body></noframes></frameset></html>"
    )
    assert read(tmp_path / "f.html").text.strip() == "Open at **nine**."


def test_capitals_that_open_a_block_are_headings_of_plain_text() -> None:
    text = "ULTRASOUND: HOW TO PREPARE\nLeaflet of May.\n\nPELVIS\nDrink five glasses.\n\nKeep this.\nTHE END\n"
    assert capitals(text) == text.replace("ULTRA", "# ULTRA").replace("PELVIS", "## PELVIS")
    shouted = "CLOSED TODAY\nCOME BACK SOON\n\nCALL US\nThank you.\n"
    assert capitals(shouted) == shouted


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a;b\n1,5;2,5\n3,5;4,5\n", "| 1,5 | 2,5 |"),
        ("a\tb\n1\t2\n", "| 1 | 2 |"),
        ("a|b\n1|2\n", "| 1 | 2 |"),
        ('a,b\n"x, y",2\n', "| x, y | 2 |"),
        ("sep=;\na;b\n1;2\n", "| 1 | 2 |"),
        ("a,b\n1,2,3\n", "| 1 | 2 | 3 |"),
        ('a,b\n"line\nbreak",2\n', "| line break | 2 |"),
        ("Industry\nHealth/Care\nSales\n", "| Health/Care |"),
        ("Price list;;\nMay 2026;;\n;;\nUnit;Test;Price\nLake;X-ray;9,50\n", "| Unit | Test | Price |"),
        ("a;b\nonly;\n1;2\n", "| only |  |"),
    ],
)
def test_csv(tmp_path: Path, text: str, row: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert row in read(tmp_path / "t.csv").text.split("\n")


def test_word_details(tmp_path: Path, make_docx: Callable[..., Path]) -> None:
    def p(text: str, properties: str = "") -> str:
        return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"

    def c(content: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"

    rows = (
        c(p("wide"), '<w:gridSpan w:val="2"/>'),
        c(p("tall"), '<w:vMerge w:val="restart"/>') + c(p("x")),
        c("<w:p/>", "<w:vMerge/>") + c(p("y")),
    )
    merged = "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    box = "<w:p><w:r><w:pict><w:txbxContent>" + p("in a box") + "</w:txbxContent></w:pict></w:r></w:p>"
    note = '<w:p><w:r><w:t>Claim</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    outline = '<w:outlineLvl w:val="1"/>'
    file = make_docx(
        tmp_path / "a.docx",
        p("Section", outline) + merged + box + note,
        footnotes='<w:footnote w:id="2">' + p("Source") + "</w:footnote>",
    )
    text = read(file).text
    table = "| wide | wide |\n| --- | --- |\n| tall | x |\n| tall | y |"
    assert text == f"## Section\n\n{table}\n\nin a box\n\nClaim[^1]\n\n[^1]: Source\n"


def test_strict_word(tmp_path: Path) -> None:
    space = "http://purl.oclc.org/ooxml/wordprocessingml/main"
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{space}"><w:body><w:p><w:r><w:t>Strict</w:t></w:r></w:p></w:body></w:document>',
        )
    assert read(tmp_path / "a.docx").text == "Strict\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("html", 0.97),
        ("docx", 0.96),
        ("csv", 0.99),
        ("md", 0.95),
        ("pdf", 0.85),
        ("xlsx", 0.86),
        ("pptx", 0.83),
        ("odf", 0.96),
    ],
)
def test_fidelity(shared: Path, name: str, least: float) -> None:
    """Mean token F1 against reference Markdown that another converter wrote; see bench/ingest_fidelity.py."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("fidelity", Path(__file__).parents[2] / "bench/ingest_fidelity.py")
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    scores = []
    folder = shared / "data/documents/docling" / name
    for source in sorted((folder / "sources").iterdir()):
        for reference in (folder / "groundtruth" / f"{source.name}.md", folder / "groundtruth" / f"{source.stem}.md"):
            if reference.is_file():
                scores.append(bench.f1(bench.words(read(source).text), bench.words(reference.read_text("utf-8"))))
                break
    assert len(scores) > 5
    assert sum(scores) / len(scores) >= least


def test_what_stands_above_the_line_is_no_digit(tmp_path: Path, make_docx: Callable[..., Path]) -> None:
    page_ = tmp_path / "a.html"
    page_.write_text(
        "<p>R$ 50<sup>1</sup>, 10<sup>6</sup>, <b>20</b><sup>3</sup>, m<sup>2</sup>, 1<sup>st</sup></p>", "utf-8"
    )
    assert read(page_).text == "R$ 50^1, 10^6, **20**^3, m2, 1st\n"
    up = '<w:rPr><w:vertAlign w:val="superscript"/></w:rPr>'
    runs = (
        f"<w:r><w:t>R$ 50</w:t></w:r><w:r>{up}<w:t>1</w:t></w:r><w:r><w:t> a m</w:t></w:r><w:r>{up}<w:t>2</w:t></w:r>"
    )
    assert read(make_docx(tmp_path / "a.docx", f"<w:p>{runs}</w:p>")).text == "R$ 50^1 a m2\n"


def test_prose_between_two_rules_is_no_front_matter(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("---\nClosed in January.\n\nAttention: bring your card.\n\n---\n# Welcome\n", "utf-8")
    assert "Attention: bring your card." in read(file).text
    file.write_text("---\ntitle: Guide\ntags:\n  - a\n- b\n# comment\n---\nText.\n", "utf-8")
    made = read(file)
    assert (made.title, made.text) == ("Guide", "Text.\n")


def test_frames_and_hidden_words_of_word(tmp_path: Path, make_docx: Callable[..., Path]) -> None:
    def cell(*words: str) -> str:
        return f"<w:tc>{''.join(f'<w:p><w:r><w:t>{w}</w:t></w:r></w:p>' for w in words)}</w:tc>"

    hidden = "<w:p><w:r><w:t>Seen</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t> and not</w:t></w:r></w:p>"
    body = f"<w:tbl><w:tr>{cell('One.', 'Two.')}</w:tr></w:tbl>{hidden}"
    body += f"<w:tbl><w:tr>{cell('Phone')}{cell('555-0100')}</w:tr><w:tr>{cell('Fax')}{cell('none')}</w:tr></w:tbl>"
    text = read(make_docx(tmp_path / "a.docx", body)).text
    assert text == "One.\n\nTwo.\n\nSeen\n\n|  |  |\n| --- | --- |\n| Phone | 555-0100 |\n| Fax | none |\n"


def test_capitals_are_not_put_right() -> None:
    assert unscramble("«MAÇÃ», AMANHÃ\u00a0") == ("«MAÇÃ», AMANHÃ\u00a0", 0)
    assert unscramble("NÃ£o Ã© AÃ§Ã£o") == ("Não é Ação", 3)


def test_what_a_page_says_of_itself_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        "<html><body><div><h1>Entrega</h1><p>Custa R$ 12,00 e leva três dias.</p><p>© means copyright.</p></div>"
        "<div><p>© 2026 Loja Azul. Todos os direitos reservados.</p><small>Blue Shop, all rights reserved</small>"
        "<div>Usamos cookies para melhorar a visita. <button>Aceito</button></div></div>"
        "<p>We use cookies to keep your basket for a day.</p></body></html>",
        "utf-8",
    )
    text = read(tmp_path / "page.html").text
    assert text.strip().split("\n\n") == [
        "# Entrega",
        "Custa R$ 12,00 e leva três dias.",
        "© means copyright.",
        "We use cookies to keep your basket for a day.",
    ]


def test_a_number_above_the_line_is_no_part_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "n.html").write_text("<p>within 3 days<sup>1</sup>, 20 m<sup>2</sup>, 5 km<sup>2</sup></p>", "utf-8")
    assert read(tmp_path / "n.html").text.strip() == "within 3 days^1, 20 m2, 5 km2"


def test_lines_in_bold_that_stand_as_headings_do() -> None:
    text = (
        "# Club\n\n**Opening hours**\n\nFrom nine.\n\n***Prices***\n\n- a day: 40\n\n**No shoes in the hall.**\n\n"
        "Thanks.\n\n**May I smoke?**\n\nNo.\n\n**Ana**\n\n**Rui**\n\n## Notes\n\n**Last**\n\nIn **bold** words.\n\n"
        "```\n\n**Code**\n\nx\n```\n\n**The end**\n"
    )
    assert emboldened(text) == text.replace("**Opening hours**", "## Opening hours").replace(
        "***Prices***", "## Prices"
    ).replace("**Last**", "### Last")
