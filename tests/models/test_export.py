"""`export` and `generate` as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mirim.core.bundle import Bundle
from mirim.core.errors import GateRefused, UsageError
from mirim.core.project import Project
from mirim.models import parity
from mirim.models.export import export
from mirim.models.generate import generate

sys.path.insert(0, str(Path(__file__).parent))
import toys


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny model that has learnt its four sentences: judged as a real one, not as noise."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = toys.model(tmp_path_factory.mktemp("trained") / "m", initializer_range=0.05)
    model = AutoModelForCausalLM.from_pretrained(folder).train()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batches = [torch.tensor([tokenizer(t + "<|im_end|>")["input_ids"]]) for t in toys.TEXT[:4]]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = sum(model(b, labels=b).loss for b in batches)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval().save_pretrained(folder)
    (folder.parent / "held.txt").write_text("\n\n".join(toys.TEXT[:4]), "utf-8")
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    import shutil

    return Path(shutil.copytree(trained, tmp_path / "m"))


@pytest.mark.slow
def test_a_llama_tokenizer_is_compared_as_its_file_says(tmp_path):
    """transformers 5 rebuilds LlamaTokenizer and then reads ' x' otherwise than the file; that refuses nothing."""
    folder = tmp_path / "m"
    size = toys.sentencepiece_like(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "LlamaTokenizer"}))
    toys.model(folder, vocabulary=size)
    (tmp_path / "held.txt").write_text("\n\n".join(toys.TEXT[:4]), "utf-8")
    assert export(model=str(folder), quant=("f32",), text=tmp_path / "held.txt").data["tokens"]["differing"] == 0


@pytest.mark.slow
def test_a_trained_model_passes(copy, trained):
    import gguf

    Bundle(copy, "m").save()
    report = export(model=str(copy), quant=("q8_0,f32", "f16,bf16"), text=trained.parent / "held.txt")
    data = json.loads((copy / "reports" / "parity.json").read_text())
    assert data == json.loads(json.dumps(report.to_json()))
    assert data["written"] == ["q8_0", "f32", "f16", "bf16"]
    assert sorted(p.name for p in (copy / "gguf").iterdir()) == ["bf16.gguf", "f16.gguf", "f32.gguf", "q8_0.gguf"]
    assert data["held_out"]["source"] == "the file held.txt"
    assert data["torch"]["logits"]["max_abs_difference"] < 1e-3
    assert data["torch"]["answers_equal"] == 1.0
    assert data["tokens"]["differing"] == 0
    assert data["tokens"]["texts"] > 80
    for quant, row in data["quants"].items():
        assert abs(row["perplexity_change"]) <= 0.01, quant
        assert row["logits_torch"]["cosine"] > 0.999
    assert (copy / "reports" / "parity.md").is_file()
    assert (copy / "reports" / "parity.html").is_file()
    assert not list(copy.glob(".tmp-*"))
    # The bundle's hashes cover what was added.
    Bundle.open(copy).verify()
    assert "gguf/q8_0.gguf" in Bundle.open(copy).files
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(copy / "gguf" / "q8_0.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == kinds["output.weight"] == "Q8_0"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    # Again, the same bytes.
    before = {p.name: p.read_bytes() for p in (copy / "gguf").iterdir()}
    export(model=str(copy), quant=("q8_0",), text=trained.parent / "held.txt")
    assert (copy / "gguf" / "q8_0.gguf").read_bytes() == before["q8_0.gguf"]
    # F32 was made to compare with and is gone.
    Bundle.open(copy).verify()


@pytest.mark.slow
def test_an_earlier_exports_files_go_with_their_weights(copy, trained, monkeypatch, tmp_path):
    from safetensors.numpy import load_file, save_file

    from mirim.models.engine import open_engine

    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    held = trained.parent / "held.txt"
    export(model=str(copy), quant=("q8_0,f16",), text=held)
    report = export(model=str(copy), quant=("f16",), text=held)
    assert sorted(p.name for p in (copy / "gguf").iterdir()) == ["f16.gguf", "q8_0.gguf"]
    assert not report.findings
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"] *= 1.01
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with contextlib.closing(open_engine(copy, threads=1)) as engine:
        assert copy not in engine.path.parents
    report = export(model=str(copy), quant=("f16",), text=held)
    assert sorted(p.name for p in (copy / "gguf").iterdir()) == ["f16.gguf"]
    assert [(f.where, f.what.startswith("removed")) for f in report.findings] == [("q8_0", True)]
    with contextlib.closing(open_engine(copy, threads=1)) as engine:
        assert engine.path == copy / "gguf" / "f16.gguf"


@pytest.mark.slow
def test_the_gate_refuses_and_the_others_are_written(copy, trained):
    """Outliers in every block of 32 ruin four bits while eight still hold them."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    for name, w in weights.items():
        if "mlp.down_proj" in name or "o_proj" in name:
            w[:, ::32] *= 40
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    (copy / "gguf").mkdir()
    (copy / "gguf" / "q4_0.gguf").write_bytes(b"an earlier export")
    with pytest.raises(GateRefused, match=r"q4_0: perplexity differs by .* at most 5%") as caught:
        export(model=str(copy), quant=("q4_0", "f16"), text=trained.parent / "held.txt")
    assert caught.value.exit_code == 3
    assert sorted(p.name for p in (copy / "gguf").iterdir()) == ["f16.gguf"]
    data = json.loads((copy / "reports" / "parity.json").read_text())
    assert (data["written"], data["refused"]) == (["f16"], ["q4_0"])
    first = data["quants"]["q4_0"]["divergences"][0]
    assert (first["reference"], first["reference_choice"]) != (first["quantised"], first["quantised_choice"])
    assert caught.value.report.to_json()["refused"] == ["q4_0"]
    assert "First divergences" in (copy / "reports" / "parity.md").read_text()


