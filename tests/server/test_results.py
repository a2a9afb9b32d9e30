"""What functions gave back is said in words, by models that never learned to read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_fakes import Scripted, chat, events, house

from mirim.core.types import Passage
from mirim.models.pointing import Pointed
from mirim.server.results import FIELDS, TEXT, answering, called, said


def _function(name: str, parameter: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TIDES, FERRY = _function("tides", "beach"), _function("book_ferry", "island")
RESULT = '{"next_high_tide": "14:20", "height_m": 2.50, "safe": true}'
WORDS = "- next high tide: 14:20\n- height m: 2.50\n- safe: yes"


class Points:
    """At what stands for each function; as sure that each serves as it is told."""

    def __init__(self, serves: dict[str, float]) -> None:
        self.serves = serves

    def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed]:
        said = {"beach": Pointed(2.0, {"Areia": 1.0}), "island": Pointed(2.0, {"Mel": 1.0})}
        return [said.get(q) or Pointed(self.serves[q], {}) for q, _ in asked]


def _engine(script: list[str], **serves: float) -> Scripted:
    engine = Scripted(script)
    engine.pointers = {"tools": Points(serves)}  # type: ignore[attr-defined]
    return engine


def _loop(result: str = RESULT, asked: str = "When is high tide at Areia, and a boat to Mel?") -> list[dict[str, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": "tides", "arguments": '{"beach": "Areia"}'}}
    return [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": result},
    ]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (RESULT, WORDS),
        ("{'next_high_tide': '14:20', 'safe': False}", "- next high tide: 14:20\n- safe: no"),
        ('{"error": "no such beach"}', "error: no such beach"),
        ('[{"id": "A1", "free": null}, {"id": "B2", "free": 3}]', "- id: A1; free: —\n- id: B2; free: 3"),
        (
            '{"ferries": [{"at": "8:00"}, {"at": "9:00"}], "total": 2}',
            "- ferries:\n  - at: 8:00\n  - at: 9:00\n- total: 2",
        ),
        ('{"pier": {"name": "North", "tags": []}, "n": 1}', "- pier: (name: North; tags: —)\n- n: 1"),
        ('["low", "high"]', "- low\n- high"),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ('"The tide is in."', "The tide is in."),
        ("The tide is in.", "The tide is in."),
        ("[see the chart]", "[see the chart]"),
        ("[]", "Nothing came back."),
        (" ", "Nothing came back."),
        ('"half \\ud83d"', "half \ufffd"),
        ("[" * 5000, "[" * 5000),
        ('{"a": ' + "[" * 3000 + "]" * 3000 + "}", '{"a": ' + "[" * 3000 + "]" * 3000 + "}"),
    ],
)
def test_what_comes_back_is_said_in_plain_words(told: str, words: str) -> None:
    assert said(told, "en") == words


def test_words_of_our_own_are_in_the_language_of_the_request() -> None:
    assert said('{"aberto": false}', "pt") == "aberto: não"
    assert said("[]", "pt") == "Nada foi devolvido."


def test_a_call_in_words() -> None:
    assert called("getTide", '{"beach": "Areia", "day": null}', "en") == "get tide, Areia, —"
    assert called("ping", "", "en") == "ping"
    assert called("ping", "[" * 100_000, "en") == "ping"
    assert called("ping", '{"a": "\\ud83d"}', "en") == "ping, \ufffd"


def test_no_words_are_made_up_about_what_came_back(client: Any) -> None:
    tools = [TIDES, FERRY]
    for more in ({"tools": tools}, {"tools": tools, "tool_choice": "none"}, {}):
        engine = _engine(["The tide is at 3:00, I think."], tides=1.0, book_ferry=-1.0)
        row = chat(client(house(engine)), messages=_loop(), **more).json()
        assert row["choices"][0]["message"]["content"] == WORDS
        assert row["choices"][0]["finish_reason"] == "stop"
        engine = _engine(["The tide is at 3:00, I think."], tides=1.0, book_ferry=-1.0)
        rows = events(chat(client(house(engine)), messages=_loop(), stream=True, **more))
        assert "".join(r["choices"][0]["delta"].get("content") or "" for r in rows) == WORDS


def test_another_model_says_it_in_its_own_words(client: Any) -> None:
    row = chat(client(house(Scripted(["At 14:20."]))), messages=_loop(), tools=[TIDES]).json()
    assert row["choices"][0]["message"]["content"] == "At 14:20."


@pytest.mark.parametrize(
    ("asked", "made"), [("High tide at Areia, Mel", False), ("High tide at Areia. Boat to Mel", True)]
)
def test_a_request_for_one_thing_is_done_with_one_function(client: Any, asked: str, made: bool) -> None:
    script = ['<tool_call>{"name', '{"name": "book_ferry", "arguments": {"island": "Mel"}}']
    engine = _engine(script, tides=-9.0, book_ferry=4.0)
    message = chat(client(house(engine)), messages=_loop(asked=asked), tools=[TIDES, FERRY]).json()["choices"][0][
        "message"
    ]
    assert bool(message.get("tool_calls")) == made


@pytest.mark.parametrize(("serves", "made"), [(2.0, True), (1.0, False)])
def test_a_further_function_is_called_where_the_request_asks_for_it(client: Any, serves: float, made: bool) -> None:
    script = ['<tool_call>{"name', '{"name": "book_ferry", "arguments": {"island": "Mel"}}']
    engine = _engine(script, tides=-9.0, book_ferry=serves)
    message = chat(client(house(engine)), messages=_loop(), tools=[TIDES, FERRY]).json()["choices"][0]["message"]
    assert bool(message.get("tool_calls")) == made
    if made:
        assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"island": "Mel"}
        # Held to the words of the request, as a first call is.
        assert engine.calls[-1]["schema"]["$defs"]["arguments0"]["properties"]["island"]["enum"] == ["Mel"]
    else:
        assert message["content"] == WORDS


@pytest.mark.parametrize(("points", "made"), [(True, False), (False, True)])
def test_a_call_that_was_answered_gives_way_to_the_format(client: Any, points: bool, made: bool) -> None:
    """Whoever runs functions in a loop would never come out of it."""
    call = '{"name": "tides", "arguments": {"beach": "Areia"}}'
    engine = _engine([f"<tool_call>{call}</tool_call>", '{"at": "14:20"}'], tides=1.0)
    if not points:
        del engine.pointers  # type: ignore[attr-defined]
    format = {"type": "json_object"}
    row = chat(client(house(engine)), messages=_loop(), tools=[TIDES], response_format=format).json()["choices"][0]
    assert bool(row["message"].get("tool_calls")) == made
    assert row["message"]["content"] == (None if made else '{"at": "14:20"}')
    assert row["finish_reason"] == ("tool_calls" if made else "stop")


def test_what_is_said_ends_where_it_was_asked_to(client: Any) -> None:
    row = chat(client(house(_engine(["No."], tides=1.0))), messages=_loop(), max_tokens=5).json()
    assert row["choices"][0]["message"]["content"] == "- next high tide: 14:20"
    assert row["choices"][0]["finish_reason"] == "length"
    row = chat(client(house(_engine(["No."], tides=1.0))), messages=_loop(), stop="\n- height").json()
    assert row["choices"][0]["message"]["content"] == "- next high tide: 14:20"
    assert row["choices"][0]["finish_reason"] == "stop"


def test_a_long_text_is_read_and_a_list_is_said_whole() -> None:
    from mirim.models.engine import open_engine
    from mirim.models.resolve import bundled

    if not bundled():
        pytest.skip("this build brings no base")
    rules = (
        "Rules of the rowing club. The boathouse opens at seven in the morning and closes at dusk. A day ticket costs "
        "9 euros, and 4 euros for members of another club. Life jackets hang behind the door and are to be worn by all "
        "under sixteen. Boats are washed after each use, at the tap beside the ramp. Dogs may not come on the pontoon. "
        "Lockers take a one euro coin. Whoever breaks an oar tells the keeper, who has spare ones."
    )
    rows = json.dumps([{"boat": f"Heron {n}", "seats": n % 4 + 1, "free": n % 2 == 0} for n in range(20)])
    assert TEXT < len(rules) < len(said(rows, "en")) < FIELDS
    engine = open_engine("mirim-base")
    try:
        words = answering(engine, "How much is a day ticket?", rules, "club_rules", "en")
        assert "9 euros" in words
        assert len(words) < TEXT
        assert words.startswith("… ")
        assert answering(engine, "Which boats are there?", rows, "boats", "en") == said(rows, "en")
    finally:
        engine.close()
