"""What the grounded policy keeps of a model's text: nothing that says the opposite of its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mirim.assist.candidates import candidates
from mirim.assist.features import NAMES
from mirim.assist.polarity import agree
from mirim.assist.policies import Task
from mirim.assist.policies.grounded import write
from mirim.assist.rank import Ranked
from mirim.core.types import Delta, Passage
from mirim.documents.search import Hit


class Says:
    """An engine that says one text."""

    name, context = "says", 4096

    def __init__(self, text: str) -> None:
        self.text = text

    def generate(self, prompt: Any, sampling: Any, **_: Any) -> Iterator[Delta]:
        yield Delta(self.text, finish_reason="stop")


def kept(says: str, source: str, language: str = "en") -> bool:
    passage = Passage("d", "d.md", 0, len(source), "Rules", source, None, language)
    rows = [Ranked(c, tuple(0.0 for _ in NAMES), 0.0) for c in candidates([Hit(passage, 1.0)])]
    engine: Any = Says(says)
    return write(Task("?", language, rows, (), engine, 0)).text == says


GLOVES = "Gloves must not be worn at rotating machines."
PETS = "Animais de estimação não são permitidos, exceto cães-guia."


@pytest.mark.parametrize(
    ("says", "source", "language"),
    [
        ("Gloves must be worn at rotating machines.", GLOVES, "en"),
        ("Gloves needn't be worn at rotating machines.", "Gloves must be worn at rotating machines.", "en"),
        ("Gloves must be worn at machines.", "You must not, whatever happens, wear gloves at machines.", "en"),
        ("Power tools may be borrowed.", "Hand tools may be borrowed, but power tools may not be borrowed.", "en"),
        ("Animais de estimação são permitidos.", PETS, "pt"),
        ("Cães-guia não são permitidos.", PETS, "pt"),
        ("Gloves must be worn at machines.", "Gloves must be worn, except at machines.", "en"),
        ("Late tools cost twenty dollars a day.", "Late tools cost $2 a day.", "en"),
        ("A entrega custa trinta reais.", "A entrega custa R$ 25,00.", "pt"),
        ("Segunda das 14 às 18, terça das 8 às 12.", "Segunda das 8 às 12, terça das 14 às 18.", "pt"),
    ],
)
def test_the_opposite_of_the_source_is_taken_out(says: str, source: str, language: str) -> None:
    assert not kept(says, source, language)
    assert kept(source, source, language)


@pytest.mark.parametrize(
    ("says", "source"),
    [
        ("Members may borrow five tools at a time.", "Members may borrow five tools at a time, but not lend them."),
        ("Gloves mustn't be worn at machines.", "Gloves must never be worn at machines."),
        ("Late tools cost two dollars a day.", "Late tools cost $2 a day."),
        ("Mirrors are carried by 2 people.", "Mirrors are carried up by two people."),
    ],
)
def test_what_the_source_says_is_kept(says: str, source: str) -> None:
    assert kept(says, source)


@pytest.mark.parametrize(
    ("claim", "lead", "text", "same"),
    [
        ("You may bring dogs.", "Rules > Can I bring dogs?", "No.", False),
        ("Dogs are not welcome.", "Rules > Can I bring dogs?", "No, sorry.", True),
        ("You may not bring dogs.", "Rules > Can I bring dogs?", "Yes, on a lead.", False),
        ("You may bring dogs on a lead.", "Rules > Can I bring dogs?", "Yes, on a lead.", True),
        ("Late tools cost $5.", "What if I do not return a tool?", "Late tools cost $5.", True),
        ("Dogs are allowed.", "What is not allowed", "Dogs and cats.", False),
        ("Returns are not accepted in sales.", "Returns", "In sales we accept none.", True),
    ],
)
def test_what_stands_above_counts_for_what_the_text_does_not_name(claim: str, lead: str, text: str, same: bool) -> None:
    assert agree(claim, "en", lead, text, "en") is same
