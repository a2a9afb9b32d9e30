"""Bases that others trained, as they are published: what is taken in, and what is refused before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Example, Message
from mirim.examples.render import render
from mirim.training.adapt import load_base

#: Writes an empty thought before the last answer, and asks for an answer without one.
THOUGHT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think> 'é' \\ \"\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}\n"
)


def test_what_a_template_writes_before_an_answer_is_asked_and_not_learned(base: Path) -> None:
    pytest.importorskip("torch")
    (base / "chat_template.jinja").write_text(THOUGHT)
    _, tokenizer = load_base(str(base))
    turns = Message("user", "say 42"), Message("assistant", "good morning")
    made = render(Example("e1", "answer", turns), tokenizer, 200)
    assert made is not None
    learned = [token for token, mine in zip(made.ids, made.mask, strict=True) if mine]
    assert tokenizer.decode(learned) == "good morning<|im_end|>"
    assert tokenizer.decode(made.ids[: -len(learned)]).endswith("assistant\n<think>\n\n</think> 'é' \\ \"\n")


def test_a_template_without_words_before_an_answer_stays_as_it_is(base: Path) -> None:
    pytest.importorskip("torch")
    for blank in ("", " "):
        template = THOUGHT.replace("<think>\n\n</think> 'é' \\ \"\n", blank)
        (base / "chat_template.jinja").write_text(template)
        assert load_base(str(base))[1].chat_template == template


def test_a_base_that_is_a_pickle_is_refused_before_it_is_trained(base: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    weights = base / "model.safetensors"
    torch.save(load_file(weights), base / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(UsageError, match=r"pytorch_model\.bin, a pickle.*convert it to safetensors"):
        load_base(str(base))


def test_a_base_of_the_hub_that_is_a_pickle_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    hub = pytest.importorskip("huggingface_hub")
    from safetensors.torch import load_file

    # As a download of it lies in the cache of the hub.
    home = base.parent / "hub" / "models--org--pickled"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc123")
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    (home / "snapshots").mkdir()
    base.rename(home / "snapshots" / "abc123")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(home.parent))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"org/pickled gave no weights in safetensors.*pickles.*save_pretrained"):
        load_base("org/pickled")


def test_a_token_without_a_row_is_refused_before_it_is_trained(
    tmp_path: Path, tokenizer: Any, llama: Callable[..., Any]
) -> None:
    folder = tmp_path / "base"
    rows = len(tokenizer)
    llama(rows, eos_token_id=tokenizer.eos_token_id).save_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(UsageError, match=rf"<pad> as number {rows}, the embedding only {rows} rows; take it out"):
        load_base(str(folder))
