"""Bases are tuned on a project's examples: adapters and whole weights, what is left out, what is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.bundle import Bundle
from mirim.core.errors import MirimError, UsageError
from mirim.core.project import Project
from mirim.training.adapt import with_lora
from mirim.training.train import train

Make = Callable[..., Any]
SMALL = {"depth": 1, "vocab_size": 400, "context": 64, "tokens": 2000, "threads": 1, "batch_tokens": 256}


def test_an_adapter_is_laid_on_a_base_without_warnings(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tuned = with_lora(model, 4, 0)
    assert any(parameter.requires_grad for parameter in tuned.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_is_adapted_and_loads_elsewhere(method: str, project: Make, base: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = project()
    rank = {"rank": 4} if method == "lora" else {}
    report = train(made, method=method, base=str(base), epochs=15.0, learning_rate=5e-3, context=128, threads=1, **rank)
    curve = (made.model / "reports" / "training-examples.jsonl").read_text().splitlines()
    assert json.loads(curve[-1])["loss"] < 0.5 * json.loads(curve[0])["loss"]
    bundle = Bundle.open(made.model)
    assert (bundle.base, bundle.adapter) == (str(base), method == "lora")
    plain = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(made.model)
    ids = torch.tensor([tokenizer.encode("Once upon a time")])
    before = plain(ids).logits.detach()
    if method == "lora":
        assert (made.model / "adapter_model.safetensors").is_file()
        tuned = PeftModel.from_pretrained(plain, made.model)
        changed = {n for n, _ in tuned.named_parameters() if "lora_" in n}
        assert all(any(m in n for n in changed) for m in ("q_proj", "o_proj", "gate_proj", "down_proj"))
        assert not any("lm_head" in n or "embed" in n for n in changed)
    else:
        tuned = AutoModelForCausalLM.from_pretrained(made.model)
    assert {p.stat().st_mode & 0o444 for p in made.model.glob("*.safetensors")} == {0o444}
    said = json.loads((made.model / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert said["additional_special_tokens"] == ["<|im_start|>"]
    assert set(tokenizer("bee")) == {"input_ids", "attention_mask"}
    assert (tuned(ids).logits - before).abs().max() > 1e-3
    assert report.to_json()["stages"]["examples"]["learned"] > 0
    assert tokenizer.chat_template


@pytest.mark.slow
def test_an_adapter_names_the_base_that_was_named(project: Make, base: Path, tmp_path: Path) -> None:
    from mirim.models import convert
    from mirim.models.unpack import unpacked

    packed = tmp_path / "packed"
    convert.write(convert.read(base), packed / "gguf" / "q8_0.gguf", "q8_0")
    for path in base.iterdir():
        if path.suffix != ".safetensors":
            shutil.copyfile(path, packed / path.name)
    made = project()
    train(made, method="lora", base=str(packed), steps=1, context=128, threads=1, rank=4)
    named = json.loads((made.model / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(packed) != str(unpacked(packed, tune=True))


@pytest.mark.parametrize("scaled", [False, True])
def test_what_is_written_turns_as_far_in_former_transformers(llama: Make, tmp_path: Path, scaled: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from mirim.training.stages import _portable

    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 5e5}
    if scaled:
        rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
    model = llama(rope_parameters=rope).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    _portable(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["rope_theta"] == 5e5
    assert said.get("rope_scaling") == (said["rope_parameters"] if scaled else None)
    ids = torch.arange(60)[None]
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, model(ids).logits)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {"tokenizer_class": "Qwen2Tokenizer"}


@pytest.mark.slow
def test_a_named_base_is_adapted_where_the_settings_pretrain(project: Make, base: Path, notes: list[str]) -> None:
    made = project(table='[train]\nmethod = "pretrain"\ndepth = 1\n')
    report = train(made, base=str(base), context=128, steps=1, threads=1)
    assert report.to_json()["method"] == "lora"
    assert any("a base is named" in line for line in notes)


def _with_one_of(made: Project, words: str) -> tuple[Path, dict[str, Any]]:
    """The file of examples, with one more of these words; and that row."""
    path = made.examples / "made.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    row["id"], row["messages"][0]["content"] = "long", words
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    return path, row


@pytest.mark.slow
def test_long_examples_are_counted_not_cut(project: Make, base: Path, notes: list[str]) -> None:
    made = project()
    path, row = _with_one_of(made, "word " * 500)
    train(made, method="full", base=str(base), context=128, steps=1, threads=1)
    assert any(line.startswith("1 of 13 examples are longer than the context of 128") for line in notes)
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="none of 1 examples is left"):
        train(made, method="full", base=str(base), context=128, steps=1, threads=1)


@pytest.mark.slow
def test_what_the_base_has_no_positions_for_is_left_out(project: Make, base: Path, notes: list[str]) -> None:
    made = project()
    _with_one_of(made, "word " * 100)
    train(made, method="full", base=str(base), context=1024, steps=1, threads=1)
    assert any(
        line.startswith("1 of 13 examples are longer than the context of 128 tokens") and "choose another base" in line
        for line in notes
    )


@pytest.mark.slow
def test_an_example_that_the_template_refuses_is_named(project: Make, base: Path) -> None:
    made = project()
    (base / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    with pytest.raises(UsageError, match=r"answer example e000 .*System role not supported.*--chat-template"):
        train(made, method="full", base=str(base), context=128, steps=1, threads=1)


@pytest.mark.slow
def test_a_broken_base_does_not_cost_the_interrupted_run_of_another(project: Make, base: Path, tmp_path: Path) -> None:
    made = project()
    shutil.copytree(base, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    kept = made.model.parent / f".train-{made.model.name}" / "examples" / "00000001" / "state.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    with pytest.raises(MirimError, match=r"the model of .* cannot be loaded"):
        train(made, method="full", base=str(tmp_path / "cut"), context=128, steps=1, threads=1)
    assert kept.is_file()


@pytest.mark.slow
def test_a_tuned_model_that_no_engine_runs_keeps_the_bound_of_its_base(
    base: Path, project: Make, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirim.training import stages

    def unfit(folder: Path, **_: Any) -> Any:
        raise UsageError(f"nothing here runs {folder.name}")

    monkeypatch.setattr(stages, "open_engine", unfit)
    made = project()
    train(made, method="lora", base=str(base), steps=1, context=64, threads=1)
    bundle = Bundle.open(made.model)
    bundle.verify()
    assert bundle.reading == {}
    assert any("stays as its base's: nothing here runs" in line for line in notes)
