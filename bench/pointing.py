"""How well a model that learned to point at answers points at them by itself, beside the answers that it writes.

    python bench/pointing.py --reading FILE [--model mirim-base] [--pointing DIR] [--limit N]

The likeliest span of the sentence, or pair of them, in which pointing beats saying that nothing is there by most, and
the likeliest of the whole passage, on the questions of FILE (SQuAD's JSON) that have an answer. DIR takes the place of
what lies beside the model.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirim.core.progress import track
from mirim.core.types import Passage
from mirim.documents.sentences import sentences
from mirim.documents.words import detect
from mirim.evals.interval import bootstrap
from mirim.evals.metrics import exact_match, token_f1
from mirim.evals.reading import squad
from mirim.models.engine import open_engine
from mirim.models.pointing import Pointed


def _best(found: list[Pointed | None]) -> str:
    sure = max((one for one in found if one), key=lambda one: one.odds, default=None)
    return max(sure.spans, key=sure.spans.__getitem__, default="") if sure else ""


def measure(engine: Any, path: Path, limit: int) -> dict[str, Any]:
    rows = [q for q in squad(path) if q.answers][: limit or None]
    spoken = detect(" ".join(q.context for q in rows[:20]))
    scores: dict[str, list[float]] = {"f1": [], "exact": [], "f1 of the whole passage": []}
    for q in track(rows, "pointing"):
        language = q.language or spoken
        whole = Passage("", "", 0, len(q.context), q.title, q.context, None, language)
        spans = sentences(q.context, language)
        places = [*spans, *((spans[n][0], spans[n + 1][1]) for n in range(len(spans) - 1))]
        parts = [replace(whole, text=q.context[start:end]) for start, end in places]
        first, *found = engine.pointers["read"].point([(q.question, text) for text in (whole, *parts)])
        said = _best(found)
        scores["f1"].append(100 * token_f1(said, q.answers, language))
        scores["exact"].append(100 * exact_match(said, q.answers, language))
        scores["f1 of the whole passage"].append(100 * token_f1(_best([first]), q.answers, language))
    return {name: str(bootstrap(values)) for name, values in scores.items()} | {"questions": len(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reading", type=Path, required=True)
    parser.add_argument("--model", default="mirim-base")
    parser.add_argument("--pointing", default="")
    parser.add_argument("--limit", type=int, default=0)
    given = parser.parse_args()
    more = {"pointing": given.pointing} if given.pointing else {}
    engine = open_engine(given.model, engine="native", **more)
    if "read" not in engine.pointers:
        raise SystemExit(f"{given.model} did not learn to point at answers")
    print(json.dumps(measure(engine, given.reading, given.limit)))


if __name__ == "__main__":
    main()
