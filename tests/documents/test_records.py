"""Records, notebooks, subtitles, saved pages, rich text, AsciiDoc: what is read, and what is said to be left out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mirim.documents.draft import Refused
from mirim.documents.extract import extract
from mirim.documents.passages import cut

sys.path.insert(0, str(Path(__file__).parent))
from reading import SAMPLES, read


def said(folder: Path, name: str, content: Any) -> tuple[str, list[str]]:
    """The text of a file and the notes on it."""
    path = folder / name
    if not isinstance(content, str | bytes):
        content = json.dumps(content, ensure_ascii=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    document, notes = extract(path, name, {".srt": "timed", ".vtt": "timed", ".jsonl": "json", ".mht": "mhtml"}.get(
        path.suffix, path.suffix[1:]))  # fmt: skip
    return document.text, notes


def test_records_of_short_values_are_a_table(tmp_path: Path) -> None:
    text, notes = said(
        tmp_path, "prices.json", '[{"examName":"Iron|x","price":12.50,"ok":true},{"examName":"B12","price":9}]'
    )
    assert (
        text
        == "# prices\n\n| exam name | price | ok |\n| --- | --- | --- |\n| Iron\\|x | 12.50 | true |\n| B12 | 9 |  |\n"
    )
    assert notes == []


def test_questions_and_answers_stand_under_each_other(tmp_path: Path) -> None:
    rows = [{"resposta": f"Custa R$ {i},00.\nTraga a carteira.", "pergunta": f"Quanto custa {i}?"} for i in (7, 8)]
    text, _ = said(tmp_path, "faq.jsonl", "\n".join(map(json.dumps, rows)))
    assert text.startswith("# faq\n\n## Quanto custa 7?\n\nCusta R$ 7,00.\nTraga a carteira.\n\n## Quanto custa 8?")
    assert [p.heading for p in cut(read(tmp_path / "faq.jsonl"))] == ["faq > Quanto custa 7?", "faq > Quanto custa 8?"]


def test_a_long_title_is_kept_whole(tmp_path: Path) -> None:
    question = "What does a locker cost " + "for a day " * 20
    text, _ = said(tmp_path, "a.json", [{"question": question, "answer": "Three euros."}])
    assert question.strip() in text
    assert len(text.split("\n")[2]) < 140


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ({n: {"title": "Pool", "body": "x " * 80} for n in "ab"}, "## a\n\n- **title:** Pool"),
        ({"hours": {"monday": "8h", "note": ["a", "b"]}}, "## hours\n\n- **monday:** 8h\n- **note:** a, b"),
        ({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": "deep"}}}}}}}}, "- **h:** deep"),
        (["one", "two", {"name": "Ivo", "desk": "3"}], "- one\n\n- two\n\n- **name:** Ivo\n- **desk:** 3"),
        ([[{"name": "Ivo", "text": "At\nnine."}]], "## Ivo\n\nAt\nnine."),
        ("word", "# a\n\nword"),
        ({"body": "# Not a heading"}, "\\# Not a heading"),
    ],
)  # fmt: skip
def test_any_shape_of_json_is_read(tmp_path: Path, content: Any, kept: str) -> None:
    assert kept in said(tmp_path, "a.json", json.dumps(content))[0]


def test_a_name_that_comes_twice_keeps_both_values(tmp_path: Path) -> None:
    assert "- **desk:** Ana, Ivo" in said(tmp_path, "a.json", '{"desk": "Ana", "desk": "Ivo"}')[0]


def test_figures_stay_as_they_are_written(tmp_path: Path) -> None:
    assert "12.50, 1e400, 0.10" in said(tmp_path, "a.json", '{"a": [12.50, 1e400, 0.10]}')[0]


def test_what_says_nothing_is_left_out_and_told(tmp_path: Path) -> None:
    text, notes = said(tmp_path, "a.json", {"name": "Pool", "photo": "iVBORw0KGgo" * 90, "curve": list(range(99))})
    assert text == "# a\n\n- **name:** Pool\n"
    assert notes == [
        "values that are no text, such as pictures written as letters, left out: 1",
        "lists of figures, left out: 1",
    ]


def test_lines_that_are_no_records_are_told(tmp_path: Path) -> None:
    text, notes = said(tmp_path, "a.jsonl", '{"name": "Ana"}\n{"name": "Ivo"}\n{"name": "Ri')
    assert "Ivo" in text
    assert notes == ["lines that are no records, left out, the first of them line 3: 1"]
    assert "- **name:** Ana" in said(tmp_path, "b.jsonl", '{\n  "name": "Ana"\n}\n')[0]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", '{"a": 1,\n "b" 2}', r"is not JSON \(line 2, column 6: .*export it again"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", "no\nno\n", "is not JSON"),
        ("package-lock.json", "{}", "written by a program"),
        ("a.ipynb", "{}", "without cells.*save it again"),
        ("a.ipynb", '{"cells": [', "is not a notebook"),
        ("a.srt", "Only words.\n", "no subtitles.*00:00:01,000"),
        ("a.mht", "Content-Type: multipart/related; boundary=b\n\n--b\n\nno\n--b--\n", "no page.*save it as HTML"),
        ("a.rtf", "{\\rtf1 " + "{" * 9000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, content: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        said(tmp_path, name, content)


def test_a_notebook_of_odd_cells(tmp_path: Path) -> None:
    cells = [
        1,
        {"cell_type": "heading", "level": "x", "source": "Fees"},
        {
            "cell_type": "code",
            "source": ["x = '```'\n"],
            "outputs": [[], {"data": []}, {"text": "\x1b[31mred\x1b[0m " * 900}],
        },
        {"cell_type": "raw", "source": ["Text here."]},
    ]
    text, notes = said(tmp_path, "a.ipynb", {"cells": cells, "metadata": []})
    assert text.startswith("# Fees\n\n````\nx = '```'\n````\n\n```\nred red ")
    assert text.endswith("\n\nText here.\n")
    assert notes == ["answers of the code longer than 4000 characters were cut"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.vtt", "WEBVTT - x\n\nNOTE by hand\n\nintro\n"
         "00:01.000 --> 00:04.000 align:start\n<v Ivo>Keys &amp; <i>cards</i>.</v>\n",
         "[0:00:01] **Ivo:** Keys & cards.\n"),
        ("a.srt", "1\n00:00:01,0 --> 00:00:02,0\nOne.\n2\n00:00:02,5 --> 00:00:03,0\nTwo.\n", "[0:00:01] One. Two.\n"),
        ("a.srt", "1\n00:00:01,0 --> 00:00:02,0\nOne,\n\ntwo.\n\n2\n00:00:02,5 --> 00:00:03,0\n2026\n",
         "[0:00:01] One, two. 2026\n"),
        ("a.srt", "1\n00:00:01,0 --> 00:00:02,0\nOne.\n\n2\n00:00:12,0 --> 00:00:13,0\nTwo.\n",
         "[0:00:01] One.\n\n[0:00:12] Two.\n"),
    ],
)  # fmt: skip
def test_subtitles(tmp_path: Path, name: str, content: str, text: str) -> None:
    assert said(tmp_path, name, content) == (text, [])


def test_a_saved_page_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    page = "<html><head><meta charset=windows-1251><title>Т</title><body><p>Цена ключа"
    content = b"Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n" + page.encode("cp1251")
    assert said(tmp_path, "a.mht", content + b"\n--b--\n")[0] == "Цена ключа\n"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"One {\v hidden}{\deleted gone}two\par three", "One two\n\nthree"),
        (r"{\*\new{\v0 no}}{\*\shpinst{\sp{\sn a}{\sv b}}{\shptxt In a box.}}", "In a box."),
        (r"{\header no}{\pict\bin5 ab}cd}Text{\field{\*\fldinst NO}{\fldrslt  here}}", "Text here"),
        (r"A\u8211?B \uc2\u233 ??\'e7{\uc0\u233 x}", "A–B éçéx"),
        (r"Fee{\footnote Per day.} here.\par Next.", "Fee here.\n\nPer day.\n\nNext."),
        (r"\trowd\intbl a\cell b\par c\cell\row\pard d", "| a | b c |\n| --- | --- |\n\nd"),
        (r"\pard\outlinelevel1 Hours\par\pard {\listtext\'b7}x\par{\pntext 2.}y\par z", "## Hours\n\n- x\n2. y\n\nz"),
    ],
)
def test_rich_text(tmp_path: Path, body: str, text: str) -> None:
    assert said(tmp_path, "a.rtf", "{\\rtf1\\ansi\\ansicpg1252 " + body + "}") == (text + "\n", [])


def test_rich_text_cut_short_says_so(tmp_path: Path) -> None:
    _, notes = said(tmp_path, "a.rtf", (SAMPLES / "rtf.rtf").read_bytes()[:400])
    assert notes == ["ends in the middle: it was cut short, and what followed is lost"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('[cols="2*"]\n|===\n|Day\n|Hour\n\n2+|Always\n|===\n', "| Day | Hour |\n| --- | --- |\n| Always | Always |"),
        ("|===\n|Day\n|Hour\n\n|Monday\n|9\n|===\n", "| Day | Hour |\n| --- | --- |\n| Monday | 9 |"),
        (":fee: 3\n== A {fee} {other}\n", "## A 3 {other}"),
        ("////\nno\n////\n....\n= code\n....\nimage::a.png[The pool,300]\n", "```\n= code\n```\nThe pool"),
        (
            "std::string is no term\nFee:: 3\n. one\n.. two\n",
            "std::string is no term\n\n**Fee:** 3\n1. one\n    1. two",
        ),
    ],
)
def test_asciidoc(tmp_path: Path, content: str, text: str) -> None:
    assert said(tmp_path, "a.adoc", content) == (text + "\n", [])


def test_a_block_of_asciidoc_that_is_not_closed_is_told(tmp_path: Path) -> None:
    text, notes = said(tmp_path, "a.adoc", "Words.\n----\ncode\ninclude::b.adoc[]\n")
    assert "code\ninclude" in text
    assert notes == ["a block that begins with ---- is not closed; what follows it stands in it"]
