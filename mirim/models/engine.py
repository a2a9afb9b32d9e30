"""From a model's reference to a running engine."""

from __future__ import annotations

import importlib.util
import inspect
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

from mirim.core import plugins
from mirim.core.bundle import FILE, Bundle
from mirim.core.errors import Unfit, UsageError, suggest
from mirim.core.progress import note, once
from mirim.core.project import Project
from mirim.core.types import Engine
from mirim.models import convert, origin, pointing, quantise
from mirim.models.resolve import Model, base_of, local, resolve

ENGINES = "models.engines"
#: Engines that run a GGUF file; the first is tried first.
_FILES = ("native", "llama_cpp", "openvino")
#: Options that say how much may be done side by side and kept, and with what: an engine that has no use for one goes
#: without.
_SPARED = ("parallel", "spare", "pointing")
_BEST = ("q4_0", "q8_0", "bf16", "f16", "f32")


def open_engine(
    ref: str | Path,
    *,
    engine: str = "",
    context: int = 0,
    threads: int = 0,
    project: Project | None = None,
    exact: bool = False,
    quant: str = "",
    **options: Any,
) -> Engine:
    """Load a model and the engine that runs it.

    engine     'native', 'llama_cpp', 'hf', 'openvino', 'remote', 'echo' or an installed one; '' chooses by the kind
               of model: GGUF and every folder whose family is known run on mirim's own core where it computes them,
               otherwise on llama.cpp, which is said; other folders on transformers
    context    tokens that a prompt and its answer may take; 0 is the model's own, at most 4096
    threads    0 is one per physical core
    exact      a folder's own weights rather than the quantised file that `export` put beside them
    quant      a folder's or an adapter's weights as 'q8_0', 'q4_0', 'bf16', 'f16' or 'f32': the file that `export`
               made, or one that is made now and kept, which has passed no gate
    options    handed to the engine's `open`, which must know them, whether the engine was named or chosen; only
               `parallel`, `spare` and `pointing` have no effect on one that has no use for them

    UsageError for a model that does not exist, is broken or cannot run on the engine asked for, and for an option
    that this engine does not know.
    """
    model = resolve(ref, project)
    if engine and engine not in plugins.names(ENGINES):
        plugins.load(ENGINES, engine)  # raises, listing the known ones
    if quant:
        quant = quantise.check(quant)
        if model.kind not in ("folder", "adapter", "hub"):
            raise UsageError(f"{model.ref} runs as it is: --quant {quant} is for a folder or an adapter")
        if engine and engine not in _FILES:
            raise UsageError(f"the {engine} engine runs a folder's own weights; leave out --quant, or --engine")
    name = engine or ("native" if quant else _choose(model, project))
    path = None
    if name in _FILES:
        try:
            path = _gguf(model, project, exact, quant)
        except Unfit as unfit:
            if engine or quant or not _transformers():
                raise Unfit(f"{model.ref}: {unfit}; use --engine hf{' without --quant' if quant else ''}") from unfit
            note(f"{model.ref} runs on transformers: {unfit}")
            name = "hf"
    if path is not None:
        name = engine or _fastest(path, options)
        target = str(path)
        options.setdefault("name", model.name)
        if model.kind in ("folder", "adapter") and (folder := local(model) / pointing.FOLDER).is_dir():
            options.setdefault("pointing", str(folder))
    elif name == "hf":
        if model.kind == "gguf":
            raise UsageError(f"{model.ref} is a GGUF file; the hf engine needs a folder in Hugging Face layout")
        if model.kind in ("echo", "remote"):
            raise UsageError(f"{model.ref} has no weights here for the hf engine")
        from mirim.models.unpack import unpacked

        target = str(unpacked(local(model)))
        options.setdefault("name", model.name)
        if model.kind == "adapter":
            options["base"] = str(unpacked(local(base_of(model, project)), tune=True))
    else:
        target = model.ref
    try:
        opened = _opened(model.ref, name, target, context, threads, options)
    except Unfit as unfit:
        if engine or name != "native":
            raise
        # Its header promised what its tensors do not keep.
        note(f"{Path(target).name} runs on llama.cpp: {unfit}")
        opened = _opened(model.ref, "llama_cpp", target, context, threads, options)
    if (answers := _answers(model)) is not None:
        vars(opened)["answers_from"] = answers
    return opened


