"""Reading sentence by sentence: which one answers, which answer it gives, and what is left whole."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from mirim.core.types import Delta, Message, Passage, Sampling
from mirim.examples.tasks.answer import REFUSAL, declined
from mirim.examples.template import CHATML
from mirim.models import reader
from mirim.models.pointing import Pointed
from mirim.models.read import ANSWERS, PAIRED, SCORED, WORDS, consider, read, reads_sentences

TEXT = "The mill was built in 1904. Ana Prado bought it. She sold it in 1931. It burnt down later."


class Reader:
    """Refuses with a probability that depends on which word the shown text holds, and says what it was told to."""

    name, template, context = "reader", CHATML, 400

    def __init__(self, refusing: dict[str, float], says: str = "1931") -> None:
        self.refusing, self.says = refusing, says
        self.shown: list[str] = []
        self.read: list[str] = []

    def count(self, prompt: Sequence[Message]) -> int:
        return len(prompt[-1].content)

    def score(self, prompt: Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
        text = prompt[-1].content
        self.shown.append(text)
        assert len(candidates) == 1
        assert declined(candidates[0])
        return [[min((v for word, v in self.refusing.items() if word in text), default=-0.001), -0.001]]

    def generate(self, prompt: Sequence[Message], sampling: Sampling, **_: Any) -> Iterator[Delta]:
        self.read.append(prompt[-1].content)
        yield Delta(self.says)
        yield Delta("", finish_reason="stop")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the encoder, which is asked beside the model."""
    monkeypatch.setattr(reader, "available", lambda: False)


def _passage(text: str = TEXT) -> Passage:
    return Passage("p", "d", 0, len(text), "The mill", text, None, "en")


