"""Training and validation are different documents, chosen before any question is made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from mirim.audit.similar import alike
from mirim.core.types import Document, Split

#: Texts whose word 4-grams overlap this much (Jaccard) are one text for the split.
ALIKE = 0.6


def split(documents: Iterable[Document], share: float, seed: int) -> dict[str, Split]:
    """Document id → 'train' or 'valid'. Documents of nearly the same text fall on the same side.

    Which side is decided by a hash of the id, so that a new document moves no old one. With two groups of
    documents or more, each side gets at least one; a single document is for training.
    """
    group: dict[str, str] = {}
    for id_, near in alike(documents, ALIKE).items():
        heads_near = {group[n] for n in near}
        head = min(heads_near, default=id_)
        group[id_] = head
        if len(heads_near) > 1:
            # What is like two texts joins them.
            group |= {i: head for i, h in group.items() if h in heads_near}
    heads = sorted(set(group.values()), key=lambda h: hashlib.sha256(f"{seed} {h}".encode()).hexdigest())
    held = {h for h in heads if int(hashlib.sha256(f"{seed} {h}".encode()).hexdigest()[:8], 16) < share * 2**32}
    if len(heads) >= 2 and share > 0:
        held = held or {heads[0]}
        held = held if len(held) < len(heads) else held - {heads[-1]}
    else:
        held = set()
    return {id_: "valid" if head in held else "train" for id_, head in sorted(group.items())}


def spread(ids: list[str], most: int, seed: int) -> list[str]:
    """All ids, or `most` of them, chosen by a hash so that the choice is even and stays."""
    if len(ids) <= most:
        return ids
    return sorted(sorted(ids, key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())[:most])
