"""A model learns to point at answers, and the core points at them: what is shown, marks of places, training to use."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError
from mirim.core.types import Passage, Sampling
from mirim.documents.sentences import sentences
from mirim.examples import placed
from mirim.models import refusing, slots
from mirim.training.recipe import load
from mirim.training.train import train

pytest.importorskip("torch")
pytest.importorskip("mirim._core", reason="the core was not built: no C++ compiler when mirim was installed")
from mirim.models.engine import open_engine
from mirim.models.engines import llama_cpp
from mirim.models.read import ANSWERS
from mirim.training import pointing

RECIPE = """
name = "tiny"
licence = "CC0-1.0"
depth = 1
tokens = 300000
vocab_size = 420
context = 192
learning_rate = 4e-3
optimizer = "adamw"
drills = 0
quizzes = 0
calls = 0
short = 1

[[stages]]
name = "text"
share = 0.05
context = 64

[[stages]]
name = "point"
share = 0.95
context = 192
pointing = 8
schedule = "linear"

[[text]]
path = "text.jsonl"

[[tasks]]
path = "prices.jsonl"
points = true
"""
THINGS = ("bowl", "lamp", "rug", "spade", "kettle", "bench", "drum", "mirror")
COLOURS = ("red", "blue", "green", "white", "brown", "pink")


def _row(rng: random.Random) -> dict[str, Any]:
    thing, colour, price = rng.choice(THINGS), rng.choice(COLOURS), rng.randint(11, 99)
    said = [f"The {thing} costs {price} crowns.", f"It is a {colour} one.", "People like it."]
    rng.shuffle(said)
    text = " ".join(said)
    asked = [[f"What does the {thing} cost, {price % 10}?", str(price)], [f"Which colour has it, {price}?", colour]]
    return {"task": "read", "lang": "en", "title": "Shop", "context": text, "asked": asked}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pointing")
    rng = random.Random(5)
    rows = [_row(rng) for _ in range(400)]
    (folder / "prices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": r["context"], "lang": "en"}) + "\n" for r in rows))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pointing") / "model"
    done = _train(data, out)
    assert list(done.data["stages"]) == ["text", "point"]
    assert "`pointing/` lets mirim's own core see" in (out / "README.md").read_text()
    return out


def _train(data: Path, out: Path, **more: Any) -> Any:
    given = {"recipe": data / "recipe.toml", "threads": 1, "compiled": "no", "batch_tokens": 1000, "seed": 1, **more}
    return train(method="pretrain", corpus=(data,), out=out, **given)


def _passage(text: str) -> Passage:
    return Passage("", "", 0, len(text), "Shop", text, None, "en")


@pytest.mark.slow
def test_what_was_learned_is_pointed_at_in_new_texts(model: Path) -> None:
    rng, right, odds = random.Random(77), 0, []
    with contextlib.closing(open_engine(model)) as engine:
        for _ in range(20):
            row = _row(rng)
            for question, wanted in row["asked"]:
                (found,) = engine.pointers["read"].point([(question, _passage(row["context"]))])
                assert sum(found.spans.values()) == pytest.approx(1)
                assert all(said in row["context"] for said in found.spans)
                right += max(found.spans, key=found.spans.__getitem__) == wanted
                texts = [row["context"][a:b] for a, b in sentences(row["context"], "en")]
                every = engine.pointers["read"].point([(question, _passage(text)) for text in texts])
                odds += [(one.odds, wanted in text) for one, text in zip(every, texts, strict=True)]
    assert right >= 36
    # A sentence that does not answer is told from one that does.
    assert np.mean([(value > 0) == there for value, there in odds]) > 0.9


@pytest.mark.slow
def test_it_goes_on_where_it_was_interrupted_and_leaves_the_model_as_it_is(
    data: Path, model: Path, tmp_path: Path
) -> None:
    # A short one, for each try reads the questions anew.
    _train(data, tmp_path / "whole", tokens=20_000)
    interrupted = 0
    for _ in range(100):
        try:
            _train(data, tmp_path / "broken", tokens=20_000, time_limit=0.2)
            break
        except MirimError as error:
            if "time limit" not in str(error):
                raise
            interrupted += 1
    else:
        pytest.fail("it never came to its end")
    assert interrupted, "it was to be interrupted"
    for name in ("model.safetensors", "pointing/read/adapter.gguf", "pointing/read/head.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # Learned alone, from a base: the base's own weights come out.
    done = _train(data, tmp_path / "again", base=str(model), stages=("point",), tokens=5000)
    assert list(done.data["stages"]) == ["point"]
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_it_begins_where_the_base_left_off(data: Path, model: Path, tmp_path: Path) -> None:
    import torch

    from mirim.training.adapt import load_base, with_lora

    plain, tokenizer = load_base(str(model))
    net = with_lora(plain, 8, 3)
    net.pointing = torch.nn.Linear(plain.config.hidden_size, 2)
    pointing._go_on(net, model / "pointing" / "read")
    asked = list(placed.read(data / "prices.jsonl"))[:200]
    rows = [row for one in asked if (row := pointing.placed(tokenizer, one))]
    batches = pointing.Lengthwise(rows, 192, 1000, 1, 0)
    known = pointing.Places(net).mean([batches.collated([row]) for row in rows])
    assert known < 0.5
    # A few steps from there are better than as many from nothing.
    few = {"stages": ("point",), "tokens": 3000, "base": str(model), "learning_rate": 1e-5}
    on = _train(data, tmp_path / "on", **few).data["stages"]["point"]["loss"]
    bare = shutil.copytree(model, tmp_path / "bare")
    shutil.rmtree(bare / "pointing")
    assert on < 0.6 < _train(data, tmp_path / "anew", **few | {"base": str(bare)}).data["stages"]["point"]["loss"]
    # What the base learned of another task comes out as it was.
    bare.joinpath("pointing").mkdir()
    shutil.copytree(model / "pointing" / "read", bare / "pointing" / "tools")
    _train(data, tmp_path / "both", **few | {"base": str(bare)})
    assert sorted(folder.name for folder in (tmp_path / "both" / "pointing").iterdir()) == ["read", "tools"]
    adapter = Path("pointing", "tools", "adapter.gguf")
    assert (tmp_path / "both" / adapter).read_bytes() == (bare / adapter).read_bytes()
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.replace("pointing = 8", "pointing = 4"))
    with pytest.raises(UsageError, match="has rank 8, the stage asks for pointing = 4; write 8"):
        _train(data, tmp_path / "rank", **few, recipe=other)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_tuned_model_points_as_its_base_does_and_refuses_as_often(
    method: str, model: Path, tmp_path: Path, project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [refusing.Asked(f"What does rug {n} cost?", _passage("The rug costs 21 crowns."), "21") for n in range(4)]
    monkeypatch.setattr(refusing, "questions", lambda: tuple(asked))
    monkeypatch.setattr(refusing, "FEWEST", 4)
    base = shutil.copytree(model, tmp_path / "base")
    shutil.copytree(model / "pointing" / "read", base / "pointing" / "tools")
    made = project()
    given = {"method": method, "base": str(base), "steps": 1, "context": 128, "threads": 1}
    train(made, **given)
    Bundle.open(made.model).verify()
    assert "`pointing/` lets" in (made.model / "README.md").read_text()
    for task in ("read", "tools"):
        for name in ("adapter.gguf", "head.safetensors"):
            assert (made.model / "pointing" / task / name).read_bytes() == (
                model / "pointing" / "read" / name
            ).read_bytes()
    with contextlib.closing(open_engine(made.model, project=made)) as engine:
        (found,) = engine.pointers["read"].point([("What does the rug cost, 1?", _passage("The rug costs 21 crowns."))])
        assert found.spans
        bound = Bundle.open(made.model).reading["answers"]
        assert engine.answers_from == bound == pytest.approx(min(refusing.bound(engine) or 0, ANSWERS), abs=1e-3)
    # Another pointing is another base.
    assert "Up to date" in train(made, **given).summary
    shutil.copyfile(model / "tokenizer.json", base / "pointing" / "tools" / "head.safetensors")
    assert "Up to date" not in train(made, **given).summary
    # A model that learned calls knows them better; another template is none that pointing learned under.
    rows = (made.examples / "made.jsonl").read_text()
    (made.examples / "made.jsonl").write_text(rows.replace('"judge"', '"tools"'))
    train(made, **given)
    assert [folder.name for folder in (made.model / "pointing").iterdir()] == ["read"]
    train(made, **given, chat_template="plain")
    assert not (made.model / "pointing").exists()


@pytest.mark.slow
def test_it_is_no_adapter_of_those_that_a_request_may_name(model: Path) -> None:
    text, question = [_passage("The rug costs 21 crowns.")], "What does the rug cost, 1?"
    with contextlib.closing(open_engine(model)) as engine:
        alone = engine.pointers["read"].point([(question, one) for one in text])
        assert engine.adapters == 0
        with pytest.raises(UsageError, match="no adapter 0; 0 are loaded"):
            engine.generate("x", Sampling(4), adapter=0)
        # What is too long to be seen whole is not pointed at; what stands beside it is.
        long = _passage("It is a red one. " * 300)
        assert engine.pointers["read"].point([(question, one) for one in (long, *text)]) == [None, *alone]
    with contextlib.closing(open_engine(model, engine="llama_cpp")) as engine:
        assert isinstance(engine, llama_cpp.LlamaCpp)
        assert not hasattr(engine, "pointers")


@pytest.mark.slow
def test_what_belongs_to_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    shutil.copytree(model, tmp_path / "m")
    head = tmp_path / "m" / "pointing" / "read" / "head.safetensors"
    save_file({"weight": np.zeros((2, 64), np.float32), "bias": np.zeros(2, np.float32)}, head)
    with pytest.raises(UsageError, match=r"to point with.*of another model"):
        open_engine(tmp_path / "m", engine="native")
    head.unlink()
    with pytest.raises(UsageError, match=r"holds no head\.safetensors"):
        open_engine(tmp_path / "m", engine="native")


def test_a_recipe_has_to_say_what_to_point_at(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("points = true", ""))
    with pytest.raises(UsageError, match=r"learn pointing, and no .*points = true"):
        load(path)


def test_only_what_can_be_pointed_at_is_a_task_of_a_stage(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("pointing = 8", 'pointing = 8\ntask = "tool"'))
    with pytest.raises(
        UsageError, match=r'stage "point": task "tool" cannot be pointed at.*"tools".*read and tools can'
    ):
        load(path)


@pytest.mark.slow
def test_requests_are_learned_as_another_task(data: Path, tmp_path: Path) -> None:
    folder, rng = tmp_path / "data", random.Random(3)
    folder.mkdir()
    place = {"type": "string", "description": "Which one."}
    function = {"name": "sell", "description": "Sell.", "parameters": {"properties": {"thing": place, "to": place}}}
    calls = [[f"Sell the {thing}, {n}.", {"thing": thing}] for n in range(300) for thing in (rng.choice(THINGS),)]
    row = {"task": "tools", "lang": "en", "function": function, "calls": [*calls, ["It rains.", None]]}
    shutil.copy(data / "text.jsonl", folder)
    (folder / "prices.jsonl").write_text(json.dumps(row) + "\n" + (data / "prices.jsonl").read_text())
    (folder / "recipe.toml").write_text(RECIPE.replace("pointing = 8", 'pointing = 8\ntask = "tools"'))
    _train(folder, tmp_path / "m")
    with contextlib.closing(open_engine(tmp_path / "m")) as engine:
        assert list(engine.pointers) == ["tools"]
        right = 0
        for thing in THINGS:
            asked = engine.pointers["tools"], f"Sell the {thing}, 301.", [function]
            (odds,), ((found, _),) = slots.serves(*asked), slots.fill(*asked)
            assert odds is not None
            assert odds > 0
            right += found["parameters"]["properties"] == {"thing": place | {"enum": [thing]}}
        assert right >= 6


@pytest.mark.slow
def test_questions_without_an_answer_in_their_passage_teach_nothing(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    row = {
        "task": "read",
        "lang": "en",
        "context": "It rains. It snows. It hails.",
        "title": "",
        "asked": [["Who?", ""]],
    }
    (folder / "prices.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="no question is left to learn pointing from"):
        _train(folder, tmp_path / "m", stages=("point",))


def test_a_question_is_shown_with_what_answers_without_it_and_with_all() -> None:
    said = ["Rye was sown.", "It rained in May.", "Ana came by boat.", "They cut it in July.", "Nobody slept."]
    text, rng = " ".join(said), random.Random(2)
    spans = sentences(text, "en")
    shown = [pointing.show(text, spans, "How did Ana come?", "boat", "en", rng) for _ in range(4000)]
    shares = {
        name: sum(map(test, shown)) / len(shown)
        for name, test in {
            "whole": lambda one: one == text,
            "without": lambda one: one == text.replace(f"{said[2]} ", ""),
            "alone": lambda one: one == said[2],
            "with the one before": lambda one: one == f"{said[1]} {said[2]}",
            "with the one behind": lambda one: one == f"{said[2]} {said[3]}",
            "others": lambda one: "boat" not in one and said.count(one) + (one in text) and one != said[2],
        }.items()
    }
    wanted = {
        "whole": 0.108,
        "without": 0.072,
        "alone": 0.31,
        "with the one before": 0.186,
        "with the one behind": 0.124,
    }
    for name, share in wanted.items():
        assert shares[name] == pytest.approx(share, abs=0.025), name
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    # What stands in two sentences is shown whole, and so is what none holds by itself.
    for answer in ("in", "May. Ana"):
        assert pointing.show(text, spans, "When?", answer, "en", rng) == text


class _Words:
    """A tokenizer of words, each with the blank before it."""

    pad_token_id = 0

    def apply_chat_template(self, messages: list[dict[str, Any]], **_: Any) -> str:
        return f"<user>{messages[-1]['content']}</user>"

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        at = [m.span() for m in re.finditer(r"\s*\S+", text)]
        return {"input_ids": list(range(len(at))), "offset_mapping": at}


def _placed(question: str, text: str, *places: tuple[int, int]) -> Any:
    return pointing.placed(_Words(), placed.Placed(text, "Notes", question, places, "en", "read"))


def test_places_are_marked_by_their_first_and_last_tokens() -> None:
    row = _placed("Who came?", "Ana Prado came. Then Ana Prado left.", (0, 9), (21, 30))
    assert row is not None
    # <user>Notes | Ana Prado came. Then Ana Prado left. | ? Who came?</user>
    assert np.asarray(row.mask).tolist() == [-100, 2, 0, 0, 0, 6, 0, 0, -100, -100, 0]
    row = _placed("Who left?", "Nobody left.")
    assert row is not None
    assert np.asarray(row.mask).tolist() == [-100, 0, 0, -100, -100, 5]


def test_batches_hold_rows_of_like_length_and_every_row_once() -> None:
    rng = np.random.default_rng(0)
    rows = [pointing.Row(np.arange(n), np.zeros(n, np.int64)) for n in rng.integers(5, 60, 300)]
    batches = pointing.Lengthwise(rows, 64, 500, 1, 0)
    plan = batches._epoch(0)
    assert sorted(n for batch in plan for (n,) in batch) == list(range(300))
    sizes = [(len(batch), max(len(rows[n].ids) for (n,) in batch)) for batch in plan]
    assert all(count * longest <= 500 for count, longest in sizes)
    assert sum(len(row.ids) for row in rows) / sum(count * longest for count, longest in sizes) > 0.85
    stream = iter(batches)
    next(stream)
    place, wanted = batches.state, next(stream)
    again = pointing.Lengthwise(rows, 64, 500, 1, 0)
    again.state = place
    assert (next(iter(again)).ids == wanted.ids).all()
    assert wanted.tokens == len(wanted.ids)


def test_what_is_kept_apart_is_the_same_everywhere_and_an_eighth() -> None:
    questions = [f"What is number {n}?" for n in range(4000)]
    assert sum(map(pointing.apart, questions)) / 4000 == pytest.approx(1 / 8, abs=0.02)
    assert [pointing.apart(q) for q in ("What is number 1?", "Quem?")] == [False, False]
