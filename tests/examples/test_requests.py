"""The requests and rewritten questions that a base learns from: well formed, and calls that their functions take."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirim.core.files import numbered_jsonl
from mirim.examples import sets

KINDS = {"integer": int, "number": (int, float), "string": str, "array": list, "object": dict, "boolean": bool}
FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "requests"


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("calls-en", 250),
        ("calls-pt", 200),
        ("calls-en-2", 258),
        ("calls-pt-2", 122),
        ("calls-en-3", 365),
        ("calls-pt-3", 126),
        ("calls-en-4", 333),
        ("calls-pt-4", 110),
    ],
)
def test_every_call_fits_its_function(name: str, functions: int) -> None:
    rows = [row for _, row in numbered_jsonl(FOLDER / f"{name}.jsonl")]
    assert len(rows) == len({row["function"]["name"] for row in rows}) == functions
    requests = [request for row in rows for request, _ in row["calls"]]
    assert len(requests) == len(set(requests))
    for row in rows:
        assert row["lang"] == name[6:8]
        schema = row["function"]["parameters"]
        for request, arguments in row["calls"]:
            if arguments is None:
                continue
            assert set(schema["required"]) <= set(arguments) <= set(schema["properties"]), request
            for place_name, value in arguments.items():
                place = schema["properties"][place_name]
                assert isinstance(value, KINDS[place["type"]]), (request, place_name)
                assert isinstance(value, bool) == (place["type"] == "boolean"), (request, place_name)
                assert value in place.get("enum", [value]), (request, place_name)


@pytest.mark.parametrize(("name", "functions"), [("turns-en", 555), ("turns-pt", 667)])
def test_what_first_turns_lack_the_next_ones_tell(name: str, functions: int) -> None:
    rows = [row for _, row in numbered_jsonl(FOLDER / f"{name}.jsonl")]
    known = {
        (row["function"]["name"], str(row["function"]["parameters"]))
        for path in FOLDER.glob(f"calls-{name[-2:]}*.jsonl")
        for _, row in numbered_jsonl(path)
    }
    assert len(rows) == functions
    requests = [request for row in rows for request, _ in row["calls"]]
    assert len(requests) == len(set(requests)) == 5 * functions
    for row in rows:
        schema = row["function"]["parameters"]
        assert row["lang"] == name[-2:]
        assert (row["function"]["name"], str(schema)) in known
        needed, listed = set(schema["required"]), schema["properties"]
        (_, plain), *turns = row["calls"]
        assert needed <= set(plain) <= set(listed)
        for (first, told), (whole, arguments) in zip(turns[::2], turns[1::2], strict=True):
            assert needed - set(told), first
            assert needed <= set(arguments) <= set(listed), first
            assert {**arguments, **told} == arguments, first
            reply = whole.removeprefix(f"{first}\n")
            assert reply.strip() not in ("", whole)
        for _, arguments in row["calls"]:
            for place, value in arguments.items():
                assert isinstance(value, KINDS[listed[place]["type"]]), (place, value)
                assert value in listed[place].get("enum", [value]), (place, value)


@pytest.mark.parametrize(("name", "count"), [("follow-ups", 600), ("lay", 500)])
def test_questions_said_otherwise(name: str, count: int) -> None:
    rows = [row for _, row in numbered_jsonl(FOLDER / f"{name}.jsonl")]
    assert len(rows) == count
    for row in rows:
        assert row["task"] == "rewrite"
        assert row["input"].strip()
        assert row["output"].strip()
        turns = [m["role"] for m in row.get("messages", [])]
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert bool(turns) == (name == "follow-ups")
    if name == "follow-ups":
        # What is measured on is not learned.
        measured = [row for _, row in numbered_jsonl(FOLDER.parents[1] / "bench" / "follow_ups.jsonl")]
        assert not {row["output"].lower() for row in measured} & {row["output"].lower() for row in rows}
        first = [{row["messages"][0]["content"].lower() for row in some} for some in (measured, rows)]
        assert not first[0] & first[1]
    assert len(list(sets.read(FOLDER / f"{name}.jsonl"))) == count
