"""People's own examples, in seeds/: questions with answers, or whole conversations, also in others' words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mirim.audit import seeds
from mirim.core.errors import UsageError
from mirim.core.types import Example, Message, Passage
from mirim.documents.words import tokens
from mirim.examples.questions import Asked, of_quote
from mirim.examples.tasks import example
from mirim.examples.units import Unit, units

#: Sentences of a long answer that are taught as answering; the first ones say most.
SENTENCES = 3
_HALVES = re.compile("[\ud800-\udfff]")
_SHAPE = '{"question", "answer", "document"?, "answerable"?} or {"messages": [{"role", "content"}, ...]}'
#: What else people call these, in Portuguese and in files made for other trainers: Alpaca, prompts with completions,
#: ShareGPT.
_NAMES = (
    ("question", ("pergunta", "instruction", "prompt")),
    ("answer", ("resposta", "output", "completion", "response")),
    ("document", ("documento",)),
)
_ROLES = {"human": "user", "gpt": "assistant", "developer": "system"}


@dataclass(frozen=True, slots=True)
class Seed:
    """A row of a file in seeds/. `messages` is set for a conversation, otherwise `question` is."""

    question: str = ""
    answer: str = ""
    document: str = ""
    answerable: bool = True
    messages: tuple[Message, ...] = ()

    @property
    def asked(self) -> list[str]:
        """Everything that a person says in it."""
        return [self.question] if self.question else [m.content for m in self.messages if m.role == "user"]


def read(path: Path) -> Iterator[Seed]:
    """The examples of a file; UsageError names the line that is of another shape."""
    for where, row in seeds.rows(path):
        yield _seed(row, where)


def _seed(row: dict[str, Any], where: str) -> Seed:
    if _HALVES.search(json.dumps(row, ensure_ascii=False)):
        raise UsageError(f"{where}: half of a surrogate pair, which is no character; write the character itself")
    row = _named(row)
    if isinstance(row.get("messages"), list):
        try:
            messages = tuple(Message.from_json(m) for m in row["messages"])
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f'{where}: a message is {{"role", "content"}} ({error})') from error
        if not all(isinstance(text, str) for m in messages for text in (m.role, m.content, m.name, m.tool_call_id)):
            raise UsageError(f'{where}: "role" and "content" of a message are texts, so are "name" and "tool_call_id"')
        if not all(map(_is_call, (call for m in messages for call in m.tool_calls))):
            raise UsageError(f'{where}: a call in "tool_calls" is {{"function": {{"name", "arguments"}}, ...}}')
        roles = [m.role for m in messages]
        if len(messages) < 2 or roles[-1] != "assistant" or set(roles) - {"system", "user", "assistant", "tool"}:
            raise UsageError(
                f"{where}: the messages end with the assistant's; found roles {', '.join(roles) or 'none'}"
            )
        if "user" not in roles:
            raise UsageError(f'{where}: nobody asks anything; write a message of the role "user" before the answer')
        return Seed(messages=messages)
    question, answer, answerable = row.get("question"), row.get("answer", ""), row.get("answerable", True)
    document = row.get("document") or ""
    if not isinstance(question, str) or not question.strip() or not isinstance(answer, str):
        raise UsageError(
            f"{where}: expected {_SHAPE}, in a table columns of these names; found {', '.join(row)[:200] or 'none'}"
        )
    if not isinstance(document, str) or not isinstance(answerable, bool) or (answerable and not answer.strip()):
        raise UsageError(f"{where}: expected {_SHAPE}; an answer may be empty only where answerable is false")
    return Seed(question.strip(), answer.strip(), document, answerable)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A row in our own words: `question` and `answer`, or `messages` with `role` and `content`."""
    turns = row.get("messages", row.get("conversations"))
    if isinstance(turns, list):
        return row | {"messages": [_turn(turn) if isinstance(turn, dict) else turn for turn in turns]}
    named = dict(row)
    for name, others in _NAMES:
        for other in others:
            if other in row:
                named.setdefault(name, row[other])
    given = row.get("input")
    if "instruction" in row and isinstance(named["question"], str) and isinstance(given, str) and given.strip():
        named["question"] += f"\n\n{given}"
    return named


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    named = dict(turn)
    for name, other in (("role", "from"), ("content", "value")):
        if other in turn:
            named.setdefault(name, turn[other])
    if isinstance(named.get("role"), str):
        named["role"] = _ROLES.get(named["role"], named["role"])
    return named


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def located(
    seed: Seed, passages: list[Passage], language: str, split: Callable[[Passage], list[Unit]] = units
) -> list[tuple[Asked, Passage]]:
    """The sentences of a document that hold a seed's answer: word for word, or nearly (white space, marks)."""
    every = [(u, p) for p in passages for u in split(p)]
    parts = [w for w in re.split(r"(?<=[.!?])\s+|\n+", seed.answer) if len(tokens(w)) >= 3] or [seed.answer]
    found: list[tuple[Unit, Passage]] = []
    for part in parts[:SENTENCES]:
        words = _words(part)
        best, most = None, 0.6
        for unit, passage in every:
            have = _words(unit.text)
            share = len(words & have) / max(1, len(words))
            if len(words) <= 6 and part.lower() not in unit.text.lower():
                continue
            # Of equals the shortest text says it most plainly.
            if share > most or (best and share == most and len(unit.text) < len(best[0].text)):
                best, most = (unit, passage), share
        if best and best not in found:
            found.append(best)
    return [(of_quote(seed.question, u, language, "seed"), p) for u, p in found]


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    return frozenset(tokens(text))


def chat(seed: Seed) -> Example:
    """A seed that no document holds: learned as the conversation it is."""
    if seed.messages:
        return example("chat", seed.messages[:-1], seed.messages[-1].content, (), {"kind": "seed"}, "import")
    made = {"question": seed.question, "kind": "seed"}
    return example("chat", (Message("user", seed.question),), seed.answer, (), made, "import")