@pytest.mark.slow
def test_a_conversion_to_another_model_is_refused(copy, trained, monkeypatch):
    """Every file shares the mistake with F32, so that only torch tells."""
    from mirim.models.families import _dense

    held = trained.parent / "held.txt"
    monkeypatch.setattr(_dense, "interleave", lambda heads: lambda weight: weight)
    with monkeypatch.context() as untold:
        untold.setattr(parity, "strangeness", lambda row: [])
        export(model=str(copy), quant=("f16",), text=held)
    assert [p.name for p in (copy / "gguf").glob("*")] == ["f16.gguf"]
    with pytest.raises(GateRefused, match=r"f32: logits of F32 have a cosine of .*; q8_0: logits of F32") as caught:
        export(model=str(copy), quant=("f32", "q8_0"), text=held)
    # An earlier export's file of these weights has the mistake too, though nobody asked for it now.
    assert not list((copy / "gguf").glob("*"))
    found = caught.value.report.findings
    assert [f.where for f in found if f.what.startswith("removed: what was refused now is true of it too")] == ["f16"]
    assert caught.value.report.to_json()["refused"] == ["f32", "q8_0"]
    assert all("--engine hf" in finding.do for finding in caught.value.report.findings)


@pytest.mark.slow
def test_prompts_that_transformers_reads_otherwise_are_not_compared(tmp_path):
    """Its LlamaTokenizer leaves out the blank before a conversation that SentencePiece puts there."""
    folder, project = tmp_path / "m", Project(tmp_path)
    size = toys.sentencepiece_like(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "LlamaTokenizer"}))
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    toys.model(folder, vocabulary=size)
    turns = [{"role": "user", "content": "The nurse opened"}, {"role": "assistant", "content": "the door"}]
    rows = [{"id": str(n), "task": "qa", "split": "valid", "messages": turns} for n in range(4)]
    project.examples.mkdir(parents=True)
    (project.examples / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = export(project, model=str(folder), quant=("f32",)).to_json()
    assert data["written"] == ["f32"]
    assert data["torch"]["answers"] == 0


@pytest.mark.slow
def test_a_context_shorter_than_the_held_out_texts(tmp_path):
    folder = toys.model(tmp_path / "m", max_position_embeddings=24)
    data = export(model=str(folder), quant=("f32",)).to_json()
    assert data["written"] == ["f32"]
    assert data["torch"]["logits"]["cosine"] > 0.999999


@pytest.mark.slow
def test_rows_that_do_not_divide_stay_f16(tmp_path):
    import gguf

    folder = toys.model(tmp_path / "m", hidden_size=60, num_attention_heads=3, num_key_value_heads=1)
    with_gate = {}
    try:
        with_gate = export(model=str(folder), quant=("q8_0",), policy="quote").to_json()
    except GateRefused as error:
        with_gate = error.report.to_json()
    assert with_gate["held_out"]["source"].startswith("built-in")
    from mirim.models import convert

    convert.write(convert.read(folder), tmp_path / "x.gguf", "q4_0")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == kinds["token_embd.weight"] == "F16"
    assert kinds["blk.0.ffn_down.weight"] == "Q4_0"


@pytest.mark.slow
def test_a_projects_validation_examples_are_the_held_out_text(copy, tmp_path):
    from mirim.models import golden

    project = Project(tmp_path)
    rows = [
        {
            "id": str(n),
            "task": "qa",
            "split": split,
            "messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"answer {n}"}],
        }
        for n, split in enumerate(["train", "valid", "valid", "valid"])
    ]
    project.examples.mkdir(parents=True)
    (project.examples / "qa.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    held = golden.gather(project, None, chat=True)
    assert held.source == "the project's validation examples"
    assert [g.choices[0] for g in held.golden] == ["answer 1", "answer 2", "answer 3"]
    assert all(len(set(g.choices)) == 3 for g in held.golden)
    assert held.golden[0].prompt[0].content == "q1"
    report = export(project, model=str(copy), quant=("f16",))
    assert report.to_json()["held_out"]["source"] == held.source


@pytest.mark.slow
def test_export_without_torch_says_so(copy, trained):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from mirim.models.export import export\n"
        f"r = export(model={str(copy)!r}, quant=('q8_0',), text={str(trained.parent / 'held.txt')!r})\n"
        "print(r.to_json()['torch']['skipped'], r.to_json()['tokens']['differing'], r.to_json()['written'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "torch is not installed" in done.stdout
    assert done.stdout.strip().endswith("0 ['q8_0']")


@pytest.mark.slow
def test_generate(copy, monkeypatch, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(copy).eval(), AutoTokenizer.from_pretrained(copy)
    ids = tokenizer("Once upon", return_tensors="pt")["input_ids"]
    expected = model.generate(ids, max_new_tokens=25, do_sample=False)[0, ids.shape[1] :].tolist()
    for name in ("llama_cpp", "hf"):
        found = generate(model=str(copy), prompt="Once upon", max_tokens=25, raw=True, engine=name)
        row = found.to_json()
        assert list(row) == ["text", "token_ids", "prompt_tokens", "finish_reason"]
        ended = expected[-1] == 2
        assert row["token_ids"] == (expected[:-1] if ended else expected)
        assert row["text"] == " a time there was a small bee that lived in an old tree."
        assert row["finish_reason"] == "stop"
        assert row["prompt_tokens"] == ids.shape[1]
        assert found.to_text() == row["text"]
    chat = generate(model=str(copy), prompt="Once upon", max_tokens=5)
    assert chat.prompt_tokens > ids.shape[1]
    assert torch.equal(ids, tokenizer("Once upon", return_tensors="pt")["input_ids"])


@pytest.mark.slow
def test_two_processes_convert_at_once(copy, tmp_path):
    code = f"from mirim.models.engine import open_engine; print(open_engine({str(copy)!r}).encode('The nurse'))"
    environment = os.environ | {"MIRIM_CACHE": str(tmp_path / "cache")}
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=-1) for _ in range(3)]
    assert len({p.communicate()[0] for p in running}) == 1
    assert [p.returncode for p in running] == [0, 0, 0]
    assert len(list((tmp_path / "cache" / "gguf").iterdir())) == 1


def test_why_tokenizers_were_not_compared(tmp_path):
    """There may be a tokenizer.model alone, which the tokenizers library does not read."""
    from types import SimpleNamespace

    from mirim.models.export import _Export

    work = SimpleNamespace(checkpoint=SimpleNamespace(tokenizer=tmp_path), data={}, findings=[])
    _Export._tokens(work, None, None)
    (found,) = work.findings
    assert found.what.endswith(work.data["tokens"]["skipped"])
    assert "a tokenizer.json" in found.what


def test_bad_arguments(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match='no quantisation named "q5"'):
        export(model=str(tmp_path), quant=("q5",))
    with pytest.raises(UsageError, match="no quantisation was named"):
        export(model=str(tmp_path), quant=("",))
    with pytest.raises(UsageError, match="is a hub, not a folder"):
        export(model="org/name")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no mirim\.toml"):
        export()
    with pytest.raises(UsageError, match="--max-tokens -1"):
        generate(model="echo", max_tokens=-1)
    row = generate(model="echo:one two", max_tokens=1).to_json()
    assert (row["text"], row["finish_reason"]) == ("one", "length")


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("license: cc-by-4.0\n", "cc-by-4.0"),
        ('license: "MIT" \ntags: [x]\n', "MIT"),
        ("license: other\nlicense_name: house-rules\n", "house-rules"),
        ("tags: [license]\n", None),
        (None, None),
    ],
)
def test_a_file_names_the_licence_that_the_card_does(copy, tmp_path, front, said):
    from mirim.models import convert, gguf_check

    if front is not None:
        (copy / "README.md").write_text(f"---\n{front}---\n# m\n\nlicense: none of this\n")
    convert.write(convert.read(copy), tmp_path / "m.gguf", "q8_0")
    assert gguf_check.check(tmp_path / "m.gguf").keys.get("general.license") == said


def test_an_adapter_of_a_packed_base_is_compared_with_torch(trained, tmp_path, monkeypatch):
    import shutil

    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    from mirim.models import convert

    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    packed, folder = tmp_path / "packed", tmp_path / "adapter"
    convert.write(convert.read(trained), packed / "gguf" / "q8_0.gguf", "q8_0")
    for path in trained.iterdir():
        if path.suffix != ".safetensors":
            shutil.copyfile(path, packed / path.name)
    settings = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(trained), settings)
    tuned.active_peft_config.base_model_name_or_path = str(packed)
    tuned.save_pretrained(folder)
    for path in trained.glob("*token*"):
        shutil.copyfile(path, folder / path.name)
    row = export(model=str(folder), quant=("f32",), text=trained.parent / "held.txt").to_json()["torch"]
    assert "skipped" not in row, row
    assert row["logits"]["cosine"] > 0.9999


def test_the_bundled_base_is_not_written_into():
    from mirim.core.errors import UsageError
    from mirim.models.export import export

    with pytest.raises(UsageError, match="part of the package"):
        export(model="mirim-base")
