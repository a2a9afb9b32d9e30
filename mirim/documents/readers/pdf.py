"""PDF: text in reading order with headings, paragraphs, lists and tables; page starts kept for citations.

Text and positions come from PDFium, tables within ruled lines from pdfplumber. Running headers and
footers, page numbers and hyphens at line ends are taken out. Scanned pages have no text to read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mirim.core.extras import need
from mirim.documents.draft import Draft, Refused
from mirim.documents.text import clean

SUFFIXES = (".pdf",)
MEDIA = "application/pdf"
VERSION = 2
ISOLATE = True

_JUNK = re.compile(
    r"(?i)(?:microsoft |untitled|sem título|document ?\d*$|slide \d|.*\.(?:docx?|indd|tex|pdf|qxd|pptx?)$)"
)


def sniff(head: bytes, path: Path) -> bool:
    return b"%PDF-" in head[:1100]


def read(path: Path) -> Draft:
    pdfium: Any = need("pypdfium2", "documents")
    from mirim.documents.pdf_layout import layout
    from mirim.documents.pdf_lines import lines

    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise Refused("is encrypted: it opens only with a password; save a copy without one") from error
        if "security" in str(error).lower():
            raise Refused("is encrypted in a way that cannot be read; save a copy without it") from error
        raise Refused("is damaged or cut short: it is not a PDF that can be opened") from error
    notes: list[str] = []
    with document:
        outline = _outline(document)
        information = document.get_metadata_dict(skip_empty=True)
        pages = []
        bare = []
        for number in range(len(document)):
            try:
                pages.append(lines(document, number, path))
            except pdfium.PdfiumError as error:
                notes.append(f"page {number + 1} is damaged and was left out ({error})")
                pages.append(([], [], 0.0))
            if not pages[-1][0] and not pages[-1][1]:
                bare.append(number + 1)
    if bare and len(bare) < len(pages):
        notes.append(
            f"no text on {len(bare)} of {len(pages)} pages, scanned or blank: {', '.join(map(str, bare[:20]))}"
        )
    texts = layout(pages, outline)
    text, starts = joined(texts)
    return Draft(text, _title(information, texts), starts, _facts(information), tuple(notes))


def joined(texts: list[str]) -> tuple[str, tuple[int, ...]]:
    """One text of many pages and where each page starts in it. A sentence that runs on keeps running."""
    out: list[str] = []
    starts: list[int] = []
    length = 0
    for text in map(clean, texts):
        if out and text:
            before = out[-1].rstrip("\n")
            runs_on = bool(re.search(r"[\w,;-]$", before)) and text[:1].islower() and not before.endswith("|")
            # The page starts after the join, whichever it is.
            if runs_on:
                length += len(before) + 1 - len(out[-1])
                out[-1] = before + "\n"
            else:
                out.append("\n")
                length += 1
        starts.append(length)
        if text:
            out.append(text)
            length += len(text)
    whole = "".join(out)
    return whole, tuple(min(s, max(0, len(whole) - 1)) for s in starts) if whole else ()


def _outline(document: Any) -> dict[str, int]:
    """Bookmark titles, folded, and their level from 1."""
    found: dict[str, int] = {}
    try:
        for mark in document.get_toc(max_depth=6):
            title = mark.get_title() if hasattr(mark, "get_title") else mark.title
            key = re.sub(r"\W+", "", title or "").lower()
            if key and len(found) < 5000:
                found.setdefault(key, mark.level + 1)
    except Exception:
        # Bookmarks are a help, not the content: a broken tree of them is ignored.
        return {}
    return found


def _title(information: dict[str, str], texts: list[str]) -> str:
    """The title the file declares, if its first page says so too or it looks like one; else its first heading."""
    declared = " ".join(information.get("Title", "").split())
    if not declared or _JUNK.match(declared):
        return ""
    first = texts[0] if texts else ""
    said = re.sub(r"\W+", "", declared).lower() in re.sub(r"\W+", "", first).lower()
    return declared if said or (" " in declared and not re.search(r"^#+ ", first, re.MULTILINE)) else ""


def _facts(information: dict[str, str]) -> dict[str, str]:
    names = {"Author": "author", "Subject": "subject", "CreationDate": "created"}
    empty = ("(unspecified)", "unspecified", "(anonymous)", "anonymous")
    return {names[k]: v for k, v in information.items() if k in names and v.strip().lower() not in empty}
