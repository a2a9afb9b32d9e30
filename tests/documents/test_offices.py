"""Slides, OpenDocument texts and e-books: the fine points of each, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from mirim.documents import kinds
from mirim.documents.draft import Refused
from mirim.documents.extract import extract

A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
OPEN = "urn:oasis:names:tc:opendocument:xmlns"
SPACES = " ".join(
    f'xmlns:{name}="{OPEN}:{space}:1.0"'
    for name, space in (
        ("office", "office"), ("table", "table"), ("text", "text"), ("style", "style"), ("draw", "drawing"),
        ("presentation", "presentation"), ("fo", "xsl-fo-compatible"),
    )
)  # fmt: skip


def packed(path: Path, **parts: str) -> Path:
    """An archive of parts; '__' in a name is '/', '_dot_' a dot before the ending that is not .xml."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def opened(path: Path) -> tuple[Any, str]:
    document, notes = extract(path, path.name, kinds.choose(path)[0])
    return document, " | ".join(notes)


def shape(text: str, place: str = "", properties: str = "") -> str:
    """A shape of paragraphs, parted by '|'; `place` is the kind of place it fills, '-' none."""
    paragraphs = "".join(f"<a:p>{properties}<a:r><a:t>{t}</a:t></a:r></a:p>" for t in text.split("|"))
    filled = "" if place == "-" else f'<p:ph type="{place}"/>' if place else "<p:ph/>"
    return f"<p:sp><p:nvSpPr><p:nvPr>{filled}</p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>"


def pptx(path: Path, *slides: str, shown: str = "", notes: str = "") -> Path:
    """A presentation of slides by their shapes; `shown` of the second one, `notes` of the first."""
    spaces = f'xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{R}"'
    listed = "".join(f'<p:sldId id="{256 + i}" r:id="r{i}"/>' for i in range(len(slides)))
    links = "".join(f'<Relationship Id="r{i}" Type="{R}/slide" Target="slides/{i}.xml"/>' for i in range(len(slides)))
    parts = {
        "[Content_Types]_dot_xml": "<Types/>",
        "ppt__presentation_dot_xml": f"<p:presentation {spaces}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "ppt___rels__presentation_dot_xml_dot_rels": f"<Relationships>{links}</Relationships>",
        "ppt__slides___rels__0_dot_xml_dot_rels": f'<Relationships><Relationship Id="n" Type="{R}/notesSlide" '
        'Target="../notes.xml"/><Relationship Id="h" Type="x/hyperlink" Target="https://a.example" '
        'TargetMode="External"/></Relationships>',
    }
    for i, content in enumerate(slides):
        extra = f'show="{shown}"' if i == 1 and shown else ""
        parts[f"ppt__slides__{i}_dot_xml"] = (
            f"<p:sld {spaces} {extra}><p:cSld><p:spTree>{content}</p:spTree></p:cSld></p:sld>"
        )
    if notes:
        tree = shape("7", "sldNum") + shape(notes, "body")
        parts["ppt__notes_dot_xml"] = f"<p:notes {spaces}><p:cSld><p:spTree>{tree}</p:spTree></p:cSld></p:notes>"
    return packed(path, **parts)


def test_slides_are_pages(tmp_path: Path) -> None:
    file = pptx(
        tmp_path / "a.pptx",
        shape("Drop by|the stand", "body") + shape("The fair", "title") + shape("page 1", "sldNum"),
        shape("Not for all", "title"),
        f"<p:grpSp>{shape('Drawn words', '-')}</p:grpSp>" + shape("One line", "body"),
        notes="Tell them where the stand is and who of us is there.",
        shown="0",
    )
    document, notes = opened(file)
    assert document.text == (
        "## The fair\n\n- Drop by\n- the stand\n\n"
        "**Speaker notes:** Tell them where the stand is and who of us is there.\n\n"
        "## Slide 3\n\nDrawn words\n\nOne line\n"
    )
    assert document.title == "The fair"
    assert [document.page_at(document.text.index(words)) for words in ("Drop by", "Speaker", "Drawn")] == [1, 1, 3]
    assert "hidden slides were left out: 2; to have them read" in notes


