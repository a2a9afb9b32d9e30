"""The models that are served, by name: bare engines, adapters on them, and the assistant of a project."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mirim.core.errors import UsageError
from mirim.core.files import read_json
from mirim.core.project import Project
from mirim.core.types import Engine, Sampling
from mirim.models.resolve import Model, resolve
from mirim.server.scheduler import Lane

Opener = Callable[..., Engine]


@dataclass(frozen=True, slots=True)
class Settings:
    """What to serve and how; see `mirim serve` for the words."""

    models: tuple[str, ...] = ()
    adapters: tuple[tuple[str, str], ...] = ()
    project: Project | None = None
    context: int = 0
    parallel: int = 4
    engine: str = ""
    queue: int = 64
    patience: float = 60.0
    threads: int = 0
    spare: int = 0
    quant: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """A name of the API. `engine` is None for an assistant that answers by search alone."""

    name: str
    kind: Literal["model", "adapter", "assistant"]
    engine: Engine | None
    lane: Lane
    adapter: int | None = None
    assistant: Any = None
    created: int = 0
    path: Path | None = None

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may take; 0 when the engine does not say."""
        return self.engine.context if self.engine else 0

    def to_json(self) -> dict[str, Any]:
        """The model object of /v1/models; what stands under `mirim` is ours."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "mirim",
            "mirim": {"kind": self.kind, "context": self.context or None, "grounded": self.kind == "assistant"},
        }


@dataclass(slots=True)
class Running:
    """An engine at work and what it was opened from."""

    engine: Engine
    lane: Lane
    stamp: Any


@dataclass(slots=True)
class Room:
    """Everything that is served. A reload makes a new room and keeps the engines whose files did not change."""

    models: dict[str, Served]
    engines: dict[str, Running]
    project: Project | None = None
    opened: float = field(default_factory=time.time)

    def close(self, keep: Room | None = None) -> None:
        """Stop the engines, but for those that another room goes on using."""
        kept = {id(r.engine) for r in keep.engines.values()} if keep else set()
        for served in self.models.values():
            if served.assistant is not None:
                served.assistant.close()
                if served.engine is None:
                    served.lane.close()
        for running in self.engines.values():
            if id(running.engine) not in kept:
                running.lane.close()
                running.engine.close()

    def prepare(self) -> None:
        """Read, beside the first requests, what the assistant is sure to need. For calls alone nothing is read that
        takes a hundred megabytes: who knows whether any are made."""
        for served in self.models.values():
            if served.assistant is not None:
                served.assistant.prepare()

    @property
    def idle(self) -> bool:
        return all(not s.lane.busy and not s.lane.waiting for s in self.models.values())


def open_room(settings: Settings, former: Room | None = None, opener: Opener | None = None) -> Room:
    """Load everything, ready to answer. UsageError for what cannot be served; nothing stays open then."""
    room = Room({}, {}, settings.project)
    try:
        _fill(room, settings, former, opener or _opener())
        return room
    except BaseException:
        room.close(keep=former)
        raise


def _opener() -> Opener:
    from mirim.models.engine import open_engine

    return open_engine


def _fill(room: Room, settings: Settings, former: Room | None, opener: Opener) -> None:
    project = settings.project
    targets = [resolve(ref, project) for ref in settings.models]
    own = project.model if project and (project.model / "bundle.json").is_file() else None
    if own and not settings.models:
        targets.append(resolve(own, project))
    if not targets and project is None:
        raise UsageError("no model was named; type: mirim serve --model REF, or run it in a project")
    if not targets and settings.quant:
        raise UsageError(
            f"--quant {settings.quant}: there is no model to serve; leave it out, or name one: --model REF"
        )
    if settings.adapters and len(targets) != 1:
        raise UsageError(f"--adapter needs exactly one base model, {len(targets)} are named")
    for target in targets:
        running = _running(room, target, settings, former, opener)
        name = target.name
        if project and name == project.name:
            # The project's name is its assistant's; the bare model of the same name steps aside.
            name = f"{name}-bare"
        _add(room, Served(name, "model", running.engine, running.lane, created=_made(target.path), path=target.path))
        for number, (adapter, _) in enumerate(settings.adapters):
            _add(room, Served(adapter, "adapter", running.engine, running.lane, number, created=_made(target.path)))
    if project:
        _add(room, _assistant(room, project, targets, own, settings))


def _assistant(room: Room, project: Project, targets: list[Model], own: Path | None, settings: Settings) -> Served:
    from mirim.assist.answer import Assistant
    from mirim.server.assistants import Current

    files = (project.index, project.vectors)
    target = next((t for t in targets if own and t.path == own.resolve()), targets[0] if targets else None)
    if target is None:
        lane = Lane(settings.parallel, settings.queue, settings.patience)
        found = Current(lambda: Assistant.open(project, model="none"), files)
        return Served(project.name, "assistant", None, lane, assistant=found, created=_made(project.index))
    running = room.engines[target.ref]
    mine = bool(own) and target.path == own.resolve() if own else False
    engine = running.engine
    if hasattr(engine, "remembering"):  # what its prompts begin with are passages
        engine = engine.remembering()
    name = "" if mine else target.ref
    found = Current(lambda: Assistant.open(project, model=name, engine=engine), files)
    return Served(
        project.name, "assistant", running.engine, running.lane, assistant=found, created=_made(project.index)
    )


def _running(room: Room, target: Model, settings: Settings, former: Room | None, opener: Opener) -> Running:
    if target.ref in room.engines:
        raise UsageError(f"{target.ref} is named twice; name each model once")
    stamp = [_stamp(target), *(_touched(Path(ref).expanduser()) for _, ref in settings.adapters)]
    kept = former.engines.get(target.ref) if former else None
    if kept is not None and kept.stamp == stamp:
        room.engines[target.ref] = kept
        return kept
    options: dict[str, Any] = {}
    if settings.adapters:
        options["adapters"] = [_adapter(ref, settings.project) for _, ref in settings.adapters]
    if settings.quant:
        options["quant"] = settings.quant
    if settings.spare:
        options["spare"] = settings.spare
    engine = opener(
        target.ref,
        engine=settings.engine,
        context=settings.context,
        threads=settings.threads,
        project=settings.project,
        parallel=settings.parallel,
        **options,
    )
    if settings.adapters and not hasattr(engine, "adapters"):
        engine.close()
        raise UsageError(f"{target.ref} runs on an engine that takes no adapters; leave out --engine, or --adapter")
    # An engine that cannot compute side by side says so by having one place.
    slots = getattr(engine, "parallel", None) or (1 if type(engine).__module__.endswith(".hf") else settings.parallel)
    running = Running(engine, Lane(slots, settings.queue, settings.patience), stamp)
    room.engines[target.ref] = running
    if target.kind not in ("remote", "echo"):
        # The first request must not be the one that loads the weights.
        for _ in engine.generate("a", Sampling(max_tokens=1)):
            pass
    return running


def _adapter(ref: str, project: Project | None) -> str:
    """The file or folder of an adapter that is named by its path, or by its name in the project."""
    path = Path(ref).expanduser()
    if not path.exists() and not (project and (project.models / ref).is_dir()):
        raise UsageError(f'no adapter "{ref}": there is no such file; name a LoRA adapter in GGUF or a PEFT folder')
    found = resolve(ref, project)
    if found.kind not in ("gguf", "adapter"):
        raise UsageError(f"{ref} is a model, no adapter; serve it with: mirim serve --model {ref}")
    return str(found.path)


def _add(room: Room, served: Served) -> None:
    if served.name in room.models:
        raise UsageError(f'two models would be called "{served.name}"; rename a file or folder, or an adapter')
    room.models[served.name] = replace(served, created=served.created or int(room.opened))


def _made(path: Path | None) -> int:
    try:
        return int(path.stat().st_mtime) if path else 0
    except OSError:
        return 0


def _stamp(target: Model) -> Any:
    """What changes when a model's files do."""
    if target.path is None:
        return target.ref
    if (target.path / "bundle.json").is_file():
        return read_json(target.path / "bundle.json").get("files")
    return _touched(target.path)


def _touched(path: Path) -> list[tuple[str, int, int, int]]:
    """When a file, or each file of a folder, was written, and its size."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [(str(p), s.st_mtime_ns, s.st_size, s.st_ino) for p in files for s in [p.stat()]]
