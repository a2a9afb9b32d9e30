"""Free: the model's own words, with the passages it was shown as references. Nothing checks them."""

from __future__ import annotations

from mirim.assist.policies import Draft, Task, cite
from mirim.core.errors import UsageError
from mirim.core.types import Passage, Sampling
from mirim.examples.tasks import answer as task_answer

#: Passages shown to the model; small models read few well.
PASSAGES = 3


def write(task: Task) -> Draft:
    """The model's text, unless it is the refusal it was trained to give."""
    text = compose(task)
    return Draft(text, cite(task.ranked[:PASSAGES])) if text else Draft("")


def compose(task: Task) -> str:
    """What the model writes from the best passages; '' when it refuses."""
    if task.engine is None:
        raise UsageError("this policy writes with a model and none is loaded; use --policy quote or name a --model")
    shown: dict[str, Passage] = {}
    for row in task.ranked:
        shown.setdefault(row.candidate.passage.id, row.candidate.passage)
    messages = task_answer.messages(task.question, list(shown.values())[:PASSAGES], task.language)
    text = "".join(delta.text for delta in task.engine.generate(messages, Sampling(max_tokens=200))).strip()
    return "" if task_answer.declined(text) else text
