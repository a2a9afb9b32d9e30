"""OpenDocument presentations: each slide a page with its title as heading, what it shows, its speaker notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirim.core.extras import need
from mirim.documents import office
from mirim.documents.archive import Archive
from mirim.documents.draft import Draft
from mirim.documents.readers.pptx import shown

SUFFIXES = (".odp", ".otp")
MEDIA = "application/vnd.oasis.opendocument.presentation"
VERSION = 1
ISOLATE = True

#: Places of a slide that say the same on every one.
_RUNNING = frozenset(("header", "footer", "date-time", "page-number"))


def sniff(head: bytes, path: Path) -> bool:
    return office.opened(head, path, MEDIA, SUFFIXES)


def read(path: Path) -> Draft:
    need("lxml.etree", "documents")
    from mirim.documents.open_text import OpenText
    from mirim.documents.slides import left_out

    with Archive(path) as archive:
        office.unlocked(archive)
        content = OpenText(archive)
        pages = [e for e in content.body if office.kind(e) == "draw:page"]
        hidden = [number for number, page in enumerate(pages, 1) if content.unseen(page)]
        slides = [("", "") if n in hidden else _slide(content, page, n) for n, page in enumerate(pages, 1)]
        content.tell()
        content.notes += [left_out(hidden)] * bool(hidden)
        return shown(path, slides, office.title(archive), office.metadata(archive), content.notes)


def _slide(content: Any, page: Any, number: int) -> tuple[str, str]:
    """(What a slide shows, what its speaker notes say)."""
    from mirim.documents.runs import join

    title, blocks, said = "", [], ""
    for e in page:
        place = office.attribute(e, "class")
        if office.kind(e) == "presentation:notes":
            said = join([b for f in e if office.attribute(f, "class") == "notes" for b in content.blocks([f])])
        elif place == "title" and not title:
            title = " ".join(" ".join(text.lstrip("# ") for _, text in content.blocks([e])).split())
        elif place not in _RUNNING:
            blocks += content.blocks([e])
    heading = title.replace("**", "").strip() or f"Slide {number}"
    return f"## {heading}\n\n{join(blocks)}" if blocks or title else "", said
