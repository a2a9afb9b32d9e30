"""A project folder: mirim.toml, written by people, and the places where everything else lies."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirim.core.errors import UsageError, suggest
from mirim.core.files import explain

FILE = "mirim.toml"

#: Keys of the [project] table and what each means; every other table is named after a verb.
PROJECT_KEYS = {
    "name": "the project's name, used for its model and in the API",
    "language": "main language of the documents: en or pt",
    "contact": "whom to ask when the assistant does not know",
    "licence": "licence of the documents, recorded in the model card",
    "seed": "seed of everything random",
}


#: Bytes of a project's name: folders and files beside its model have a little more.
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Project:
    """`root` is absolute. `tables` holds mirim.toml as read."""

    root: Path
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path | str) -> Project:
        """Read `folder`/mirim.toml; UsageError when it is missing, broken or has unknown keys."""
        root = Path(folder).expanduser().resolve()
        path = root / FILE
        try:
            tables = tomllib.loads(path.read_text("utf-8-sig"))
        except FileNotFoundError as error:
            raise UsageError(
                f"{root} is not a mirim project (no {FILE}); type: mirim new {shlex.quote(str(folder))}"
            ) from error
        except OSError as error:
            raise explain(error, path) from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise UsageError(f"{path}: line {line} is not in UTF-8; save the file as UTF-8 in your editor") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} cannot be read as TOML: {error}") from error
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise UsageError(
                    f'{path}: "{name}" stands outside any table; write it under [project] or a verb\'s table'
                )
        for key, value in tables.get("project", {}).items():
            if key not in PROJECT_KEYS:
                raise UsageError(f'{path} [project]: unknown key "{key}"{suggest(key, PROJECT_KEYS)}')
            if fault := _fault(key, value):
                raise UsageError(f"{path} [project]: {key} = {value!r} {fault}")
        return cls(root, tables)

    @classmethod
    def find(cls, start: Path | str | None = None) -> Project:
        """The project at `start`, or the nearest parent of the current folder that holds mirim.toml."""
        if start is not None:
            return cls.open(start)
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / FILE).is_file():
                return cls.open(folder)
        raise UsageError(f"no {FILE} in {here} or above; type: mirim new DIR, or pass --project DIR")

    def get(self, key: str, default: Any = "") -> Any:
        """A key of the [project] table."""
        return self.tables.get("project", {}).get(key, default)

    @property
    def name(self) -> str:
        return str(self.get("name") or self.root.name)

    @property
    def flag(self) -> str:
        """How to name this project on the next command line, whatever its folder is called."""
        return f"--project {shlex.quote(str(self.root))}"

    @property
    def seed(self) -> int:
        return int(self.get("seed", 0))

    @property
    def sources(self) -> Path:
        return self.root / "sources"

    @property
    def evals(self) -> Path:
        return self.root / "evals"

    @property
    def documents(self) -> Path:
        return self.root / "data" / "documents"

    @property
    def examples(self) -> Path:
        return self.root / "data" / "examples"

    @property
    def index(self) -> Path:
        return self.root / "data" / "index.db"

    @property
    def vectors(self) -> Path:
        """What the index's passages mean, see mirim.assist.nearness."""
        return self.root / "data" / "vectors.npz"

    @property
    def stamps(self) -> Path:
        return self.root / "data" / "stamps"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def model(self) -> Path:
        """The bundle that `build` makes and `ask`, `chat` and `serve` use."""
        return self.models / self.name

    def eval_files(self) -> list[Path]:
        """Files of held-out questions; one that is empty yet asks nothing."""
        return _lines(self.evals)

    def seed_files(self) -> list[Path]:
        """Files of people's own examples."""
        return _lines(self.root / "seeds")


def _lines(folder: Path) -> list[Path]:
    """The .jsonl files of a folder, however that is spelt, that hold anything."""
    if not folder.is_dir():
        return []
    found = (p for p in folder.iterdir() if p.suffix.lower() == ".jsonl" and not p.name.startswith("."))
    return sorted(p for p in found if p.stat().st_size)


def _fault(key: str, value: Any) -> str:
    """What is wrong with a value of the [project] table, '' when nothing is."""
    if key == "seed":
        return "" if type(value) is int and value >= 0 else "is not a whole number from 0 on"
    if not isinstance(value, str):
        return "is not text"
    if key == "name" and (set(value) & set("/\\") or value.startswith(".") or not value.isprintable()):
        return "is not the name of a folder in models/"
    if key == "name" and len(value.encode()) > _LONGEST_NAME:
        return f"is longer than {_LONGEST_NAME} bytes"
    if key == "language" and value not in ("", "en", "pt"):
        return "is not one of en, pt"
    return ""
