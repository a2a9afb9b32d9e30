"""What makes a function a verb: options left out are filled from the environment, then from mirim.toml.

    @verb
    def train(project: Project, *, method: Literal["lora", "full"] = "lora", steps: int = 0) -> Report: ...

The function's signature is the only place where an option is declared. The command line reads the flags
from it, this wrapper checks and fills them: flag (or argument), environment, mirim.toml, default.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import os
import types
import typing
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin

import mirim
from mirim.core.errors import UsageError, suggest
from mirim.core.project import FILE, Project

P = ParamSpec("P")
R = TypeVar("R")

#: Options that the verb that is running was called with.
_typed: ContextVar[frozenset[str]] = ContextVar("typed", default=frozenset())


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a verb. A `project` parameter accepts a Project, a path or None (search from here)."""
    signature = inspect.signature(function)
    name = function.__name__
    leads = next(iter(signature.parameters), "") == "project"

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if args and leads and "project" in kwargs:
            # The command line passes the project by name and the rest by position.
            given = signature.bind_partial(kwargs.pop("project"), *args, **kwargs).arguments
        else:
            given = signature.bind_partial(*args, **kwargs).arguments
        # A flag left out arrives as absent from Python and as its None default from nowhere else.
        project = None
        if "project" in signature.parameters:
            project = given.get("project")
            if not isinstance(project, Project) and (project is not None or _required(signature)):
                project = Project.find(project)
            given["project"] = project
            # A verb that also works outside a project still reads the settings of the one it is called in.
            project = project or around()
        if project is not None:
            _check(project, name)
        typed = frozenset(given)
        for key, value in _configured(name, function, project).items():
            given.setdefault(key, value)
        for key, value in given.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{key} = {value} is not a number to work with")
        token = _typed.set(typed)
        try:
            return _call(function, signature, given)
        finally:
            _typed.reset(token)

    if "project" in signature.parameters:
        # What the command line reads: the project is a flag, so words never go to it, and may be left out.
        rest = [p for p in signature.parameters.values() if p.name != "project"]
        flag = signature.parameters["project"].replace(default=None, kind=inspect.Parameter.KEYWORD_ONLY)
        call.__signature__ = signature.replace(parameters=[*rest, flag])  # type: ignore[attr-defined]
    return call


def _required(signature: inspect.Signature) -> bool:
    """A project is searched for unless the verb declares that it works outside one (default None)."""
    return signature.parameters["project"].default is inspect.Parameter.empty


def around() -> Project | None:
    """The project of the current folder, if it lies in one."""
    here = Path.cwd()
    return Project.find() if any((folder / FILE).is_file() for folder in (here, *here.parents)) else None


def _call(function: Callable[..., R], signature: inspect.Signature, given: dict[str, Any]) -> R:
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for key, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.extend(given.get(key, ()))
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if key in given:
                named[key] = given[key]
        elif key in given:
            positional.append(given[key])
        elif parameter.default is not parameter.empty:
            positional.append(parameter.default)
    return function(*positional, **named)


def options(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only options of a verb and their types: the keys its table in mirim.toml may hold."""
    hints = typing.get_type_hints(inspect.unwrap(function))
    parameters = inspect.signature(function).parameters.values()
    return {p.name: hints.get(p.name, str) for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "project"}


def _check(project: Project, verb_name: str) -> None:
    """Every table of mirim.toml belongs to a verb and holds what that verb takes: a slip shows before the work."""
    for table in project.tables:
        if table in ("project", verb_name):
            continue
        if table not in mirim.VERBS:
            known = suggest(table, ("project", *mirim.VERBS))
            raise UsageError(f"{project.root / FILE}: unknown table [{table}]{known}")
        _settings(table, _function(table), project)


def _function(name: str) -> Callable[..., Any]:
    return cast(Callable[..., Any], getattr(importlib.import_module(mirim.VERBS[name]), name))


def configured(name: str, project: Project | None) -> dict[str, Any]:
    """What the environment and mirim.toml say of a verb's options, without the defaults of what they leave out."""
    return _configured(name, _function(name), project)


def said(name: str, project: Project | None, **options: Any) -> list[str]:
    """Those options of a verb that somebody gave for this call, as they are typed: what is neither the default nor what
    the environment or mirim.toml, of the project or of the one around, say of every call."""
    stated, parameters = configured(name, project or around()), inspect.signature(_function(name)).parameters
    return [
        f"--{key.replace('_', '-')}"
        for key, value in options.items()
        if value not in (default := parameters[key].default, stated.get(key, default))
    ]


def explicit() -> frozenset[str]:
    """Names of the options that the running verb was given by its caller: not by the environment, nor by mirim.toml."""
    return _typed.get()


def _settings(name: str, function: Callable[..., Any], project: Project) -> dict[str, Any]:
    """What mirim.toml says of a verb's options."""
    known, where = options(function), f"{project.root / FILE} [{name}]"
    values: dict[str, Any] = {}
    for key, value in project.tables.get(name, {}).items():
        if key not in known:
            raise UsageError(f'{where}: unknown key "{key}"{suggest(key, known)}')
        values[key] = coerce(value, known[key], f"{where} {key}")
    return values


def _configured(name: str, function: Callable[..., Any], project: Project | None) -> dict[str, Any]:
    values = _settings(name, function, project) if project else {}
    known = options(function)
    prefix = f"MIRIM_{name}_".upper()
    for word in sorted(w for w in os.environ if w.startswith(prefix)):
        key = word.removeprefix(prefix).lower()
        if key not in known:
            raise UsageError(f'environment variable {word}: {name} has no option "{key}"{suggest(key, known)}')
        values[key] = coerce(os.environ[word], known[key], f"environment variable {word}")
    return values


def coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`; strings from the environment are parsed. UsageError says what was expected."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        for one in inner:
            if one is type(None):
                continue
            try:
                return coerce(value, one, where)
            except UsageError:
                continue
        raise UsageError(f"{where}: {value!r} is not {_name(kind)}")
    if origin is Literal:
        if value in inner:
            return value
        raise UsageError(f'{where}: "{value}" is not one of {", ".join(str(one) for one in inner if one)}')
    if origin in (list, tuple):
        items = value.split(os.pathsep if inner and inner[0] is Path else ",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise UsageError(f"{where}: {value!r} is not a list")
        done = [coerce(item, inner[0] if inner else str, where) for item in items]
        return tuple(done) if origin is tuple else done
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
            return value.lower() in ("1", "true", "yes", "on")
    elif kind in (int, float):
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            try:
                number = kind(value)
                if isinstance(value, str) or number == value:
                    return number
            except (ValueError, OverflowError):
                pass
    elif kind is str and isinstance(value, str):
        return value
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif kind is Any:
        return value
    raise UsageError(f"{where}: {value!r} is not {_name(kind)}")


def _name(kind: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}.get(
        kind, str(kind).replace("typing.", "")
    )
