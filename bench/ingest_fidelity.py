"""How faithful is the Markdown that `ingest` makes? Compared with reference Markdown, format by format.

    python bench/ingest_fidelity.py ../shared/data/documents/docling [--format html] [--worst 5]

For each file: token F1 (multiset overlap of words and numbers), the F1 of table cells and of heading lines.
The references were written by another converter, so they are something to compare with, not the truth.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from pathlib import Path

from mirim.documents import kinds
from mirim.documents.draft import Refused
from mirim.documents.extract import extract

_TOKEN = re.compile(r"\w+")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def f1(ours: Counter[str], theirs: Counter[str]) -> float | None:
    """Harmonic mean of precision and recall over multisets; None when both are empty."""
    if not ours and not theirs:
        return None
    both = sum((ours & theirs).values())
    return 2 * both / (sum(ours.values()) + sum(theirs.values()))


def words(text: str) -> Counter[str]:
    return Counter(_TOKEN.findall(_COMMENT.sub(" ", text).replace("\\_", "_").lower()))


def cells(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if line.strip().startswith("|") and re.search(r"\w", line):
            for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
                key = " ".join(_TOKEN.findall(cell.lower()))
                if key:
                    found[key] += 1
    return found


def headings(text: str) -> Counter[str]:
    lines = re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE)
    return Counter(" ".join(_TOKEN.findall(line.lower())) for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", default="")
    parser.add_argument("--worst", type=int, default=0)
    options = parser.parse_args()
    print("| format | files | read | token F1 | lowest | cells F1 | headings F1 | s/file |\n|" + " --- |" * 8)
    for folder in sorted(options.folder.iterdir()):
        if (options.format and folder.name != options.format) or not (folder / "groundtruth").is_dir():
            continue
        rows: list[tuple[float, float | None, float | None, str]] = []
        total, started = 0, time.perf_counter()
        for source in sorted((folder / "sources").iterdir()):
            reference = folder / "groundtruth" / f"{source.name}.md"
            if not reference.is_file():
                reference = folder / "groundtruth" / f"{source.stem}.md"
            if not source.is_file() or not reference.is_file():
                continue
            total += 1
            theirs = reference.read_text("utf-8")
            try:
                reader, _ = kinds.choose(source)
                ours = extract(source, source.name, reader)[0].text
            except Refused as refusal:
                if options.worst:
                    print(f"  {source.name}: refused: {refusal}")
                if words(theirs):
                    rows.append((0.0, None, None, source.name))
                continue
            score = f1(words(ours), words(theirs))
            rows.append(
                (score or 0.0, f1(cells(ours), cells(theirs)), f1(headings(ours), headings(theirs)), source.name)
            )
        if not rows:
            continue
        seconds = (time.perf_counter() - started) / max(1, total)
        means = [
            sum(v for v in column if v is not None) / max(1, sum(v is not None for v in column))
            for column in zip(*[r[:3] for r in rows], strict=True)
        ]
        print(
            f"| {folder.name} | {total} | {len(rows)} | {means[0]:.3f} | {min(r[0] for r in rows):.3f} "
            f"| {means[1]:.3f} | {means[2]:.3f} | {seconds:.3f} |"
        )
        for score, cell, heading, name in sorted(rows, key=lambda r: (r[0], r[3]))[: options.worst]:
            print(f"  {score:.3f} cells {cell} headings {heading} {name}")


if __name__ == "__main__":
    main()
