"""The three contracts on a true model, beside figures computed with transformers."""

import json
import math
import sys
from pathlib import Path

import pytest

from mirim.evals.evaluate import evaluate

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

pytestmark = pytest.mark.slow
LONG = "The nurse opened the door and said good morning. O exame de sangue custa 180. " * 12


@pytest.fixture(
    scope="module", params=["byte level, BOS declared", "byte level, BOS added", "byte fallback, BOS added"]
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="needs the train extra")
    pytest.importorskip("xllamacpp", reason="needs the serve extra")
    import toys

    out = tmp_path_factory.mktemp("toy")
    if "fallback" in request.param:
        size = toys.sentencepiece_like(out)
    else:
        size = toys.byte_level(out, bos="added" in request.param)
    return toys.model(out, vocabulary=size)


def reference(folder: Path, text: str) -> list[float]:
    """Log-probabilities of all tokens after BOS, for a text that fits the context."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer(text)["input_ids"]
    if ids[0] != tokenizer.bos_token_id:
        ids = [tokenizer.bos_token_id, *ids]
    with torch.inference_mode():
        rows = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    return [float(rows[n, t]) for n, t in enumerate(ids[1:])]


@pytest.mark.parametrize("engine", ["llama_cpp", "hf"])
def test_perplexity_equals_transformers(folder: Path, tmp_path: Path, engine: str) -> None:
    texts = ["Olá, açúcar e pão!", "a", "Call 555-1234 at 10:30; it's fine."]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), "utf-8")
    data = evaluate(model=str(folder), perplexity=path, engine=engine).to_json()
    wanted = [s for t in texts for s in reference(folder, t)]
    size = sum(len(t.encode()) for t in texts)
    assert data == {
        "bits_per_byte": pytest.approx(-sum(wanted) / math.log(2) / size, rel=1e-4),
        "bytes": size,
        "tokens": len(wanted),
    }


def test_pairs_equal_transformers(folder: Path, tmp_path: Path) -> None:
    texts = ["The bee lived in a tree.", "The bee live in a tree.", "açúcar", "pão pão", "good morning", "morning good"]
    path = tmp_path / "p.jsonl"
    rows = [
        {"sentence_good": g, "sentence_bad": b, "UID": str(n)}
        for n, (g, b) in enumerate((g, b) for g in texts for b in texts)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    data = evaluate(model=str(folder), pairs=path, engine="llama_cpp").to_json()
    total = {t: sum(reference(folder, t)) for t in texts}
    wanted = {r["UID"]: float(total[r["sentence_good"]] > total[r["sentence_bad"]] + 1e-9) for r in rows}
    assert data["by"] == {"UID": wanted}
    assert data["accuracy"] == pytest.approx(sum(wanted.values()) / 36)


def test_long_texts_count_every_token(folder: Path, tmp_path: Path) -> None:
    import transformers

    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"text": LONG}) + "\n", "utf-8")
    data = evaluate(model=str(folder), perplexity=path, engine="llama_cpp").to_json()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(LONG, add_special_tokens=False)["input_ids"]
    assert data["tokens"] == len(ids) > 256


def test_reading_generates(folder: Path, tmp_path: Path) -> None:
    qas = [{"id": "a", "question": "Who?", "answers": [{"text": "nurse", "answer_start": 4}]}]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": LONG, "qas": qas}]}]}), "utf-8")
    data = evaluate(model=str(folder), reading=path, engine="llama_cpp").to_json()
    assert data["questions"] == 1
    assert 0 <= data["f1"] <= 100
    assert isinstance(data["predictions"]["a"], str)
    assert "do not fit" in data["findings"][0]["what"]
