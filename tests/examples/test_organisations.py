"""The fictional organisations that answering learns from: files can be read, answers stand where they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("organisations", ROOT / "bench" / "organisations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["organisations"] = module
    spec.loader.exec_module(module)
    return module


#: Of each folder: organisations, and how many questions of each kind those of one and of another generation have.
FIRST, LATER, TEST = (30, 14, 7, 3), (100, 37, 10, 5), (80, 37, 10, 5)


@pytest.mark.parametrize(
    ("folder", "count", "sizes"), [("recipes/organisations", 127, {FIRST, LATER}), ("bench/customers", 8, {TEST})]
)
def test_every_organisation_can_be_read(
    reader: ModuleType, folder: str, count: int, sizes: set[tuple[int, ...]]
) -> None:
    found = list(reader.organisations(ROOT / folder))
    assert len(found) == len({o.name for o in found}) == count
    assert {o.language for o in found} == {"en", "pt"}
    for o in found:
        texts = {d.id: d.text for d in o.documents}
        assert all(len(text.split()) > 100 for text in texts.values()), o.slug
        kinds = [q.kind for q in o.questions]
        answered, *others = (kinds.count(k) for k in ("answered", "near", "topic", "outside"))
        assert any(answered >= least and others == rest for least, *rest in sizes), (o.slug, answered, others)
        assert len({q.question for q in o.questions}) == len(o.questions), o.slug
        for q in o.questions:
            assert bool(q.spans) == (q.kind == "answered")
            assert all(texts[q.document][a:b].strip() for a, b in q.spans)


def test_what_answers_are_measured_on_is_not_learned_from(reader: ModuleType) -> None:
    learned = {o.name: o for o in reader.organisations(ROOT / "recipes" / "organisations")}
    kept = [o for number, o in enumerate(learned.values()) if reader.kept_out(number)]
    assert len(kept) == 21
    assert learned.keys().isdisjoint(o.name for o in reader.organisations(ROOT / "bench" / "customers"))
    assert {o.slug for o in kept}.isdisjoint(reader.asked(ROOT / "recipes" / "organisations" / "asked.jsonl"))


def test_what_cannot_be_read_is_said(reader: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("@org Shop | en\n@doc a | A\nOpen at nine.\n@q a\nQ: When?\nA: nine\nS: Open at ten.\n", "utf-8")
    with pytest.raises(ValueError, match="substring"):
        reader.read(path)
    path.write_text("@org Shop | en\n@what a\n", "utf-8")
    with pytest.raises(ValueError, match="line 2"):
        reader.read(path)
