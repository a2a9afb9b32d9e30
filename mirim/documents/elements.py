"""What elements of a page are: which stand as blocks, what is read of one, and which open what stands below them."""

from __future__ import annotations

import re
from typing import Any

SPACE = re.compile(r"[ \t\r\n\f]+")
BLOCKS = frozenset(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer form frameset "
    "h1 h2 h3 h4 h5 h6 header hgroup hr html li main menu ol p pre section summary table tbody td tfoot th thead tr ul "
    "caption legend".split()
)
#: What stands above a part that opens and closes.
OPENING = frozenset("h1 h2 h3 h4 h5 h6 dt summary".split())


def content(element: Any) -> str:
    return SPACE.sub(" ", " ".join(element.itertext()))


def opens(button: Any) -> bool:
    """Whether a button's words are a heading's or a question's: what it opens stands below it."""
    if any(a.tag in OPENING for a in button.iterancestors()):
        return True
    words = content(button).split()
    said = {"aria-expanded", "aria-controls", "data-target", "data-bs-target"} & set(button.keys())
    return bool(words) and (words[-1].endswith("?") or (bool(said) and len(words) > 2))
