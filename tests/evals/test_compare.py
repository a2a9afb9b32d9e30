"""Held-out questions: scoring, the comparison with the base, the report and the bundle's scores."""

import json
from pathlib import Path
from typing import Any

import pytest

from mirim.assist.answer import Assistant
from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.core.types import Answer, Citation, Document
from mirim.documents.store import save
from mirim.evals.compare import _coverage
from mirim.evals.evaluate import evaluate
from mirim.evals.held_out import calibration_error, score
from mirim.examples.held import HeldOut

TEXT = "# Prices\n\nA visit costs R$ 180,00.\n\nParking is free.\n"
ASKED = [
    ("q1", "How much is a visit?", "R$ 180,00", True, "prices.md"),
    ("q2", "Quanto custa o estacionamento da clínica?", "free", True, "prices.md"),
    ("q3", "Who won the cup?", "", False, ""),
    ("q4", "Can I bring my dog?", "", False, ""),
]


class Fake:
    """An assistant that has an answer, a refusal or a wrong citation for each question."""

    def __init__(self, model: str, good: set[str]) -> None:
        self.model, self.good, self.engine = model, good, None

    def __enter__(self) -> "Fake":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def answer(self, question: str) -> Answer:
        if question not in self.good:
            return Answer("I don't know.", True, 0.1, "quote", (), self.model, 0.01)
        start = TEXT.index("A visit" if "visit" in question else "Parking")
        end = TEXT.index(".", start) + 1
        cited = Citation("prices.md", "prices.md", None, start, end, TEXT[start:end])
        return Answer(TEXT[start:end], False, 0.9, "quote", (cited,), self.model, 0.02)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "mirim.toml").write_text('[project]\nname = "shop"\n', "utf-8")
    document = Document("prices.md", "prices.md", "text/markdown", "Prices", TEXT, language="en")
    save(tmp_path / "data" / "documents", document)
    (tmp_path / "evals").mkdir()
    rows = [dict(zip(("id", "question", "answer", "answerable", "document"), a, strict=True)) for a in ASKED]
    (tmp_path / "evals" / "q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    bundle = tmp_path / "models" / "shop"
    bundle.mkdir(parents=True)
    Bundle(bundle, "shop").save()
    return Project.open(tmp_path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which models were asked. The tuned one answers both, search alone one of them."""
    models: list[str] = []

    def open_(source: Project, *, model: str = "", **_: Any) -> Fake:
        models.append(model)
        if model == "broken":
            raise MirimError("it has no weights")
        if model == "none":
            return Fake("none", {ASKED[0][1], ASKED[2][1]})
        return Fake(model or "shop", {ASKED[0][1], ASKED[1][1]})

    monkeypatch.setattr(Assistant, "open", open_)
    return models


def test_the_tuned_model_beside_search_alone(project: Project, opened: list[str]) -> None:
    data = evaluate(project).to_json()
    assert opened == ["", "none"]
    figures = data["figures"]
    assert figures["right"]["value"] == 1.0
    assert figures["right"]["base"] == 0.5
    assert figures["right"]["difference"] == 0.5
    assert figures["key_fact"]["n"] == 2
    assert figures["refused"]["value"] == 1.0
    assert figures["refused"]["base"] == 0.5
    # Less is better here: the base refused one of two, and refusing less helps.
    assert figures["refused_answerable"]["difference"] == -0.5
    assert figures["refused_answerable"]["difference_low"] <= -0.5 <= figures["refused_answerable"]["difference_high"]
    assert figures["citations_verified"]["value"] == 1.0
    assert figures["document_cited"]["value"] == 1.0
    assert data["abstention"] == {"precision": 1.0, "recall": 1.0}
    assert data["verdict"] in ("helped", "no evidence")
    scores = Bundle.open(project.model).scores
    assert scores["key_fact"] == 1.0
    assert scores["verdict"] == data["verdict"]
    assert Bundle.open(project.model).files == {}


def test_the_reports_on_disk(project: Project, opened: list[str]) -> None:
    evaluate(project)
    text = (project.reports / "evaluate.json").read_text("utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["questions"] == 4
    page = (project.reports / "evaluate.html").read_text("utf-8")
    assert page.count("<svg") == 3
    assert page.count('aria-label="') == 3
    assert "<script" not in page
    rows = [json.loads(line) for line in (project.reports / "predictions.jsonl").open(encoding="utf-8")]
    assert [r["id"] for r in rows] == ["q1", "q2", "q3", "q4"]
    markdown = (project.reports / "evaluate.md").read_text("utf-8")
    assert "By language" in markdown
    assert "| pt |" in markdown
    assert "| md |" in markdown


def test_it_is_the_same_twice_apart_from_time(project: Project, opened: list[str]) -> None:
    first, second = evaluate(project, seed=3).to_json(), evaluate(project, seed=3).to_json()
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_failures_are_listed_with_what_was_cited(project: Project, opened: list[str]) -> None:
    report = evaluate(project, model="none", base="other")
    failed = next(t for t in report.tables if t.title == "What went wrong").rows
    assert [(r[0], r[4], r[5]) for r in failed] == [("q2", "(refused)", "-"), ("q3", "Parking is free.", "prices.md")]
    # Search alone was measured, not the bundle: its scores stay as they were.
    assert Bundle.open(project.model).scores == {}


def test_a_base_that_cannot_run_leaves_the_tuned_one_alone(project: Project, opened: list[str]) -> None:
    Bundle.open(project.model).save(base="broken")
    data = evaluate(project).to_json()
    assert "base" not in data["figures"]["right"]
    assert data["verdict"] == "not compared"
    # One that was asked for by name is told, before anybody is asked.
    opened.clear()
    with pytest.raises(MirimError, match="it has no weights"):
        evaluate(project, base="broken")
    assert opened == ["broken"]


def test_a_base_that_moved_with_its_adapter_is_asked_where_it_lies(project: Project, opened: list[str]) -> None:
    base = project.models / "small"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (project.model / "adapter_config.json").write_text("{}")
    Bundle.open(project.model).save(base="/where/it/was/small", adapter=True)
    evaluate(project)
    assert opened[-1] == str(base)


@pytest.mark.parametrize("given", [{"policy": "free"}, {"base": "none"}, {"limit": 2}, {"model": "other"}])
def test_other_figures_are_kept_apart(project: Project, opened: list[str], given: dict[str, Any]) -> None:
    evaluate(project)
    before = (project.reports / "evaluate.json").read_text(), Bundle.open(project.model).scores
    evaluate(project, **given)
    assert before == ((project.reports / "evaluate.json").read_text(), Bundle.open(project.model).scores)
    assert (project.reports / "evaluate-asked.json").is_file()
    assert (project.reports / "predictions-asked.jsonl").is_file()


def test_what_mirim_toml_says_is_the_models_own(
    project: Project, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project.root / "mirim.toml").open("a") as file:
        file.write('[evaluate]\nlimit = 3\npolicy = "quote"\n')
    monkeypatch.setenv("MIRIM_EVALUATE_BASE", "none")
    assert evaluate(Project.open(project.root)).data["questions"] == 3
    assert json.loads((project.reports / "evaluate.json").read_text())["questions"] == 3
    assert Bundle.open(project.model).scores["questions"] == 3
    assert not (project.reports / "evaluate-asked.json").exists()
    # Nor is it told to be of no use where it was said of every call.
    monkeypatch.chdir(project.root)
    (project.root / "p.jsonl").write_text('{"sentence_good": "a b", "sentence_bad": "b"}\n')
    assert evaluate(model="echo", pairs=project.root / "p.jsonl").data["pairs"] == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [({"seed": -1}, "--seed -1 is negative"), ({"perplexity": Path(__file__), "base": "x"}, "--base say nothing")],
)
def test_what_would_be_found_out_at_the_end_is_told_at_once(project: Project, given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        evaluate(project, **given)


def test_all_refused_has_no_numbers_that_json_lacks(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Assistant, "open", lambda *_, **__: Fake("mute", set()))
    data = evaluate(project).to_json()
    json.dumps(data, allow_nan=False)
    assert data["calibration_error"] is None
    assert "value" not in data["figures"]["citations_verified"]
    assert data["figures"]["key_fact"]["value"] == 0


def test_a_citation_must_be_the_documents_own_characters(project: Project) -> None:
    asked = HeldOut("q1", "How much is a visit?", "R$180", True, "prices.md")
    good = Citation("prices.md", "prices.md", None, 10, 35, TEXT[10:35])
    moved = Citation("prices.md", "prices.md", None, 11, 36, TEXT[10:35])
    lost = Citation("gone.md", "gone.md", None, 0, 1, "#")
    answer = Answer(TEXT[10:35], False, 0.9, "quote", (good, moved, lost), "m", 0.0)
    scored = score(project, asked, answer)
    assert scored.verified == pytest.approx(1 / 3)
    assert (scored.fact, scored.right_document, scored.good) == (1, 1, 1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": 1, "question": "a?", "answer": "b"}', '"answerable" is missing'),
        ('{"id": 1, "question": "a?", "answer": "b", "answerable": "no"}', '"answerable" is "no"'),
        ('{"id": true, "question": "a?", "answer": "b", "answerable": true}', '"id" is true'),
        ('{"id": 1, "question": " ", "answer": "b", "answerable": true}', "the id or the question is empty"),
        ('{"id": 1, "question": "a?", "answer": "", "answerable": true}', 'write "answerable": false'),
        ('{"id": 1, "question": "a?", "answer": "b", "answerable": true, "document": 3}', '"document" is 3'),
        ('{"id": 1, "question": 2, "answer": "b", "answerable": true}', '"question" is 2'),
        ("nonsense", "line 1: not a JSON object"),
    ],
)
def test_broken_questions_are_named(project: Project, opened: list[str], line: str, said: str) -> None:
    (project.evals / "q.jsonl").write_text(line, "utf-8")
    with pytest.raises(UsageError) as caught:
        evaluate(project)
    assert "q.jsonl line 1" in str(caught.value)
    assert said in str(caught.value)


def test_an_id_that_stands_twice_is_an_error_with_both_places(project: Project, opened: list[str]) -> None:
    row = {"id": "a1", "question": "Who?", "answer": "", "answerable": False}
    (project.evals / "q.jsonl").write_text(f"\ufeff\r\n{json.dumps(row)}\r\n", "utf-8", newline="")
    (project.evals / "r.jsonl").write_text(f"\n{json.dumps(row | {'question': 'Where?'})}\n", "utf-8")
    with pytest.raises(UsageError, match=r'r\.jsonl line 2: the id "a1" stands in .*q\.jsonl line 2 too'):
        evaluate(project)
    (project.evals / "r.jsonl").write_text(f"{json.dumps(row | {'id': 1})}\n{json.dumps(row | {'id': '1'})}\n")
    with pytest.raises(UsageError, match=r'r\.jsonl line 2: the id "1" stands in .*r\.jsonl line 1 too'):
        evaluate(project)


def test_a_document_that_there_is_not_is_said_and_not_counted(project: Project, opened: list[str]) -> None:
    file = project.evals / "q.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    wrong = next(r for r in rows if r["document"])
    counted = evaluate(project).data["figures"]["document_cited"]["n"]
    wrong["document"] = wrong["document"].upper()
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    report = evaluate(project)
    [finding] = [f for f in report.findings if f.where.endswith(f"line {rows.index(wrong) + 1}")]
    assert "did you mean" in finding.what
    assert report.data["figures"]["document_cited"]["n"] == counted - 1


def test_an_unanswerable_question_needs_no_answer(project: Project, opened: list[str]) -> None:
    row = {"id": 1, "question": "Who?", "answer": None, "answerable": False, "document": None}
    (project.evals / "q.jsonl").write_text(json.dumps(row), "utf-8")
    assert evaluate(project).data["figures"]["refused"]["value"] == 1


def test_no_questions_at_all(project: Project, opened: list[str]) -> None:
    (project.evals / "q.jsonl").unlink()
    with pytest.raises(UsageError, match="no questions in"):
        evaluate(project)


def test_coverage_ends_where_it_refused(project: Project) -> None:
    rows = []
    for confidence, fact, refused in ((0.9, "R$ 180", False), (0.8, "R$ 200", False), (0.3, "R$ 180", True)):
        given = Answer("It costs R$ 180", refused, confidence, "quote", (), "m", 0.0)
        rows.append(score(project, HeldOut("q", "How much is a visit?", fact, True), given))
    rows.append(score(project, HeldOut("u", "Who won?", "", False), Answer("Me", False, 0.85, "quote", (), "m", 0.0)))
    assert _coverage(rows) == [(0.25, 1.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3))]


def test_calibration_error_by_hand(project: Project) -> None:
    rows = []
    for confidence, right in ((0.95, True), (0.95, False), (0.55, True), (0.2, False)):
        asked = HeldOut("q", "How much is a visit?", "R$ 180" if right else "R$ 200", True)
        rows.append(score(project, asked, Answer("It costs R$ 180", False, confidence, "quote", (), "m", 0.0)))
    error, points = calibration_error(rows)
    # half the answers are 0.45 too sure, a quarter 0.45 not sure enough, a quarter 0.2 too sure
    assert error == pytest.approx(0.5 * 0.45 + 0.25 * 0.45 + 0.25 * 0.2)
    assert points == [(0.2, 0.0), (0.55, 1.0), (0.95, 0.5)]
