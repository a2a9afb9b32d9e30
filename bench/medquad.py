"""MedQuAD end to end, beside a plain BM25 baseline, in one run; prints the table of docs/benchmarks.md.

    python bench/medquad.py --data ../shared/data/medquad --out medquad             search alone (minutes)
    python bench/medquad.py --data ../shared/data/medquad --out medquad --build     with a model tuned first (hours)

Writes the project with examples/medquad/prepare.py, ingests it, with --build also makes its model, then asks
the development questions and the questions to a bank through the functions that chat uses. The baseline
answers with the first sentences of the passage that BM25 puts first; it gets as many sentences as our answer
has, or as many words, so that neither wins by length. It never refuses. ROUGE-L counts a refusal as 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirim.assist import calibrate
from mirim.assist.answer import Assistant
from mirim.core.files import write_json
from mirim.core.project import Project
from mirim.core.types import Answer, Passage
from mirim.documents.ingest import ingest
from mirim.documents.search import Index
from mirim.documents.sentences import sentences
from mirim.evals.held_out import score
from mirim.evals.interval import bootstrap, paired, wilson
from mirim.evals.metrics import percentile, rouge_l
from mirim.examples.held import HeldOut, read
from mirim.examples.synth import synth
from mirim.examples.units import plain

TOP = 5
#: Sentences that the baseline gets where we refuse.
SENTENCES = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A development question with our answer, both baselines' and where its page was found."""

    asked: HeldOut
    ours: Answer
    verified: float | None
    same_sentences: str
    same_words: str
    found: list[str]


def first_sentences(passage: Passage, count: int) -> str:
    """The first `count` sentences of a passage, headings apart."""
    spans = sentences(passage.text, passage.language)
    texts = [plain(passage.text[a:b]) for a, b in spans if not passage.text[a:b].lstrip().startswith("#")]
    return " ".join(texts[:count])


def first_words(passage: Passage, count: int) -> str:
    return " ".join(plain(passage.text).split()[:count])


def length(answer: Answer, default: int) -> tuple[int, int]:
    """(sentences, words) of an answer; a refusal counts as `default` sentences and no fixed number of words."""
    if answer.abstained:
        return default, 0
    return sum(len(sentences(c.text)) for c in answer.citations), len(answer.answer.split())


def ask(project: Project, assistant: Assistant, questions: Sequence[HeldOut]) -> list[Row]:
    """Ask them all, and search for each the way that the baseline does."""
    rows = []
    with Index.open(project.index) as index:
        for asked in questions:
            answer = assistant.answer(asked.question)
            hits = index.search(asked.question, limit=40)
            found = list(dict.fromkeys(h.passage.document for h in hits))[:TOP]
            count, words = length(answer, SENTENCES)
            top = hits[0].passage if hits else None
            by_sentences = first_sentences(top, count) if top else ""
            by_words = first_words(top, words or len(by_sentences.split())) if top else ""
            verified = score(project, asked, answer).verified
            rows.append(Row(asked, answer, verified, by_sentences, by_words, found))
    return rows


