"""`mirim new`: a project folder that people can read and change."""

from __future__ import annotations

import filecmp
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from mirim.core.errors import UsageError, suggest
from mirim.core.files import explain, write_text
from mirim.core.project import FILE
from mirim.core.report import Report
from mirim.core.verbs import verb

_TOML = """# {name}: what mirim makes of the documents in sources/.
# Each table is named after a verb and holds that verb's options; `mirim VERB --help` lists them.

[project]
name = {quoted}
language = "{language}"       # main language of the documents: en or pt
contact = ""          # whom to ask when the assistant does not know
licence = ""          # licence of the documents, recorded in the model card
seed = 0

[train]
# base = "ibm-granite/granite-4.0-350m"   # adapt a public model; without one the small mirim-base is adapted
# method = "lora"                         # or "full"; "pretrain" starts from scratch

[export]
# quant = ["q8_0"]      # types that have to pass; otherwise both q8_0 and q4_0 are tried, and what passes is kept

[ask]
policy = "quote"      # quote: sentences of the documents, word for word; grounded: free text, checked; free
"""


@verb
def new(directory: Path, *, from_: str = "", language: str = "en") -> Report:
    """Make a project folder with mirim.toml, sources/ and evals/.

    Args:
        directory: Folder to make; it may exist if it holds no mirim.toml.
        from_: Start from a sample organisation, such as clinic.
        language: Main language of the documents, en or pt.
    """
    root, flag = directory.expanduser().resolve(), f"--project {shlex.quote(str(directory))}"
    if (root / FILE).exists():
        raise UsageError(f"{root} is already a mirim project; choose another folder or type: mirim build {flag}")
    if root.is_file():
        raise UsageError(f"{root} is a file; a project is a folder: choose another name")
    if language not in ("en", "pt"):
        raise UsageError(f'language "{language}" is not one of en, pt')
    try:
        if from_:
            _copy(_sample(from_), root, from_)
        else:
            for folder in ("sources", "evals"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            name = _printable(root.name)
            write_text(
                root / FILE, _TOML.format(name=name, quoted=json.dumps(name, ensure_ascii=False), language=language)
            )
    except OSError as error:
        raise explain(error, root) from error
    files = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    steps = f"Put documents into {root / 'sources'}, then type: mirim build {flag}"
    if from_:
        steps = f"Type: mirim build {flag}"
    return Report("New project", f"{root} is ready. {steps}", data={"project": str(root), "files": files})


def _printable(name: str) -> str:
    """A folder's name as a project's: it stands in mirim.toml and names the model's folder."""
    plain = " ".join("".join(c if c.isprintable() and c != "\\" else " " for c in name).split()).lstrip(".")
    return plain[:30].rstrip() or "project"


def samples() -> dict[str, Path]:
    """Sample organisations by name: folders with a mirim.toml, in a checkout or inside the installed package."""
    here = Path(__file__).resolve().parent
    for base in (here / "samples", here.parent / "examples"):
        if base.is_dir():
            return {p.parent.name: p.parent for p in sorted(base.glob(f"*/{FILE}"))}
    return {}


def _sample(name: str) -> Path:
    known = samples()
    if name not in known:
        raise UsageError(f'no sample organisation named "{name}"{suggest(name, known)}')
    return known[name]


def _copy(source: Path, target: Path, name: str) -> None:
    junk = shutil.ignore_patterns("data", "models", "reports", ".tmp-*", "__pycache__")

    def copy(one: str, to: str) -> None:
        try:
            shutil.copy2(one, to)
        except OSError as error:
            # copytree would go on, and tell of every file.
            raise explain(error, Path(to)) from error

    # Nothing of a person's is written over; what an interrupted copy left is the same and no hindrance.
    taken = [target / file for file in _files(source, junk) if _differs(source / file, target / file)]
    if taken:
        more = f" and {len(taken) - 1} further files" if taken[1:] else ""
        raise UsageError(f'{taken[0]}{more} would be replaced by those of the sample "{name}"; choose an empty folder')
    # mirim.toml goes last: a folder that has one is complete.
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=copy, ignore=lambda d, n: {*junk(d, n), FILE})
    write_text(target / FILE, (source / FILE).read_text("utf-8"))


def _files(source: Path, junk: Callable[[str, list[str]], set[str]]) -> list[Path]:
    """A sample's files, relative to its folder, without what was made of them."""
    files: list[Path] = []
    for folder, folders, names in os.walk(source):
        left_out = junk(folder, [*folders, *names])
        folders[:] = sorted(set(folders) - left_out)
        files += ((Path(folder) / n).relative_to(source) for n in sorted(names) if n not in left_out)
    return files


def _differs(file: Path, there: Path) -> bool:
    """Whether anything else than this file has its place; a link would lead the copy out of the folder."""
    if not os.path.lexists(there):
        return False
    return there.is_symlink() or not there.is_file() or not filecmp.cmp(file, there, shallow=False)
