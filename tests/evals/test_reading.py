"""Reading in SQuAD's format: the contract, its normalisation, and contexts that do not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
from evals_fakes import Letters

from mirim.core.errors import UsageError
from mirim.evals import reading
from mirim.examples.template import CHATML

CONTEXT = "The bridge was built in 1932. It crosses the harbour. Nobody swims there in June."


def squad(path: Path, qas: list[dict[str, Any]], context: str = CONTEXT, **top: Any) -> Path:
    article = {"title": "Sydney_Bridge", "paragraphs": [{"context": context, "qas": qas}]}
    path.write_text(json.dumps({"version": "v2.0", "data": [article], **top}), "utf-8")
    return path


def qa(id: str, question: str, *answers: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "question": question, "answers": [{"text": a, "answer_start": 0} for a in answers], **more}


def test_the_contract(tmp_path: Path) -> None:
    path = squad(
        tmp_path / "dev.json",
        [
            qa("a", "When was it built?", "1932", "in 1932"),
            qa("b", "What does it cross?", "a harbour"),
            qa("c", "Who paid?", is_impossible=True, plausible_answers=[{"text": "Nobody"}]),
            qa("d", "Who swims?", is_impossible=True),
        ],
    )
    engine = Letters(context=500, answers={"built?": "In 1932!", "cross?": "the old harbour", "swims?": "June"})
    data = reading.measure(engine, path, "letters").to_json()
    assert data == {
        # 'the old harbour' has two tokens without its article, one of them right
        "f1": pytest.approx((100 + 100 * 2 / 3 + 100 + 0) / 4),
        "exact_match": 50.0,
        "questions": 4,
        "predictions": {"a": "In 1932!", "b": "the old harbour", "c": "", "d": "June"},
    }
    # The model reads the title, the text and the question through the prompt of the answer task.
    assert engine.prompts[0].index("Sydney Bridge") < engine.prompts[0].index(CONTEXT)
    assert engine.prompts[0].endswith("When was it built?")


@pytest.mark.parametrize(
    ("said", "exact"), [("pt", 100.0), ("pt-BR", 100.0), ("Brazilian Portuguese", 100.0), ("en", 0.0), ("", 0.0)]
)
def test_portuguese_articles_go_where_the_file_says_so(tmp_path: Path, said: str, exact: float) -> None:
    context = "A ponte foi construída pelo governo em 1932, e o porto fica ali perto do centro da cidade."
    questions = [qa("a", "O que fica ali?", "porto")]
    path = squad(tmp_path / "dev.json", questions, context, **({"language": said} if said else {}))
    engine = Letters(context=500, answers={"ali?": "o porto"})
    assert reading.measure(engine, path, "letters").data["exact_match"] == exact
    inside = json.loads(path.read_text("utf-8"))
    inside["data"][0]["language"] = inside.pop("language", "")
    path.write_text(json.dumps(inside), "utf-8")
    assert reading.measure(engine, path, "letters").data["exact_match"] == exact


def test_a_long_context_is_cut_around_the_question(tmp_path: Path) -> None:
    filler = [f"Sentence number {n} speaks of nothing at all." for n in range(40)]
    context = " ".join([*filler[:25], "The lighthouse keeper is called Ines.", *filler[25:]])
    path = squad(tmp_path / "dev.json", [qa("a", "What is the lighthouse keeper called?", "Ines")], context)
    engine = Letters(context=400, answers={"called Ines": "Ines"})
    report = reading.measure(engine, path, "letters")
    assert report.data["f1"] == 100
    assert "1 of 1 contexts do not fit" in report.findings[0].what
    with pytest.raises(UsageError, match="question a does not fit"):
        reading.measure(Letters(context=100), path, "letters")


@pytest.mark.parametrize("content", ["[]", "{}", '{"data": [{"paragraphs": [{"context": "a"}]}]}', '{"data": [1]}'])
def test_another_format_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=r"dev\.json is not in SQuAD format"):
        reading.squad(path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no questions"):
        reading.squad(squad(tmp_path / "dev.json", []))


def test_a_real_file_is_read(shared: Path) -> None:
    questions = reading.squad(shared / "data" / "squad_v11_pt_sample" / "sample-v1.1-pt.json")
    assert len(questions) > 50
    assert all(q.answers and q.context and q.title for q in questions)


def test_a_model_without_a_chat_template_continues_raw_text(tmp_path: Path) -> None:
    path = squad(tmp_path / "dev.json", [qa("a", "When was it built?", "1932")])
    engine = Letters(context=500, answers={"built?": "1932"})
    engine.template = ""
    assert reading.measure(engine, path, "letters").data["exact_match"] == 100
    (prompt,) = engine.prompts
    assert prompt.endswith("Question: When was it built?\n\nAnswer:")
    assert CONTEXT in prompt


def test_a_model_of_mirims_making_reads_sentence_by_sentence(tmp_path: Path) -> None:
    class Sentences(Letters):
        template = CHATML

        def score(self, prompt: Any, candidates: Any) -> list[list[float]]:
            return [[-4.0 if "harbour" in prompt[-1].content else -0.01]]

    path = squad(
        tmp_path / "dev.json", [qa("a", "What does it cross?", "harbour"), qa("b", "Who?", is_impossible=True)]
    )
    engine = Sentences(context=500, answers={"What does it cross?": "the harbour"})
    assert reading.measure(engine, path, "letters").data["predictions"] == {"a": "the harbour", "b": ""}
    assert "It crosses the harbour.\n\n? What" in engine.prompts[0]
    assert "1932" not in engine.prompts[0]
    # A sentence that does not fit is left out, and the report says so.
    path = squad(
        tmp_path / "long.json", [qa("a", "What does it cross?", "harbour")], f"{CONTEXT} It is {'very ' * 200}old."
    )
    report = reading.measure(engine, path, "letters")
    assert report.data["predictions"] == {"a": "the harbour"}
    assert "1 of 1 contexts do not fit" in report.findings[0].what
