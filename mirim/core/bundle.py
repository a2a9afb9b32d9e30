"""A model at rest: a folder in Hugging Face layout, plus gguf/, knowledge.db and bundle.json.

Delete bundle.json and transformers, llama.cpp and vLLM still load the rest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mirim.core.errors import MirimError, UsageError
from mirim.core.files import read_json, sha256_file, write_json

FILE = "bundle.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What bundle.json says of the folder `path`.

    base      model reference it was adapted from, '' when trained from scratch
    adapter   True when the folder holds a PEFT adapter that needs its base
    method    'pretrain', 'full', 'lora', ...
    lineage   hashes of the documents, examples and settings it came from
    scores    figures of the last evaluation
    answering fitted confidence model and threshold, see mirim.assist.calibrate
    reading   from which odds of an answer on the model gives one, see mirim.models.refusing
    files     sha256 of every file of the bundle, by relative path
    """

    path: Path
    name: str
    base: str = ""
    adapter: bool = False
    method: str = ""
    licence: str = ""
    lineage: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    answering: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Read `path`/bundle.json; UsageError when it is not a bundle, or its bundle.json is not what `save` writes."""
        folder = Path(path).expanduser().resolve()
        if not (folder / FILE).is_file():
            raise UsageError(f"{folder} is not a finished bundle (no {FILE}); type: mirim build")
        row = read_json(folder / FILE)
        tables = ("lineage", "scores", "answering", "reading", "files")
        if not isinstance(row, dict) or "name" not in row or not all(isinstance(row.get(t, {}), dict) for t in tables):
            raise UsageError(f"{folder / FILE} is not what mirim writes; restore it or build again")
        known = set(cls.__dataclass_fields__) - {"path"}
        return cls(path=folder, **{k: v for k, v in row.items() if k in known})

    def save(self, **changes: Any) -> Bundle:
        """Hash the folder's files and write bundle.json, last: a folder with one is complete."""
        bundle = replace(self, **changes, files=_hashes(self.path))
        row = asdict(bundle)
        del row["path"]
        write_json(self.path / FILE, row)
        return bundle

    def verify(self) -> None:
        """Raise MirimError naming the first file that changed or vanished since `save`."""
        for name, digest in self.files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != digest:
                raise MirimError(f"{file} is not the file this bundle was made with; restore it or build again")

    def gguf(self, quant: str = "") -> Path | None:
        """The GGUF file of a quantisation, or of the smallest one that passed its gate."""
        for name in (quant,) if quant else ("q4_0", "q8_0", "f16", "bf16", "f32"):
            file = self.path / "gguf" / f"{name}.gguf"
            if file.is_file():
                return file
        return None


def _hashes(folder: Path) -> dict[str, str]:
    """Of all files but reports, checkpoints, bundle.json itself, and what somebody is still at work on."""
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.name != FILE)
    return {
        p.as_posix(): sha256_file(folder / p)
        for p in files
        if p.parts[0] not in ("reports", "checkpoints") and not any(part.startswith(".tmp-") for part in p.parts)
    }
