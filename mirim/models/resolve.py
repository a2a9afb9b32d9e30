"""Which model does a person mean? A path, a bundle's name, a Hugging Face id, a remote endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mirim.core.bundle import FILE as BUNDLE
from mirim.core.bundle import Bundle
from mirim.core.errors import UsageError, suggest
from mirim.core.files import read_json
from mirim.core.progress import note, once
from mirim.core.project import Project
from mirim.core.verbs import around

Kind = Literal["gguf", "folder", "adapter", "hub", "echo", "remote"]

BUNDLED = "mirim-base"
_ADAPTER = "adapter_config.json"
_HOME = Path(__file__).resolve().parent / "base"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Model:
    """What a reference means.

    path    the GGUF file or the folder; None for a hub id, an endpoint and echo
    base    what an adapter changes: a path or a hub id, '' otherwise
    name    short name for people and for the API
    """

    ref: str
    kind: Kind
    path: Path | None = None
    base: str = ""
    name: str = ""


def default(project: Project | None, then: str) -> tuple[str, Project | None]:
    """What a verb runs where no model is named, and in which project: its own model; outside a project the bundled
    base, which is said.

    UsageError, with `then` to type next, when the project's was not made yet.
    """
    project = project or around()
    if project is None and not bundled():
        project = Project.find()  # says what is missing
    if project is None:
        note(f"no project here, so this is {BUNDLED}; name another model with --model REF")
        return BUNDLED, None
    if not project.model.is_dir():
        raise UsageError(f"{project.model} does not exist yet; {then}")
    return str(project.model), project


def bundled() -> bool:
    """Whether this build of mirim brings a base of its own."""
    return _HOME.is_dir()


def resolve(ref: str | Path, project: Project | None = None) -> Model:
    """Find what `ref` names, without loading it. UsageError says where it was looked for.

    Tried in this order: `echo`, an endpoint (`http://host/v1#model`, `remote:model`), the bundled base,
    an existing path (a folder that is no model gives way to a bundle), a bundle of the project, a Hugging Face id.
    """
    text = str(ref).strip()
    if not text:
        raise UsageError("no model was named; pass a folder, a GGUF file or a Hugging Face id")
    if text == "echo" or text.startswith("echo:"):
        return Model(text, "echo", name="echo")
    if text.startswith(("http://", "https://", "remote:")):
        name = text.partition("#")[2] or text.rpartition("/" if "//" in text else ":")[2]
        return Model(text, "remote", name=name)
    if text == BUNDLED:
        folder = _HOME
        if not bundled():
            raise UsageError(
                f'this build of mirim brings no "{BUNDLED}"; name a base such as HuggingFaceTB/SmolLM2-135M-Instruct, '
                "or train one with: mirim train --method pretrain"
            )
        return replace(_local(folder, text), name=BUNDLED)
    path = Path(text).expanduser()
    own = project.models / text if project is not None else None
    # A project's folder often has the name of the model in it.
    if path.exists() and (own is None or path.is_file() or _holds(path) or not _holds(own)):
        return _local(path.resolve(), text)
    if own is not None and own.is_dir():
        return _local(own.resolve(), text)
    if _HUB_ID.fullmatch(text) and not text.endswith((".gguf", ".safetensors")):
        return Model(text, "hub", name=text.rpartition("/")[2])
    homes = project.models.glob("[!.]*") if project and project.models.is_dir() else ()
    known = [p.name for p in sorted(homes) if p.is_dir()]
    raise UsageError(
        f'no model "{text}": there is no such file or folder{suggest(text, known) if known else ""}. '
        "Name a folder in Hugging Face layout, a GGUF file, or a hub id such as org/name"
    )


def local(model: Model) -> Path:
    """The folder or file of a model, downloaded first when it is a hub id.

    UsageError when the hub does not have it, or cannot be reached and no copy is kept here.
    """
    if model.path is not None:
        return model.path
    if model.kind != "hub":
        raise UsageError(f"{model.ref} has no files here; name a folder or a hub id")
    from mirim.core.extras import need

    hub = need("huggingface_hub", "train")
    wanted = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model"]
    try:
        return Path(hub.snapshot_download(model.ref, allow_patterns=wanted))
    except Exception as error:
        # Every version of the hub client raises other kinds here; each means that the files are not to be had.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(
            f'no model "{model.ref}": it is not a folder here, and the Hugging Face hub did not give it ({first}). '
            "Check the name, or download it elsewhere and pass its folder"
        ) from error


def base_of(model: Model, project: Project | None = None) -> Model:
    """The base of an adapter, resolved: a hub id, a path, or a path beside the adapter.

    Where that is gone, a folder of its name beside the adapter, beside its project or in it, which is said: adapter and
    base were moved together. UsageError when there is none either.
    """
    if not model.base:
        raise UsageError(f"{model.ref} is an adapter that names no base; put base_model_name_or_path into its config")
    assert model.path is not None
    recorded = _recorded(model.path)
    for base in recorded:
        here = base == BUNDLED or Path(base).expanduser().exists()
        beside = model.path.parent / base
        try:
            found = resolve(base if here or not beside.exists() else beside, project)
        except UsageError:
            if here or beside.exists():
                raise
            continue
        if found.kind not in ("folder", "hub"):
            raise UsageError(f"{model.ref} is an adapter of {base}, which is no checkpoint in Hugging Face layout")
        return found
    for base in recorded:
        for home in model.path.parents[:3]:
            folder = home / Path(base).name
            if folder != model.path and (folder / "config.json").is_file():
                once(f"the base of {model.ref}, {base}, is gone; {folder} is taken for it")
                return resolve(folder, project)
    bundle = model.path / BUNDLE
    place = f"base in {bundle}" if bundle.is_file() else f"base_model_name_or_path in {model.path / _ADAPTER}"
    raise UsageError(f"the base of {model.ref}, {model.base}, is gone; correct {place}")


def _recorded(folder: Path) -> list[str]:
    """What an adapter's bundle.json and adapter_config.json name as its base, each once."""
    row = read_json(folder / _ADAPTER)
    named = [Bundle.open(folder).base] if (folder / BUNDLE).is_file() else []
    named.append(str(row.get("base_model_name_or_path") or "") if isinstance(row, dict) else "")
    return list(dict.fromkeys(filter(None, named)))


def _holds(folder: Path) -> bool:
    """Whether a folder holds a model of any kind."""
    return any(any(folder.glob(name)) for name in ("config.json", _ADAPTER, "*.gguf", "gguf/*.gguf"))


def _local(path: Path, ref: str) -> Model:
    if path.is_file():
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic != b"GGUF" and path.suffix != ".gguf":
            raise UsageError(f"{path} is neither a GGUF file nor a folder in Hugging Face layout")
        return Model(ref, "gguf", path, name=path.stem)
    if (path / _ADAPTER).is_file():
        return Model(ref, "adapter", path, next(iter(_recorded(path)), ""), path.name)
    if (path / "config.json").is_file():
        return Model(ref, "folder", path, name=path.name)
    files = sorted(path.glob("*.gguf")) + sorted((path / "gguf").glob("*.gguf"))
    if len(files) == 1 or (files and (path / BUNDLE).is_file()):
        return Model(ref, "gguf", files[0], name=path.name)
    if files:
        raise UsageError(f"{path} holds {len(files)} GGUF files; name one, such as {files[0]}")
    raise UsageError(f"{path} is no model: it has no config.json, adapter_config.json or GGUF file")
