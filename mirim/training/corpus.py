"""Reading a corpus as it streams by: JSON Lines (also .zst), text, Markdown, folders; duplicates left out."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirim.core.errors import UsageError
from mirim.core.extras import need

SUFFIXES = (".jsonl", ".jsonl.zst", ".txt", ".md")


def files(paths: Iterable[Path]) -> list[Path]:
    """Corpus files among `paths` and below the folders among them, sorted; UsageError when there are none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [p for p in sorted(path.rglob("*")) if p.is_file() and p.name.lower().endswith(SUFFIXES)]
        elif path.is_file():
            if not path.name.lower().endswith(SUFFIXES):
                raise UsageError(
                    f"{path}: a corpus file ends in {', '.join(SUFFIXES)}; other formats go through mirim ingest"
                )
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist")
    if not found:
        raise UsageError(f"no corpus files in {', '.join(map(str, paths))}; they end in {', '.join(SUFFIXES)}")
    return found


def texts(paths: Iterable[Path]) -> Iterator[str]:
    """Documents of the files in order, each once: exact duplicates (white space and case apart) are left out."""
    seen: set[bytes] = set()
    for path in paths:
        for text in _read(path):
            key = hashlib.blake2b(" ".join(text.lower().split()).encode("utf-8", "replace"), digest_size=8).digest()
            if text.strip() and key not in seen:
                seen.add(key)
                yield text


def _read(path: Path) -> Iterator[str]:
    name = path.name.lower()
    if name.endswith((".txt", ".md")):
        text = path.read_text("utf-8", errors="replace")
        # A stored document opens with front matter, which is about the text, not of it.
        yield re.sub(r"\A---\n.*?^---\n", "", text, flags=re.DOTALL | re.MULTILINE)
        return
    with path.open("rb") as raw:
        stream = need("zstandard", "train").ZstdDecompressor().stream_reader(raw) if name.endswith(".zst") else raw
        for number, line in enumerate(io.TextIOWrapper(stream, "utf-8", errors="replace"), 1):
            if line.strip():
                try:
                    text = json.loads(line)["text"]
                except (ValueError, KeyError, TypeError) as error:
                    raise UsageError(
                        f'{path} line {number}: a corpus line is a JSON object with "text" ({error})'
                    ) from error
                if not isinstance(text, str):
                    raise UsageError(f'{path} line {number}: "text" is {type(text).__name__}, not a string')
                yield text
