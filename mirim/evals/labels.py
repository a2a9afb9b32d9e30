"""How well labels are told: by what texts that have them teach, and by the labels' names alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirim.core.report import Report, Table
from mirim.evals.interval import wilson
from mirim.models import heads, labels, meaning

#: Labels, pairs that are mistaken for each other, and values of a field that are shown at most.
_SHOWN, _MISTAKEN = 100, 10


def measure(path: Path, limit: int = 0) -> Report:
    """{"accuracy", "macro_f1", "texts", "by_names", "commonest", "by": {field: {value: accuracy}}}: each text told by
    what those of the other parts teach; `by_names` by the labels' names alone, null where the encoder is missing."""
    some = heads.read(path)
    if limit and limit < len(some.texts):
        some = some.some(n * len(some.texts) // limit for n in range(limit))
    names = some.names
    logits, _ = heads.crossed(some)
    told = [names[n] for n in logits.argmax(1)]
    right = [one == other for one, other in zip(told, some.labels, strict=True)]
    by_names = _by_names(some) if meaning.available() else None
    commonest = Counter(some.labels).most_common(1)[0][1] / len(some.labels)
    groups: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for group, ok in zip(some.groups, right, strict=True):
        for field, value in group.items():
            groups[field][value].append(ok)
    shown = {field: values for field, values in sorted(groups.items()) if len(values) <= max(1, len(right) // 2)}
    each = [_of(name, told, some.labels) for name in names]
    macro = sum(one[3] for one in each) / len(each)
    data: dict[str, Any] = {
        "accuracy": sum(right) / len(right),
        "macro_f1": macro,
        "texts": len(right),
        "by_names": None if by_names is None else sum(by_names) / len(by_names),
        "commonest": commonest,
        "by": {f: {v: sum(oks) / len(oks) for v, oks in sorted(values.items())} for f, values in shown.items()},
    }
    mistaken = Counter((was, said) for was, said in zip(some.labels, told, strict=True) if was != said)
    ways = [("learned from the other texts", str(wilson(sum(right), len(right))))]
    if by_names is not None:
        ways.append(("by the labels' names alone", str(wilson(sum(by_names), len(by_names)))))
    ways.append(("always the commonest", f"{commonest:.3f}"))
    tables = [
        Table("How labels are told", ("way", "right"), tuple(ways)),
        Table(
            "Labels",
            ("label", "texts", "found", "right where it is said", "F1"),
            tuple((n, str(c), f"{r:.3f}", f"{p:.3f}", f"{f:.3f}") for (c, r, p, f), n in zip(each, names, strict=True))[
                :_SHOWN
            ],
        ),
        Table(
            "Mistaken",
            ("label", "told as", "texts"),
            tuple((a, b, str(n)) for (a, b), n in mistaken.most_common(_MISTAKEN)),
        ),
        *(
            Table(
                field, ("value", "accuracy"), tuple((v, str(wilson(sum(o), len(o)))) for v, o in sorted(values.items()))
            )
            for field, values in shown.items()
            if len(values) <= _SHOWN
        ),
    ]
    summary = (
        f"Of {len(right)} texts with {len(names)} labels {wilson(sum(right), len(right))} are told rightly by what "
        f"the others teach (in {heads.FOLDS} parts); F1 {macro:.3f} in the mean of the labels."
    )
    return Report("Labels", summary, tuple(tables), data=data)


def _of(name: str, told: Sequence[str], labels: Sequence[str]) -> tuple[int, float, float, float]:
    """(texts, found, right where it is said, F1) of a label."""
    count, said = labels.count(name), told.count(name)
    both = sum(one == other == name for one, other in zip(told, labels, strict=True))
    return count, both / count, both / said if said else 0.0, 2 * both / (count + said)


def _by_names(some: heads.Labelled) -> list[bool]:
    names = some.names
    told = labels.names(names).logits(some.texts).argmax(1)
    return [names[n] == label for n, label in zip(told, some.labels, strict=True)]
