"""What tests of readers share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirim.documents import kinds
from mirim.documents.extract import extract

SAMPLES = Path(__file__).parent / "samples"


def read(path: Path) -> Any:
    return extract(path, path.name, kinds.choose(path)[0])[0]