def _answers(model: Model) -> float | None:
    """From which odds of an answer on `mirim.models.read` has a tuned model give one; engines have no use for it."""
    if model.kind not in ("folder", "adapter") or not (local(model) / FILE).is_file():
        return None
    try:
        answers = Bundle.open(local(model)).reading.get("answers")
    except UsageError as error:
        note(f"{model.ref} runs without what its {FILE} says: {error}")  # the rest of the folder loads without it
        return None
    return float(answers) if isinstance(answers, (int, float)) else None


def _opened(ref: str, name: str, target: str, context: int, threads: int, options: dict[str, Any]) -> Engine:
    module = plugins.load(ENGINES, name)
    known = _known(ref, name, module, options)
    return module.open(target, context=context, threads=threads, **known)  # type: ignore[no-any-return]


def _known(ref: str, name: str, engine: ModuleType, options: dict[str, Any]) -> dict[str, Any]:
    """What is said to the engine; UsageError for an option that it does not know."""
    found = inspect.signature(engine.open).parameters
    if any(p.kind is p.VAR_KEYWORD for p in found.values()):
        return options
    known = {*found, *_SPARED} - {"ref", "context", "threads"}
    for option in options:
        if option not in known:
            raise UsageError(f'{ref} runs on the {name} engine, which has no option "{option}"{suggest(option, known)}')
    return {option: value for option, value in options.items() if option in found}


def _choose(model: Model, project: Project | None) -> str:
    if model.kind in ("echo", "remote"):
        return model.kind
    if model.kind == "gguf":
        return "native"
    folder = local(model)
    if best_gguf(folder) is not None:
        return "native"
    if model.kind == "adapter":
        folder = local(base_of(model, project))
    kind = convert.read_config(folder)["model_type"]
    if kind in plugins.names(convert.FAMILIES):
        return "native"
    why = f"{folder}: its architecture {kind} is not one that mirim converts"
    if not _transformers():
        convert.find_family({"model_type": kind}, folder)
    note(f"{why}; running it on transformers")
    return "hf"


def _transformers() -> bool:
    """Whether what the hf engine needs is installed."""
    return all(importlib.util.find_spec(name) for name in ("transformers", "torch"))


def _fastest(path: Path, options: dict[str, Any]) -> str:
    """mirim's own core, or llama.cpp with the reason."""
    from mirim.models import gguf_check
    from mirim.models.engines import native

    why = native.unsupported(gguf_check.check(path), options.get("adapters", ()))
    if why:
        note(f"{path.name} runs on llama.cpp, because mirim's own core does not run it: {why}")
    return "llama_cpp" if why else "native"


def best_gguf(folder: Path, quant: str = "") -> Path | None:
    """The smallest GGUF file in `folder`/gguf, or that of type `quant`: each one there passed its gate.

    One that was made of another model than lies there now is passed over, which is said.
    """
    for name in (quant,) if quant else _BEST:
        path = folder / "gguf" / f"{name}.gguf"
        if not path.is_file():
            continue
        if not origin.stale(path, folder):
            return path
        once(
            f"{path} is passed over: it was made of other weights, or another tokenizer, than lie there now; "
            f"make it again: mirim export --model {shlex.quote(str(folder))} --quant {name}"
        )
    return None


def _gguf(model: Model, project: Project | None, exact: bool, quant: str) -> Path:
    """The file that is opened; a folder's or adapter's is converted, without loss or as `quant`, and cached."""
    if model.kind in ("echo", "remote"):
        raise UsageError(f"{model.ref} has no weights here to run")
    if model.kind == "gguf":
        assert model.path is not None
        return model.path
    folder = local(model)
    ready = best_gguf(folder, quant)
    if ready is not None and (quant or not exact):
        return ready
    if model.kind == "adapter":
        return convert.cached(folder, local(base_of(model, project)), quant)
    if exact and ready is not None and not list(folder.glob("*.safetensors*")):
        return ready
    return convert.cached(folder, quant=quant)
