"""Does search find the right document? MedQuAD pages and the paragraphs of a Portuguese reading set.

    python bench/retrieval_medquad.py ../shared/data

MedQuAD: one document a page, one heading a question type, answers below, questions left out; the development
questions are then asked. Portuguese: one document a paragraph. A question counts when the document it was
written for is among the first five documents that the passages found belong to.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mirim.core.files import write_text
from mirim.core.project import Project
from mirim.documents.ingest import ingest
from mirim.documents.search import Index
from mirim.documents.store import identify


def pages(rows: Iterable[dict[str, str]], folder: Path) -> None:
    """Write one Markdown file a page: title, a heading for each question type, the answers."""
    held: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        held[row["doc"]].append(row)
    for name, answers in held.items():
        parts = [f"# {answers[0]['focus']}"]
        for row in answers:
            parts.append(f"## {row['qtype'].capitalize()}\n\n{row['answer'].strip()}")
        write_text(folder / f"{_file(name)}.md", "\n\n".join(parts) + "\n")


def _file(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def measure(index: Path, questions: list[tuple[str, str]], most: int = 5) -> dict[str, float]:
    """Share of questions whose document is first, in the first five; milliseconds a search."""
    first = found = 0
    with Index.open(index) as held:
        held.search("warm up")
        started = time.perf_counter()
        for question, document in questions:
            ranked = list(dict.fromkeys(h.passage.document for h in held.search(question, limit=20)))[:most]
            first += ranked[:1] == [document]
            found += document in ranked
        seconds = time.perf_counter() - started
        count = held.count
    n = len(questions)
    return {"questions": n, "passages": count, "top 1": first / n, "top 5": found / n, "ms": 1000 * seconds / n}


def project(folder: Path, language: str) -> Project:
    write_text(folder / "mirim.toml", f'[project]\nname = "bench"\nlanguage = "{language}"\n')
    return Project.open(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        english, portuguese = project(Path(name) / "en", "en"), project(Path(name) / "pt", "pt")
        with lzma.open(options.data / "medquad" / "train.jsonl.xz", "rt", encoding="utf-8") as stream:
            train = [json.loads(line) for line in stream]
        dev = [json.loads(line) for line in (options.data / "medquad" / "dev.jsonl").open(encoding="utf-8")]
        pages(train + dev, english.sources)
        print(ingest(english).to_text())
        asked = [(row["question"], identify(f"{_file(row['doc'])}.md")) for row in dev]
        print("MedQuAD", measure(english.index, asked))

        asked = []
        file = next((options.data / "squad_v11_pt_sample").glob("*.json"))
        for a, article in enumerate(json.loads(file.read_text("utf-8"))["data"]):
            for p, paragraph in enumerate(article["paragraphs"]):
                source = f"{a:03d}_{p:03d}.txt"
                write_text(portuguese.sources / source, paragraph["context"] + "\n")
                asked += [(qa["question"], identify(source)) for qa in paragraph["qas"]]
        print(ingest(portuguese).to_text())
        print("SQuAD-pt", measure(portuguese.index, asked))


if __name__ == "__main__":
    main()
