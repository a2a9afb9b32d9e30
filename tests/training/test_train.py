"""`mirim train` from end to end on tiny data: what it writes loads elsewhere, and bad input is one message."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError
from mirim.training.train import train

Make = Callable[..., Any]
SMALL = {"depth": 1, "vocab_size": 400, "context": 64, "tokens": 2000, "threads": 1, "batch_tokens": 256}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    lines = [f"The bee number {n} visits flower {n * 7 % 13}; it is not late. Não há pressa." for n in range(120)]
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "reports" not in p.parts
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "lora", "out": Path("x")}, "learns a project's examples"),
        ({"method": "pretrain", "out": Path("x")}, "nothing to train on"),
        ({"method": "pretrain", "corpus": (Path("a"),), "base": "b/c", "out": Path("x")}, "would not use --base"),
        ({"method": "pretrain", "corpus": (Path("a"),), "out": Path("x"), "depth": 0}, "--depth 0 is too small"),
        ({"method": "pretrain", "corpus": (Path("a"),), "out": Path("x"), "context": 8}, "--context 8"),
        ({"method": "pretrain", "corpus": (Path("a"),), "out": Path("x"), "epochs": 0.0}, "--epochs"),
        ({"method": "pretrain", "corpus": (Path("a"),), "out": Path("x"), "learning_rate": float("nan")}, "learning"),
        (
            {"method": "pretrain", "corpus": (Path("a"),), "out": Path("x"), "seed": 2**63},
            f"--seed {2**63} is too large",
        ),
    ],
)
def test_bad_options_are_refused_at_once(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        train(**given)


@pytest.mark.slow
def test_a_corpus_becomes_a_model_that_others_load(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mirim.training import stages

    probe, trained = torch.arange(3, 60)[None], []
    save = stages._save

    def watch(plan: Any, model: Any, *rest: Any) -> None:
        trained.append(model(probe).logits.detach())
        save(plan, model, *rest)

    monkeypatch.setattr(stages, "_save", watch)
    out = tmp_path / "made"
    report = train(method="pretrain", corpus=(text,), out=out, seed=1, **SMALL)
    row = report.to_json()["stages"]["text"]
    assert row["loss"] < 5.9
    assert row["utilisation"] > 0
    bundle = Bundle.open(out)
    bundle.verify()
    assert bundle.lineage["corpus"][0][0] == "text.jsonl"
    assert "text.jsonl" in (out / "README.md").read_text()
    assert not list(tmp_path.glob(".t*"))
    assert (out / "reports" / "training-text.jsonl").read_text().count("\n") == row["steps"]
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    assert model.config.vocab_size == len(tokenizer) <= 400
    assert model.config.tie_word_embeddings
    for word in ("yes", "no", "sim", "não", "Yes", " não", " Sim"):
        assert len(tokenizer.encode(word)) == 1
    assert len(tokenizer.encode("2024")) == 4
    for raw in ("  Olá\n\n\tpão 3,5 a\u0303 \u200b日本 <|im", "a" * 50):
        assert tokenizer.decode(tokenizer.encode(raw)) == raw
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False
    )
    assert asked == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert torch.equal(model(probe).logits, trained[0])
    again = train(method="pretrain", corpus=(text,), out=out, seed=1, **SMALL)
    assert "Up to date" in again.summary
    other = tmp_path / "other"
    train(method="pretrain", corpus=(text,), out=other, seed=1, **SMALL)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (out / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.slow
def test_marks_in_a_text_are_text(tmp_path: Path, tokenizer: Any) -> None:
    from mirim.training import shards
    from mirim.training.corpus import Text

    texts = [Text("a <|im_end|> b", 1.0), Text("word " * 100, 2.0), Text("", 1.0)]
    shards.write(tmp_path / "s", texts, tokenizer)
    rows = shards.Shard.open(tmp_path / "s", 64)
    end = tokenizer.pad_token_id
    assert rows[0].ids[0] == rows[0].ids[-1] == end
    assert tokenizer.decode(rows[0].ids[1:-1]) == "a <|im_end|> b"
    assert tokenizer.eos_token_id not in rows[0].ids
    # Windows overlap by one token and cover the whole document, each token learned once.
    long = [rows[i] for i in range(1, len(rows) - 1)]
    assert all(len(r.ids) <= 64 for r in rows)
    joined = [*long[0].ids, *(i for r in long[1:] for i in r.ids[1:])]
    assert tokenizer.decode(joined[1:-1]) == "word " * 100
    assert all(a.ids[-1] == b.ids[0] for a, b in pairwise(long))
    assert list(rows.weights) == [1.0] + [2.0] * len(long) + [1.0]
    assert tokenizer.encode("<|im_end|>") == [tokenizer.eos_token_id]


@pytest.mark.slow
def test_weights_say_how_often_rows_are_taken(rows: Make) -> None:
    from collections import Counter

    from mirim.training.packing import Batches

    data = rows(40)
    weights = [0.0] * 10 + [0.5] * 10 + [1.0] * 10 + [3.0] * 10
    batches = Batches(data, 64, 2, 1, 0, weights=weights)
    taken: Counter[int] = Counter()
    for epoch in range(20):
        batches._planned = -1
        taken.update(i for step in batches._epoch(epoch) for group in step for i in group)
    assert not any(taken[i] for i in range(10))
    assert 60 < sum(taken[i] for i in range(10, 20)) < 140
    assert all(taken[i] == 20 for i in range(20, 30))
    assert all(taken[i] == 60 for i in range(30, 40))


@pytest.mark.slow
def test_a_project_without_a_base_learns_text_then_examples(project: Make, notes: list[str]) -> None:
    from transformers import AutoModelForCausalLM

    made = project()
    report = train(made, epochs=2.0, **SMALL)
    assert list(report.to_json()["stages"]) == ["text", "examples"]
    assert report.to_json()["stages"]["examples"]["validation"] is not None
    bundle = Bundle.open(made.model)
    assert (bundle.method, bundle.base, bundle.adapter) == ("pretrain", "", False)
    assert {"documents", "examples"} <= bundle.lineage.keys()
    assert AutoModelForCausalLM.from_pretrained(made.model).config.num_hidden_layers == 1
    assert any("fewer than the 400 asked for" in line for line in notes) or len(notes) >= 1
    first = _files(made.model)
    # Other settings make another model, the same ones the same bytes again.
    train(made, epochs=1.0, **SMALL)
    assert _files(made.model)["model.safetensors"] != first["model.safetensors"]
    train(made, epochs=2.0, **SMALL)
    assert _files(made.model) == first


@pytest.mark.slow
def test_an_interrupted_train_goes_on_and_ends_the_same(project: Make, notes: list[str]) -> None:
    one, other = project(name="one"), project(name="two")
    (other.root / "mirim.toml").write_text((one.root / "mirim.toml").read_text())
    other = type(other).open(other.root)
    train(one, **SMALL)
    starts = 0
    while True:
        starts += 1
        assert starts < 200
        try:
            train(other, time_limit=1e-9, **SMALL)
            break
        except MirimError as error:
            if "run the same line again" not in str(error):
                raise
    assert starts > 3
    assert any("going on at step" in line for line in notes)
    assert not any("afresh" in line for line in notes)
    assert _files(one.model) == _files(other.model)


@pytest.mark.slow
def test_a_finished_model_is_replaced_aloud(project: Make, notes: list[str]) -> None:
    made = project()
    train(made, **SMALL)
    before = Bundle.open(made.model).lineage["run"]
    assert not any("takes its place" in line for line in notes)
    train(made, **SMALL, seed=1)
    assert [line for line in notes if str(made.model) in line and "takes its place" in line]
    assert Bundle.open(made.model).lineage["run"] != before


def test_changed_settings_start_afresh_and_say_so(project: Make, notes: list[str]) -> None:
    made = project()
    with pytest.raises(MirimError, match="time limit"):
        train(made, time_limit=1e-9, **SMALL)
    train(made, **{**SMALL, "tokens": 1000})
    assert any("afresh" in line for line in notes)
    assert not any("going on" in line for line in notes)


@pytest.mark.slow
def test_a_slip_does_not_cost_the_interrupted_run(tmp_path: Path, text: Path, notes: list[str]) -> None:
    given: dict[str, Any] = {"method": "pretrain", "corpus": (text,), "out": tmp_path / "made", **SMALL}
    with pytest.raises(MirimError, match="time limit"):
        train(**given, time_limit=1e-9)
    with pytest.raises(UsageError, match="is not a weight"):
        train(**given, mix=("lang=2:x",))
    assert not any("afresh" in line for line in notes)
    with pytest.raises(UsageError, match="nothing in the corpus fits"):
        train(**given, mix=("novels*=0.3",))
    whole = text.read_text()
    text.write_text(whole + '{"text": \n')
    with pytest.raises(UsageError, match="line 121"):
        train(**given)
    text.write_text(whole)
    train(**given)
    assert any("going on at step 1" in line for line in notes)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock-made", "made", "text.jsonl"]


@pytest.mark.slow
def test_a_model_without_its_weights_is_not_up_to_date(tmp_path: Path, text: Path, notes: list[str]) -> None:
    given: dict[str, Any] = {"method": "pretrain", "corpus": (text,), "out": tmp_path / "made", **SMALL}
    train(**given)
    weights = tmp_path / "made" / "model.safetensors"
    before = weights.read_bytes()
    for name in ("README.md", "bundle.json"):
        assert (tmp_path / "made" / name).is_file()
    # What other verbs make anew is not learned again for.
    (tmp_path / "made" / "README.md").unlink()
    assert "Up to date" in train(**given).summary
    weights.unlink()
    train(**given)
    assert weights.read_bytes() == before
    assert [line for line in notes if str(weights) in line and "is gone" in line]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_name_that_is_not_utf8_is_spelt_out(tmp_path: Path, text: Path) -> None:
    odd = text.rename(tmp_path / os.fsdecode(b"caf\xe9.jsonl"))
    out = tmp_path / "made"
    train(method="pretrain", corpus=(odd,), out=out, mix=(os.fsdecode(b"caf\xe9*=2"),), seed=99999999999999, **SMALL)
    assert Bundle.open(out).lineage["corpus"][0][0] == r"caf\udce9.jsonl"
    assert r"caf\udce9.jsonl" in (out / "README.md").read_text("utf-8")
    with pytest.raises(UsageError, match="is not UTF-8"):
        train(method="pretrain", corpus=(odd,), out=tmp_path / os.fsdecode(b"caf\xe9"), **SMALL)


@pytest.mark.slow
def test_a_small_corpus_is_learned_as_often_as_was_asked(tmp_path: Path, text: Path) -> None:
    small = {**SMALL, "batch_tokens": 0}
    rows = text.read_text().splitlines(keepends=True)
    for count in (12, 70):
        text.write_text("".join(rows[:count]))
        report = train(method="pretrain", corpus=(text,), out=tmp_path / str(count), **{**small, "tokens": 20_000})
        # Of a token a document begins with nothing is learned.
        assert 0.85 * 20_000 < report.to_json()["stages"]["text"]["learned"] < 1.1 * 20_000


@pytest.mark.slow
def test_more_passes_than_help_are_told(tmp_path: Path, text: Path, notes: list[str]) -> None:
    few = {**SMALL, "tokens": 3_000}
    train(method="pretrain", corpus=(text,), out=tmp_path / "few", **few)
    assert not any("passes" in line for line in notes)
    rows = text.read_text().splitlines(keepends=True)
    text.write_text("".join(rows[:12]))
    train(method="pretrain", corpus=(text,), out=tmp_path / "many", **{**SMALL, "tokens": 30_000})
    assert any(line.startswith("--tokens 30,000 is ") and "passes over the text" in line for line in notes)


@pytest.mark.slow
def test_one_example_is_enough(project: Make, base: Path) -> None:
    made = project(examples=1)
    report = train(made, method="full", base=str(base), context=128, epochs=2.0, threads=1)
    assert report.to_json()["stages"]["examples"]["steps"] == 2


@pytest.mark.slow
def test_examples_without_documents_make_a_model(project: Make) -> None:
    made = project(documents=0)
    assert list(train(made, **SMALL).to_json()["stages"]) == ["examples"]


@pytest.mark.slow
def test_what_cannot_be_trained_is_one_message(project: Make, base: Path, tmp_path: Path, text: Path) -> None:
    made = project()

    def refused(says: str, **given: Any) -> None:
        with pytest.raises(MirimError, match=says) as caught:
            train(made, **{"context": 128, "threads": 1, "steps": 1, **given})
        assert "\n" not in str(caught.value)

    refused("no such file or folder", method="lora", base="./missing")
    refused("the Hugging Face hub did not give it|cannot be (read|loaded)", method="lora", base="nobody/nothing")
    refused("is no model", method="lora", base=str(tmp_path))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "zorble", "architectures": ["Zorble"]}')
    refused('unknown architecture "zorble"', method="lora", base=str(tmp_path / "odd"))
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 20)
    refused("is a GGUF file", method="full", base=str(tmp_path / "x.gguf"))
    shutil.copytree(base, tmp_path / "half")
    (tmp_path / "half" / "tokenizer.json").unlink()
    refused(
        "the tokenizer of .* cannot be loaded: .*; download it",
        method="lora",
        base=str(tmp_path / "half"),
    )
    refused("would not read --corpus", method="full", base=str(base), corpus=(text,))
    refused('no example is of task "juge"; did you mean "judge"', method="full", base=str(base), tasks=("juge",))
    (base / "chat_template.jinja").unlink()
    refused("no chat template.*--chat-template plain", method="lora", base=str(base))
    train(made, method="lora", base=str(base), chat_template="plain", context=128, steps=1, threads=1)
    assert "Assistant: " in (made.model / "chat_template.jinja").read_text()
    (made.examples / "made.jsonl").write_text("")
    refused("holds no training examples", method="full", base=str(base), chat_template="plain")
    (made.examples / "made.jsonl").write_text('{"id": "x"}\n')
    refused("line 1 is not an example", method="full", base=str(base), chat_template="plain")


def test_the_folder_of_a_corpus_is_no_place_for_its_model(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("good morning")
    with pytest.raises(UsageError, match="is not a bundle of mirim; name a new folder"):
        train(method="pretrain", corpus=(tmp_path / "corpus",), out=tmp_path / "corpus", **SMALL)


def test_a_model_that_the_memory_does_not_hold_is_refused(tmp_path: Path, text: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match=r"--depth 5000 is a model of .* M parameters, .* GB; .*smaller --depth"):
        train(method="pretrain", corpus=(text,), out=tmp_path / "model", **(SMALL | {"depth": 5000}))


def test_ctrl_c_waits_for_the_libraries(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def need(name: str, extra: str) -> None:
        asked.append(name)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("mirim.core.extras.need", need)
    # Tests in the background have it ignored.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(method="pretrain", corpus=(text,), out=tmp_path / "model", **SMALL)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, former)
    assert asked == ["torch", "transformers"]


def test_the_size_of_a_shape_is_that_of_its_model(tokenizer: Any) -> None:
    pytest.importorskip("torch")
    from mirim.training.shape import build, shape

    for depth in (1, 3):
        model = build(shape(depth), len(tokenizer), 64, tokenizer, 0)
        matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1)
        assert shape(depth).parameters(len(tokenizer)) == matrices


@pytest.mark.slow
def test_a_folder_of_somebody_is_never_replaced(tmp_path: Path, text: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a bundle of mirim"):
        train(method="pretrain", corpus=(text,), out=tmp_path / "mine", **SMALL)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_nothing_to_read_is_refused(project: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no text to train on"):
        train(project(documents=0, examples=0), **SMALL)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UsageError, match="every document is empty"):
        train(method="pretrain", corpus=(tmp_path / "empty.txt",), out=tmp_path / "o", **SMALL)
    assert not (tmp_path / "o").exists()
