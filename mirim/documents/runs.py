"""Runs of formatted text and blocks of text as Markdown, as the readers of office files put them together."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mirim.documents.markup import raised

#: Stands before a run that is written above the line, until what stands before it is known.
UP = "\ue000"


def merged(runs: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """A paragraph's text of runs and their marks; those with the same marks are one."""
    pieces: list[tuple[str, tuple[str, ...]]] = []
    for text, marks in runs:
        if pieces and pieces[-1][1] == marks:
            pieces[-1] = (pieces[-1][0] + text, marks)
        else:
            pieces.append((text, marks))
    text = ""
    for part, marks in pieces:
        for n, piece in enumerate(part.split(UP)):
            text += raised(text, _marked(piece, marks), n > 0)
    text = re.sub(r"[ \t]+", " ", text)
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def join(blocks: list[tuple[str, str]]) -> str:
    """Blocks with blank lines between, list items and lines of code kept together."""
    out: list[str] = []
    last = ""
    for what, text in blocks:
        if what == "code":
            if last == "code":
                out[-1] = out[-1].removesuffix("\n```") + f"\n{text}\n```"
            else:
                out.append(f"```\n{text}\n```")
        elif what == "li" and last == "li":
            out[-1] += f"\n{text}"
        else:
            out.append(text)
        last = what
    return "\n\n".join(out)


def _marked(text: str, marks: tuple[str, ...]) -> str:
    words = text.strip()
    if not words or not marks:
        return text
    lead, trail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    for mark in marks:
        if mark in ("**", "*", "~~"):
            words = "\n".join(f"{mark}{line}{mark}" if line.strip() else line for line in words.split("\n"))
        elif words != mark:
            words = f"[{words}]({mark})" if not re.search(r"[\s()]", mark) else words
    return f"{lead}{words}{trail}"
