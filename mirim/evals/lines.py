"""JSON Lines to measure on, plain or compressed, with the line in every complaint."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError
from mirim.core.extras import need
from mirim.core.files import explain


def read(path: Path, texts: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line of a .jsonl or .jsonl.zst file; blank lines are passed over.

    texts   keys whose values must be text
    UsageError names the file, the line and the key that is missing or of another type.
    """
    shape = "{" + ", ".join(f'"{key}"' for key in texts) + ", ...}"
    number = 0
    try:
        with path.open("rb") as raw:
            stream: Any = raw
            if path.suffix.lower() in (".zst", ".zstd"):
                stream = need("zstandard", "train").ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            for line in io.TextIOWrapper(stream, "utf-8-sig"):
                number += 1
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UsageError(f"{path} line {number}: a line is {shape}, this one is {type(row).__name__}")
                for key in texts:
                    if not isinstance(row.get(key), str):
                        what = f"is {row[key]!r}" if key in row else "is missing"
                        raise UsageError(f'{path} line {number}: "{key}" {what}; a line is {shape}')
                yield number, row
    except UsageError:
        raise
    except OSError as error:
        raise explain(error, path) from error
    except (ValueError, RecursionError) as error:
        at = number + 1 if isinstance(error, UnicodeDecodeError) else number
        raise UsageError(f"{path} line {at}: not a JSON object: {error}") from error
    except Exception as error:
        # zstandard's own kind; its module may not be installed.
        if type(error).__name__ != "ZstdError":
            raise
        raise UsageError(f"{path} is not a sound Zstandard file: {error}") from error
