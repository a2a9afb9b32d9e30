"""Finding what a room offers by file name: the folder's own modules and the entry-point group `mirim.<room>`.

A reader, check, task, family, engine or router is one module. Nothing registers itself: the module's
name is its key, and importing happens only when it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from mirim.core.errors import UsageError, suggest


@cache
def names(room: str) -> tuple[str, ...]:
    """Sorted plugin names of a room such as 'documents.readers', built-in and installed."""
    package = importlib.import_module(f"mirim.{room}")
    built_in = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}
    installed = {e.name for e in entry_points(group=f"mirim.{room}")}
    return tuple(sorted(built_in | installed))


@cache
def load(room: str, name: str) -> ModuleType:
    """Import one plugin; UsageError lists the known names when there is none of that name."""
    if name not in names(room):
        kind = room.rpartition(".")[2].rstrip("s")
        raise UsageError(f'no {kind} named "{name}"{suggest(name, names(room))}')
    for entry in entry_points(group=f"mirim.{room}", name=name):
        module = entry.load()
        assert isinstance(module, ModuleType), f"entry point {name} of mirim.{room} must name a module"
        return module
    return importlib.import_module(f"mirim.{room}.{name}")
