from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Document
from mirim.documents import store

DOCUMENT = Document(
    id="exams--a.pdf",
    source="exams/a.pdf",
    media_type="application/pdf",
    title='A "title": ok',
    text="# A\n\ntext\n",
    pages=(0, 5),
    sha256="ab" * 32,
    licence="CC",
    language="en",
    metadata={"author": "Ana"},
)

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60)


def test_round_trip(tmp_path: Path) -> None:
    store.save(tmp_path, DOCUMENT, "pdf 1")
    stored = store.read(tmp_path, DOCUMENT.id)
    assert stored.document == replace(DOCUMENT, sections=store.sections(DOCUMENT.text))
    assert (stored.edited, stored.renamed, stored.reader) == (False, False, "pdf 1")
    assert (tmp_path / "exams--a.pdf.md").read_text("utf-8").partition("\n---\n")[2] == DOCUMENT.text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_any_text_survives(text: str) -> None:
    document = Document("d", "d", "text/plain", "t", text)
    assert store.parse("".join(store.dump(document)).encode(), "d").document.text == text


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: My own title\nlanguage: pt\npages: none\n---\n",
        "---\ntitle: 'My own title'\nnonsense\nsource:\nmetadata: [1]\n---\n",
        '---\r\ntitle: "My own title"\r\nextra: x\r\n---\r\n',
        "\ufeff---\ntitle: My own title   \n--- \n",
    ],
)
def test_loose_front_matter_is_tolerated(front: str) -> None:
    stored = store.parse(f"{front}Body\n".encode(), "d.txt")
    assert stored.document.title == "My own title"
    assert stored.document.text == "Body\n"
    assert stored.edited


def test_without_front_matter_everything_is_text() -> None:
    stored = store.parse(b"# Hello\n\nBody\n", "a--b.txt")
    assert (stored.document.text, stored.document.title, stored.document.source) == (
        "# Hello\n\nBody\n",
        "Hello",
        "a/b.txt",
    )


def test_ids() -> None:
    assert store.identify("exams/colonoscopy.pdf") == "exams--colonoscopy.pdf"
    assert store.identify("índice.md") == "índice.md"
    assert store.identify("my file.pdf") != store.identify("my-file.pdf") == "my-file.pdf"
    assert store.identify("a/b.txt") == "a--b.txt" != store.identify("a--b.txt")
    assert len(store.identify("x" * 250 + ".pdf").encode()) < 200
    assert store.identify("x" * 250 + ".pdf").endswith(".pdf")


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=8, unique=True))
def test_ids_never_collide_and_are_safe(paths: list[str]) -> None:
    found = [store.identify(p) for p in paths]
    assert len(set(found)) == len(paths)
    assert all("/" not in f and len(f.encode()) < 230 and not f.startswith(".") for f in found)


def test_sections_govern_up_to_the_next_of_their_level() -> None:
    text = "# A\nx\n## B\ny\n```\n# not one\n```\n## C\nz\n# D\n"
    found = [(s.heading, s.level, text[s.start : s.end]) for s in store.sections(text)]
    assert found[0] == ("A", 1, text[: text.index("# D")])
    assert found[1][2].endswith("```\n")
    assert [f[0] for f in found] == ["A", "B", "C", "D"]


def test_missing_and_unreadable_documents(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mirim ingest"):
        store.load(tmp_path, "nothing")
    (tmp_path / "bad.md").write_bytes(b"---\ntitle: x\n---\ncaf\xe9\n")
    with pytest.raises(MirimError, match="not UTF-8"):
        store.load(tmp_path, "bad")


def test_iterate_is_sorted(tmp_path: Path) -> None:
    for id in ("b", "a", "c"):
        store.save(tmp_path, Document(id, id, "text/plain", id, f"{id}\n"))
    (tmp_path / ".tmp-x.md").write_text("half")
    assert [d.id for d in store.iterate(tmp_path)] == ["a", "b", "c"]


def test_underscores_within_a_word_of_a_heading_are_part_of_it() -> None:
    assert store.plain("`late_fees` and __all__ *fees* _paid_ in_full") == "late_fees and all fees paid in_full"
