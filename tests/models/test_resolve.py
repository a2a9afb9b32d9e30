"""References to models, and the engine each gets."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mirim.core import progress
from mirim.core.errors import UsageError
from mirim.core.project import Project
from mirim.core.types import Message, Sampling
from mirim.models import convert
from mirim.models.engine import open_engine
from mirim.models.resolve import base_of, bundled, resolve


def test_kinds(tmp_path):
    assert resolve("echo").kind == resolve("echo:hi").kind == "echo"
    assert resolve("http://localhost:1/v1#m").kind == "remote"
    assert resolve("http://localhost:1/v1#m").name == "m"
    assert resolve("remote:gpt").name == "gpt"
    assert resolve("org/name").kind == "hub"
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    assert resolve(tmp_path / "x.gguf").kind == "gguf"
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert resolve(folder).kind == "folder"
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    found = resolve(folder)
    assert (found.kind, found.base, base_of(found).kind) == ("adapter", "org/base", "hub")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "config.json").write_text("{}")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "beside"}')
    assert base_of(resolve(folder)).path == tmp_path / "beside"


def test_a_projects_bundle_by_name(tmp_path):
    (tmp_path / "models" / "clinic").mkdir(parents=True)
    (tmp_path / "models" / "clinic" / "config.json").write_text("{}")
    assert resolve("clinic", Project(tmp_path)).path == tmp_path / "models" / "clinic"
    with pytest.raises(UsageError, match='did you mean "clinic"'):
        resolve("clinik", Project(tmp_path))


def test_a_projects_folder_gives_way_to_its_bundle_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project, bundle = Project(tmp_path / "clinic"), tmp_path / "clinic" / "models" / "clinic"
    bundle.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"clinic is no model: it has no config\.json"):
        resolve("clinic", project)
    (bundle / "config.json").write_text("{}")
    assert resolve("clinic", project).path == bundle
    with pytest.raises(UsageError, match=r"clinic is no model: it has no config\.json"):
        resolve("clinic")
    # A model that lies there comes first.
    (tmp_path / "clinic" / "config.json").write_text("{}")
    assert resolve("clinic", project).path == tmp_path / "clinic"


def _tuned(folder, recorded, configured):
    """An adapter whose bundle.json and adapter_config.json name a base."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": configured}))
    (folder / "bundle.json").write_text(json.dumps({"name": folder.name, "base": recorded}))


def _base(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_base_of_a_moved_adapter(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(progress._sink, "note", said.append)
    adapter = tmp_path / "clinic" / "models" / "tuned"
    _tuned(adapter, "/old/base", "/old/base")
    with pytest.raises(UsageError, match=rf"base of {adapter}, /old/base, is gone; correct base in {adapter}/bundle"):
        base_of(resolve(adapter))
    # In the project's parent, in the project, beside the adapter.
    for home in (tmp_path, tmp_path / "clinic", tmp_path / "clinic" / "models"):
        base = _base(home / "base")
        assert base_of(resolve(adapter)).path == base
        assert base_of(resolve(adapter)).path == base
        assert f"/old/base, is gone; {base} is taken for it" in said.pop()
        assert not said
    # What people correct counts before what is guessed.
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(_base(tmp_path / "x"))}))
    assert base_of(resolve(adapter)).path == tmp_path / "x"


def test_a_base_that_is_there_and_no_model_is_named_as_it_is(tmp_path):
    adapter = tmp_path / "tuned"
    (tmp_path / "empty").mkdir()
    _tuned(adapter, str(tmp_path / "empty"), "org/base")
    with pytest.raises(UsageError, match="empty is no model"):
        base_of(resolve(adapter))
    (adapter / "bundle.json").unlink()
    assert base_of(resolve(adapter)).kind == "hub"
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "gone"}')
    with pytest.raises(UsageError, match=r"gone, is gone; correct base_model_name_or_path in .*adapter_config"):
        base_of(resolve(adapter))


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ({"MIRIM_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/mirim"),
        ({"XDG_CACHE_HOME": ""}, "/home/ana/.cache/mirim"),
        ({"MIRIM_CACHE": ""}, "/home/ana/.cache/mirim"),
    ],
)
def test_where_converted_models_are_kept(monkeypatch, words, where):
    for name in ("MIRIM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/ana"} | words).items():
        monkeypatch.setenv(name, value)
    assert str(convert.cache()) == where


def test_what_is_not_there(tmp_path):
    for ref, message in [
        ("", "no model was named"),
        ("nothing-here", "there is no such file or folder"),
        (str(tmp_path / "gone.gguf"), "there is no such file"),
        (str(tmp_path), "no config.json"),
        (__file__, "neither a GGUF file nor a folder"),
        ("mirim-base", "brings no"),
    ]:
        if ref == "mirim-base" and (Path(resolve.__code__.co_filename).parent / "base").is_dir():
            continue
        with pytest.raises(UsageError, match=message):
            resolve(ref)


