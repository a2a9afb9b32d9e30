"""How a project's model was last asked for: a build without flags makes it the same way, finished or interrupted.

Hours of training hang on flags that nobody types twice, so they are kept in data/stamps/train.json before the work.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirim.core.bundle import FILE as BUNDLE
from mirim.core.bundle import Bundle
from mirim.core.errors import UsageError
from mirim.core.files import read_json, write_json
from mirim.core.project import Project
from mirim.core.verbs import coerce, configured, options

#: Options that say which model it is to be: once mirim.toml says another of one, all that was asked before is past.
WHICH = ("method", "base", "corpus", "depth", "recipe")
#: Options about this run alone.
_APART = ("out", "threads", "time_limit")


def remember(project: Project, given: dict[str, Any]) -> dict[str, Any]:
    """Keep the options of a call of `train` that mirim.toml, the environment and the defaults do not say by themselves;
    return what was written.

    The base is kept as a whole path: the next call may come from another folder. UsageError where it cannot be adapted.
    """
    from mirim.training.adapt import locate

    stated, defaults = configured("train", project), inspect.signature(_train()).parameters
    asked = {
        key: value
        for key, value in given.items()
        if key not in _APART and value != stated.get(key, defaults[key].default)
    }
    if asked.get("base"):
        asked["base"] = locate(asked["base"], project)
    template = asked.get("chat_template", "")
    if template and Path(template).expanduser().is_file():
        asked["chat_template"] = Path(template).expanduser().resolve()
    row = {"given": _plain(asked), "stated": _plain(stated), "run": ""}
    write_json(_file(project), row)
    return row


@contextlib.contextmanager
def remembered(project: Project | None, given: dict[str, Any]) -> Iterator[None]:
    """`remember` while the project's model is trained, and which model came of it; what could not be asked is forgotten
    again. Nothing where `project` is None, nor in any but the first process of a launch."""
    if project is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    file = _file(project)
    former = file.read_bytes() if file.is_file() else None
    row = remember(project, given)
    try:
        yield
    except UsageError:
        if former is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(former)
        raise
    # Its own row: another call, refused while this one ran, may have written there.
    write_json(file, row | {"run": _run(project)})


def recall(project: Project) -> dict[str, Any] | None:
    """The options of `train` that were asked for last and that mirim.toml does not say otherwise since; None where
    nothing is known of the model that lies here."""
    row = _read(_file(project))
    if row is None or (row["run"] and row["run"] != _run(project)):
        return None
    now, then = _plain(configured("train", project)), row["stated"]
    changed = {key for key, value in now.items() if value != then.get(key)}
    if changed & set(WHICH):
        return {}
    asked = {key: then[key] for key in WHICH if key in then and key not in now} | row["given"]
    kinds = options(_train())
    return {
        k: coerce(v, kinds[k], f"{_file(project)} {k}") for k, v in asked.items() if k in kinds and k not in changed
    }


def spell(asked: dict[str, Any]) -> str:
    """Options as they are typed."""
    words = []
    for key, value in asked.items():
        values = value if isinstance(value, list | tuple) else [value]
        words.append(" ".join([f"--{key.replace('_', '-')}", *map(str, values)]))
    return " ".join(words)


def _file(project: Project) -> Path:
    return project.stamps / "train.json"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        row = read_json(file)
    except UsageError:
        return None
    tables = isinstance(row, dict) and all(isinstance(row.get(key), dict) for key in ("given", "stated"))
    return row if tables and isinstance(row.get("run"), str) else None


def _run(project: Project) -> str:
    """The fingerprint of the run that the project's model came of; '' where there is no model."""
    if not (project.model / BUNDLE).is_file():
        return ""
    return str(Bundle.open(project.model).lineage.get("run", ""))


def _train() -> Any:
    from mirim.training.train import train

    return train


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON, paths whole."""
    return {key: _word(value) for key, value in values.items()}


def _word(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_word(one) for one in value]
    return str(value.expanduser().resolve()) if isinstance(value, Path) else value
