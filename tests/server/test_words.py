"""The page's words: the same in every language, and errors by codes that the server has."""

from __future__ import annotations

import re
from pathlib import Path

import mirim.server

FOLDER = Path(mirim.server.__file__).parent
_TABLE = re.compile(r"^  (\w\w): \{\n(.*?)^  \},\n", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r'(\w+): "((?:[^"\\]|\\.)*)"')


def tables() -> dict[str, dict[str, str]]:
    """language -> key -> text."""
    found = _TABLE.findall((FOLDER / "web" / "words.js").read_text("utf-8"))
    return {tongue: dict(_ROW.findall(rows)) for tongue, rows in found}


def test_every_language_says_everything_with_the_same_places() -> None:
    english, portuguese = (tables()[tongue] for tongue in ("en", "pt"))
    assert list(english) == list(portuguese)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\d\}", text)) == sorted(re.findall(r"\{\d\}", portuguese[key])), key


def test_errors_have_codes_that_the_server_has() -> None:
    sources = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    codes = [key for key in tables()["en"] if "_" in key]
    assert len(codes) > 10
    assert [code for code in codes if f'"{code}"' not in sources] == []