def test_hub_model_that_cannot_be_had(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def fail(*_, **__):
        raise OSError("offline\nmore")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(UsageError, match=r'no model "org/none".*\(offline\)'):
        open_engine("org/none")


def test_wrong_engine(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match='no engine named "llamacpp"; did you mean "llama_cpp"'):
        open_engine("echo", engine="llamacpp")
    with pytest.raises(UsageError, match="is a GGUF file; the hf engine"):
        open_engine(tmp_path / "x.gguf", engine="hf")
    with pytest.raises(UsageError, match="no weights here"):
        open_engine("echo", engine="llama_cpp")


def test_options_that_the_engine_does_not_know():
    with pytest.raises(UsageError, match=r'runs on the echo engine, which has no option "slots"; known: .*parallel'):
        open_engine("echo", slots=4)
    with pytest.raises(UsageError, match='no option "paralel"; did you mean "parallel"'):
        open_engine("echo", engine="echo", paralel=4)
    with pytest.raises(UsageError, match=r'remote engine, which has no option "adapters"; known: .*timeout'):
        open_engine("http://127.0.0.1:9/v1#m", adapters=["x"])
    # How much is done at once and kept is no matter to an engine that does neither.
    assert open_engine("echo", parallel=4, spare=9).name == "echo"
    open_engine("http://127.0.0.1:9/v1#m", timeout=1.0, parallel=2).close()


def test_an_installed_engine_may_take_what_it_likes(monkeypatch):
    from mirim.models.engines import echo

    seen = {}
    monkeypatch.setattr(echo, "open", lambda ref, **options: seen.update(options))
    open_engine("echo", slots=4, spare=9)
    assert seen == {"context": 0, "threads": 0, "slots": 4, "spare": 9}


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "unknown"), [("native", "base"), ("llama_cpp", "draft"), ("hf", "kernels")])
def test_options_of_another_engine(tmp_path, engine, unknown):
    sys.path.insert(0, str(Path(__file__).parent))
    import toys

    folder = toys.model(tmp_path / "m")
    with pytest.raises(UsageError, match=f'{engine} engine, which has no option "{unknown}"'):
        open_engine(folder, engine=engine, **{unknown: 0})
    open_engine(folder, engine=engine, threads=1, parallel=2, spare=1 << 20, name="m").close()


def test_unknown_architecture_without_torch(tmp_path, monkeypatch):
    import importlib.util

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rwkv", "architectures": ["RwkvForCausalLM"]}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r'unknown architecture "rwkv".*known: .*granite'):
        open_engine(tmp_path)


@pytest.mark.slow
def test_unknown_architecture_with_transformers(tmp_path):
    from mirim.training.adapt import load_base

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rwkv9", "architectures": ["Rwkv9ForCausalLM"]}))
    for load in (lambda: open_engine(tmp_path), lambda: load_base(str(tmp_path))):
        with pytest.raises(UsageError, match=r'unknown architecture "rwkv9" \(Rwkv9ForCausalLM\); neither mirim'):
            load()


def test_echo():
    engine = open_engine("echo:one two three")
    deltas = list(engine.generate("x", Sampling(max_tokens=2)))
    assert "".join(d.text for d in deltas) == "one two"
    assert deltas[-1].finish_reason == "length"
    assert "".join(d.text for d in engine.generate("x", Sampling(stop=("two",)))) == "one "
    assert "".join(d.text for d in open_engine("echo").generate([Message("user", "hi you")], Sampling())) == "hi you"
    assert engine.score("the cat", ["cat", "dog"])[0] > engine.score("the cat", ["dog"])[0]
    assert engine.embed(["a b"]) == engine.embed(["a b"])
    with pytest.raises(UsageError, match=r"9 tokens.*holds 3"):
        open_engine("echo", context=3).generate("w" + " w" * 8, Sampling())


def test_serving_modules_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "import mirim.models.engine, mirim.models.resolve, mirim.models.generate, mirim.models.export\n"
        "import mirim.models.engines.llama_cpp, mirim.models.engines.remote, mirim.models.engines.echo\n"
        "import mirim.examples.template, mirim.models.convert, mirim.models.parity, mirim.models.score\n"
        "print('numpy' in sys.modules, 'gguf' in sys.modules, 'xllamacpp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False"] * 3, done.stderr


def test_the_bundled_base_goes_by_its_own_name() -> None:
    if not bundled():
        pytest.skip("this build brings no base")
    found = resolve("mirim-base")
    assert (found.name, found.kind) == ("mirim-base", "folder")
    assert found.path is not None
    lines = (found.path / "SHA256SUMS").read_text().splitlines()
    assert lines
    for digest, name in (line.split() for line in lines):
        assert hashlib.sha256((found.path / name).read_bytes()).hexdigest() == digest


def test_no_model_named_is_the_projects_or_outside_one_the_bundled(tmp_path, monkeypatch):
    from mirim.models import resolve as resolving

    said = []
    monkeypatch.setattr(resolving, "note", said.append)
    monkeypatch.chdir(tmp_path)
    assert resolving.default(None, "") == (resolving.BUNDLED, None)
    assert len(said) == 1
    assert "--model REF" in said[0]
    (tmp_path / "mirim.toml").write_text('[project]\nname = "bees"\n')
    with pytest.raises(UsageError, match="does not exist yet; name one"):
        resolving.default(None, "name one")
    project = Project.find()
    project.model.mkdir(parents=True)
    assert resolving.default(None, "")[0] == str(project.model)
    assert resolving.default(project, "") == (str(project.model), project)
