"""EleutherAI's lm-eval through /v1/completions sees the likelihoods that transformers gives it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import built

QUESTIONS = [
    {"question": "Where do bees live?", "choices": ["in a hive", "in the sea", "on the moon"], "answer": 0},
    {"question": "Onde fica a recepção?", "choices": ["no térreo", "no terceiro andar"], "answer": 1},
    {"question": "2 + 2 =", "choices": ["4", "5", "22", "four"], "answer": 0},
]
TASK = """\
task: small
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""


def likelihoods(folder: Path, name: str, model: str, arguments: str) -> list[list[float]]:
    out = folder / name
    line = [sys.executable, "-m", "lm_eval", "--model", model, "--model_args", arguments, "--tasks", "small"]
    line += ["--include_path", str(folder), "--output_path", str(out), "--log_samples", "--batch_size", "1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        [*line, "--device", "cpu"], capture_output=True, text=True, timeout=900, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (samples,) = out.rglob("samples_small_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    return [[float(choice[0]) for choice in row["filtered_resps"]] for row in sorted(rows, key=lambda r: r["doc_id"])]


@pytest.mark.slow
def test_likelihoods_are_those_of_transformers(server: Callable[..., Any], toy: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed (pip install 'mirim[bench]')")
    built()
    data = tmp_path / "small.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS), "utf-8")
    (tmp_path / "small.yaml").write_text(TASK.format(data=data), "utf-8")
    folder = toy.parent / "toy"
    direct = likelihoods(tmp_path, "direct", "hf", f"pretrained={folder},dtype=float32,max_length=512")
    assert [len(row) for row in direct] == [3, 2, 4]
    for engine in ("native", "llama_cpp"):
        running = server("--model", str(toy), "--ctx", "512", "--engine", engine)
        arguments = f"model={toy.stem},base_url={running.url}/v1/completions,tokenizer={folder},max_length=512"
        served = likelihoods(tmp_path, engine, "local-completions", f"{arguments},tokenized_requests=True")
        for mine, theirs in zip(served, direct, strict=True):
            assert mine == pytest.approx(theirs, abs=0.05)
