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
    with pytest.raises(UsageError, match="fits the model's context of 100 tokens"):
        reading.measure(Letters(context=100), path, "letters")


@pytest.mark.parametrize(
    "content", ["1", "[1]", "{}", '{"data": [{"paragraphs": [{"context": "a"}]}]}', '{"data": [1]}']
)
def test_another_format_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=r"dev\.json is not in SQuAD format"):
        reading.squad(path)


def test_a_text_that_is_no_json_is_told_how_to_write_it(tmp_path: Path) -> None:
    path = tmp_path / "mill.txt"
    path.write_text("A mill stands by the river.\n", "utf-8")
    with pytest.raises(UsageError, match=r'mill\.txt is not JSON: .+; write it as \{"data": '):
        reading.squad(path)
    with pytest.raises(UsageError, match=r"none\.json") as caught:
        reading.squad(tmp_path / "none.json")
    assert "write it as" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": None}, r"qas[1].id is null, not text or a number"),
        ({"id": True}, r"qas[1].id is true, not text or a number"),
        ({"question": 3}, r"qas[1].question is 3, not text"),
        ({"answers": "Monday"}, r'qas[1].answers is "Monday", not a list or an object'),
        ({"answers": ["Monday"]}, r'qas[1].answers[0] is "Monday", not an object'),
        ({"answers": [{"text": "a"}, {"text": None}]}, r"qas[1].answers[1].text is null, not text or a number"),
        ({"answers": [{"answer_start": 0}]}, r'qas[1].answers[0] has no "text"'),
        ({"answers": {"text": "Monday"}}, r'qas[1].answers.text is "Monday", not a list'),
        ({"answers": {"text": ["a", True]}}, r"qas[1].answers.text[1] is true, not text or a number"),
        ({"answers": {"answer_start": []}}, r'qas[1].answers has no "text"'),
        ({"is_impossible": "false"}, r'qas[1].is_impossible is "false", not true or false or a number'),
    ],
)
def test_what_a_question_has_amiss_is_told_with_its_place(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = squad(tmp_path / "dev.json", [qa("a", "Who?"), {**qa("b", "When?", "1932"), **change}])
    with pytest.raises(UsageError) as caught:
        reading.squad(path)
    assert f"{path} is not in SQuAD format: data[0].paragraphs[0].{says}; write it as" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (1, "the whole is 1, not an object"),
        ([1], "data[0] is 1, not an object"),
        ({"data": {}}, "data is {}, not a list"),
        ({"data": [], "language": ["pt"]}, 'language is ["pt"], not text'),
        ({"data": [{"title": "a", "paragraphs": {}}]}, "data[0].paragraphs is {}, not a list"),
        ({"data": [{"paragraphs": []}, "x" * 99]}, f'data[1] is "{"x" * 59}…, not an object'),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, 'data[0].paragraphs[0] has no "context"'),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{}]}]}]}, 'data[0].paragraphs[0].qas[0] has no "id"'),
    ],
)
def test_what_a_file_has_amiss_is_told_with_its_place(tmp_path: Path, content: Any, says: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(UsageError) as caught:
        reading.squad(path)
    assert f"SQuAD format: {says}; write it as" in str(caught.value)


def test_forms_that_files_in_use_have(tmp_path: Path) -> None:
    """A byte-order mark, numbers for ids and answers, answers as Hugging Face has them, none as null or left out."""
    bare = {"id": "d", "question": "Who?"}
    given = [{"text": ["1932", "in 1932"], "answer_start": [0, 0]}, {"text": [], "answer_start": []}, None]
    rows = [{**qa("", "When?"), "id": n, "answers": answers} for n, answers in enumerate(given)]
    more = [{**bare, "id": "f", "answers": [{"text": 1932}]}, {**qa("g", "When?", "1932"), "is_impossible": 1}]
    path = squad(tmp_path / "dev.json", [*rows, bare, {**bare, "id": "e", "answers": [], "is_impossible": None}, *more])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    read = {q.id: q.answers for q in reading.squad(path)}
    assert read == {"0": ("1932", "in 1932"), "1": (), "2": (), "d": (), "e": (), "f": ("1932",), "g": ()}


def test_two_questions_of_one_id_both_count_and_it_is_said(tmp_path: Path) -> None:
    path = squad(tmp_path / "dev.json", [qa("7", "When?", "1932"), {**qa("", "Who?", "Nobody"), "id": 7}])
    report = reading.measure(Letters(context=500, answers={"When?": "1932", "Who?": "Rui"}), path, "letters")
    assert (report.data["questions"], report.data["f1"], report.data["predictions"]) == (2, 50.0, {"7": "Rui"})
    assert ['"7" stands 2 times' in finding.what for finding in report.findings] == [True]


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
    report = reading.measure(engine, path, "letters")
    assert report.data["predictions"] == {"a": "the harbour", "b": ""}
    assert "none was to be refused" not in report.summary
    assert "It crosses the harbour.\n\n? What" in engine.prompts[0]
    assert "1932" not in engine.prompts[0]
    # Where every question has an answer none is refused: that which every sentence refuses is asked all the same.
    path = squad(tmp_path / "all.json", [qa("a", "What does it cross?", "harbour"), qa("b", "Who?", "he")])
    engine = Sentences(context=500, answers={"What does it cross?": "the harbour", "Who?": "a man"})
    report = reading.measure(engine, path, "letters")
    assert report.data["predictions"] == {"a": "the harbour", "b": "a man"}
    assert "none was to be refused" in report.summary
    # A sentence that does not fit is left out, and the report says so.
    path = squad(
        tmp_path / "long.json", [qa("a", "What does it cross?", "harbour")], f"{CONTEXT} It is {'very ' * 200}old."
    )
    report = reading.measure(engine, path, "letters")
    assert report.data["predictions"] == {"a": "the harbour"}
    assert "1 of 1 contexts do not fit" in report.findings[0].what


def test_an_answer_of_nothing_is_none(tmp_path: Path) -> None:
    """As some files of SQuAD 2.0 say that there is no answer; and as it counts there, beside others."""
    qas = [{"id": "1", "question": "q?", "answers": [{"text": " "}]}]
    qas += [{"id": "2", "question": "q?", "answers": [{"text": ""}, {"text": "seven"}]}]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": qas}]}]}))
    assert [q.answers for q in reading.squad(path)] == [(), ("seven",)]


def test_language_may_stand_at_a_paragraph_or_a_question(tmp_path: Path) -> None:
    def qa(id: str, **more: str) -> dict[str, Any]:
        return {"id": id, "question": "q?", "answers": [{"text": "a"}], **more}

    paragraphs = [
        {"context": "c", "language": " pt-BR ", "qas": [qa("1"), qa("2", language="en")]},
        {"context": "c", "qas": [qa("3")]},
    ]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"language": "en", "data": [{"paragraphs": paragraphs}]}))
    assert [q.language for q in reading.squad(path)] == ["pt", "en", "en"]


