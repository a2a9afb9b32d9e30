from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from mirim.assist.answer import Assistant, Calibration
from mirim.assist.ask import Answers, ask
from mirim.assist.standalone import readings
from mirim.core.errors import UsageError
from mirim.core.files import write_jsonl
from mirim.core.project import Project
from mirim.core.types import Delta, Message, Sampling
from mirim.documents import store
from mirim.documents.ingest import ingest
from mirim.examples.template import CHATML


class Scripted:
    """An engine that says `text` and judges by whether a word stands in the prompt."""

    name, context = "scripted", 4096

    def __init__(self, text: str = "", yes: str = "\0") -> None:
        self.text, self.yes, self.asked = text, yes, 0

    def generate(self, prompt: Any, sampling: Sampling, *, tools: Any = (), schema: Any = None) -> Iterator[Delta]:
        yield Delta(self.text, finish_reason="stop")

    def score(self, prompt: Any, candidates: Sequence[str]) -> list[list[float]]:
        self.asked += 1
        good = self.yes in prompt[0].content.split("\n?")[0]
        return [[-0.01], [-4.6]] if good else [[-4.6], [-0.01]]

    def embed(self, texts: Any) -> list[list[float]]:
        return [[0.0] for _ in texts]

    def count(self, prompt: Any) -> int:
        return 1

    def close(self) -> None:
        pass


@pytest.fixture
def alone(shop: Project) -> Iterator[Assistant]:
    with Assistant.open(shop, model="none") as assistant:
        assistant.calibration = Calibration(threshold=0.0)
        yield assistant


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What time does the shop close on Saturdays?", "13:00"),
        ("how long do I have to return a lamp", "30 days"),
        ("How much is delivery inside the city?", "R$ 25.00"),
        ("Quanto custa cada hora do estacionamento?", "R$ 7,00"),
        ("quanto tempo demora o conserto de luminarias?", "10 dias úteis"),
    ],
)
def test_a_quoted_answer_holds_the_fact_and_every_citation_is_where_it_says(
    shop: Project, alone: Assistant, question: str, fact: str
) -> None:
    answer = alone.answer(question)
    assert fact in answer.answer
    assert not answer.abstained
    assert 1 <= len(answer.citations) <= 5
    assert fact in answer.citations[0].text
    for c in answer.citations:
        assert store.load(shop.documents, c.document).text[c.start : c.end] == c.text
    assert 0 <= answer.confidence <= 1
    assert answer.policy == "quote"


def test_below_the_threshold_it_says_so_in_the_language_of_the_question_and_whom_to_ask(alone: Assistant) -> None:
    alone.calibration = Calibration(threshold=1.1)
    english = alone.answer("What time does the shop close on Saturdays?")
    assert english.abstained
    assert english.citations == ()
    assert "don't know" in english.answer
    assert "the counter" in english.answer
    assert "Não sei" in alone.answer("Quanto custa cada hora do estacionamento?").answer


@pytest.mark.parametrize("question", ["zzz qqq xxx", "???", "🐝", "a" * 5000, "the of and", 'AND OR "NEAR( *'])
def test_questions_without_any_hold_on_the_documents_never_raise(alone: Assistant, question: str) -> None:
    assert alone.answer(question).seconds >= 0


def test_an_empty_question_is_refused(alone: Assistant) -> None:
    with pytest.raises(UsageError, match="empty"):
        alone.answer("  ")


def test_confidence_is_higher_for_what_the_documents_answer(alone: Assistant) -> None:
    known = alone.answer("How much is delivery inside the city?").confidence
    assert known > alone.answer("Who won the world cup last year?").confidence
    assert known > alone.answer("How much is a gift card for the theatre?").confidence


def test_a_follow_up_keeps_the_subject(alone: Assistant) -> None:
    first = alone.answer("What time does the shop close on weekdays?")
    history = [Message("user", "What time does the shop close on weekdays?"), Message("assistant", first.answer)]
    assert "13:00" in alone.answer("And on Saturdays?", history).answer


@pytest.mark.parametrize(
    ("before", "question", "fact"),
    [
        ("How much is delivery inside the city?", "how long for broken glass?", "48 hours"),
        ("What time does the shop close on weekdays?", "when closed on Saturdays then?", "13:00"),
        ("How much is delivery inside the city?", "working days needed?", "2 working days"),
    ],
)
def test_a_short_question_is_read_alone_or_with_the_subject(
    alone: Assistant, before: str, question: str, fact: str
) -> None:
    history = [Message("user", before), Message("assistant", alone.answer(before).answer)]
    assert len(readings(question, history, alone.language_of(question))) == 2
    assert fact in alone.answer(question, history).citations[0].text