def figures(rows: Sequence[Row], refused: Sequence[Answer], seed: int) -> dict[str, Any]:
    """Every figure with its interval."""
    ours = [0.0 if r.ours.abstained else rouge_l(r.ours.answer, r.asked.answer) for r in rows]
    given = [i for i, r in enumerate(rows) if not r.ours.abstained]
    result: dict[str, Any] = {
        f"right page among the first {TOP}": wilson(sum(r.asked.document in r.found for r in rows), len(rows)),
        "right page first": wilson(sum(r.found[:1] == [r.asked.document] for r in rows), len(rows)),
        "answers that cite the right page": wilson(
            sum(any(c.document == rows[i].asked.document for c in rows[i].ours.citations) for i in given), len(given)
        ),
        "citations that verify": wilson(sum(rows[i].verified == 1.0 for i in given), len(given)),
        "answered": wilson(len(given), len(rows)),
        "ROUGE-L, ours": bootstrap(ours, seed),
    }
    for name, texts in (
        ("as many sentences", [r.same_sentences for r in rows]),
        ("as many words", [r.same_words for r in rows]),
    ):
        theirs = [rouge_l(t, r.asked.answer) for t, r in zip(texts, rows, strict=True)]
        difference, verdict = paired(ours, theirs, seed)
        result[f"ROUGE-L, BM25 with {name}"] = bootstrap(theirs, seed)
        result[f"difference ({verdict})" if name == "as many sentences" else f"difference, words ({verdict})"] = (
            difference
        )
        if len(given) < len(rows):
            result[f"difference where we answer, {name}"] = paired(
                [ours[i] for i in given], [theirs[i] for i in given], seed
            )[0]
    result["banking77 refused"] = wilson(sum(a.abstained for a in refused), len(refused))
    return result


def table(name: str, values: dict[str, Any], seconds: Sequence[float]) -> str:
    """The Markdown that docs/benchmarks.md shows."""
    lines = [f"| MedQuAD, {name} | value | 95 % interval | n |", "| --- | --- | --- | --- |"]
    lines += [f"| {k} | {v.value:.3f} | {v.low:.3f} to {v.high:.3f} | {v.n} |" for k, v in values.items()]
    lines.append(f"| seconds a question, median | {statistics.median(seconds):.3f} | | {len(seconds)} |")
    lines.append(f"| seconds a question, 95th percentile | {percentile(seconds, 0.95):.3f} | | {len(seconds)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/medquad"))
    parser.add_argument("--out", type=Path, default=Path("medquad"), help="project folder; kept for the next run")
    parser.add_argument("--seeds", type=int, default=3000, help="training questions to tune or calibrate on")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--outside", type=int, default=300)
    parser.add_argument("--build", action="store_true", help="make the model before it is asked")
    parser.add_argument("--model", default="", help="what to ask: a model, or none for search alone")
    parser.add_argument("--words", type=int, default=0, help="words an answer quotes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    recipe = Path(__file__).resolve().parents[1] / "examples" / "medquad" / "prepare.py"
    spec = importlib.util.spec_from_file_location("prepare", recipe)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    counts = module.prepare(
        options.data,
        options.out,
        seeds=options.seeds,
        questions=options.questions,
        outside=options.outside,
        seed=options.seed,
    )
    print(counts, flush=True)
    project = Project.open(options.out)
    started = time.monotonic()
    if options.build:
        from mirim.build import build

        build(project)
    else:
        ingest(project)
        synth(project)
    print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
    model = options.model or ("" if (project.model / "bundle.json").is_file() else "none")
    with Assistant.open(project, model=model, words=options.words) as assistant:
        if model == "none":
            # As `build` does it: on questions about the training part's pages, never on development ones.
            assistant.calibration, _ = calibrate.fit(
                assistant, calibrate.questions(project), calibrate.refused(project)
            )
            print(assistant.calibration, flush=True)
        rows = ask(project, assistant, list(read(project.evals / "development.jsonl")))
        refused = [assistant.answer(q.question) for q in read(project.evals / "outside.jsonl")]
        name = "search alone" if assistant.engine is None else assistant.model
    values = figures(rows, refused, options.seed)
    seconds = [r.ours.seconds for r in rows] + [a.seconds for a in refused]
    print(table(name, values, seconds))
    write_json(
        project.reports / "medquad.json",
        {
            "model": name,
            "figures": {k: [v.value, v.low, v.high, v.n] for k, v in values.items()},
            "answers": [json.loads(json.dumps(r.ours.to_json())) | {"id": r.asked.id} for r in rows],
            "outside": [{"question": a.question} | a.to_json() for a in refused if not a.abstained],
        },
    )


if __name__ == "__main__":
    main()
