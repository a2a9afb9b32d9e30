"""Reading a corpus as it streams by: JSON Lines (also .zst), text, Markdown, folders; duplicates left out."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mirim.core.bundle import FILE as BUNDLE
from mirim.core.errors import UsageError
from mirim.core.extras import need
from mirim.core.files import explain, opened
from mirim.core.progress import note, once
from mirim.documents.draft import Refused
from mirim.documents.readers.markdown import front
from mirim.documents.text import decode

SUFFIXES = (".jsonl", ".jsonl.zst", ".txt", ".md")
#: What to do with files that end otherwise.
_OTHERS = (
    'unpack archives, write tables and Parquet as .jsonl with "text", give plain text such as code the ending .txt; '
    "documents go through mirim ingest"
)
#: Endings of files left out that are named.
_NAMED = 5

#: Near-duplicates share this much of their five-word shingles, as MinHash estimates it (Broder 1997).
ALIKE, SHINGLE = 0.8, 5
#: Hashes of a mark, and the bands and rows of the table that says which marks to compare: 95 of 100 pairs at ALIKE.
_HASHES, _BANDS = 128, (16, 8)
#: Shingles that are hashed at once: each takes a kilobyte.
_AT_ONCE = 10_000
#: Share of a file's lines that may hold bytes which are not UTF-8; more are another encoding.
_DAMAGED = 0.01

#: Halves of surrogate pairs, which JSON can spell and UTF-8 cannot.
_HALVES = re.compile("[\\ud800-\\udfff]")


class Text(NamedTuple):
    """A document of a corpus and how often a pass takes it."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Rule:
    """A mixing weight: `pattern` is matched against a file's name, or against the row's value of `key`."""

    key: str
    pattern: str
    weight: float

    @classmethod
    def parse(cls, word: str) -> Rule:
        """`gutenberg*=0.3` (files of that name), `lang:pt=2` (rows whose "lang" is pt)."""
        left, sign, right = word.rpartition("=")
        key, colon, pattern = left.rpartition(":")
        try:
            weight = float(right)
        except ValueError:
            weight = -1.0
        if not sign or not pattern or not 0 <= weight <= 100:
            raise UsageError(
                f'--mix "{word}" is not a weight; write FILE_PATTERN=WEIGHT or key:value=WEIGHT, such as '
                "'novels*=0.3' or 'lang:pt=2', with a weight from 0 to 100"
            )
        return cls(key if colon else "", pattern, weight)

    def fits(self, name: str, row: dict[str, Any]) -> bool:
        return fnmatch.fnmatch(str(row.get(self.key, "")) if self.key else name, self.pattern)


class Corpus:
    """Documents of files in order, each once; may be read again and again, and gives the same each time.

    Documents equal but for white space and case are left out, and with `near` those that are almost equal too.
    Weights of all rules that fit are multiplied; a document of weight 0 is left out.
    """

    def __init__(
        self, files: Sequence[Path], mix: Sequence[str] = (), *, near: bool = False, weights: Sequence[float] = ()
    ) -> None:
        """`weights`: one of each file, beside the rules of `mix`."""
        self.files, self.rules, self.near = list(files), [Rule.parse(word) for word in mix], near
        self.weights = list(weights) or [1.0] * len(self.files)
        self.documents = self.characters = self.exact = self.alike = 0
        self._kept: list[float] | None = None

    def __iter__(self) -> Iterator[Text]:
        if self._kept is None:
            yield from self._first()
            return
        kept = iter(self._kept)
        for path in self.files:
            for text, _ in rows(path):
                if (weight := next(kept, None)) is None:
                    raise UsageError(f"{path} changed while it was read; run the same line again")
                if weight:
                    yield Text(text, weight)

    def _first(self) -> Iterator[Text]:
        """The first pass decides what is kept, and counts."""
        kept: list[float] = []
        seen: set[bytes] = set()
        alike = _Alike() if self.near else None
        self.documents = self.characters = self.exact = self.alike = 0
        used = [False] * len(self.rules)
        for path, often in zip(self.files, self.weights, strict=True):
            for text, row in rows(path, aloud=True):
                words = text.lower().split()
                key = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
                weight = often if words else 0.0
                for i, rule in enumerate(self.rules):
                    if rule.fits(path.name, row):
                        weight, used[i] = weight * rule.weight, True
                if weight and key in seen:
                    self.exact, weight = self.exact + 1, 0.0
                elif weight and alike is not None and alike.seen(words):
                    self.alike, weight = self.alike + 1, 0.0
                kept.append(weight)
                if weight:
                    seen.add(key)
                    self.documents, self.characters = self.documents + 1, self.characters + len(text)
                    yield Text(text, weight)
        for rule, hit in zip(self.rules, used, strict=True):
            if not hit:
                raise UsageError(f'--mix: nothing in the corpus fits "{rule.key}{":" * bool(rule.key)}{rule.pattern}"')
        self._kept = kept

    def sample(self, characters: int) -> Iterator[str]:
        """About so many characters, drawn evenly over the corpus by weight; all of it when it is smaller."""
        for _ in () if self._kept is not None else self:
            pass
        share = min(1.0, characters / max(self.characters, 1))
        for number, (text, weight) in enumerate(self):
            drawn = hashlib.blake2b(b"%d" % number, digest_size=4).digest()
            if share * weight >= 1.0 or int.from_bytes(drawn, "big") < share * weight * 2**32 or share == 1.0:
                yield text


