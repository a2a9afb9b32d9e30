"""How well labels are told: by what texts that have them teach, and by the labels' names alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirim.core.report import Report, Table
from mirim.evals.interval import wilson
from mirim.models import heads, labels, meaning

#: Pairs that are mistaken for each other, and values of a field, that are shown at most.
_MISTAKEN, _VALUES = 10, 100


def measure(path: Path, limit: int = 0) -> Report:
    """{"accuracy", "macro_f1", "texts", "by_names", "commonest", "by": {field: {value: accuracy}}}: each text told by
    what those of the other parts teach; `by_names` by the labels' names alone, null where the encoder is missing."""
    some = heads.read(path)
    if limit and limit < len(some.texts):
        some = some.some(n * len(some.texts) // limit for n in range(limit))
    names = some.names
    told = [names[n] for n in heads.crossed(some).argmax(1)]
    right = [one == other for one, other in zip(told, some.labels, strict=True)]
    by_names = _by_names(some) if meaning.available() else None
    each = {name: _of(name, told, some.labels) for name in names}
    macro = sum(f1 for _, _, _, f1 in each.values()) / len(each)
    groups = _groups(some, right)
    data: dict[str, Any] = {
        "accuracy": sum(right) / len(right),
        "macro_f1": macro,
        "texts": len(right),
        "by_names": None if by_names is None else sum(by_names) / len(by_names),
        "commonest": Counter(some.labels).most_common(1)[0][1] / len(right),
        "by": {f: {v: sum(oks) / len(oks) for v, oks in values.items()} for f, values in groups.items()},
    }
    ways = [("learned from the other texts", _share(right))]
    ways += [("by the labels' names alone", _share(by_names))] if by_names is not None else []
    ways += [("always the commonest", f"{data['commonest']:.3f}")]
    mistaken = Counter((was, said) for was, said in zip(some.labels, told, strict=True) if was != said)
    wrong = tuple((was, said, str(count)) for (was, said), count in mistaken.most_common(_MISTAKEN))
    figures = ((name, str(n), *(f"{one:.3f}" for one in rest)) for name, (n, *rest) in each.items())
    tables = (
        Table("How labels are told", ("way", "right"), tuple(ways)),
        Table("Labels", ("label", "texts", "found", "right where it is said", "F1"), tuple(figures)),
        *((Table("Most often mistaken", ("label", "told as", "texts"), wrong),) if wrong else ()),
        *(
            Table(field, ("value", "accuracy"), tuple((value, _share(oks)) for value, oks in values.items()))
            for field, values in groups.items()
            if len(values) <= _VALUES
        ),
    )
    summary = (
        f"Of {len(right)} texts with {len(names)} labels {_share(right)} are told rightly by what the others teach; "
        f"F1 {macro:.3f} in the mean of the labels."
    )
    return Report("Labels", summary, tables, data=data)


def _share(right: Sequence[bool]) -> str:
    return str(wilson(sum(right), len(right)))


def _groups(some: heads.Labelled, right: Sequence[bool]) -> dict[str, dict[str, list[bool]]]:
    """Of each field whether the texts of each of its values are told rightly; not of fields that name the texts."""
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for group, ok in zip(some.groups, right, strict=True):
        for field, value in group.items():
            found[field][value].append(ok)
    most = max(1, len(right) // 2)
    return {field: dict(sorted(values.items())) for field, values in sorted(found.items()) if len(values) <= most}


def _of(name: str, told: Sequence[str], labels: Sequence[str]) -> tuple[int, float, float, float]:
    """(texts, found, right where it is said, F1) of a label."""
    count, said = labels.count(name), told.count(name)
    both = sum(one == other == name for one, other in zip(told, labels, strict=True))
    return count, both / count, both / said if said else 0.0, 2 * both / (count + said)


def _by_names(some: heads.Labelled) -> list[bool]:
    names = some.names
    told = labels.names(names).logits(some.texts).argmax(1)
    return [names[n] == label for n, label in zip(told, some.labels, strict=True)]
