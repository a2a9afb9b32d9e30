"""How a model was asked for is kept: a build without flags goes on with it, and replaces no hours of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.models.resolve import BUNDLED
from mirim.training.request import recall, remember, remembered, spell
from mirim.training.train import train

Make = Callable[..., Any]


def _train(project: Project, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    """The plan that `train` comes to; a bundle of it takes the place of the model."""
    plans: list[Any] = []

    def run(plan: Any) -> Any:
        plans.append(plan)
        plan.out.mkdir(parents=True, exist_ok=True)
        Bundle(plan.out, plan.out.name, plan.base, method=plan.method, lineage={"run": str(plan.depth)}).save()

    monkeypatch.setattr("mirim.training.stages.run", run)
    train(project, **given)
    return plans[0]


def test_what_was_trained_by_hand_is_what_a_build_trains(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bees = project(table="[train]\nepochs = 5.0\n")
    by_hand = _train(bees, monkeypatch, method="pretrain", depth=1, tokens=20_000, epochs=3.0, threads=1)
    asked = recall(bees)
    assert asked == {"method": "pretrain", "depth": 1, "tokens": 20_000, "epochs": 3.0}
    assert spell(asked) == "--depth 1 --epochs 3.0 --method pretrain --tokens 20000"
    again = _train(bees, monkeypatch, **asked)
    assert (again.method, again.depth, again.tokens, again.epochs) == ("pretrain", 1, 20_000, 3.0)
    assert again.out == by_hand.out
    _train(bees, monkeypatch)
    assert recall(bees) == {}, "what is asked for now is what holds"


def test_what_mirim_toml_says_since_comes_first(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bees = project(table='[train]\nmethod = "pretrain"\ndepth = 2\n')
    _train(bees, monkeypatch, tokens=20_000, batch_tokens=512)
    (bees.root / "mirim.toml").write_text('[project]\nname = "bees"\n')
    assert recall(Project.open(bees.root)) == {"method": "pretrain", "depth": 2, "tokens": 20_000, "batch_tokens": 512}
    (bees.root / "mirim.toml").write_text('[project]\nname = "bees"\n[train]\ntokens = 9\n')
    assert "tokens" not in recall(Project.open(bees.root))
    (bees.root / "mirim.toml").write_text('[project]\nname = "bees"\n[train]\ndepth = 3\n')
    assert recall(Project.open(bees.root)) == {}


def test_paths_hold_wherever_the_next_call_comes_from(
    project: Make, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bees = project()
    (tmp_path / "plain.jinja").write_text("x")
    monkeypatch.chdir(tmp_path)
    remember(bees, {"base": "base", "chat_template": "plain.jinja", "corpus": (Path("base"),)})
    assert recall(bees) == {"base": str(base), "chat_template": str(tmp_path / "plain.jinja"), "corpus": (base,)}


def test_a_slip_is_forgotten_and_an_interrupted_run_is_not(project: Make) -> None:
    bees = project()
    with pytest.raises(UsageError), remembered(bees, {"tasks": ("jduge",)}):
        raise UsageError("no such task")
    assert recall(bees) is None
    with pytest.raises(MirimError), remembered(bees, {"depth": 2}):
        raise MirimError("the time limit came")
    with pytest.raises(UsageError), remembered(bees, {"depth": 3}):
        raise UsageError("no such task")
    assert recall(bees) == {"depth": 2}


def test_a_call_that_was_refused_meanwhile_changes_nothing(project: Make) -> None:
    bees = project()
    with remembered(bees, {"depth": 2}):
        with pytest.raises(MirimError), remembered(bees, {"depth": 3}):
            raise MirimError("another mirim train writes there")
    assert recall(bees) == {"depth": 2}


def test_of_a_model_from_elsewhere_nothing_is_known(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bees = project()
    _train(bees, monkeypatch, method="pretrain", depth=1)
    Bundle(bees.model, "other", method="full", base="org/x", lineage={"run": "other"}).save()
    assert recall(bees) is None
    (bees.stamps / "train.json").write_text("[]")
    assert recall(bees) is None


def test_elsewhere_than_the_models_place_nothing_is_kept(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bees = project()
    _train(bees, monkeypatch, method="pretrain", out=bees.models / "other")
    assert recall(bees) is None


def test_the_bundled_base_by_name_is_the_default(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bees = project()
    assert _train(bees, monkeypatch).method == _train(bees, monkeypatch, base=BUNDLED).method == "full"
    assert _train(bees, monkeypatch, base=BUNDLED, method="lora").method == "lora"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "full", "rank": 8}, "--rank is LoRA's, and --method full has none"),
        ({"method": "pretrain", "rank": 8}, "--rank is LoRA's, and --method pretrain"),
        ({"method": "lora", "depth": 3}, "--depth is of a model from scratch, and --method lora"),
        ({"tokens": 3000}, "--tokens is of a model from scratch, and --method full"),
        ({"optimizer": "muon"}, "--optimizer is of a model from scratch"),
    ],
)
def test_a_flag_that_the_method_does_not_look_at_is_refused(given: dict[str, Any], says: str, project: Make) -> None:
    with pytest.raises(UsageError, match=says):
        train(project(table="[train]\nvocab_size = 400\n"), **given)


def test_steps_of_examples_without_a_project_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--epochs is about a project's examples.*--tokens"):
        train(method="pretrain", corpus=(tmp_path,), out=tmp_path / "o", epochs=2.0)


RECIPE = """name = "x"\nlicence = "CC0"\ntokens = 1000\ncontext = 64\nlearning_rate = 0.001\noptimizer = "adamw"
drills = 0\nquizzes = 0\ncalls = 0\nshort = 1.0\ndepth = 1\nvocab_size = 400
[[text]]\npath = "a.jsonl"\n[[stages]]\nname = "one"\nshare = 1.0\ncontext = 64\n"""


def test_a_recipe_is_not_changed_by_the_project_it_is_called_in(
    project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bees = project(table='[train]\nbase = "org/x"\ndepth = 3\ntokens = 9\nrank = 8\nlearning_rate = 0.5\n')
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(bees.root)
    given = {"recipe": tmp_path / "recipe.toml", "corpus": (tmp_path,), "out": tmp_path / "out", "compiled": "no"}
    plan = _train(None, monkeypatch, **given)
    assert (plan.base, plan.depth, plan.tokens, plan.rank, plan.learning_rate) == ("", 1, 0, 16, 0.0)
    # A flag means it, whatever mirim.toml says besides.
    plan = _train(None, monkeypatch, depth=3, tokens=9, **given)
    assert (plan.base, plan.depth, plan.tokens) == ("", 3, 9)
    with pytest.raises(UsageError, match="--rank is about a project's examples"):
        train(rank=4, **given)
