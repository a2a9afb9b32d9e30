"""A base that travels as one GGUF file goes back to the checkpoint that it was made from."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import toys

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.slow


def test_what_comes_back_is_what_was_packed(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from mirim.models import convert
    from mirim.models.unpack import unpacked
    from mirim.training import tokenizer as bpe
    from mirim.training.shape import build, shape

    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    tokenizer = bpe.train(["the cat sat on the mat and looked at the moon " * 40], 320)
    model = build(shape(3), len(tokenizer), 128, tokenizer, 0).eval()
    whole = tmp_path / "whole"
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    packed = tmp_path / "packed"
    for quant in ("f32", "q8_0"):
        convert.write(convert.read(whole), packed / "gguf" / f"{quant}.gguf", quant)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (packed / name).write_bytes((whole / name).read_bytes())
        back = unpacked(packed)
        assert back != packed
        assert unpacked(packed) == back
        other = transformers.AutoModelForCausalLM.from_pretrained(back).eval()
        ids = torch.arange(20)[None] % len(tokenizer)
        close = 1e-6 if quant == "f32" else 0.2
        assert (model(ids).logits - other(ids).logits).abs().max() < close
        # The best file is the smallest: the second round unpacks the quantised one.
        if quant == "q8_0":
            stored = dict(other.named_parameters())
            assert any((p - stored[n]).abs().max() > 0 for n, p in model.named_parameters())
    assert unpacked(whole) == whole
    # For fine-tuning: rounded again, a small change of one weight in one direction is kept in the mean.
    tuned = unpacked(packed, tune=True)
    assert tuned != back
    gguf = pytest.importorskip("gguf")
    kind = gguf.GGMLQuantizationType.Q8_0

    def rounded(values):
        return gguf.dequantize(gguf.quantize(values, kind), kind)

    from safetensors.numpy import load_file

    name = "model.layers.1.mlp.down_proj.weight"
    exact, moved = load_file(back / "model.safetensors")[name], load_file(tuned / "model.safetensors")[name]
    step = np.abs(exact).max() / 127
    assert np.abs(moved - exact).max() <= 0.51 * step
    change = np.float32(step / 10)
    assert abs(float((rounded(exact + change) - exact).mean()) / change) < 0.6
    assert abs(float((rounded(moved + change) - moved).mean()) / change - 1) < 0.15
    assert json.loads((back / "config.json").read_text())["model_type"] == "llama"


@pytest.mark.parametrize("kind", ["gemma", "gemma3_text"])
def test_norms_come_back_as_a_checkpoint_has_them(tmp_path, kind):
    """In the file they are what is multiplied by, in the checkpoint one less."""
    from safetensors.numpy import load_file

    from mirim.models import convert
    from mirim.models.unpack import tensors

    folder = toys.model(tmp_path / "m", kind)
    convert.write(convert.read(folder), tmp_path / "m.gguf", "f32")
    held = load_file(folder / "model.safetensors")
    found = tensors(tmp_path / "m.gguf", folder)
    assert found.keys() == held.keys() - {"lm_head.weight"}
    assert all(np.abs(found[name] - held[name]).max() < 1e-6 for name in found)


def test_another_process_may_unpack_first(tmp_path, monkeypatch):
    from mirim.models import convert, unpack

    monkeypatch.setenv("MIRIM_CACHE", str(tmp_path / "cache"))
    folder = toys.model(tmp_path / "m")
    convert.write(convert.read(folder), folder / "gguf" / "q8_0.gguf", "q8_0")
    (folder / "model.safetensors").unlink()
    made = unpack.tensors

    def meanwhile(*given):
        monkeypatch.setattr(unpack, "tensors", made)
        first.append(unpack.unpacked(folder))
        return made(*given)

    first = []
    monkeypatch.setattr(unpack, "tensors", meanwhile)
    assert unpack.unpacked(folder) == first[0]
    assert [one.name for one in first[0].parent.iterdir()] == [first[0].name]
