"""A recipe makes a model in stages from text, task rows and exercises, and goes on where it was interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import MirimError, UsageError
from mirim.training.recipe import Text, load
from mirim.training.train import train

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
PUBLIC = ROOT.parent / "shared"
RECIPE = """
name = "tiny"
licence = "CC0-1.0"
depth = 1
tokens = 6000
vocab_size = 420
context = 128
learning_rate = 4e-3
optimizer = "muon"
drills = 20
quizzes = 10
calls = 10
short = 2

[[stages]]
name = "text"
share = 0.5
context = 64
echoes = 0.2

[[stages]]
name = "tasks"
share = 0.5
context = 128
tasks = 0.7
learning_rate = 0.5
schedule = "linear"

[[text]]
path = "text.jsonl"
weight = 1.5

[[tasks]]
path = "tasks.jsonl"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with text, task rows and a recipe."""
    folder = tmp_path / "data"
    folder.mkdir()
    sentence = "The nurse number {n} opened the door in {y}. Nobody had seen the garden before that morning. "
    more = "The key was under the stone near the river. It was used by {n} people every week of the year."
    texts = [{"text": (sentence + more).format(n=n, y=1900 + n) * 3, "lang": "en"} for n in range(60)]
    rows = [{"task": "translate", "lang": "en-pt", "input": f"door {n}", "output": f"porta {n}"} for n in range(40)] + [
        {"task": "classify", "lang": "en", "input": f"open {n}", "output": ("yes", "no")[n % 2]} for n in range(40)
    ]
    for name, some in (("text", texts), ("tasks", rows)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in some))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def _train(data: Path, out: Path, **more: Any) -> Any:
    given = {"recipe": data / "recipe.toml", "threads": 1, "compiled": "no", "batch_tokens": 256, "seed": 1, **more}
    return train(method="pretrain", corpus=(data,), out=out, **given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("former", "latter", "says"),
    [
        ("depth = 1", "depht = 1", 'unknown key "depht"; did you mean "depth"'),
        ('licence = "CC0-1.0"', "", "lacks licence"),
        ("share = 0.5\ncontext = 64", "share = 0.9\ncontext = 64", "sum to 1.4"),
        ("weight = 1.5", "wieght = 1.5", 'unknown key "wieght" in [[text]]'),
        ('path = "text.jsonl"', "", "[[text]]"),
        ("[[text]]", "[[text", "is not TOML"),
        ("[[text]]", "[text]", "write [[text]]"),
        ("depth = 1", 'depth = "1"', "depth is '1', not of the kind int"),
        ("short = 2", "short = true", "short is True, not of the kind float"),
        ("drills = 20", "drills = -1", "drills is -1; it cannot be less than 0"),
        ("short = 2", "short = nan", "short is nan; it is to be a number"),
        ('name = "tasks"', 'name = "../text"', 'stage "../text"; its checkpoints lie in a folder of that name'),
        ('optimizer = "muon"', 'optimizer = "moun"', 'optimizer "moun" is none of adamw, muon'),
        ('schedule = "linear"', 'schedule = "cosin"', 'schedule "cosin" is none of'),
        ('name = "tasks"', 'name = "text"', 'two stages "text"'),
        ("tasks = 0.7", "tasks = 0.7\nkeep = 1.0", "keep 1 is a share below 1"),
        ("share = 0.5\ncontext = 64", "share = 0.0\ncontext = 64", "needs a share above 0"),
        ("share = 0.5\ncontext = 64", "share = 0.5\ncontext = 256", "context 256 is more than the model's, 128"),
    ],
)
def test_a_recipe_that_says_something_wrong_is_one_message(
    data: Path, tmp_path: Path, former: str, latter: str, says: str
) -> None:
    path = data / "recipe.toml"
    assert former in RECIPE
    path.write_text(RECIPE.replace(former, latter, 1))
    with pytest.raises(UsageError) as caught:
        load(path)
    assert says in str(caught.value)


def test_weights_do_not_change_after_pointing_was_learned_by_them(data: Path) -> None:
    path = data / "recipe.toml"
    marked = RECIPE.replace('path = "tasks.jsonl"', 'path = "tasks.jsonl"\npoints = true')
    path.write_text(marked.replace("echoes = 0.2", "pointing = 4"))
    with pytest.raises(UsageError, match=r'"text": it learns pointing, .* and "tasks" would change them'):
        load(path)
    path.write_text(marked.replace("tasks = 0.7", "pointing = 4"))
    assert load(path).stages[-1].pointing


@pytest.mark.slow
def test_tasks_of_a_recipe_without_any_are_refused(data: Path) -> None:
    path = data / "recipe.toml"
    bare = RECIPE.replace("drills = 20", "drills = 0").replace("quizzes = 10", "quizzes = 0")
    path.write_text(bare.replace("calls = 10", "calls = 0").replace('[[tasks]]\npath = "tasks.jsonl"', ""))
    with pytest.raises(UsageError, match="are to be tasks, and it has none"):
        load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [{"mix": ("a*=2",)}, {"optimizer": "muon"}, {"schedule": "linear"}, {"context": 256}, {"vocab_size": 999}],
    ids=str,
)
def test_what_the_recipe_decides_is_not_said_beside_it(data: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is the recipe's own"):
        _train(data, tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "full"}, "--method full adapts a base to a project's examples"),
        ({"method": "lora"}, "--method lora adapts"),
        ({"steps": 4}, "--steps is about a project's examples"),
        ({"epochs": 2.0}, "--epochs is about"),
        ({"tasks": ("judge",)}, "--tasks is about"),
    ],
)
def test_what_a_recipe_would_not_look_at_is_refused(
    data: Path, tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        train(corpus=(data,), out=tmp_path / "out", recipe=data / "recipe.toml", **given)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been trained."""
    found: list[Any] = []
    monkeypatch.setattr("mirim.training.stages.run", found.append)
    return found


