"""How fast is ingest, and does its memory grow with the number of documents?

    python bench/ingest_speed.py [--sizes 100 3000 100000] [--kilobytes 4] [--workers 0]

Writes that many documents of made-up text (a third each plain text, Markdown and HTML), ingests them in a
fresh process, and prints the megabytes of source text a minute, the processor seconds a megabyte (which other
programs on the machine disturb less), the peak resident memory of the process that leads and of the largest
reader process, and the time of a second run that has nothing to do.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RUN = """
import json, resource, sys, time
from mirim.core.project import Project
from mirim.documents.ingest import ingest
started = time.perf_counter()
report = ingest(Project.open(sys.argv[1]), workers=int(sys.argv[2]))
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
peak = [u.ru_maxrss / 1024 for u in used]
cpu = sum(u.ru_utime + u.ru_stime for u in used)
facts = {"wall": time.perf_counter() - started, "cpu": cpu, "own": peak[0], "reader": peak[1]}
print(json.dumps({**report.data, **facts}))
"""


def corpus(folder: Path, count: int, kilobytes: float) -> int:
    """Write the documents; return their bytes together. Words follow Zipf's law over 30,000 made-up words."""
    rng = random.Random(7)
    syllables = [a + b for a in "bcdfglmnprstv" for b in "aeiou"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(30_000)]
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    pool = rng.choices(vocabulary, weights, k=400_000)
    total = 0
    for number in range(count):
        at, parts, size = rng.randrange(len(pool) - 20_000), [], 0
        while size < kilobytes * 1000:
            words = pool[at : at + rng.randint(40, 120)]
            at = (at + len(words)) % (len(pool) - 200)
            sentences = [" ".join(words[i : i + 14]).capitalize() + "." for i in range(0, len(words), 14)]
            parts.append(" ".join(sentences))
            size += len(parts[-1])
        place = folder / f"{number // 1000:03d}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        title = " ".join(pool[at : at + 3]).title()
        if number % 3 == 0:
            name, text = "txt", "\n\n".join(parts)
        elif number % 3 == 1:
            name, text = "md", f"# {title}\n\n" + "\n\n".join(f"## {p[:20]}\n\n{p}" for p in parts)
        else:
            name = "html"
            text = f"<html><head><title>{title}</title></head><body><nav>Home</nav><h1>{title}</h1>"
            text += "".join(f"<h2>{p[:20]}</h2>\n<p>{p}</p>\n" for p in parts) + "</body></html>"
        total += (place / f"{number:06d}.{name}").write_text(text)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 3000, 100_000])
    parser.add_argument("--kilobytes", type=float, default=4)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    print(
        "| documents | MB | s | MB/min | CPU s/MB | own peak MB | reader peak MB | second run s |\n|" + " --- |" * 8,
        flush=True,
    )
    for count in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            (root / "mirim.toml").write_text('[project]\nname = "speed"\nlanguage = "en"\n')
            megabytes = corpus(root / "sources", count, options.kilobytes) / 1e6
            command = [sys.executable, "-c", _RUN, name, str(options.workers)]
            first = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            started = time.perf_counter()
            again = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds = time.perf_counter() - started
            assert first["new"] == again["unchanged"] == count, (first, again)
            speed, cpu = 60 * megabytes / first["wall"], first["cpu"] / megabytes
            print(
                f"| {count} | {megabytes:.1f} | {first['wall']:.1f} | {speed:.0f} | {cpu:.2f} "
                f"| {first['own']:.0f} | {first['reader']:.0f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