def test_a_question_that_fits_nothing_leaves_the_others(tmp_path: Path) -> None:
    asked = [qa("a", "What is it?", "Ines"), qa("b", "word " * 400, "Ines")]
    path = squad(tmp_path / "dev.json", asked, "She is called Ines.")
    report = reading.measure(Letters(context=400, answers={"called Ines": "Ines"}), path, "letters")
    assert (report.data["f1"], report.data["predictions"]) == (50, {"a": "Ines", "b": ""})
    assert "1 of 2 questions do not fit" in report.findings[-1].what


def test_halves_of_characters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    qa = {"id": "1", "question": "Who \ud800?", "answers": [{"text": "a"}]}
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "c \udc00", "qas": [qa]}]}]}))
    assert [(q.context, q.question) for q in reading.squad(path)] == [("c ?", "Who ??")]


def test_each_passage_of_a_file_in_two_languages_is_read_in_its_own(tmp_path: Path) -> None:
    portuguese = "A ponte foi construída pelo governo em 1932, e o porto fica ali perto do centro da cidade."
    paragraphs = [
        {"context": CONTEXT, "qas": [qa("a", "When was it built?", "1932")]},
        {"context": portuguese, "qas": [qa("b", "Quando foi construída?", "1932")]},
        {"context": "1932", "qas": [qa("c", "Quando?", "1932")]},
    ]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
    engine = Letters(context=2000)
    engine.template = ""
    reading.measure(engine, path, "letters")
    assert ["Pergunta:" in text for text in engine.prompts] == [False, True, False]


def test_a_file_without_answers_is_told(tmp_path: Path) -> None:
    path = squad(tmp_path / "blind.json", [{"id": "a", "question": "When was it built?"}])
    report = reading.measure(Letters(context=500, answers={"built?": "1932"}), path, "letters")
    assert report.data["predictions"] == {"a": "1932"}
    assert [f.what.split(":")[0] for f in report.findings] == ["no question has an answer"]


@pytest.mark.parametrize("shape", ["lines", "list", "data"])
def test_rows_of_a_dataset_are_read_as_the_nested_file_is(tmp_path: Path, shape: str) -> None:
    rows = [
        {"id": "a", "title": "Sydney_Bridge", "context": CONTEXT, "question": "When was it built?"},
        {"id": "b", "title": "Sydney_Bridge", "context": CONTEXT, "question": "Who paid?"},
    ]
    rows[0]["answers"] = {"text": ["1932", "in 1932"], "answer_start": [24, 21]}  # type: ignore[assignment]
    rows[1]["answers"] = {"text": [], "answer_start": []}  # type: ignore[assignment]
    path = tmp_path / ("dev.jsonl" if shape == "lines" else "dev.json")
    text = (
        "\r\n".join(map(json.dumps, rows))
        if shape == "lines"
        else json.dumps(rows if shape == "list" else {"data": rows})
    )
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    nested = squad(tmp_path / "nested.json", [qa("a", "When was it built?", "1932", "in 1932"), qa("b", "Who paid?")])
    assert reading.squad(path) == reading.squad(nested)


def test_a_row_that_lacks_something_is_told_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    path.write_text("[]", "utf-8")
    with pytest.raises(UsageError, match=r"none\.json holds no questions"):
        reading.squad(path)
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps({"id": "a", "question": "Who paid?"}), "utf-8")
    with pytest.raises(UsageError, match='line 1: "context" is missing'):
        reading.squad(path)
    path = tmp_path / "dev.json"
    path.write_text(json.dumps([{"context": CONTEXT, "question": "Who paid?"}]), "utf-8")
    with pytest.raises(UsageError, match=r'data\[0\] has no "id"'):
        reading.squad(path)


def test_answers_that_stand_nowhere_in_their_context_are_told(tmp_path: Path) -> None:
    questions = [qa("a", "When?", "In  1932!"), qa("b", "Who built it?", "Ines", "Rui"), qa("c", "Who paid?")]
    path = squad(tmp_path / "dev.json", questions)
    (finding,) = reading.measure(Letters(context=500), path, "letters").findings
    assert 'the answers of 1 of 3 questions stand nowhere in their context: "b"' in finding.what