@pytest.mark.slow
def test_a_recipe_is_learned_from_scratch_whatever_the_project_says_of_its_own_model(
    data: Path, tmp_path: Path, plans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirim.toml").write_text(
        '[project]\nname = "bees"\n[train]\nmethod = "full"\nsteps = 4\ncontext = 512\ntasks = ["judge"]\n'
    )
    monkeypatch.chdir(tmp_path)
    train(corpus=(data,), out=tmp_path / "out", recipe=data / "recipe.toml")
    (plan,) = plans
    assert (plan.method, plan.base, plan.project) == ("pretrain", "", None)
    assert (plan.context, plan.steps, plan.tasks) == (128, 0, ())
    with pytest.raises(UsageError, match="--context is the recipe's own"):
        train(corpus=(data,), out=tmp_path / "out", recipe=data / "recipe.toml", context=256)


@pytest.mark.slow
def test_without_a_compiler_a_model_learns_as_it_is(
    data: Path, tmp_path: Path, plans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.training.loss import compiles

    said: list[str] = []
    monkeypatch.setattr("mirim.training.train.note", said.append)
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setenv("CC", sys.executable)
    assert compiles()
    _train(data, tmp_path / "out", compiled="auto")
    assert not said
    for name in ("CXX", "CC"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compiles()
    _train(data, tmp_path / "out", compiled="auto")
    assert [plan.compiled for plan in plans] == [True, False]
    assert len(said) == 1
    assert "no C++ compiler" in said[0]
    with pytest.raises(UsageError, match="--compiled yes needs a C"):
        _train(data, tmp_path / "out", compiled="yes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "source", "says"),
    [
        (0, "", "no example: no row makes one; add some"),
        (1, "", 'stage "tasks" has no example to learn: each of 1 is longer'),
        (40, "weight = 0.0", 'stage "tasks" has no example to learn: each of 40'),
        (-40, "", "all 40 are too long for every stage"),
    ],
)
def test_tasks_that_leave_nothing_to_learn_are_one_message(
    data: Path, tmp_path: Path, rows: int, source: str, says: str
) -> None:
    bare = RECIPE.replace("drills = 20", "drills = 0").replace("quizzes = 10", "quizzes = 0")
    bare = bare.replace("calls = 10", "calls = 0").replace("echoes = 0.2", "")
    (data / "recipe.toml").write_text(bare.replace('path = "tasks.jsonl"', f'path = "tasks.jsonl"\n{source}'))
    long = "door " * 300 if rows < 0 else "door"
    made = [{"task": "instruct", "lang": "en", "input": f"{long} {n}", "output": "yes"} for n in range(abs(rows))]
    (data / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    with pytest.raises(UsageError, match=says):
        _train(data, tmp_path / "out", base="", tokens=600)


@pytest.mark.slow
def test_a_stage_learns_a_small_corpus_as_often_as_was_asked(data: Path, tmp_path: Path) -> None:
    report = _train(data, tmp_path / "out", tokens=60_000, batch_tokens=32_768, stages=("text",))
    # A pass is a part of one batch; of a token that a document begins with nothing is learned.
    assert 0.85 * 60_000 < report.to_json()["stages"]["text"]["learned"] < 1.15 * 60_000


@pytest.mark.slow
def test_the_rate_falls_in_a_short_stage_too(data: Path, tmp_path: Path) -> None:
    _train(data, tmp_path / "out")
    log = (tmp_path / "out" / "reports" / "training-tasks.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in log]
    assert len(rates) < 20
    assert rates[-1] < 0.3 * max(rates)
    assert rates.index(max(rates)) <= 3


@pytest.mark.slow
def test_plain_text_is_attributed_like_rows(data: Path) -> None:
    from dataclasses import replace

    from mirim.training.sources import attribution

    (data / "book.txt").write_text("A book. " * 100)
    own = replace(load(data / "recipe.toml"), text=(Text("book.txt", licence="CC0-1.0", origin="a shelf"),))
    assert "| book.txt | text, weight 1 |  | CC0-1.0 | a shelf |" in attribution(own, data)


def test_a_recipe_needs_the_folder_of_its_data(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--corpus DIR"):
        train(method="pretrain", recipe=data / "recipe.toml", corpus=(), out=tmp_path / "x")


@pytest.mark.slow
def test_data_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    (data / "tasks.jsonl").unlink()
    with pytest.raises(UsageError, match=r"tasks\.jsonl .*is not there"):
        _train(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_file_beside_the_recipe_is_found_from_anywhere(data: Path, tmp_path: Path) -> None:
    from mirim.core.bundle import Bundle
    from mirim.training.sources import attribution

    beside = tmp_path / "hither"
    (beside / "own").mkdir(parents=True)
    (data / "tasks.jsonl").rename(beside / "own" / "tasks.jsonl")
    own = 'path = "./own/tasks.jsonl"\nlicence = "CC0-1.0"\norigin = "our own"'
    (beside / "recipe.toml").write_text(RECIPE.replace('path = "tasks.jsonl"', own))
    table = attribution(load(beside / "recipe.toml"), data)
    assert "| tasks.jsonl | tasks, all rows | en, en-pt | CC0-1.0 | our own |" in table
    _train(data, tmp_path / "one", recipe=beside / "recipe.toml")
    # Where it lies decides nothing, and the card does not tell.
    moved = beside.rename(tmp_path / "moved")
    _train(data, tmp_path / "other", recipe=moved / "recipe.toml")
    runs = [Bundle.open(tmp_path / name).lineage["run"] for name in ("one", "other")]
    assert runs[0] == runs[1]
    assert "hither" not in (tmp_path / "one" / "README.md").read_text("utf-8")


def test_a_pattern_names_files_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / "own" / name).write_text("")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.replace('path = "tasks.jsonl"', 'path = "./own/*.jsonl"\nweight = 2.0'))
    found = [(t.path, t.weight) for t in load(recipe).tasks]
    assert found == [("./own/a.jsonl", 2.0), ("./own/b.jsonl", 2.0)]
    recipe.write_text(RECIPE.replace('path = "tasks.jsonl"', 'path = "./other/*.jsonl"'))
    with pytest.raises(UsageError, match=r"\./other/\*\.jsonl"):
        load(recipe)
    recipe.write_text(RECIPE.replace('path = "tasks.jsonl"', 'path = "./own/**.jsonl"'))
    with pytest.raises(UsageError, match=r"no (pattern|file)"):
        load(recipe)


@pytest.mark.slow
def test_stages_follow_one_another_and_resume(data: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    whole = _train(data, tmp_path / "whole")
    assert list(whole.data["stages"]) == ["text", "tasks"]
    assert [s["steps"] for s in whole.data["stages"].values()] == [12, 13]
    with pytest.raises(MirimError, match="time limit"):
        _train(data, tmp_path / "broken", time_limit=1e-9)
    for _ in range(40):
        try:
            _train(data, tmp_path / "broken", time_limit=1e-9)
            break
        except MirimError as error:
            if "time limit" not in str(error):
                raise
    one, other = (AutoModelForCausalLM.from_pretrained(tmp_path / n).state_dict() for n in ("whole", "broken"))
    assert all((one[name] == other[name]).all() for name in one)
    assert "Up to date" in _train(data, tmp_path / "whole").summary


@pytest.mark.parametrize(
    ("shares", "says"),
    [("tasks = 0.7\nechoes = 0.4", "together at most 1"), ("tasks = -0.1", "tasks is -0.1; it cannot be less than 0")],
)
@pytest.mark.slow
def test_shares_of_a_stage_that_do_not_fit_are_refused(data: Path, shares: str, says: str) -> None:
    path = data / "recipe.toml"
    path.write_text(path.read_text().replace("tasks = 0.7", shares), "utf-8")
    with pytest.raises(UsageError, match=says):
        load(path)


@pytest.mark.slow
def test_a_later_stage_goes_on_from_a_base(data: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    _train(data, first)
    # A base has a depth and a vocabulary of its own.
    path = data / "recipe.toml"
    path.write_text(path.read_text("utf-8").replace("depth = 1\n", "").replace("vocab_size = 420\n", ""), "utf-8")
    report = _train(data, tmp_path / "second", base=str(first), stages=("tasks",), tokens=1500)
    assert list(report.data["stages"]) == ["tasks"]
    # All of the run's tokens, but for the ends of sequences that no row fits, not the stage's share of them.
    assert report.data["stages"]["tasks"]["tokens"] >= 0.95 * 1500
    names = ("tokenizer.json", "config.json")
    for name in names:
        assert (tmp_path / "second" / name).read_bytes() == (first / name).read_bytes()
    with pytest.raises(UsageError, match='no stage "task"; did you mean "tasks"'):
        _train(data, tmp_path / "third", base=str(first), stages=("task",))


@pytest.mark.parametrize(("key", "line"), [("depth", "depth = 1\n"), ("vocab_size", "vocab_size = 420\n")])
def test_a_model_from_scratch_needs_its_size(data: Path, tmp_path: Path, key: str, line: str) -> None:
    path = data / "recipe.toml"
    path.write_text(path.read_text("utf-8").replace(line, ""), "utf-8")
    with pytest.raises(UsageError, match=f"lacks {key}; write it, or name a --base that has one"):
        _train(data, tmp_path / "out")


def test_stages_without_a_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--stages mixed are a recipe's"):
        train(method="pretrain", corpus=(tmp_path,), out=tmp_path / "out", stages=("mixed",))


@pytest.mark.slow
def test_a_stage_keeps_a_share_of_the_weights_before_it(data: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    text = data / "recipe.toml"
    models = {}
    for name, changed in (("first", ""), ("none", ""), ("half", "keep = 0.5\n")):
        text.write_text(RECIPE.replace('schedule = "linear"\n', f'schedule = "linear"\n{changed}'))
        base = {} if name == "first" else {"base": str(tmp_path / "first"), "stages": ("tasks",)}
        _train(data, tmp_path / name, **base)
        models[name] = load_file(tmp_path / name / "model.safetensors")
    # Whose data a base learned, its card still says after it was trained further.
    assert "## Training before" not in (tmp_path / "first" / "README.md").read_text()
    card = (tmp_path / "half" / "README.md").read_text()
    assert card.index("## Training\n") < card.index("## Training before") < card.index("## Made from")
    assert card.count("| text.jsonl | text, weight 1.5 |") == 2
    for key, before in models["first"].items():
        mean = (before + models["none"][key]) / 2
        assert not torch.equal(before, models["none"][key])
        torch.testing.assert_close(models["half"][key], mean, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("documents", [[80_000], [40] * 2_000, [3, 70_000, 2, 9_995], [6_000]])
def test_held_out_text_is_drawn_from_all_of_it_and_learned_in_no_stage(tmp_path: Path, documents: list[int]) -> None:
    import numpy as np

    from mirim.core.files import write_json
    from mirim.training.shards import Shard

    count = sum(documents)
    np.arange(count, dtype=np.uint32).tofile(tmp_path / "tokens.bin")
    np.save(tmp_path / "ends.npy", np.cumsum(documents))
    np.save(tmp_path / "weights.npy", np.arange(len(documents)) + 1.0)
    write_json(tmp_path / "shard.json", {"tokens": count, "documents": len(documents), "dtype": "uint32"})
    watched, trained = set[int](), set[int]()
    for context in (16, 64, 300):
        learned, held = Shard.split(tmp_path, context)
        here = {int(t) for row in held for t in row.ids}
        assert watched in (set(), here)
        watched = here
        trained |= {int(t) for row in learned for t in row.ids}
        assert max(held.lengths, default=0) <= context
        ends = np.load(tmp_path / "ends.npy")
        for part in (learned, held):
            for row, weight in zip(part, part.weights, strict=True):
                of = np.searchsorted(ends, [row.ids[0], row.ids[-1]], "right")
                assert of[0] == of[1] == weight - 1
    assert not watched & trained
    assert count - len(watched | trained) <= 64
    if count > 6_400:
        assert 0.01 * count < len(watched) <= 0.021 * count
        assert max(watched) > 0.95 * count
    else:
        assert not watched


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_are_shipped_can_be_read(path: Path) -> None:
    found = load(path)
    assert found.stages
    for source in (*found.text, *found.tasks):
        if source.path.startswith("./"):
            assert list(path.parent.glob(source.path)), f"{source.path} is not there"


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="no ../shared with public data beside this checkout")
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_public_data_that_shipped_recipes_name_are_there(path: Path) -> None:
    found = load(path)
    named = [source.path for source in (*found.text, *found.tasks) if not source.path.startswith("./")]
    assert named
    assert [name for name in named if not (PUBLIC / name).is_file()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's threads, which say how they wait, are Linux's")
def test_threads_wait_without_spinning_when_a_recipe_is_read_first() -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    said = subprocess.run(
        [sys.executable, "-c", "import mirim.training.recipe"],
        env={**settings, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "GOMP_SPINCOUNT = '0'" in said
