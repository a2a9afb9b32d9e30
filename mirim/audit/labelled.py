"""Tables as lines that name what they hold: a number in a column "RG" is told from others by the column's heading."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mirim.documents.passages import cells

_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*\Z")


def labelled(text: str) -> Iterator[str]:
    """'heading: cell' for each filled cell of a text's tables."""
    heading: list[str] = []
    last = ""
    for line in text.splitlines():
        if not line.startswith("|"):
            heading = []
        elif _RULE.match(line):
            heading = cells(last)
        elif heading:
            yield from (f"{name}: {cell}" for name, cell in zip(heading, cells(line), strict=False) if name and cell)
        last = line