def test_the_sentence_that_refuses_least_is_read() -> None:
    engine = Reader({"sold": -5.0, "bought": -3.0})
    found = read(engine, "When did she sell it?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.whole
    assert (found.text, TEXT[found.start : found.end]) == ("1931", "She sold it in 1931.")
    assert "She sold it in 1931.\n\n? When did she sell it?" in engine.read[0]
    # Four sentences, three with the one before them, and the whole.
    assert len(engine.shown) == 8
    assert all("The mill\n" in shown for shown in engine.shown)


def test_two_sentences_are_read_where_they_are_clearly_surer() -> None:
    class Both(Reader):
        def score(self, prompt: Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
            text = prompt[-1].content
            both = "bought" in text and "sold" in text
            return [[-3.0 - PAIRED - self.refusing["more"] if both else -3.0 if "sold" in text else -0.001]]

    for more, wanted in ((0.5, "Ana Prado bought it. She sold it in 1931."), (-0.5, "She sold it in 1931.")):
        found = read(Both({"more": more}), "When did she sell it?", [_passage()], "en")  # type: ignore[arg-type]
        assert found is not None
        assert TEXT[found.start : found.end] == wanted


def test_the_words_of_the_question_count() -> None:
    text = "Oats are sown in March. They are cut in August."

    def answered(asked: str) -> str:
        found = read(Reader({"sown": -3.0, "cut": -3.0 - WORDS / 8}), asked, [_passage(text)], "en")  # type: ignore[arg-type]
        assert found is not None
        return text[found.start : found.end]

    assert answered("In which month?") == "They are cut in August."
    assert answered("When were the oats sown?") == "Oats are sown in March."


@pytest.mark.parametrize("said", [REFUSAL["pt"], "the text does not say", " The text  does not say. "])
def test_what_it_refuses_has_no_answer(said: str) -> None:
    found = read(Reader({"sold": -3.0}, said), "Who?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.text == ""


def test_the_whole_passage_is_read_where_its_sentences_refuse() -> None:
    class Whole(Reader):
        def generate(self, prompt: Sequence[Message], sampling: Sampling, **_: Any) -> Iterator[Delta]:
            whole = "built" in prompt[-1].content and "burnt" in prompt[-1].content
            yield Delta("27 years" if whole else REFUSAL["en"], finish_reason="stop")

    engine = Whole({"sold": -3.0})
    found = read(engine, "How long did she keep it?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, found.start, found.end) == ("27 years", 0, len(TEXT))
    # Where the passage is no more than its sentence there is nothing else to read.
    found = read(engine, "How long?", [_passage("She sold it in 1931.")], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.text == ""


def test_a_passage_that_is_refused_whole_is_not_read() -> None:
    class Whole(Reader):
        def score(self, prompt: Sequence[Message], candidates: Sequence[str]) -> list[list[float]]:
            whole = "built" in prompt[-1].content and "burnt" in prompt[-1].content
            return [[-0.01]] if whole else super().score(prompt, candidates)

    engine = Whole({"sold": -5.0, "cut": -1.5}, "August")
    found = read(engine, "When?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, engine.read) == ("", [])
    # Another passage may still answer, though less surely.
    other = _passage("Oats are sown in March. They are cut in August.")
    found = read(engine, "When?", [_passage(), other], "en")  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, found.passage) == ("August", other)
    assert all("Oats" in shown or "cut" in shown for shown in engine.read)


def test_the_passage_that_answers_is_told() -> None:
    other = _passage("Oats are sown in March. They are cut in August.")
    found = read(Reader({"August": -4.0}, "August"), "When are they cut?", [_passage(), other], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.passage is other
    assert other.text[found.start : found.end] == "They are cut in August."


def test_what_does_not_fit_is_not_read() -> None:
    engine = Reader({"sold": -5.0})
    long = _passage(f"{TEXT} {'word ' * 200}sold.")
    found = read(engine, "When?", [long], "en")  # type: ignore[arg-type]
    assert found is not None
    assert long.text[found.start : found.end] == "She sold it in 1931."
    assert not found.whole
    assert read(engine, "When? " * 100, [long], "en") is None  # type: ignore[arg-type]


class Drawing(Reader):
    """Says one thing as the likeliest and others when it draws, by the seed; each from one sentence only."""

    def __init__(self, likeliest: dict[str, str], drawn: dict[str, list[str]], refusing: dict[str, float]) -> None:
        super().__init__(refusing)
        self.likeliest, self.drawn = likeliest, drawn

    def generate(self, prompt: Sequence[Message], sampling: Sampling, **_: Any) -> Iterator[Delta]:
        text = prompt[-1].content.split("\n\n?")[0]
        if sampling.temperature:
            assert sampling.temperature == 1
            said = next((v for word, v in self.drawn.items() if word in text), [REFUSAL["en"]])
            yield Delta(said[sampling.seed % len(said)])
        else:
            yield Delta(next((v for word, v in self.likeliest.items() if word in text), REFUSAL["en"]))
        yield Delta("", finish_reason="stop")


def test_the_answer_that_the_drawn_ones_agree_on_is_given() -> None:
    engine = Drawing(
        {"sold": "She"}, {"sold": ["in 1931", "1931", "year 1931", "Ana", "it", "in 1931"]}, {"sold": -6.0}
    )
    found = read(engine, "When did she sell it?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.text in ("1931", "in 1931")
    # Drawn alike, the likeliest decides.
    engine = Drawing({"sold": "1931"}, {"sold": ["a mill", "Ana", "nobody", "oats", "she", "later"]}, {"sold": -6.0})
    found = read(engine, "When did she sell it?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.text == "1931"


def test_sentences_count_as_likely_as_they_answer_and_the_one_that_gave_the_answer_is_told() -> None:
    said = {"Oats": "in March", "Rye": "in August"}
    drawn = {"Oats": ["in March", "March"], "Rye": ["in August", "August"]}
    passages = [_passage("Oats are sown in March."), _passage("Rye is sown in August.")]
    for refusing, wanted in (({"Oats": -4.0, "Rye": -3.0}, 0), ({"Oats": -3.0, "Rye": -4.0}, 1)):
        found = read(Drawing(said, drawn, refusing), "When?", passages, "en")  # type: ignore[arg-type]
        assert found is not None
        assert found.text == list(said.values())[wanted]
        assert found.passage is passages[wanted]


def test_a_passage_that_is_too_long_to_be_read_whole_is_refused_sentence_by_sentence() -> None:
    long = _passage(f"{TEXT} {'It rained for a week. ' * 20}")
    unsure = {"sold": -math.log1p(math.exp(0.2))}  # log-odds of 0.2 that it answers
    found = read(Drawing({"sold": "1931"}, {}, unsure), "When?", [long], "en")  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, found.whole) == ("", True)
    sure = {"sold": -math.log1p(math.exp(0.4))}
    found = read(Drawing({"sold": "1931"}, {}, sure), "When?", [long], "en")  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, long.text[found.start : found.end]) == ("1931", "She sold it in 1931.")


def test_of_a_long_text_only_what_has_the_words_of_the_question_is_scored() -> None:
    said = [f"Line {n} tells of the mill and its wheel." for n in range(2000)]
    said[1400] = "She sold the mill in 1931, to nobody in particular."
    text = " ".join(said)
    engine = Reader({"sold": -5.0})
    found = read(engine, "When was the mill sold?", [_passage(text)], "en")  # type: ignore[arg-type]
    assert found is not None
    assert text[found.start : found.end] == said[1400]
    # The word that one line alone has is worth more than one that all have.
    assert len(engine.shown) <= SCORED + 1
    assert "Line 1399" in "".join(engine.shown)


def test_answers_are_written_side_by_side_as_far_as_the_engine_does_and_are_the_same() -> None:
    said = {"sold": ["in 1931", "1931", "Ana Prado", "it"], "bought": ["Ana Prado", "Ana"]}
    alone = read(Drawing({"sold": "1931"}, said, {"sold": -6.0, "bought": -6.0}), "When?", [_passage()])  # type: ignore[arg-type]
    together, most, lock = 0, 0, threading.Lock()

    class Many(Drawing):
        parallel = 4

        def generate(self, prompt: Sequence[Message], sampling: Sampling, **_: Any) -> Iterator[Delta]:
            nonlocal together, most
            with lock:
                together += 1
                most = max(most, together)
            time.sleep(0.002)
            yield from super().generate(prompt, sampling)
            with lock:
                together -= 1

    engine = Many({"sold": "1931"}, said, {"sold": -6.0, "bought": -6.0})
    assert read(engine, "When?", [_passage()]) == alone  # type: ignore[arg-type]
    assert 1 < most <= 4


def test_where_an_answer_is_promised_nothing_is_refused() -> None:
    engine = Drawing({}, {"sold": [REFUSAL["en"], REFUSAL["en"], "1931"]}, {"sold": -0.5})
    found = read(engine, "When did she sell it?", [_passage()], "en")  # type: ignore[arg-type]
    assert found is not None
    assert found.text == ""
    engine.shown.clear()
    found = read(engine, "When did she sell it?", [_passage()], "en", answered=True)  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, TEXT[found.start : found.end]) == ("1931", "She sold it in 1931.")
    # Whether the whole answers is not even asked.
    assert TEXT not in [shown.split("\n", 1)[1].split("\n\n?")[0] for shown in engine.shown]
    # A model that never says anything else has no answer to give.
    found = read(Drawing({}, {}, {"sold": -0.5}), "When?", [_passage()], "en", answered=True)  # type: ignore[arg-type]
    assert found is not None
    assert found.text == ""


def test_an_answer_stands_in_the_passage_that_most_of_it_came_from_and_there_in_a_sentence() -> None:
    passages = [_passage(), _passage("Rye is cut in 1931. It rains.")]
    # The first passage says it as a whole and in a sentence, the second, less surely, in a sentence alone.
    engine = Drawing({"1931": "1931"}, {"1931": ["1931"]}, {"Rye": -3.9, "sold": -4.0, "built": -2.0})
    found = read(engine, "When did she sell it?", passages)  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, TEXT[found.start : found.end]) == ("1931", "She sold it in 1931.")
    assert found.passage is passages[0]
    # Here the first passage says it only as a whole, and that counts more than the other's sentence.
    said = {"built": "1931", "sold": "Ana", "Rye": "1931"}
    drawn = {word: [text] for word, text in said.items()}
    found = read(Drawing(said, drawn, {"Rye": -3.0, "sold": -4.0}), "When did she sell it?", passages)  # type: ignore[arg-type]
    assert found is not None
    assert (found.text, found.passage) == ("1931", passages[0])
    assert (found.start, found.end) == (0, len(TEXT))


class _Pointer:
    """Points at what it was told to, in the whole passage and in its sentences."""

    def __init__(self, spans: dict[str, float], odds: dict[str, float] | None = None) -> None:
        self.spans, self.odds = spans, odds or {}
        self.texts: list[str] = []

    def point(self, asked: Sequence[tuple[str, Passage]]) -> list[Pointed | None]:
        texts = [p.text for _, p in asked]
        self.texts += texts
        found: list[Pointed | None] = []
        for text in texts:
            spans = {said: share for said, share in self.spans.items() if said in text}
            odds = next((v for word, v in self.odds.items() if word in text), 0.0)
            found.append(Pointed(odds, {said: share / sum(spans.values()) for said, share in spans.items()}))
        return found

    def begun(self, prompt: Sequence[Message], word: str) -> str:
        return f"{prompt[-1].content}\n{word}"


class Pointing(Drawing):
    """Goes on after the word that its answer is begun with as `after` says."""

    def __init__(self, pointer: _Pointer, after: dict[str, str], says: dict[str, str], **refusing: float) -> None:
        super().__init__(says, {word: [said] for word, said in says.items()}, refusing)
        self.pointers, self.after = {"read": pointer}, after
        self.begun: list[tuple[str, str]] = []

    def generate(self, prompt: str | Sequence[Message], sampling: Sampling, **more: Any) -> Iterator[Delta]:
        if isinstance(prompt, str):
            text, _, word = prompt.rpartition("\n")
            self.begun.append((text.split("\n\n?")[0].partition("\n")[2], word))
            yield Delta(self.after.get(word, ""))
        else:
            yield from super().generate(prompt, sampling, **more)


def test_answers_begin_with_what_is_pointed_at_too_and_it_speaks_for_them() -> None:
    says = {"sold": "she", "bought": "it"}
    pointer = _Pointer({"Ana Prado": 0.5, "Ana": 0.2, "1931": 0.2, "it": 0.08, "She": 0.02})
    engine = Pointing(pointer, {"Ana": " Prado", "1931": "."}, says, sold=-4.0, bought=-4.0)
    found = read(engine, "Who?", [_passage()])  # type: ignore[arg-type]
    assert found is not None
    # What the model says of itself is neither; the sentence is the one that was begun from.
    assert (found.text, TEXT[found.start : found.end]) == ("Ana Prado", "Ana Prado bought it.")
    assert [word for _, word in engine.begun] == ["Ana", "1931", "it"]
    assert engine.begun[0][0] == "Ana Prado bought it."
    assert pointer.texts[0] == TEXT
    assert 2 <= len(pointer.texts) <= 4
    # A refusal is none of the answers, begun or not.
    refused = Pointing(_Pointer({"The mill": 1.0}), {"The": " text does not say."}, {"sold": "1931"}, sold=-4.0)
    found = read(refused, "When?", [_passage()])  # type: ignore[arg-type]
    assert found is not None
    assert found.text == "1931"


def test_half_of_what_is_pointed_at_is_the_whole_passages_and_half_the_sentences_by_their_odds() -> None:
    pointer = _Pointer({"1904": 1.0, "1931": 3.0}, {"sold": 2.0, "built": 4.0})
    engine = Pointing(pointer, {}, {}, built=-4.0, sold=-4.0)
    found = consider(engine, "When?", [_passage("The mill was built in 1904. She sold it in 1931.")])  # type: ignore[arg-type]
    assert found is not None
    # Each sentence is worth as much as the other, both together less; the odds count for half of what they are.
    built, sold, both = math.exp(4 / 2), math.exp(2 / 2), math.exp(2 / 2 - PAIRED)
    sentences = (sold + 3 / 4 * both) / (built + sold + both)
    assert dict(found.spans) == pytest.approx({"1931": (3 / 4 + sentences) / 2, "1904": 1 - (3 / 4 + sentences) / 2})


def test_texts_that_nothing_is_pointed_at_in_are_read_as_before() -> None:
    class Blind(_Pointer):
        def point(self, asked: Sequence[tuple[str, Passage]]) -> list[Pointed | None]:
            return [None] * len(asked)

    engine = Pointing(Blind({}), {}, {"sold": "1931"}, sold=-4.0)
    found = read(engine, "When?", [_passage()])  # type: ignore[arg-type]
    assert found == read(Drawing({"sold": "1931"}, {"sold": ["1931"]}, {"sold": -4.0}), "When?", [_passage()])  # type: ignore[arg-type]
    assert engine.begun == []


def test_only_models_of_its_own_making_read_so() -> None:
    engine = Reader({})
    assert reads_sentences(engine)  # type: ignore[arg-type]
    engine.template = "{{ messages }}"
    assert not reads_sentences(engine)  # type: ignore[arg-type]
    assert not reads_sentences(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(("language", "sees", "wanted"), [("pt", -6.0, ""), ("pt", 6.0, "1931"), ("en", -6.0, "1931")])
def test_the_encoder_is_asked_whether_a_portuguese_passage_answers(
    monkeypatch: pytest.MonkeyPatch, language: str, sees: float, wanted: str
) -> None:
    monkeypatch.setattr(reader, "available", lambda: True)
    monkeypatch.setattr(reader, "read", lambda _, texts: [[-8.0, *(sees for _ in text.parts[1:])] for text in texts])
    engine = Reader({"sold": -1.0})
    assert math.log(math.expm1(1.0)) > ANSWERS
    found = read(engine, "When did she sell it?", [_passage()], language)  # type: ignore[arg-type]
    assert found is not None
    assert found.text == wanted
    # What is promised is given, and what search found was read; a model with a bound of its own is not asked about.
    given = read(engine, "When did she sell it?", [_passage()], language, answered=True)  # type: ignore[arg-type]
    assert given is not None
    assert given.text == "1931"
    searched = read(engine, "When did she sell it?", [_passage()], language, judged=True)  # type: ignore[arg-type]
    assert searched is not None
    assert searched.text == "1931"
    engine.answers_from = ANSWERS  # type: ignore[attr-defined]
    alone = read(engine, "When did she sell it?", [_passage()], language)  # type: ignore[arg-type]
    assert alone is not None
    assert alone.text == "1931"
