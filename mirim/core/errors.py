"""Errors a person may meet, each with the exit code a script will see.

A message says what is wrong with the value in it, why, and what to type next.
Anything that is not a `MirimError` and reaches the command line is a defect of mirim.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130


class MirimError(Exception):
    """The work failed for a reason a person can act on."""

    exit_code = FAILED

    def __init__(self, message: str, report: Any = None) -> None:
        """`report` is what was done before the failure: shown like a result, then the message."""
        super().__init__(message)
        self.report = report


class UsageError(MirimError):
    """What was asked cannot be: a bad flag, an unknown key, a missing or unreadable input."""

    exit_code = USAGE


class Unfit(UsageError):
    """A model that one engine does not compute; another may."""


class MissingExtra(UsageError):
    """A library that this verb needs is not installed."""


class GateRefused(MirimError):
    """The work was done, and a quality gate refused its result."""

    exit_code = REFUSED


def suggest(word: str, known: Iterable[str]) -> str:
    """'; did you mean "steps"?' when a known word is near, otherwise the list of known words."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known: {', '.join(options)}" if options else ""