def test_a_newly_named_subject_is_not_lost_to_the_one_before(alone: Assistant) -> None:
    before = "How long do I have to return a lamp with its receipt?"
    history = [Message("user", before), Message("assistant", alone.answer(before).answer)]
    answer = alone.answer("And large mirrors?", history)
    assert "two people" in answer.citations[0].text


@pytest.mark.parametrize("question", ["Who won the cup?", "What is bitcoin?", "Quem escreveu Dom Casmurro?"])
def test_a_question_about_something_else_is_not_answered_with_the_one_before(shop: Project, question: str) -> None:
    before = "How much is delivery inside the city?"
    with Assistant.open(shop, model="none") as assistant:
        first = assistant.answer(before)
        assert not first.abstained
        history = [Message("user", before), Message("assistant", first.answer)]
        assert assistant.answer(question, history).abstained
        # It may be about the same thing where it says so, and where it has its words.
        assert not assistant.answer("and when is it free?", history).abstained
        assert not assistant.answer("how long for broken glass?", history).abstained


@pytest.mark.parametrize(
    ("said", "returned"),
    [
        ("thanks", "You're welcome."),
        ("Thank you very much!", "You're welcome."),
        ("Muito obrigado!", "De nada."),
        ("oi, bom dia", "Olá."),
        ("Hi there!", "Hello."),
        ("Good night", "Goodbye"),
        ("tchau, obrigada", "De nada."),
        ("blz, vlw pela atenção", "De nada."),
        ("oi, td bem?", "Olá."),
        ("até mais", "Até logo"),
        ("sim", "Certo."),
        ("ok", "All right."),
    ],
)
def test_thanks_and_greetings_are_returned_and_nothing_is_quoted(alone: Assistant, said: str, returned: str) -> None:
    before = "How much is delivery inside the city?"
    history = [Message("user", before), Message("assistant", alone.answer(before).answer)]
    for answer in (alone.answer(said, history), alone.answer(said)):
        assert answer.answer.startswith(returned)
        assert not answer.abstained
        assert answer.citations == ()
    # Nor do they become what is talked about.
    history += [Message("user", said), Message("assistant", answer.answer)]
    assert "13:00" in alone.answer("And when does the shop close on Saturdays?", history).answer


def test_who_speaks_is_said_where_no_document_says_it(shop: Project) -> None:
    before = "How much is delivery inside the city?"
    with Assistant.open(shop, model="none") as assistant:
        history = [Message("user", before), Message("assistant", assistant.answer(before).answer)]
        for said in ([], history):
            assert assistant.answer("Are you a robot?", said).answer.startswith("I am a program")
            assert assistant.answer("Quem é você?", said).answer.startswith("Sou um programa")
        assert assistant.answer("Are you open on the moon?").abstained


def test_a_very_long_conversation_of_short_questions_is_followed(alone: Assistant) -> None:
    history = [Message("user", "chairs?")] * 2000
    assert alone.answer("and tables?", history).policy == "quote"


def test_the_models_verdict_moves_the_ranking(shop: Project) -> None:
    question = "How much is delivery inside the city?"
    with Assistant.open(shop, model="none") as assistant:
        before = assistant.rank(question)[0]
        assistant.engine = Scripted(yes="Large mirrors")
        assistant.calibration = Calibration(judge=3.0)
        after = assistant.rank(question)[0]
    assert "R$ 25.00" in before.candidate.text
    assert "Large mirrors" in after.candidate.text


def test_grounded_keeps_what_a_source_supports_and_says_what_it_removed(shop: Project, alone: Assistant) -> None:
    alone.engine = Scripted("Delivery inside the city costs R$ 25.00. It is always free for elephants.")
    answer = alone.answer("How much is delivery inside the city?", policy="grounded")
    assert answer.answer == "Delivery inside the city costs R$ 25.00."
    assert answer.removed == ("It is always free for elephants.",)
    assert "R$ 25.00" in answer.citations[0].text


def test_grounded_takes_no_changed_number(alone: Assistant) -> None:
    alone.engine = Scripted("Delivery inside the city costs R$ 35.00.")
    answer = alone.answer("How much is delivery inside the city?", policy="grounded")
    assert answer.abstained
    assert answer.removed
    assert answer.confidence == 0


def test_free_gives_the_models_words_with_references_and_its_refusal_as_one(alone: Assistant) -> None:
    alone.engine = Scripted("Twenty-five reais, I think.")
    answer = alone.answer("How much is delivery inside the city?", policy="free")
    assert answer.answer == "Twenty-five reais, I think."
    assert answer.citations
    alone.engine = Scripted("The text does not say.")
    assert alone.answer("How much is delivery inside the city?", policy="free").abstained


