"""Rows of task sets become examples in the prompts that answering uses; exercises know their answers."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Example, Message
from mirim.examples import drills, sets
from mirim.examples.tasks import answer, rewrite, tools

STORY = (
    "The miller kept three goats behind the house. On Sunday his daughter Inga opened the gate for the visitors. "
    "Nobody noticed that the smallest goat had left. In the evening it came back with a blue ribbon around its neck. "
    "The miller never learned who had tied it."
)


def _file(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def _read(row: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
    return [{"task": "read", "lang": "en", "context": STORY, "title": "Goats", **row} for _ in range(count)]


def test_reading_gives_answers_refusals_and_judgements(tmp_path: Path) -> None:
    rows = _read({"input": "Who opened the gate?", "output": "Inga"}, 60)
    other = {"context": "Bread is baked at four. The oven cools until noon.", "input": "When?", "output": "four"}
    made = list(sets.read(_file(tmp_path, *rows, *_read(other), *rows)))
    tasks = Counter(e.task for e in made)
    assert tasks["answer"] >= 121
    assert tasks["judge"] == 2 * 121
    # Each with the whole passage and with a few sentences of it.
    targets = Counter((e.messages[-1].content, e.metadata.get("passage")) for e in made if e.task == "answer")
    assert targets["Inga", None] == targets["Inga", "short"] == 120
    refused = [e for e in made if e.messages[-1].content == answer.REFUSAL["en"]]
    assert refused
    assert not any("Inga" in e.messages[0].content for e in refused if "gate?" in e.messages[0].content)
    for example in made:
        if example.task == "judge" and "gate?" in example.messages[0].content:
            assert ("Inga" in example.messages[0].content) == (example.messages[-1].content == "yes")


def test_a_passage_may_hold_its_questions(tmp_path: Path) -> None:
    asked = [["Who opened the gate?", "Inga"], ["What colour was the ribbon?", "blue"], ["Who tied it?", ""]]
    row = {"task": "read", "lang": "en", "context": STORY, "title": "Goats", "asked": asked}
    path = _file(tmp_path, row)
    whole = [e for e in sets.read(path) if e.task == "answer" and not e.metadata.get("passage")]
    refusal = answer.REFUSAL["en"]
    for question, said in asked:
        mine = [e for e in whole if question in e.messages[0].content]
        assert mine[0].messages[-1].content == (said or refusal)
    quiz, lacking = sets.quizzes(path)
    said = {m.content for m in quiz.messages if m.role == "assistant"}
    assert said == {"Inga", "blue", refusal}
    assert [m.content for m in lacking.messages if m.role == "assistant"].count(refusal) == 2


def test_a_sentence_is_turned_into_its_question(tmp_path: Path) -> None:
    asked = [["Who opened the gate?", "Inga"], ["Who tied it?", ""]]
    row = {"task": "read", "lang": "en", "context": STORY, "title": "Goats", "asked": asked}
    path = _file(tmp_path, *({**row, "context": f"{STORY} It was day {n}."} for n in range(200)))
    assert not [e for e in sets.read(path) if e.task == "ask"]
    turned = list(sets.questions(path))
    assert 30 < len(turned) < 90
    for example in turned:
        text = example.messages[0].content
        assert "Inga" in text
        assert "It was day" not in text
        assert example.messages[-1].content == "Who opened the gate?"


@pytest.mark.parametrize(
    ("language", "asked", "follows"),
    [
        (
            "en",
            [["Where did old Inga go?", "Turku"], ["Whom did Inga meet there?", "Olaf"]],
            {
                "Whom did he meet there?": "Whom did Inga meet there?",
                "Whom did Inga meet there?": "Whom did Inga meet there?",
                "And Olaf?": "Where did old Olaf go?",
            },
        ),
        (
            "pt",
            [
                ["Para onde foi Inga depois?", "Turku"],
                ["Quem Inga encontrou lá?", "Olavo"],
                ["E na casa de Inga?", "x"],
            ],
            {
                "Quem encontrou lá?": "Quem Inga encontrou lá?",
                "Quem Inga encontrou lá?": "Quem Inga encontrou lá?",
                "e Olavo?": "Para onde foi Olavo depois?",
            },
        ),
    ],
)
def test_questions_follow_one_another(
    tmp_path: Path, language: str, asked: list[list[str]], follows: dict[str, str]
) -> None:
    row = {"task": "read", "lang": language, "context": "Inga foi a Turku e lá, x, viu Olaf e Olavo.", "asked": asked}
    made = [e for e in sets.questions(_file(tmp_path, *[row] * 300)) if e.task == "rewrite"]
    said = {e.messages[0].content.rpartition("> ")[2]: e.messages[-1].content for e in made}
    for follow, whole in follows.items():
        assert said[follow] == whole
    # What hangs on a preposition is not left out.
    assert "E na casa de?" not in said
    history = made[0].messages[0].content
    assert history.startswith(("? ", "> "))
    assert "\n= " in history


def test_a_question_that_follows_is_learned_with_what_came_before(tmp_path: Path) -> None:
    before = [{"role": "user", "content": "When do you open?"}, {"role": "assistant", "content": "At eight."}]
    row = {"task": "rewrite", "lang": "en", "kind": "follow-up question", "messages": before, "input": "and close?"}
    (made,) = sets.read(_file(tmp_path, {**row, "output": "When do you close?"}))
    asked = [Message(m["role"], m["content"]) for m in before]
    assert made.messages == (*rewrite.messages(asked, "and close?"), Message("assistant", "When do you close?"))
    with pytest.raises(UsageError, match="no row of task rewrite"):
        list(sets.read(_file(tmp_path, {**row, "messages": ["When?"], "output": "When do you close?"})))


def test_of_questions_asked_in_vain_a_share_is_learned(tmp_path: Path) -> None:
    asked = [["Who opened the gate?", "Inga"], ["What colour was the ribbon?", "blue"], ["Who tied it?", ""]]
    row = {"task": "read", "lang": "en", "context": STORY, "title": "Goats", "asked": asked}
    path = _file(tmp_path, *({**row, "context": f"{STORY} It was day {n}."} for n in range(200)))

    def vain(examples: Iterable[Example]) -> int:
        return sum("Who tied it?" in m.content for e in examples for m in e.messages)

    assert vain(sets.read(path)) == 200
    assert vain(sets.read(path, vain=0.0)) == vain(sets.quizzes(path, vain=0.0)) == 0
    assert 20 < vain(sets.read(path, vain=0.25)) < 80
    assert [e.id for e in sets.quizzes(path, 3, 0.25)] == [e.id for e in sets.quizzes(path, 3, 0.25)]


@pytest.mark.parametrize("asked", [[["Who?"]], [["Who?", 3]], ["Who?"], [["Who?", "Inga", ""]]])
def test_questions_that_are_no_pairs_are_named(tmp_path: Path, asked: Any) -> None:
    path = _file(tmp_path, {"task": "read", "lang": "en", "context": STORY, "asked": asked})
    with pytest.raises(UsageError, match=r"line 1.*not a question and its answer"):
        list(sets.read(path))


def test_a_long_text_is_read_around_its_answer(tmp_path: Path) -> None:
    filler = " ".join(f"Day {n} brought wind and rain over the low hills." for n in range(200))
    row = {"context": f"{filler} The key lay under a red stone. {filler}", "input": "Where was it?"}
    made = list(sets.read(_file(tmp_path, *_read({**row, "output": "under a red stone"}))))
    reading = [e for e in made if e.task == "answer"]
    assert reading
    for example in reading:
        assert len(example.messages[0].content) < sets.ROOM + 100
    assert "red stone" in reading[0].messages[0].content
    assert not list(sets.read(_file(tmp_path, *_read({**row, "output": "beneath crimson rock"}))))


def test_a_short_passage_holds_the_answer_and_its_neighbours_or_is_refused(tmp_path: Path) -> None:
    names = ("Aster", "Birch", "Cedar", "Daisy")
    text = " ".join(f"On day {n} a ship named {name} came in." for n, name in enumerate(names))
    rows = _read({"context": text, "input": "Which ship came on day 1?", "output": "Birch"}, 80)
    made = [e for e in sets.read(_file(tmp_path, *rows)) if e.metadata.get("passage") == "short"]
    shown = [e.messages[0].content.partition("\n")[2].partition("\n\n?")[0] for e in made]
    assert {text.count("day") for text in shown} == {1, 2, 3, 4}
    for example, passage in zip(made, shown, strict=True):
        refused = example.messages[-1].content == answer.REFUSAL["en"]
        assert ("Birch" in passage) != refused
    assert 0 < sum("Birch" not in passage for passage in shown) < 40


def test_translation_goes_both_ways_and_labels_are_shown(tmp_path: Path) -> None:
    rows = [
        {"task": "translate", "lang": "en-pt", "input": "Open the door.", "output": "Abra a porta."},
        *({"task": "classify", "lang": "en", "input": f"it is {w}", "output": w} for w in ("warm", "cold", "wet")),
    ]
    made = list(sets.read(_file(tmp_path, *rows)))
    there, back = (e for e in made if e.task == "translate")
    assert (there.messages[-1].content, back.messages[-1].content) == ("Abra a porta.", "Open the door.")
    for example in made:
        if example.task == "classify":
            shown = example.messages[0].content.rpartition("? ")[2].split(" | ")
            assert example.messages[-1].content in shown
            assert 2 <= len(shown) <= 3


def test_calls_are_written_as_the_server_reads_them(tmp_path: Path) -> None:
    call = {"name": "GetWeather", "arguments": {"city": "Recife"}}
    row = {
        "task": "tools",
        "lang": "en",
        "messages": [{"role": "user", "content": "Weather in Recife?"}, {"role": "assistant", "call": call}],
        "tools": [{"name": "GetWeather", "parameters": [{"name": "city", "required": True}]}],
    }
    (made,) = sets.read(_file(tmp_path, row))
    assert made.messages[0].role == "system"
    assert '"GetWeather"' in made.messages[0].content
    target = made.messages[-1].content
    assert json.loads(target.removeprefix("<tool_call>").removesuffix("</tool_call>")) == call


def test_a_function_and_requests_to_it(tmp_path: Path) -> None:
    places = {"weight": {"type": "number"}, "express": {"type": "boolean"}}
    function = {"name": "parcel_price", "description": "What a parcel costs.",
                "parameters": {"type": "object", "properties": places, "required": ["weight"]}}  # fmt: skip
    other = {"name": "moon_phase", "parameters": {"type": "object", "properties": {}, "required": []}}
    calls = [["What are 2.5 kilos?", {"weight": 2.5}], ["And 3 by express?", {"weight": 3, "express": True}]]
    rows = [{"task": "tools", "lang": "en", "function": f, "calls": c}
            for f, c in ((function, calls), (other, [["Is the moon full?", {}]])) * 100]  # fmt: skip
    made = list(sets.read(_file(tmp_path, *rows)))
    assert len(made) == 300
    counts: Counter[tuple[int, bool]] = Counter()
    for example in made:
        head = example.messages[0].content
        request, said = (m.content for m in example.messages[1:])
        wanted = "moon_phase" if "moon" in request else "parcel_price"
        listed = head.count('"name": "moon') + head.count('"name": "parcel')
        counts[listed, wanted in head] += 1
        arguments = dict(calls).get(request, {})
        assert said == (tools.call(wanted, arguments) if wanted in head else tools.NONE["en"])
    assert set(counts) == {(1, True), (2, True), (1, False)}
    assert min(counts.values()) > 50
    heads = " ".join(e.messages[0].content for e in made)
    assert '"type": "float"' in heads
    assert '"type": "number"' in heads
    (vain,) = sets.read(_file(tmp_path, {**rows[0], "calls": [["Who invented parcels?", None]]}))
    assert vain.messages[-1].content == tools.NONE["en"]
    # Where some requests are refused anyway, those that it could serve seldom come without it.
    mixed = [{**row, "calls": [*row["calls"], ["Who invented it?", None]]} for row in rows]
    made = [e for e in sets.read(_file(tmp_path, *mixed)) if "invented" not in e.messages[1].content]
    unlisted = sum(e.messages[-1].content == tools.NONE["en"] for e in made) / len(made)
    assert 0.04 < unlisted < 0.18
    with pytest.raises(UsageError, match="no row of task tools"):
        list(sets.read(_file(tmp_path, {**rows[0], "calls": [["What?"]]})))


def test_the_same_rows_are_drawn_again(tmp_path: Path) -> None:
    rows = [{"task": "instruct", "lang": "pt", "input": f"o que é {n}?", "output": str(n)} for n in range(50)]
    path = _file(tmp_path, *rows)
    one, two = ([e.id for e in sets.read(path, 10, seed)] for seed in (1, 1))
    assert one == two
    assert len(one) == 10
    assert one != [e.id for e in sets.read(path, 10, 2)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"task": "sing", "input": "a", "output": "b"}, 'no task "sing"'),
        ({"task": "read", "input": "a"}, "line 1 is no row of task read"),
        ({"task": "tools", "messages": 3}, "line 1 is no row of task tools"),
    ],
)
def test_a_row_of_another_shape_is_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        list(sets.read(_file(tmp_path, row)))
    assert says in str(caught.value)


def test_what_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{broken\n")
    with pytest.raises(UsageError, match="line 1: not a JSON object"):
        list(sets.read(path))


@pytest.mark.parametrize("language", ["en", "pt"])
def test_a_lookup_can_be_answered_from_its_text(language: str) -> None:
    rng = random.Random(0)
    seen = Counter()
    for _ in range(200):
        (made,) = drills.lookup(language, rng)
        text, _, question = made.messages[0].content.rpartition("\n\n? ")
        target = made.messages[-1].content
        name = next(n for n in drills._NAMES if n in question)
        if target == answer.REFUSAL[language]:
            assert name not in text
        else:
            assert any(name in fact and target in fact for fact in text.split(". "))
        seen[target == answer.REFUSAL[language]] += 1
    assert 10 < seen[True] < 45


def test_exercises_from_text_know_their_answers() -> None:
    texts = [(STORY, "en"), ("O museu abre às nove horas e fecha às cinco da tarde. " * 2 + STORY, "pt")]
    made = list(drills.make(texts, 400, 0))
    assert [e.id for e in made] == [e.id for e in drills.make(texts, 400, 0)]
    blanks = [e for e in made if e.task == "answer" and drills.BLANK in e.messages[0].content]
    assert len(blanks) > 50
    for example in blanks:
        text, _, asked = example.messages[0].content.rpartition("\n\n? ")
        target = example.messages[-1].content
        if target in answer.REFUSAL.values():
            continue
        before, _, after = asked.partition(drills.BLANK)
        assert f"{before}{target}{after}".strip() in " ".join(text.split())
    copied = [e.messages for e in made if "sentence begins" in e.messages[0].content]
    assert len(copied) > 10
    for prompt, target in copied:
        text, _, asked = prompt.content.rpartition("\n\n? ")
        said = asked.split('"')[1]
        refused = target.content in answer.REFUSAL.values()
        assert (said in text) != refused
        assert refused or (target.content in text and target.content.startswith(said))
    kinds = Counter(e.messages[-1].content for e in made if e.task == "judge")
    assert min(kinds["yes"], kinds["no"]) > 0.3 * sum(kinds.values())


def test_a_call_may_follow_a_row_of_another_task(tmp_path: Path) -> None:
    call = {"task": "tools", "lang": "en", "input": "open the door", "output": '{"name": "open", "arguments": {}}'}
    other = {"task": "instruct", "lang": "en", "input": "say yes", "output": "yes"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (other, call, call)), "utf-8")
    assert [e.task for e in sets.read(path)] == ["chat", "tools", "tools"]


@pytest.mark.parametrize("line", ["3", "[]", '"text"'])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UsageError, match="line 1: not a JSON object: expected an object"):
        list(sets.read(path))


def test_what_only_claims_to_be_packed_is_named(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    path = tmp_path / "rows.jsonl.zst"
    path.write_text('{"task": "read"}\n')
    with pytest.raises(UsageError, match="not whole as Zstandard data"):
        list(sets.read(path))


def test_a_conversation_without_an_answer_is_named(tmp_path: Path) -> None:
    row = {"task": "tools", "lang": "en", "messages": [{"role": "user", "content": "Hi"}], "tools": []}
    with pytest.raises(UsageError, match="line 1 is no row of task tools"):
        list(sets.read(_file(tmp_path, row)))


def test_a_judgement_looks_for_the_whole_word(tmp_path: Path) -> None:
    context = "It was founded in 2010. It opens at 10 every day."
    rows = [{"task": "read", "lang": "en", "context": context, "input": "When does it open?", "output": "10"}] * 20
    judged = [e for e in sets.read(_file(tmp_path, *rows)) if e.task == "judge"]
    assert judged
    for example in judged:
        assert ("at 10" in example.messages[0].content) == (example.messages[-1].content == "yes")


def test_a_label_in_any_case(tmp_path: Path) -> None:
    row = {"task": "read", "lang": "en", "context": "Bread is baked.", "input": "Bread is baked.", "output": "x"}
    for label, said in (("supported", "supported"), ("REFUTED", "refuted"), ("NEI", "not enough")):
        (made,) = sets.read(_file(tmp_path, {**row, "label": label}))
        assert made.messages[-1].content == said
