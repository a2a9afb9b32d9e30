"""People's own examples: found in the documents where they stand there, refused or learned as they are otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.documents import store
from mirim.examples import imported as seeds
from mirim.examples.synth import synth
from mirim.examples.tasks import answer

Make = Callable[..., Project]
Read = Callable[[Project], list[dict[str, Any]]]


def imported(make: Make, read: Read, *seeds: dict[str, Any]) -> list[dict[str, Any]]:
    project = make(seeds=list(seeds))
    synth(project)
    return [r for r in read(project) if r["origin"] == "import"]


def test_an_answer_in_a_document_is_grounded_there(make: Make, read: Read) -> None:
    seed = {
        "question": "Swimming on a full stomach?",
        "answer": "Wait two hours\nafter a heavy meal.",
        "document": "pool.md",
    }
    rows = imported(make, read, seed)
    assert {r["task"] for r in rows} == {"judge", "answer"}
    judged = [r for r in rows if r["task"] == "judge"]
    assert {r["messages"][-1]["content"] for r in judged} == {"yes", "no"}
    positive = next(r for r in judged if r["sources"])
    assert "Wait two hours after a heavy meal." in positive["messages"][0]["content"]
    assert positive["sources"][0]["document"] == "pool.md"
    assert (
        next(r for r in rows if r["task"] == "answer")["messages"][-1]["content"]
        == "Wait two hours after a heavy meal."
    )


def test_an_answer_that_no_document_holds_is_learned_as_it_is(make: Make, read: Read) -> None:
    seed = {"question": "Who founded the pool?", "answer": "Nobody remembers it any more.", "document": "pool.md"}
    rows = imported(make, read, seed)
    assert [(r["task"], r["messages"][-1]["content"]) for r in rows] == [("chat", "Nobody remembers it any more.")]


def test_a_document_that_there_is_not_is_said(make: Make, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("mirim.examples.synth.note", said.append)
    imported(make, read, {"question": "Who founded it?", "answer": "Nobody remembers.", "document": "pool"})
    assert [line for line in said if '1 of your own examples name a document that there is not, such as "pool"' in line]


def test_an_unanswerable_question_is_refused(make: Make, read: Read) -> None:
    seed = {"question": "Is there a sauna beside the swimming pool?", "answer": "", "answerable": False}
    rows = imported(make, read, seed)
    assert {r["messages"][-1]["content"] for r in rows} <= {"no", answer.REFUSAL["en"]}
    assert {r["metadata"]["kind"] for r in rows} == {"out of scope"}


def test_conversations(make: Make, read: Read) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Do you sell goggles?"},
        {"role": "assistant", "content": "No."},
    ]
    rows = imported(make, read, {"messages": messages})
    assert [m for r in rows for m in r["messages"]] == messages


def test_a_seed_stays_on_its_document_side(make: Make, read: Read) -> None:
    project = make(
        seeds=[
            {"question": f"Tell me of {d}", "answer": text, "document": d}
            for d, text in (
                ("pool.md", "Wait two hours after a heavy meal."),
                ("library.md", "The study room holds twenty readers."),
            )
        ]
    )
    synth(project)
    side = {s["document"]: r["split"] for r in read(project) for s in r["sources"] if r["origin"] == "extract"}
    for row in read(project):
        if row["origin"] == "import" and row["sources"]:
            assert row["split"] == side[row["sources"][0]["document"]]


def test_a_seed_of_a_single_document_stays_in_its_half(make: Make, read: Read) -> None:
    """The library is one document, the last passages of which validate."""
    lane = "Lane {0} is for swimmers of level {0}.".format
    text = "# Pool\n\n" + "\n\n".join(f"## Lane {i}\n\n{lane(i)}" for i in range(40))
    asked = [{"question": f"Who is lane {i} for?", "answer": lane(i), "document": "pool.md"} for i in (3, 39)]
    rows = imported(lambda **more: make({"pool.md": text}, **more), read, *asked)
    for row in rows:
        assert row["split"] == ("train" if "lane 3 " in str(row) else "valid")
    assert {row["split"] for row in rows if row["sources"]} == {"train", "valid"}


@pytest.mark.parametrize(
    "seed",
    [
        {"question": "What?"},
        {"question": "", "answer": "x"},
        {"answer": "x"},
        {"question": "What?", "answer": 5},
        {"question": "What?", "answer": "x", "document": 7},
        {"question": "What?", "answer": "x", "answerable": "no"},
        {"messages": []},
        {"messages": ["hello"]},
        {"messages": [{"role": "user", "content": "hello"}]},
        {"messages": [{"role": "martian", "content": "hello"}, {"role": "assistant", "content": "x"}]},
    ],
)
def test_lines_of_another_shape_are_named(make: Make, seed: dict[str, Any]) -> None:
    project = make(seeds=[{"question": "Fine?", "answer": "Yes, it is."}, seed])
    with pytest.raises(UsageError, match=r"lines\.jsonl line 2"):
        synth(project)
    assert not project.examples.exists() or not list(project.examples.glob("*.jsonl"))
    assert store.ids(project.documents)


@pytest.mark.parametrize(
    ("seed", "why"),
    [
        ({"messages": [{"role": "user", "content": ["Hi"]}, {"role": "assistant", "content": "Hi"}]}, "are texts"),
        ({"messages": [{"role": None, "content": "Hi"}, {"role": "assistant", "content": "Hi"}]}, "are texts"),
        ({"messages": [{"role": "user", "content": "Hi", "name": 7}, {"role": "assistant", "content": "Hi"}]}, "texts"),
        ({"messages": [{"role": "system", "content": "Hi"}, {"role": "assistant", "content": "Hi"}]}, "nobody asks"),
        (
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "", "tool_calls": ["x"]},
                ]
            },
            'a call in "tool_calls"',
        ),
    ],
)
def test_odd_seeds_are_told(make: Make, read: Read, seed: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        imported(make, read, seed)


def test_half_a_character_in_a_seed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "faq.jsonl"
    path.write_text(json.dumps({"question": "Oi \ud83d?", "answer": "Oi"}), "utf-8")
    with pytest.raises(UsageError, match="half of a surrogate pair"):
        list(seeds.read(path))


def test_own_examples_that_are_not_learned_are_told(make: Make, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr("mirim.examples.synth.note", notes.append)
    long = {"messages": [{"role": "user", "content": "Why? " * 2000}, {"role": "assistant", "content": "So."}]}
    none = {"question": "Xyzzy plugh?", "answerable": False}
    asked = {"question": "where can i park my bicycle", "answer": "Behind the house."}
    project = make(seeds=[long, none, asked], evals=["Where can I park my bicycle?"])
    synth(project)
    assert [r for r in read(project) if r["origin"] == "import"] == []
    said = " ".join(notes)
    assert 'such as "where can i park my bicycle": evals/ has the question, or one that is nearly the same' in said
    assert '1 of your own examples are not learned, such as "Why? Why?' in said
    assert "more than 8,000 characters" in said
    assert 'such as "Xyzzy plugh?": the documents have no passage for it' in said


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Who founded the pool?", "input": "", "output": "Nobody remembers it any more."},
        {"prompt": "Who founded the pool?", "completion": "Nobody remembers it any more."},
        {"prompt": "Who founded the pool?", "response": "Nobody remembers it any more."},
        {
            "conversations": [
                {"from": "human", "value": "Who founded the pool?"},
                {"from": "gpt", "value": "Nobody remembers it any more."},
            ]
        },
    ],
)
def test_rows_in_the_words_of_other_trainers(make: Make, read: Read, row: dict[str, Any]) -> None:
    (made,) = imported(make, read, row)
    assert [(m["role"], m["content"]) for m in made["messages"]] == [
        ("user", "Who founded the pool?"),
        ("assistant", "Nobody remembers it any more."),
    ]


def test_an_instruction_has_what_it_is_given_behind_it(make: Make, read: Read) -> None:
    (made,) = imported(make, read, {"instruction": "Translate.", "input": "A touca.", "output": "The cap."})
    assert made["messages"][0]["content"] == "Translate.\n\nA touca."


def test_files_of_examples_that_are_not_read_are_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr("mirim.examples.synth.note", notes.append)
    project = make(seeds=[{"question": "Who founded it?", "answer": "Nobody remembers."}])
    (project.root / "seeds" / "faq.xlsx").write_bytes(b"PK")
    synth(project)
    assert [line for line in notes if line.startswith("seeds/faq.xlsx is not read: examples are lines of JSON")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("faq.csv", 'question,answer\nWho founded the pool?,"Nobody, as far as we know."\n'),
        ("faq.CSV", "\ufeffsep=;\nPergunta;Resposta;Tema\nWho founded the pool?;Nobody, as far as we know.;\n"),
        ("faq.tsv", "Answer\tQuestion\nNobody, as far as we know.\tWho founded the pool?\n"),
    ],
)
def test_own_examples_in_a_table(make: Make, read: Read, name: str, text: str) -> None:
    project = make()
    (project.root / "seeds").mkdir()
    (project.root / "seeds" / name).write_text(text, "utf-8")
    synth(project)
    (made,) = [r for r in read(project) if r["origin"] == "import"]
    assert [m["content"] for m in made["messages"]] == ["Who founded the pool?", "Nobody, as far as we know."]


def test_a_table_says_what_has_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("pergunta;resposta;answerable\nVocês vendem barcos?;;não\nAbre aos domingos?;Abre.;sim\n", "cp1252")
    assert [(s.question, s.answer, s.answerable) for s in seeds.read(path)] == [
        ("Vocês vendem barcos?", "", False),
        ("Abre aos domingos?", "Abre.", True),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,answer\nAny towels?,Yes, at the desk.\n", r"row 2: 3 cells, but 2 columns \(question, answer\)"),
        ("topic,text\npool,It is warm.\n", "row 2: expected .*found topic, text"),
    ],
)
def test_a_table_of_another_shape_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        list(seeds.read(path))


def test_own_examples_that_hold_a_persons_number_or_a_password_are_not_learned(
    make: Make, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr("mirim.examples.synth.note", notes.append)
    call = {"function": {"name": "find", "arguments": '{"cpf": "CPF 529.982.247-25"}'}}
    asked = {"role": "user", "content": "Find Ana."}
    project = make(
        seeds=[
            {"question": "Why is my CPF 529.982.247-25 refused?", "answer": "It has no card."},
            {"question": "How do I get online?", "answer": "senha do wifi: abc12345"},
            {
                "messages": [
                    asked,
                    {"role": "assistant", "content": "", "tool_calls": [call]},
                    asked | {"role": "assistant"},
                ]
            },
            {"question": "Who founded it?", "answer": "Call (11) 4002-8922."},
        ]
    )
    report = synth(project)
    assert [r["messages"][0]["content"] for r in read(project) if r["origin"] == "import"] == ["Who founded it?"]
    assert report.data["left_out"]["private"] == 3
    said = " ".join(notes)
    assert 'such as "Why is my CPF 52•.•••.•••-25 refused?": it holds a number that names one person' in said
    assert "3 examples were left out because they hold a number that names one person" in said
    assert "529.982" not in said
