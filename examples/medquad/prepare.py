"""Turn the MedQuAD data set into a mirim project: pages to read, questions to tune on, questions to measure with.

    python examples/medquad/prepare.py ../shared/data/medquad medquad

What is written into the project:

- sources/<doc>.md          the answer pages of both parts, one heading a topic, the questions left out
- seeds/medquad.jsonl       a sample of the training part's questions with their answers, to tune on
- evals/development.jsonl   a sample of the development part's questions, never trained or calibrated on
- evals/outside.jsonl       questions put to a bank (banking77, test part), which no page answers

The two parts are split by disease, so no development question is about a disease of the training part.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import random
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import write_jsonl, write_text
from mirim.documents.store import identify

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parents[1].parent / "shared" / "data" / "medquad"

#: More than a tiny model learns from; each takes synthesis about a tenth of a second.
SEEDS = 3000

Row = dict[str, Any]


def prepare(
    data: Path,
    project: Path,
    *,
    banking: Path | None = None,
    seeds: int = SEEDS,
    questions: int = 300,
    outside: int = 300,
    seed: int = 0,
) -> dict[str, int]:
    """Write the project's files; return how many of each. UsageError when the data is not there.

    data       folder with train.jsonl.xz and dev.jsonl
    banking    folder with banking77's test.csv; default: beside `data`
    seeds      training questions drawn for seeds/; 0 takes all
    questions  development questions drawn for evals/; 0 takes all
    outside    banking77 questions drawn for evals/; 0 takes all
    """
    train = _rows(data / "train.jsonl.xz")
    development = _rows(data / "dev.jsonl")
    bank = _bank((banking or data.parent / "banking77") / "test.csv")
    project.mkdir(parents=True, exist_ok=True)
    if not (project / "mirim.toml").exists():
        shutil.copyfile(HERE / "mirim.toml", project / "mirim.toml")
    documents = pages([*train, *development])
    for name, text in documents.items():
        write_text(project / "sources" / name, text)
    taught = _sample(train, seeds, seed)
    write_jsonl(
        project / "seeds" / "medquad.jsonl",
        ({"question": r["question"], "answer": r["answer"], "document": identify(_file(r))} for r in taught),
    )
    asked = _sample(development, questions, seed)
    write_jsonl(project / "evals" / "development.jsonl", (_asked(r) for r in asked))
    refused = _sample(bank, outside, seed)
    write_jsonl(project / "evals" / "outside.jsonl", refused)
    return {"documents": len(documents), "seeds": len(taught), "questions": len(asked), "outside": len(refused)}


def pages(rows: Iterable[Row]) -> dict[str, str]:
    """File name → Markdown of each page: its subject, then a heading for each topic with the answers under it."""
    topics: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    subject: dict[str, str] = {}
    for row in rows:
        name = _file(row)
        subject.setdefault(name, row["focus"].strip())
        topics[name][row["qtype"].strip().capitalize()].append(_paragraphs(row["answer"]))
    return {
        name: "\n\n".join([f"# {subject[name]}", *(f"## {t}\n\n" + "\n\n".join(a) for t, a in held.items())]) + "\n"
        for name, held in sorted(topics.items())
    }


def _paragraphs(answer: str) -> str:
    """Each line of an answer is a paragraph of its page."""
    return "\n\n".join(line.strip() for line in answer.splitlines() if line.strip())


def _file(row: Row) -> str:
    return f"{row['doc']}.md"


def _asked(row: Row) -> Row:
    return {
        # A collection numbers its questions by itself.
        "id": f"{row['doc'].partition('/')[0]}/{row['qid']}",
        "question": row["question"],
        "answer": row["answer"],
        "answerable": True,
        "document": identify(_file(row)),
    }


def _bank(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            texts = [row["text"].strip() for row in csv.DictReader(stream)]
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); pass --banking FOLDER with test.csv") from error
    return [
        {"id": f"banking77-{n:04d}", "question": text, "answer": "", "answerable": False, "document": ""}
        for n, text in enumerate(texts)
    ]


def _rows(path: Path) -> list[Row]:
    try:
        with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as stream:
            return [json.loads(line) for line in stream if line.strip()]
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); pass the folder that holds MedQuAD") from error


def _sample(rows: list[Row], count: int, seed: int) -> list[Row]:
    """`count` of the rows, the same for the same seed, in the order of the data; 0 takes all."""
    if not count or count >= len(rows):
        return rows
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), count))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=DEFAULT, help="folder with train.jsonl.xz and dev.jsonl")
    parser.add_argument("project", type=Path, nargs="?", default=Path("medquad"), help="project folder to write")
    parser.add_argument("--banking", type=Path, default=None, help="folder with banking77's test.csv")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--outside", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        counts = prepare(**vars(options))
    except MirimError as error:
        print(f"prepare: {error}")
        return error.exit_code
    print(f"{options.project}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    print(f"Now type: mirim build --project {options.project}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
