"""A pointer that is told what to point at, and what a parameter may be given then."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from mirim.core.types import Passage
from mirim.documents.words import parted
from mirim.models.pointing import Pointed
from mirim.models.slots import fill

#: A Sunday.
TODAY = datetime.date(2026, 11, 29)


class Pointer:
    """Points at what it is told for the first word of each question."""

    def __init__(self, **told: Pointed | None) -> None:
        self.told = told
        self.asked: list[str] = []

    def point(self, asked: Sequence[tuple[str, Passage]], longest: int = 0) -> list[Pointed | None]:
        self.asked = [question for question, _ in asked]
        self.shown = {f"{passage.heading} | {passage.text}" for _, passage in asked}
        assert longest == len(asked[0][1].text)
        return [self.told.get(question.split(":")[0].split()[0], Pointed(-4.0, {"x": 1.0})) for question in self.asked]


def meant(request: str, place: dict[str, Any], name: str = "it", odds: float = 2.0, **spans: float) -> Any:
    pointer = Pointer(**{parted(name).split()[0]: Pointed(odds, spans)})
    function = {"name": "f", "parameters": {"properties": {name: place}}}
    ((found, _),) = fill(pointer, request, [function], TODAY)  # type: ignore[arg-type]
    properties = found["parameters"]["properties"]
    return properties[name].get("enum") if name in properties else "left out"