def files(paths: Iterable[Path], out: Path | None = None) -> list[Path]:
    """Corpus files among `paths` and below the folders among them, sorted; UsageError when there are none.

    Of a folder, nothing in folders whose names begin with a point, nor in models of mirim's making, `out` first among
    them: what a run writes is not its corpus. Files that end otherwise are told of.
    """
    found: list[Path] = []
    others = Counter[str]()
    for path in paths:
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.is_file()]
            models = {p.parent.resolve() for p in inside if p.name == BUNDLE} | ({out.resolve()} if out else set())
            for file in inside:
                if any(part.startswith(".") for part in file.relative_to(path).parts[:-1]):
                    continue
                if models.intersection(file.resolve().parents):
                    continue
                if file.name.lower().endswith(SUFFIXES):
                    found.append(file)
                elif not file.name.startswith("."):
                    others[file.suffix or file.name] += 1
        elif path.is_file():
            if not path.name.lower().endswith(SUFFIXES):
                raise UsageError(f"{path}: a corpus file ends in {', '.join(SUFFIXES)}; {_OTHERS}")
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist")
    kinds = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(_NAMED))
    kinds += ", and others" * (len(others) > _NAMED)
    if not found:
        there = f", and there are {kinds}: {_OTHERS}" if others else ""
        raise UsageError(f"no corpus files in {', '.join(map(str, paths))}; they end in {', '.join(SUFFIXES)}{there}")
    if others:
        once(f"corpus: left out, for a corpus file ends in {', '.join(SUFFIXES)}: {kinds}")
    # A file named twice, or inside a folder that is named too, is read once.
    return list(dict.fromkeys(p.resolve() for p in found))


def rows(path: Path, aloud: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """(text, the row it stood in) of one file's documents; with `aloud` what is left out is said."""
    try:
        if path.name.lower().endswith((".txt", ".md")):
            yield _plain(path, aloud), {}
        else:
            yield from _lines(path, aloud)
    except OSError as error:
        raise explain(error, path) from error


def _plain(path: Path, aloud: bool) -> str:
    try:
        text, notes = decode(path.read_bytes())
    except Refused as error:
        raise UsageError(f"{path} {error}; take it out of the corpus") from error
    for one in notes if aloud else ():
        note(f"{path}: {one}")
    text = text.replace("\r\n", "\n")
    # A stored document opens with front matter, which is about the text, not of it.
    return front(text)[1] if path.name.lower().endswith(".md") else text


def _lines(path: Path, aloud: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    number = apart = halved = damaged = foreign = 0
    with opened(path) as raw:
        try:
            for line in io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape"):
                number += 1
                if not line.isascii() and _HALVES.search(line):
                    foreign += 1
                    line = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                if line.strip():
                    row = json.loads(line)
                    if row.get("task", "text") != "text":
                        # Rows of a set of tasks are examples; its running text says so.
                        apart += 1
                        continue
                    if "\\u" in line:
                        # Only an escape makes halves of what was read as UTF-8; a source or a licence is written too.
                        whole = {k: _HALVES.sub("\ufffd", v) if isinstance(v, str) else v for k, v in row.items()}
                        row, halved = whole, halved + (whole != row)
                    damaged += "\ufffd" in line
                    if "text" not in row:
                        keys = ", ".join(f'"{key}"' for key in list(row)[:_NAMED])
                        raise KeyError(f"rename the key that holds it: here are {keys}" if row else "it is empty")
                    text = row["text"]
                    if not isinstance(text, str):
                        raise TypeError(f'"text" is {type(text).__name__}, not a string')
                    yield text, row
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = f'it has no "text"; {error.args[0]}' if isinstance(error, KeyError) else str(error)
            raise UsageError(f'{path} line {number}: a corpus line is a JSON object with "text"; {what}') from error
    if apart and aloud:
        note(f'{path}: {apart} rows whose "task" is not "text" are examples, not running text; left out')
    if foreign > _DAMAGED * number:
        raise UsageError(
            f"{path} is not UTF-8, as JSON is: {foreign} of its {number} lines hold other bytes; save it as UTF-8, "
            f"such as with iconv -f WINDOWS-1252 -t UTF-8"
        )
    if damaged and aloud:
        note(f"{path}: {damaged} rows hold U+FFFD, as where a file is not UTF-8; save it as UTF-8 if it was not")
    if halved and aloud:
        note(f"{path}: {halved} rows hold halves of surrogate pairs, which are no characters; replaced by U+FFFD")


class _Alike:
    """Documents met so far, by the MinHash of their shingles: a table of bands says which may be alike (Broder 1997;
    datasketch), the marks whether they are."""

    def __init__(self) -> None:
        self.lib = need("datasketch", "train")
        self.table = self.lib.MinHashLSH(num_perm=_HASHES, params=_BANDS)
        self.marks: list[Any] = []

    def seen(self, words: list[str]) -> bool:
        """Whether something almost equal was met; remembers it otherwise."""
        mark = self.lib.MinHash(num_perm=_HASHES, seed=1)
        starts = range(max(1, len(words) - SHINGLE + 1))
        for first in range(0, len(starts), _AT_ONCE):
            mark.update_batch([" ".join(words[i : i + SHINGLE]).encode() for i in starts[first : first + _AT_ONCE]])
        # Its hashes have 32 bits.
        hashes = mark.hashvalues.astype("uint32")
        if any((hashes == self.marks[one]).mean() >= ALIKE for one in self.table.query(mark)):
            return True
        self.table.insert(len(self.marks), mark)
        self.marks.append(hashes)
        return False
