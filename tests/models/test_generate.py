"""`mirim generate`: numbers that are none to work with are refused before a model is opened."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.models.generate import generate

sys.path.insert(0, str(Path(__file__).parent))
import toys

generating = importlib.import_module("mirim.models.generate")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *((name, -3, "is too small; at least 0") for name in ("max_tokens", "top_k", "seed", "context", "threads")),
        ("temperature", -0.5, "is too small; at least 0"),
        ("threads", 1025, "is too large; at most 1024"),
        ("top_k", 2**31, "is too large; at most 2147483647"),
        ("top_p", 1.5, "is not a share of the probability; from 0 to 1"),
        ("min_p", -0.1, "is not a share of the probability; from 0 to 1"),
        ("repeat_penalty", 0.0, "is too small; above 0"),
    ],
)
def test_numbers_out_of_range_are_named(name: str, value: float, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--{name.replace('_', '-')} {value} {says}")):
        generate(model="echo", prompt="a", **{name: value})


def test_the_least_and_the_largest_are_taken() -> None:
    least = {"top_k": 0, "seed": 0, "context": 0, "threads": 0, "temperature": 0.0, "top_p": 0.0, "min_p": 0.0}
    most = {"top_k": 2**31 - 1, "seed": 2**70, "threads": 1024, "top_p": 1.0, "min_p": 1.0}
    for numbers in (least, most):
        assert generate(model="echo", prompt="one", raw=True, **numbers).text == "one"


def test_a_bundle_of_the_project_around_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirim.toml").write_text('[project]\nname = "clinic"\n')
    (tmp_path / "models" / "clinic").mkdir(parents=True)
    (tmp_path / "models" / "clinic" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    # It was found, and is looked into.
    with pytest.raises(UsageError, match=r"models/clinic/config\.json names no model_type"):
        generate(model="clinic", prompt="a")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["native", "llama_cpp", "hf"])
def test_a_model_without_a_chat_template_continues_the_text(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(generating, "note", said.append)
    plain, chats = toys.model(tmp_path / "plain"), toys.model(tmp_path / "chats")
    (plain / "chat_template.jinja").unlink()
    bare = generate(model=str(plain), engine=engine, prompt="Once upon", max_tokens=4, raw=True)
    assert not said
    assert generate(model=str(plain), engine=engine, prompt="Once upon", max_tokens=4) == bare
    assert ["no chat template" in line for line in said] == [True]
    asked = generate(model=str(chats), engine=engine, prompt="Once upon", max_tokens=4)
    assert asked.prompt_tokens > bare.prompt_tokens
    assert len(said) == 1
