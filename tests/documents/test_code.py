"""Source code: what is declared, what is said of it, and what is not read."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mirim.documents import kinds
from mirim.documents.draft import Refused
from mirim.documents.passages import cut
from mirim.documents.readers import code

sys.path.insert(0, str(Path(__file__).parent))
from reading import read


@pytest.mark.parametrize(
    ("name", "source", "headings"),
    [
        ("a.py", "class A:\n    x = 'class No: pass'\n    @property\n    def b(self):\n        def no(): pass\n",
         "A b"),
        ("a.py", "async def a(): pass\n# def no()\ndef late_fees(): pass\n", "a late_fees"),
        ("a.js", "export function a() {}\nconst b = async (x) => { if (x) { } };\nvar no = 1;\n", "a b"),
        ("a.js", "class A {\n  b(x) {\n    for (const no of x) { }\n  }\n}\nit(\"no\", function () {\n});\n", "A b"),
        ("a.ts", "export interface A { b: string }\nexport async function c<T>(x: T): Promise<T> {\n}\n", "A c"),
        ("a.java",
         "public enum A { B }\nclass C {\n  @Test\n  int d(@In(\"x\") int y,\n      int z) throws E {\n  }\n}\n",
         "A C d"),
        ("a.c",
         "#define NO(x) f(x)\nstruct point { int x; };\nstruct point no;\nstatic int\nlate(int a)\n{\n  no(a);\n}\n",
         "point late"),
        ("a.cpp", "class Forward;\ndouble Sensor::degrees(int x) const {\n  if (x) { }\n}\n", "Sensor::degrees"),
        ("a.cs",
         "namespace Club.Shop\n{\n  class A\n  {\n    public async Task<int> B(string x)\n    {\n    }\n  }\n}\n",
         "Club.Shop A B"),
        ("a.go", "type Pool struct {\n}\nfunc (p *Pool) Open(h int) error {\n}\nfunc shut() {}\n", "Pool Open shut"),
        ("a.rs", "pub(crate) struct A(u8);\nimpl A {\n    pub fn b(&self) -> u8 { 1 }\n}\n", "A A b"),
        ("a.rb", "module M\n  class A\n    def empty?\n    end\n  end\nend\n", "M A empty?"),
        ("a.kt", "data class A(val x: Int)\nfun b(x: Int): Int = x\n", "A b"),
        ("a.php", "<?php\nclass A {\n    public function b($x) { }\n}\n", "A b"),
        ("a.sql", "create table if not exists club.fees (no int);\nCREATE OR REPLACE VIEW \"late\" AS SELECT 1;\n",
         "club.fees late"),
        ("a.sh", "backup() {\n  echo no\n}\nfunction rotate {\n  ls\n}\n", "backup rotate"),
        ("a.r", "fee <- function(x) {\n  x\n}\n", "fee"),
    ],
)  # fmt: skip
def test_what_is_declared(tmp_path: Path, name: str, source: str, headings: str) -> None:
    (tmp_path / name).write_text(source)
    document = read(tmp_path / name)
    assert [s.heading for s in document.sections] == [name, *headings.split()]
    # Nothing of the code is lost.
    lines = {line.strip() for line in document.text.split("\n")}
    assert {line.strip() for line in source.split("\n") if not line.startswith("#")} <= lines


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("a.py", '"""Bills members.\n\nOn the fifth.\n"""\nX = 1\n', "Bills members.\n\nOn the fifth."),
        ("a.py", "#!/usr/bin/env python3\n# Bills members.\nimport x\n", "Bills members."),
        ("a.py", "X = 1\n\n\n# Half cents\n# go up.\ndef f():\n    pass\n",
         "## f\n\nHalf cents\ngo up.\n\n```\ndef f"),
        ("a.py", 'class A:\n    """An invoice."""\n    def b(self):\n        pass\n',
         "## A\n\nAn invoice.\n\n```\nclass A:"),
        ("a.java", "/**\n * Adds one.\n *\n * @param x  what\n */\nclass A { }\n",
         "Adds one.\n\n- @param x  what\n\n```"),
        ("a.cs", '/// <summary>Sends.</summary>\n/// <param name="x">who</param>\nclass A { }\n',
         "Sends.\n- @param x who"),
        ("a.rs", "use x;\n\n/// A locker.\n#[derive(Debug)]\nstruct A(u8);\n",
         "## A\n\nA locker.\n\n```\n#[derive(Debug)]"),
        ("a.sql", "-- Members,\n-- one a row.\ncreate table m (x int -- the card\n);\n",
         "Members,\none a row.\n\n```"),
        ("a.go", "package a\n\n// # Opens it\nfunc Open() {}\n", "## Open\n\n\\# Opens it\n\n```"),
    ],
)  # fmt: skip
def test_what_comments_say_stands_as_text_above_the_code(tmp_path: Path, name: str, source: str, said: str) -> None:
    (tmp_path / name).write_text(source)
    assert said in read(tmp_path / name).text


def test_passages_carry_the_path_to_a_function(tmp_path: Path) -> None:
    (tmp_path / "cart.py").write_text(
        'class Cart:\n    """A basket."""\n\n    def add_one(self):\n        """Adds one."""\n'
    )
    assert [p.heading for p in cut(read(tmp_path / "cart.py"))] == ["cart.py > Cart", "cart.py > Cart > add_one"]


def test_code_that_names_what_files_begin_with_is_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('MAGIC = b"%PDF-1.7"\n')
    assert kinds.choose(tmp_path / "a.py") == ("code", [])
    (tmp_path / "a.js").write_text("<!DOCTYPE html><title>404</title><p>There is no such page.")
    assert kinds.choose(tmp_path / "a.js") == ("html", ["is named .js but is an HTML file; read as that"])
    (tmp_path / "a.cs").write_text("// Sends reminders.\nclass A { }\n", "utf-16")
    assert "Sends reminders." in read(tmp_path / "a.cs").text


def test_the_licence_that_a_file_names(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("/* SPDX-License-Identifier: MIT */\nint f(void) {\n}\n")
    assert read(tmp_path / "a.c").licence == "MIT"


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("a.js", "var a=1;" * 1000, "minified"),
        ("a.min.js", "var a = 1;\n", "minified"),
        ("a.go", "// Code generated by protoc-gen-go. DO NOT EDIT.\npackage a\n", "written by a program.*put in what"),
        ("a.py", "# This file is automatically generated.\nx = 1\n", "written by a program"),
        ("a.ts", "/* @generated */\nlet a = 1;\n", "written by a program"),
    ],
)
def test_code_that_nobody_wrote_is_refused(tmp_path: Path, name: str, source: str, reason: str) -> None:
    (tmp_path / name).write_text(source)
    with pytest.raises(Refused, match=reason):
        read(tmp_path / name)


def test_a_script_that_generates_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "# Writes the file that the report is generated from.\n# Ids are auto-generated.\nx = 1\n"
    )
    assert "generated from" in read(tmp_path / "a.py").text


@pytest.mark.parametrize("line", ["int " + "*" * 300, "f(" * 150, "a.b<c>::d " * 35, "a " * 190, "public static " * 25])
def test_code_takes_time_in_proportion(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.js").write_text(f"{line}\n" * 100)
    started = time.monotonic()
    code.read(tmp_path / "a.js")
    assert time.monotonic() - started < 10
