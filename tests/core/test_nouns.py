from pathlib import Path

import pytest

from mirim.core import plugins, stamp
from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError, suggest
from mirim.core.report import Finding, Report, Table
from mirim.core.types import Answer, Citation, Document, Example, Message, Span


def test_pages_are_found_by_offset() -> None:
    document = Document("a", "a.pdf", "application/pdf", "A", "x" * 30, pages=(0, 10, 20))
    assert [document.page_at(i) for i in (0, 9, 10, 25)] == [1, 1, 2, 3]
    assert Document("a", "a.txt", "text/plain", "A", "x").page_at(0) is None


def test_examples_go_round_through_json() -> None:
    example = Example(
        "1",
        "answer",
        (Message("user", "q"), Message("assistant", "a")),
        (Span("d", 1, 2),),
        "valid",
        "extract",
        {"k": 1},
    )
    assert Example.from_json(example.to_json()) == example


def test_an_answer_prints_the_contracts_object() -> None:
    answer = Answer("a", False, 0.91234567, "quote", (Citation("d", "d.md", 2, 3, 9, "source"),), "m", 0.5)
    row = answer.to_json()
    assert list(row) == ["answer", "abstained", "confidence", "policy", "citations", "model", "seconds"]
    assert row["citations"] == [{"document": "d", "source": "d.md", "page": 2, "start": 3, "end": 9, "text": "source"}]
    assert "page 2" in answer.to_text()


def test_a_bundle_knows_when_a_file_changed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    bundle = Bundle(tmp_path, "m", method="pretrain").save(scores={"f1": 0.5})
    again = Bundle.open(tmp_path)
    assert (again.name, again.scores, again.files) == ("m", {"f1": 0.5}, bundle.files)
    again.verify()
    (tmp_path / "config.json").write_text("{ }")
    with pytest.raises(MirimError, match=r"config\.json is not the file"):
        again.verify()


def test_a_folder_without_bundle_json_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mirim build"):
        Bundle.open(tmp_path)


def test_a_stamp_is_fresh_only_for_its_inputs_and_outputs(tmp_path: Path) -> None:
    out = tmp_path / "models" / "m.bin"
    out.parent.mkdir()
    out.write_text("x")
    path = tmp_path / "data" / "stamps" / "train.json"
    inputs = stamp.fingerprint("train", {"steps": 1}, out.parent)
    assert not stamp.fresh(path, inputs)
    stamp.write(path, inputs, [out])
    assert stamp.fresh(path, inputs)
    assert not stamp.fresh(path, stamp.fingerprint("train", {"steps": 2}, out.parent))
    out.unlink()
    assert not stamp.fresh(path, inputs)
    path.write_text("{broken")
    assert not stamp.fresh(path, inputs)


def test_plugins_are_files() -> None:
    assert {"quote", "grounded", "free"} <= set(plugins.names("assist.policies"))
    with pytest.raises(UsageError, match='did you mean "quote"'):
        plugins.load("assist.policies", "quot")


def test_reports_escape_what_they_show() -> None:
    report = Report("T", "a <b>", (Table("t", ("x",), (("<i>|",), (0.5,))),), (Finding("error", "w", "<w>", "do"),))
    assert "a &lt;b&gt;" in report.to_html()
    assert "&lt;i&gt;|" in report.to_html()
    assert "<i>\\|" in report.to_markdown()
    assert report.to_json()["findings"][0]["do"] == "do"


def test_suggestions() -> None:
    assert suggest("lora_rnk", ["lora_rank", "steps"]) == '; did you mean "lora_rank"?'
    assert suggest("zzz", ["b", "a"]) == "; known: a, b"
