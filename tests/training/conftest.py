"""Small models, tokenizers, examples and projects for training tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core import progress

TEXT = [
    "The nurse opened the door and said good morning to everybody in the room at 10:30.",
    "O paciente deve ficar em jejum por oito horas antes do exame de sangue, não é?",
    "Once upon a time there was a small bee that lived in an old tree near the river.",
    "Results are ready after two working days; bring the identity card to the desk.",
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> None:
    """Test models are too small to share between threads, which on a busy machine wait for one another."""
    if request.node.get_closest_marker("slow"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture
def notes() -> Any:
    """Every line that a person is told."""
    lines: list[str] = []

    class Sink:
        def bar(self, label: str, total: float | None) -> Any:
            return progress._Silent().bar(label, total)

        def note(self, text: str) -> None:
            lines.append(text)

    restore = progress.install(Sink())
    yield lines
    restore()


@pytest.fixture
def tokenizer() -> Any:
    """A byte-level tokenizer of mirim's own making."""
    from mirim.training import tokenizer as bpe

    return bpe.train(TEXT * 5, 480)


@pytest.fixture
def llama() -> Callable[..., Any]:
    """A Llama of two layers with random weights that do something."""

    def make(vocabulary: int = 480, **changes: Any) -> Any:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        settings: dict[str, Any] = {
            "vocab_size": vocabulary,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "tie_word_embeddings": True,
            "initializer_range": 0.15,
        }
        return LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))

    return make


@pytest.fixture
def rows() -> Callable[..., list[Any]]:
    """Rows of random tokens and masks."""

    def make(count: int = 24, longest: int = 30, seed: int = 0) -> list[Any]:
        import numpy as np

        from mirim.training.packing import Row

        draw = np.random.default_rng(seed)
        sizes = draw.integers(3, longest, size=count)
        return [Row(draw.integers(0, 480, size=n).tolist(), (draw.random(n) < 0.6).tolist()) for n in sizes]

    return make


@pytest.fixture
def base(tmp_path: Path, tokenizer: Any, llama: Callable[..., Any]) -> Path:
    """A folder in Hugging Face layout with a chat template."""
    folder = tmp_path / "base"
    llama(len(tokenizer), eos_token_id=tokenizer.eos_token_id).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Any]:
    """A project with documents and examples."""

    def make(documents: int = 4, examples: int = 12, name: str = "bees", table: str = "") -> Any:
        from mirim.core.project import Project

        root = tmp_path / name
        (root / "data" / "documents").mkdir(parents=True)
        (root / "data" / "examples").mkdir()
        (root / "mirim.toml").write_text(f'[project]\nname = "{name}"\nseed = 3\n{table}')
        for n in range(documents):
            text = f'---\nid: "d{n}"\n---\n# Page {n}\n\n' + " ".join(TEXT[(n + i) % 4] for i in range(12)) + f" {n}\n"
            (root / "data" / "documents" / f"d{n}.md").write_text(text)
        rows = [
            {
                "id": f"e{n:03d}",
                "task": ("answer", "judge")[n % 2],
                "messages": [
                    {"role": "user", "content": f"{TEXT[n % 4]} Question {n}?"},
                    {"role": "assistant", "content": ("sim", "não")[n % 2]},
                ],
                "split": "valid" if n % 6 == 5 else "train",
            }
            for n in range(examples)
        ]
        (root / "data" / "examples" / "made.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        return Project.open(root)

    return make
