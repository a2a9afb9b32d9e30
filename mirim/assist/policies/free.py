"""Free: the model's own words, with the passages it was shown as references. Nothing checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mirim.assist.policies import Draft, Task, cite
from mirim.assist.rank import Ranked
from mirim.core.errors import UsageError
from mirim.core.types import Engine, Passage, Sampling
from mirim.examples.tasks import answer as task_answer
from mirim.examples.units import plain
from mirim.models.read import read, reads_sentences

#: Passages shown to the model, which reads few well; and sentences, to one that reads them one by one.
PASSAGES, SENTENCES = 3, 4


def write(task: Task) -> Draft:
    """The model's text, unless it is the refusal it was trained to give."""
    text, shown = compose(task)
    return Draft(text, cite(shown)) if text else Draft("")


def compose(task: Task) -> tuple[str, Sequence[Ranked]]:
    """What the model writes from the best passages, and the sentences that it wrote it from; '' when it refuses."""
    if task.engine is None:
        raise UsageError("this policy writes with a model and none is loaded; use --policy quote or name a --model")
    if reads_sentences(task.engine):
        return _read(task, task.engine)
    shown: dict[str, Passage] = {}
    for row in task.ranked:
        shown.setdefault(row.candidate.passage.id, row.candidate.passage)
    messages = task_answer.messages(task.question, list(shown.values())[:PASSAGES], task.language)
    text = "".join(delta.text for delta in task.engine.generate(messages, Sampling(max_tokens=200))).strip()
    return "" if task_answer.declined(text) else text, task.ranked[:PASSAGES]


def _read(task: Task, engine: Engine) -> tuple[str, Sequence[Ranked]]:
    """The answer from the one of the best sentences that answers most likely."""
    head = task.ranked[:SENTENCES]
    texts = [replace(r.candidate.passage, heading=r.candidate.lead, text=plain(r.candidate.text)) for r in head]
    found = read(engine, task.question, texts, task.language, judged=True)
    if found is None:
        return "", ()
    return found.text, [row for row, text in zip(head, texts, strict=True) if text is found.passage]
