"""Where a base model's text came from and under which licences: the attribution that its card owes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

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
        languages, licences, origins = Counter[str](), Counter[str](), Counter[str]()
        # One row at a time: a corpus may be larger than the memory.
        for _, row in corpus.rows(path) if isinstance(file, Text) else numbered_jsonl(path):
            # Repositories without the file inside them; titles of works where that is all there is.
            origin = str(row.get("source") or row.get("author") or "").partition(":")[0].strip()
            for counted, word in ((languages, row.get("lang")), (licences, row.get("licence")), (origins, origin)):
                if word:
                    counted[str(word).replace("|", "/")] += 1
        licence, origin = _listed(licences) or file.licence, _listed(origins) or file.origin
        lines.append(f"| {Path(file.path).name} | {how} | {', '.join(sorted(languages))} | {licence} | {origin} |")
    return "\n".join(lines)


def _listed(counted: Counter[str]) -> str:
    named = [word for word, _ in counted.most_common(NAMED)]
    rest = len(counted) - len(named)
    return "; ".join(sorted(named)) + (f"; and {rest} more" if rest else "")
