"""PowerPoint presentations (Office Open XML): each slide a page with its title as heading, what it shows, its notes.

Hidden slides, comments and what runs along on every slide are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from mirim.core.extras import need
from mirim.documents import office
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft
from mirim.documents.readers.pdf import joined
from mirim.documents.store import named
from mirim.documents.words import detect

SUFFIXES = (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx")
MEDIA = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
VERSION = 1
ISOLATE = True

_UNTITLED = re.compile(r"Slide \d+")


def sniff(head: bytes, path: Path) -> bool:
    return office.packed(head, path, "ppt/presentation", SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    from mirim.documents.slides import Slides

    with Archive(path) as archive:
        slides = Slides(archive)
        return shown(path, slides.texts(), office.title(archive), office.metadata(archive), slides.notes)


def shown(path: Path, slides: list[tuple[str, str]], title: str, facts: dict[str, str], notes: list[str]) -> Draft:
    """The document of (what a slide shows, what its speaker says), a page each."""
    whole = "\n".join(text for slide in slides for text in slide)
    label = "Notas do apresentador" if detect(whole) == "pt" else "Speaker notes"
    texts = [f"{text}\n\n**{label}:** {said}" if said else text for text, said in slides]
    text, pages = joined(texts)
    first = next((t.removeprefix("## ").split("\n")[0] for t, _ in slides if t), "")
    # Properties are a template's more often than what the first slide says.
    title = ("" if _UNTITLED.fullmatch(first) else first) or title or named(path.name)
    return Draft(text, title, pages, facts, tuple(notes))
