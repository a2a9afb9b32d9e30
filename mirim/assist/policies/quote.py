"""Quote: the answer is sentences of the documents, word for word. It cannot invent."""

from __future__ import annotations

from mirim.assist.candidates import plain
from mirim.assist.policies import Draft, Task, cite

SENTENCES = 5
#: A further sentence is quoted when its log-odds are within this of the best one's.
MARGIN = 3.0


def write(task: Task) -> Draft:
    """The best sentence, then others nearly as good, each group of neighbours in reading order."""
    limit = task.sentences or SENTENCES
    best = task.ranked[0]
    chosen = [r for r in task.ranked if r.score >= best.score - MARGIN][:limit]
    citations = cite(chosen)
    return Draft(" ".join(_line(part) for c in citations for part in c.text.split("\n") if part.strip()), citations)


def _line(text: str) -> str:
    line = plain(text)
    return line if line.endswith((".", "!", "?", ":", ";")) else line + "."