@pytest.mark.parametrize("policy", ["free", "grounded"])
def test_a_model_that_reads_sentences_answers_from_the_one_that_answers_most_likely(
    alone: Assistant, policy: Literal["free", "grounded"]
) -> None:
    class Reader(Scripted):
        template = CHATML

        def score(self, prompt: Any, candidates: Sequence[str]) -> list[list[float]]:
            return [[-5.0 if self.yes in prompt[0].content.split("\n?")[0] else -0.01]]

    alone.engine = Reader("two people", yes="Large mirrors")
    answer = alone.answer("How much is delivery of large mirrors inside the city?", policy=policy)
    assert answer.answer == "two people"
    assert [c.text for c in answer.citations] == ["Large mirrors are carried up by two people."]
    alone.engine = Reader("The text does not say.")
    assert alone.answer("How much is delivery inside the city?", policy=policy).abstained


def test_a_writing_policy_without_a_model_says_what_to_do(alone: Assistant) -> None:
    with pytest.raises(UsageError, match="--policy quote"):
        alone.answer("How much is delivery inside the city?", policy="free")


def test_no_model_yet_says_what_to_type(shop: Project) -> None:
    with pytest.raises(UsageError, match="mirim build"):
        Assistant.open(shop)
    with pytest.raises(UsageError, match="is not one of"):
        Assistant.open(shop, model="none", policy="qoute")


def test_words_below_nought_are_refused_wherever_they_are_said(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"words is -5.*a number from 1"):
        ask(shop, "How much is delivery?", model="none", words=-5)
    monkeypatch.setitem(shop.tables, "ask", {"words": -10})
    with pytest.raises(UsageError, match=r"words is -10.*\[ask\] words"):
        Assistant.open(shop, model="none")


def test_an_index_without_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mirim.toml").write_text("")
    project = Project.open(tmp_path)
    with pytest.raises(UsageError, match="holds no files yet"):
        ingest(project)
    with pytest.raises(UsageError, match="holds no documents; put files into sources/"):
        Assistant.open(project, model="none")


def test_a_file_of_questions_comes_out_line_by_line(shop: Project, tmp_path: Any) -> None:
    path = tmp_path / "questions.jsonl"
    write_jsonl(path, [{"id": "a", "question": "How much is delivery?"}, {"id": 7, "question": "Onde fica a rampa?"}])
    answers = ask(shop, file=path, model="none")
    assert isinstance(answers, Answers)
    rows = [row.to_json() for row in answers.to_lines()]
    assert [row["id"] for row in rows] == ["a", 7]
    assert set(rows[0]) >= {"answer", "abstained", "confidence", "policy", "citations", "model", "seconds"}
    write_jsonl(path, [{"id": "a"}])
    with pytest.raises(UsageError, match='line 1: "question" is missing'):
        ask(shop, file=path, model="none")
    write_jsonl(path, [{"id": "a", "question": "Where?"}, {"id": "b", "question": " "}])
    with pytest.raises(UsageError, match="line 2: the question is empty"):
        ask(shop, file=path, model="none")
    with pytest.raises(UsageError, match="not both and not neither"):
        ask(shop)
    for key, said in ((None, '"id" is null'), (1.5, '"id" is 1.5'), (True, '"id" is true'), ("a", 'the id "a" stands')):
        write_jsonl(path, [{"id": "a", "question": "Where?"}, {"id": key, "question": "When?"}])
        with pytest.raises(UsageError, match=f"line 2: {said}"):
            ask(shop, file=path, model="none")


def test_answering_needs_no_torch(shop: Project) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from mirim.assist.answer import Assistant\n"
        f"a = Assistant.open({str(shop.root)!r}, model='none')\n"
        "print(a.answer('How much is delivery inside the city?').policy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "quote", done.stderr


def test_answers_are_the_same_every_time(alone: Assistant) -> None:
    one, two = (alone.answer("How much is delivery inside the city?") for _ in range(2))
    assert replace(one, seconds=0) == replace(two, seconds=0)


def test_words_are_counted_again_when_an_ingest_beside_it_changed_them(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mirim.toml").write_text('[project]\nname = "zoo"\nlanguage = "en"\n', "utf-8")
    (tmp_path / "sources" / "a.md").write_text("# Animals\n\nThe zebra sleeps at noon beside the gate.\n", "utf-8")
    project = Project.open(tmp_path)
    ingest(project)
    with Assistant.open(project, model="none") as assistant:
        assistant.rank("When does the lion sleep?")
        (tmp_path / "sources" / "b.md").write_text("# Lions\n\nThe lion sleeps at four beside the pond.\n", "utf-8")
        ingest(project)
        (best, *_) = assistant.rank("When does the lion sleep?")
        assert best.candidate.passage.document == "b.md"
        assert assistant._featurizer is not None
        assert assistant._featurizer.count == 2
        assert assistant._featurizer.weight("zebra") == assistant._featurizer.weight("lion")