def test_runs_lists_and_tables_of_slides(tmp_path: Path) -> None:
    run = '<a:r><a:rPr b="1"/><a:t>now</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>1</a:t></a:r><a:br/>'
    link = '<a:r><a:rPr><a:hlinkClick r:id="h"/></a:rPr><a:t>Sign up</a:t></a:r>'
    numbered = '<a:pPr{}><a:buAutoNum type="{}"/></a:pPr>'
    items = (
        numbered.format("", "arabicPeriod"), numbered.format("", "arabicPeriod"),
        numbered.format(' lvl="1"', "alphaLcParenR"), numbered.format("", "arabicPeriod"),
    )  # fmt: skip
    body = "".join(f"<a:p>{p}<a:r><a:t>i{i}</a:t></a:r></a:p>" for i, p in enumerate(items))
    cells = "".join(f"<a:tc{a}><a:txBody><a:p><a:r><a:t>{t}</a:t></a:r></a:p></a:txBody></a:tc>" for a, t in
                    ((' gridSpan="2"', "Hours"), (' hMerge="1"', ""), ("", "Room")))  # fmt: skip
    more = "".join(f"<a:tc{a}><a:txBody><a:p><a:r><a:t>{t}</a:t></a:r></a:p></a:txBody></a:tc>" for a, t in
                   (("", "from"), ("", "to"), (' vMerge="1"', "")))  # fmt: skip
    table = f"<p:graphicFrame><a:tbl><a:tr>{cells}</a:tr><a:tr>{more}</a:tr></a:tbl></p:graphicFrame>"
    file = pptx(
        tmp_path / "a.pptx",
        f"<p:sp><p:txBody><a:p>{run}{link}</a:p></p:txBody></p:sp><p:sp><p:txBody>{body}</p:txBody></p:sp>{table}<p:pic/>",
    )
    document, notes = opened(file)
    assert document.text == (
        "## Slide 1\n\n**now**^1\n[Sign up](https://a.example)\n\n1. i0\n2. i1\n    - a) i2\n3. i3\n\n"
        "| Hours | Hours | Room |\n| --- | --- | --- |\n| from | to | Room |\n"
    )
    assert document.title == "a"
    assert notes == "pictures that were not read: 1"


def odt(path: Path, body: str, styles: str = "", manifest: str = "") -> Path:
    return packed(
        path,
        mimetype="application/vnd.oasis.opendocument.text",
        content_dot_xml=f"<office:document-content {SPACES}><office:automatic-styles>{styles}"
        f"</office:automatic-styles><office:body><office:text>{body}</office:text></office:body>"
        "</office:document-content>",
        **{"META-INF__manifest_dot_xml": manifest},
    )


def test_opendocument_text(tmp_path: Path) -> None:
    styles = (
        '<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>'
        '<style:style style:name="T1" style:family="text"><style:text-properties text:display="none"/></style:style>'
        '<style:style style:name="T2" style:family="text"><style:text-properties style:text-position="super 58%"/>'
        '</style:style><text:list-style style:name="L1"><text:list-level-style-number text:level="1" '
        'style:num-format="a" text:start-value="2"/></text:list-style>'
    )
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        "<text:table-of-content><text:p>Rules 1</text:p></text:table-of-content>"
        '<text:p text:style-name="P1">The allotment</text:p><text:h text:outline-level="1">Rules</text:h>'
        '<text:p>Water <text:span text:style-name="T1">secretly </text:span>at  \n 8:00<text:s text:c="3"/>only, R$ 5'
        '<text:span text:style-name="T2">1</text:span><office:annotation><text:p>why?</text:p></office:annotation>.'
        '<text:line-break/><text:a xlink:href="https://b.example" xmlns:xlink="http://www.w3.org/1999/xlink">More</text:a>'
        '</text:p><text:section text:display="none"><text:p>hidden</text:p></text:section>'
        '<text:list text:style-name="L1"><text:list-item><text:p>first</text:p></text:list-item></text:list>'
        '<text:list text:style-name="L1" text:continue-numbering="true"><text:list-item><text:p>second</text:p>'
        "</text:list-item></text:list><text:p><draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box>"
        "</draw:frame><draw:frame><draw:image/></draw:frame></text:p>"
        "<table:table><table:table-row><table:table-cell table:number-rows-spanned='2'><text:p>Plot</text:p>"
        "</table:table-cell><table:table-cell table:number-columns-spanned='2'><text:p>Fee</text:p></table:table-cell>"
        "<table:covered-table-cell/></table:table-row><table:table-row><table:covered-table-cell/><table:table-cell>"
        "<text:p>new</text:p></table:table-cell><table:table-cell><text:p>old</text:p></table:table-cell>"
        "</table:table-row></table:table>"
    )
    document, notes = opened(odt(tmp_path / "a.odt", body, styles))
    assert document.text == (
        "# The allotment\n\n## Rules\n\nWater at 8:00 only, R$ 5^1.\n[More](https://b.example)\n\n"
        "- b. first\n- c. second\n\nIn a box\n\n| Plot | Fee | Fee |\n| --- | --- | --- |\n| Plot | new | old |\n"
    )
    assert document.title == "The allotment"
    assert notes == "charts and pictures that were not read: 1"


def test_opendocument_slides(tmp_path: Path) -> None:
    box = "<draw:frame{}><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
    footer = box.format(' presentation:class="footer"', "every page")
    file = packed(
        tmp_path / "a.odp",
        mimetype="application/vnd.oasis.opendocument.presentation",
        content_dot_xml=f'<office:document-content {SPACES}><office:automatic-styles><style:style style:name="dp2" '
        'style:family="drawing-page"><style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
        f"</office:automatic-styles><office:body><office:presentation><draw:page>{box.format('', 'Doors open at six')}"
        f'{footer}</draw:page><draw:page draw:style-name="dp2">'
        f"{box.format('', 'Not ready')}</draw:page><draw:page><draw:g>{box.format('', 'In a group')}</draw:g>"
        "</draw:page></office:presentation></office:body></office:document-content>",
    )
    document, notes = opened(file)
    assert document.text == "## Slide 1\n\nDoors open at six\n\n## Slide 3\n\nIn a group\n"
    assert document.page_at(document.text.index("In a group")) == 3
    assert notes == "hidden slides were left out: 2; to have them read, show them and save"


