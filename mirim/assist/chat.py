"""`mirim chat`: a conversation in the terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import Literal

from mirim.core.project import Project
from mirim.core.types import Message
from mirim.core.verbs import verb


@verb
def chat(
    project: Project,
    *,
    model: str = "",
    policy: Literal["", "quote", "grounded", "free"] = "",
    engine: str = "",
) -> None:
    """Talk with the assistant: it remembers the conversation. An empty line or Ctrl-D ends it.

    Args:
        model: Model to use instead of the project's own; "none" answers by search alone.
        policy: quote (default), grounded or free.
        engine: Engine to run the model with; chosen by the model's format when empty.
    """
    from mirim.assist.answer import Assistant

    as_json = bool(os.environ.get("MIRIM_JSON"))
    with Assistant.open(project, model=model, policy=policy, engine=engine) as assistant:
        history: list[Message] = []
        if not as_json:
            print(f"{project.name}: ask away; an empty line ends the conversation.", file=sys.stderr)
        while question := _read(as_json):
            answer = assistant.answer(question, history)
            if as_json:
                print(json.dumps(answer.to_json(), ensure_ascii=False), flush=True)
            else:
                print(answer.to_text() + "\n", flush=True)
            history += [Message("user", question), Message("assistant", answer.answer)]


def _read(quiet: bool) -> str:
    if sys.stdin.isatty() and not quiet:
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
