"""What a call needs and nobody said is asked for, instead of a call with something made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_fakes import Scripted, chat, events, house

from mirim.core.types import Message, Passage
from mirim.examples.tasks import tools
from mirim.models.pointing import Pointed

NEWS = {
    "type": "function",
    "function": {
        "name": "news",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "City of the news."}},
            "required": ["city"],
        },
    },
}
CALL = '{"name": "news", "arguments": {"city": "Belém"}}'
BEGUN = 'Well. <tool_call>{"name": "ne'
ASKED = "To do that I still need to know: City of the news."


def _engine(script: list[str], serves: float) -> Scripted:
    """It points at a city where the request names Belém."""

    class Pointer:
        def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed]:
            told = {True: Pointed(2.0, {"Belém": 1.0}), False: Pointed(-2.0, {"news": 1.0})}
            return [Pointed(serves, {}) if q == "news" else told["Belém" in passage.text] for q, passage in asked]

    engine = Scripted(script)
    engine.pointers = {"tools": Pointer()}  # type: ignore[attr-defined]
    return engine


def _talk(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": said} for n, said in enumerate(turns)]


@pytest.mark.parametrize(
    ("serves", "script", "says"), [(3.5, [], ASKED), (0.0, [BEGUN], f"Well. {ASKED}"), (-3.0, [BEGUN], "None of these")]
)
def test_a_call_that_lacks_something_is_not_made(client: Any, serves: float, script: list[str], says: str) -> None:
    engine = _engine(script, serves)
    row = chat(client(house(engine)), messages=_talk("The news?"), tools=[NEWS]).json()
    choice = row["choices"][0]
    assert says in choice["message"]["content"]
    assert not choice["message"].get("tool_calls")
    assert choice["finish_reason"] == "stop"
    assert row["usage"]["prompt_tokens"] > 0
    assert row["usage"]["completion_tokens"] > 0
    rows = events(chat(client(house(_engine(script, serves))), messages=_talk("The news?"), tools=[NEWS], stream=True))
    assert says in "".join(r["choices"][0]["delta"].get("content") or "" for r in rows)
    assert rows[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_functions_that_are_listed_count_too(client: Any) -> None:
    engine = _engine([], 3.5)
    engine.template = "{{ messages }}"  # type: ignore[attr-defined]
    row = chat(client(house(engine)), messages=_talk("The news?"), tools=[NEWS]).json()
    assert row["choices"][0]["message"]["content"] == ASKED
    assert row["usage"]["prompt_tokens"] == engine.count(tools.messages([Message("user", "The news?")], [NEWS]))
    assert row["usage"]["prompt_tokens"] > engine.count([Message("user", "The news?")])


def test_it_is_asked_for_in_the_language_of_the_request(client: Any) -> None:
    row = chat(client(house(_engine([], 3.5))), messages=_talk("Quais são as notícias de hoje?"), tools=[NEWS]).json()
    assert row["choices"][0]["message"]["content"] == "Para isso ainda preciso saber: City of the news."


def test_a_call_that_must_be_made_is_made_all_the_same(client: Any) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "news"}}):
        engine = _engine([CALL], 3.5)
        row = chat(client(house(engine)), messages=_talk("The news?"), tools=[NEWS], tool_choice=choice).json()
        assert row["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("serves", [3.5, -1.0])
def test_what_is_answered_is_called_at_once(client: Any, serves: float) -> None:
    engine = _engine([CALL], serves)
    row = chat(client(house(engine)), messages=_talk("The news?", ASKED, "Belém"), tools=[NEWS]).json()["choices"][0]
    (call,) = row["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Belém"}
    (made,) = engine.calls
    assert made["schema"]["$defs"]["arguments0"]["properties"]["city"]["enum"] == ["Belém"]


def test_what_is_not_answered_is_left_to_the_model_and_never_made_up(client: Any) -> None:
    talk = _talk("The news?", ASKED, "Never mind, thank you.")
    row = chat(client(house(_engine(["As you like."], 3.5))), messages=talk, tools=[NEWS]).json()["choices"][0]
    assert (row["message"]["content"], row["message"].get("tool_calls")) == ("As you like.", None)
    row = chat(client(house(_engine([BEGUN], 3.5))), messages=talk, tools=[NEWS]).json()["choices"][0]
    assert (row["message"]["content"], row["message"].get("tool_calls")) == (f"Well. {ASKED}", None)
    # What another assistant asked is no such question.
    other = _talk("The news?", "Which city?", "Never mind, thank you.")
    row = chat(client(house(_engine([], 3.5))), messages=other, tools=[NEWS]).json()["choices"][0]
    assert row["message"]["content"] == ASKED


@pytest.mark.parametrize("tasks", [(), ("tools",)])
def test_a_model_that_does_not_see_what_is_missing_goes_its_own_way(client: Any, tasks: tuple[str, ...]) -> None:
    class Blind:
        def point(self, asked: list[tuple[str, Passage]], longest: int) -> list[Pointed | None]:
            return [None] * len(asked)

    engine = Scripted(["As you like."])
    engine.pointers = {task: Blind() for task in tasks}  # type: ignore[attr-defined]
    row = chat(client(house(engine)), messages=_talk("The news?", ASKED, "No."), tools=[NEWS]).json()["choices"][0]
    assert (row["message"]["content"], row["message"].get("tool_calls")) == ("As you like.", None)


def _after(*answers: tuple[str, str], since: str = "") -> list[dict[str, Any]]:
    """A conversation in which the news of some cities were asked for and told; `since`: what the user said then."""
    rows: list[dict[str, Any]] = [{"role": "user", "content": "The news of Belém?"}]
    for number, (city, told) in enumerate(answers):
        call = {"name": "news", "arguments": json.dumps({"city": city}, indent=1)}
        rows.append({"role": "assistant", "tool_calls": [{"id": f"c{number}", "type": "function", "function": call}]})
        rows.append({"role": "tool", "tool_call_id": f"c{number}", "content": told})
    return [*rows, {"role": "user", "content": since}] if since else rows


def test_a_call_that_was_answered_is_not_made_again_and_again(client: Any) -> None:
    told = _after(("Manaus", "rain"), ("Belém", "a market opens"))
    row = chat(client(house(engine := _engine([BEGUN, CALL], 0.0))), messages=told, tools=[NEWS]).json()
    message = row["choices"][0]["message"]
    assert message["content"] == "news, Manaus:\nrain\n\nnews, Belém:\na market opens"
    assert not message.get("tool_calls")
    assert row["choices"][0]["finish_reason"] == "stop"
    assert row["usage"]["completion_tokens"] == engine.count(message["content"])
    assert len(engine.calls) == 2


def test_a_model_with_an_adapter_says_in_its_own_words_what_came_back(client: Any) -> None:
    script = [BEGUN, CALL, "A market opens."]
    engine = _engine(script, 0.0)
    told = _after(("Belém", "a market opens"))
    row = chat(client(house(engine)), model="tuned", messages=told, tools=[NEWS]).json()
    message = row["choices"][0]["message"]
    assert message["content"] == "Well. A market opens."
    assert not message.get("tool_calls")
    assert row["usage"]["completion_tokens"] > len("A market opens.".split())
    assert [bool(c["tools"]) for c in engine.calls] == [True, True, False]
    again = client(house(_engine(script, 0.0)))
    rows = events(chat(again, model="tuned", messages=told, tools=[NEWS], stream=True))
    assert "".join(r["choices"][0]["delta"].get("content") or "" for r in rows) == "Well. A market opens."


@pytest.mark.parametrize(
    ("messages", "pointing", "choice"),
    [
        (_after(("Manaus", "rain")), True, "auto"),  # another city
        (_after(("Belém", "a market opens"), since="And now?"), True, "auto"),  # asked anew
        (_after(("Belém", "a market opens")), False, "auto"),  # a model that may have its reasons
        (_after(("Belém", "a market opens")), True, "required"),
    ],
)
def test_other_calls_are_made_as_before(client: Any, messages: Any, pointing: bool, choice: str) -> None:
    engine = _engine([BEGUN, CALL] if choice == "auto" else [CALL], 0.0)
    if not pointing:
        del engine.pointers  # type: ignore[attr-defined]
    row = chat(client(house(engine)), messages=messages, tools=[NEWS], tool_choice=choice).json()["choices"][0]
    assert [c["function"]["name"] for c in row["message"]["tool_calls"]] == ["news"]
    assert row["finish_reason"] == "tool_calls"