def test_locked_and_damaged(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="encrypted with a password; save a copy without one"):
        opened(odt(tmp_path / "a.odt", "<text:p>x</text:p>", manifest="<m:encryption-data/>"))
    with pytest.raises(Refused, match=r"no content\.xml with a body"):
        opened(packed(tmp_path / "b.odt", mimetype="application/vnd.oasis.opendocument.text"))
    with pytest.raises(Refused, match="holds no presentation part"):
        opened(packed(tmp_path / "c.pptx", ppt__presentationx="x"))
    with pytest.raises(Refused, match="holds no package"):
        opened(packed(tmp_path / "d.epub", mimetype="application/epub+zip"))
    whole = pptx(tmp_path / "e.pptx", *[shape(f"Words {i}", "title") for i in range(99)]).read_bytes()
    (tmp_path / "e.pptx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match="damaged or cut short"):
        opened(tmp_path / "e.pptx")
    (tmp_path / "f.odt").write_bytes(b"just some words")
    with pytest.raises(Refused, match=r"named \.odt but its content is not an ODT file"):
        opened(tmp_path / "f.odt")


def test_an_archive_whose_first_word_is_damaged(tmp_path: Path) -> None:
    whole = bytearray(packed(tmp_path / "a.epub", mimetype="application/epub+zip" * 20).read_bytes())
    for at in range(38, 60):
        broken = bytes(whole[:at]) + b"\xff" * 20 + bytes(whole[at + 20 :])
        (tmp_path / "a.epub").write_bytes(broken)
        with pytest.raises(Refused):
            opened(tmp_path / "a.epub")


def epub(path: Path, spine: str, way: str = "", **chapters: str) -> Path:
    items = "".join(f'<item id="{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in chapters)
    parts = {
        "mimetype": "application/epub+zip",
        "book_dot_opf": f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}<item id="out" '
        f'href="../../../etc/passwd" media-type="text/html"/></manifest><spine>{spine}</spine></package>',
        "META-INF__encryption_dot_xml": f'<e><EncryptedData><EncryptionMethod Algorithm="{way}"/></EncryptedData></e>'
        if way
        else "",
    }
    return packed(path, **parts, **{f"{n}_dot_xhtml": c for n, c in chapters.items()})


def test_books(tmp_path: Path) -> None:
    spine = '<itemref idref="b"/><itemref idref="a"/><itemref idref="b"/><itemref idref="out"/><itemref idref="no"/>'
    chapters = {"a": "<html><body><h1>Winter</h1><p>Feed them.</p>", "b": "<html><body><h1>Autumn</h1><p>Wait.</p>"}
    fonts = "http://www.idpf.org/2008/embedding"
    document, notes = opened(epub(tmp_path / "a.epub", spine, fonts, **chapters))
    assert document.text == "# Autumn\n\nWait.\n\n# Winter\n\nFeed them.\n"
    assert notes == "chapters that are missing from the file: 1"
    lock = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
    with pytest.raises(Refused, match=r"copy protection \(DRM\)"):
        opened(epub(tmp_path / "b.epub", spine, lock, **chapters))


def test_a_word_file_whose_main_part_has_another_name(tmp_path: Path) -> None:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    file = packed(
        tmp_path / "a.docx",
        **{
            "_rels___dot_rels": f'<Relationships><Relationship Id="a" Type="{R}/officeDocument" '
            'Target="/word/document2.xml"/></Relationships>',
            "word__document2_dot_xml": f'<w:document xmlns:w="{space}"><w:body><w:p><w:r><w:t>Saved online</w:t></w:r>'
            "</w:p></w:body></w:document>",
        },
    )
    assert opened(file)[0].text == "Saved online\n"


def test_numbers_of_a_word_file_that_are_none(tmp_path: Path) -> None:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    cells = "".join(
        f'<w:tc><w:tcPr><w:gridSpan w:val="x"/></w:tcPr><w:p><w:r><w:t>{word}</w:t></w:r></w:p></w:tc>'
        for word in ("Unit", "Lake")
    )
    body = f"<w:tbl><w:tr>{cells}</w:tr><w:tr>{cells}</w:tr></w:tbl>"
    file = packed(tmp_path / "a.docx", word__document_dot_xml=f'<w:d xmlns:w="{space}"><w:body>{body}</w:body></w:d>')
    assert opened(file)[0].text.startswith("| Unit | Lake |\n")


def test_a_part_that_is_no_xml_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"is damaged \(word/document\.xml: "):
        opened(packed(tmp_path / "a.docx", word__document_dot_xml="\x00\x01 no markup"))
