"""Documents of nearly the same text, found without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mirim.core.extras import need
from mirim.core.types import Document
from mirim.documents.words import tokens

_PERMUTATIONS = 64
#: Earlier documents that are like one at most: letters of one form would be compared all with all.
MOST = 16


def alike(documents: Iterable[Document], share: float) -> dict[str, list[str]]:
    """Document id → earlier ids whose word 4-grams overlap it by about `share` (Jaccard) or more, in order.

    Of many that are alike some MOST stand for all the others.

    MinHash with locality-sensitive hashing (Broder 1997): an estimate, within about 0.1 of the true overlap.
    """
    datasketch = need("datasketch", "documents")
    index = datasketch.MinHashLSH(threshold=share, num_perm=_PERMUTATIONS)
    sketches: dict[str, Any] = {}
    found: dict[str, list[str]] = {}
    for document in documents:
        sketch = datasketch.MinHash(num_perm=_PERMUTATIONS, seed=1)
        words = tokens(document.text)
        grams = {" ".join(words[i : i + 4]) for i in range(max(1, len(words) - 3))}
        sketch.update_batch([g.encode() for g in sorted(grams)])
        near = [n for n in sorted(index.query(sketch)) if sketch.jaccard(sketches[n]) >= share - 0.1] if words else []
        found[document.id] = near
        if words and len(near) < MOST:
            index.insert(document.id, sketch)
            sketches[document.id] = sketch
    return found
