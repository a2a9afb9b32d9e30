"""Optional libraries, imported where they are used, with the exact line that installs a missing one."""

from __future__ import annotations

import importlib
from types import ModuleType

from mirim.core.errors import MissingExtra


def need(module: str, extra: str) -> ModuleType:
    """Import `module`; raise MissingExtra naming the pip line of the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{module.split('.')[0]} is not installed ({error}); type: pip install 'mirim[{extra}]'"
        ) from error
