"""One file to one Document: choose the reader, read, clean, name, tell the language."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mirim.core.errors import MissingExtra
from mirim.core.types import Document
from mirim.documents import kinds
from mirim.documents.draft import Draft, Refused
from mirim.documents.store import identify, named, sections, title_of
from mirim.documents.text import clean
from mirim.documents.words import detect


def tag(reader: str, language: str) -> str:
    """What a document was made by: reader, its version, the language assumed where the text does not say."""
    return f"{reader} {kinds.readers()[reader].VERSION} {language}".strip()


def extract(
    path: Path, source: str, reader: str, *, language: str = "", licence: str = "", sha256: str = ""
) -> tuple[Document, list[str]]:
    """The document of a file and notes on it. Raises Refused with the reason, MissingExtra with the pip line."""
    module = kinds.readers()[reader]
    try:
        draft: Draft = module.read(path)
    except (Refused, MissingExtra):
        raise
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed; type: pip install 'mirim[documents]'") from error
    except MemoryError as error:
        raise Refused("needs more memory than one file may take") from error
    except RecursionError as error:
        raise Refused("is nested too deeply to be read") from error
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:
        # Libraries meet hostile bytes with errors of every type; one file must not stop the others.
        reason = " ".join(str(error).split())[:200]
        raise Refused(f"is damaged, or not a file that can be read ({type(error).__name__}: {reason})") from error
    text = draft.text if draft.pages else clean(draft.text)
    if not re.search(r"\w", text):
        raise Refused(f"holds no text{_scanned(reader)}")
    title = " ".join(clean(draft.title).split())[:200] or title_of(text) or named(source)
    document = Document(
        id=identify(source),
        source=source,
        media_type=module.MEDIA,
        title=title,
        text=text,
        sections=sections(text),
        pages=draft.pages,
        sha256=sha256,
        licence=str(draft.metadata.get("licence") or draft.metadata.get("license") or licence),
        language=_language(draft.metadata, text) or language,
        metadata=_plain(draft.metadata),
    )
    return document, list(draft.notes)


def _language(metadata: dict[str, Any], text: str) -> str:
    """By the words; what the file declares only decides when they do not say, for it is often a template's."""
    declared = str(metadata.get("language") or metadata.get("lang") or "")[:2].lower()
    return detect(text) or (declared if declared.isalpha() and len(declared) == 2 else "")


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    left_out = ("language", "lang", "licence", "license")
    return {k: clean(str(v)).strip()[:500] for k, v in sorted(metadata.items()) if v and k not in left_out}


def _scanned(reader: str) -> str:
    return ": its pages are probably scanned images; make them text with OCR first" if reader == "pdf" else ""
