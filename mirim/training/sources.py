"""Where a base model's text came from and under which licences: the attribution that its card owes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mirim.core.files import numbered_jsonl
from mirim.core.progress import track
from mirim.training import corpus
from mirim.training.recipe import Recipe, Tasks, Text

#: Origins named a file; of more, the rest are counted.
NAMED = 40


def attribution(recipe: Recipe, root: Path) -> str:
    """A Markdown table: each file with its weight, languages, licences and origins as its rows or the recipe say."""
    lines = ["| file | used as | languages | licence | origin |", "| --- | --- | --- | --- | --- |"]
    used: list[tuple[Text | Tasks, str]] = [(t, f"text, weight {t.weight:g}") for t in recipe.text]
    used += [(t, f"tasks, {f'at most {t.most:,} rows' if t.most else 'all rows'}") for t in recipe.tasks]
    for file, how in track(used, "sources"):
        path = recipe.find(root, file.path)
        rows = [row for _, row in (corpus.rows(path) if isinstance(file, Text) else numbered_jsonl(path))]
        languages = ", ".join(sorted({str(row["lang"]) for row in rows if row.get("lang")}))
        licences = _listed(row.get("licence") for row in rows) or file.licence
        origins = _listed(_origins(rows)) or file.origin
        lines.append(f"| {Path(file.path).name} | {how} | {languages} | {licences} | {origins} |")
    return "\n".join(lines)


def _origins(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Repositories without the file inside them; titles of works where that is all there is."""
    for row in rows:
        name = str(row.get("source") or row.get("author") or "").partition(":")[0].strip()
        if name:
            yield name.replace("|", "/")


def _listed(words: Iterable[Any]) -> str:
    counted = Counter(str(word).replace("|", "/") for word in words if word)
    named = [word for word, _ in counted.most_common(NAMED)]
    rest = len(counted) - len(named)
    return "; ".join(sorted(named)) + (f"; and {rest} more" if rest else "")
