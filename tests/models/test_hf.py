"""The hf engine beside the core: text that no tokenizer takes, and continuations."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from mirim.core.errors import UsageError
from mirim.core.types import Message
from mirim.models.engine import open_engine
from mirim.models.engines.hf import HuggingFace

sys.path.insert(0, str(Path(__file__).parent))
import toys

HALVES = "a \ud800 b \udfff"


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """A model whose tokenizer puts a blank before a text, as Llama 2's does."""
    pytest.importorskip("torch")
    folder = tmp_path / "m"
    return toys.model(folder, vocabulary=toys.sentencepiece_like(folder))


@pytest.mark.slow
def test_a_continuation_gets_no_blank_of_its_own(marked: Path) -> None:
    with contextlib.closing(open_engine(marked, engine="native")) as ours:
        with contextlib.closing(open_engine(marked, engine="hf")) as theirs:
            scores = [[sum(row) for row in e.score("The nurse", [" opened", "opened"])] for e in (ours, theirs)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-3)
            assert abs(scores[1][0] - scores[1][1]) > 0.1


def test_half_of_a_surrogate_pair_is_a_question_mark() -> None:
    engine = object.__new__(HuggingFace)
    # As strict as the tokenizers library, and without it.
    engine.tokenizer = lambda text: {"input_ids": list(text.encode())}
    assert engine.encode(HALVES) == list(b"a ? b ?")


@pytest.mark.slow
def test_a_word_added_to_the_vocabulary_is_spelt_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import tokenizers

    toys.byte_level(tmp_path / "m")
    file = tmp_path / "m" / "tokenizer.json"
    words = tokenizers.Tokenizer.from_file(str(file))
    words.add_tokens([tokenizers.AddedToken("ação", normalized=False)])
    words.save(str(file))
    folder = toys.model(tmp_path / "m", vocabulary=words.get_vocab_size())
    with contextlib.closing(open_engine(folder, engine="hf")) as engine:
        ids = engine.encode("ação água")
        assert words.token_to_id("ação") in ids
        assert b"".join(engine._piece(token) for token in ids).decode() == "ação água"


@pytest.mark.slow
def test_what_its_files_call_special_is_no_text_even_without_a_role(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import tokenizers

    toys.byte_level(tmp_path / "m")
    file = tmp_path / "m" / "tokenizer.json"
    words = tokenizers.Tokenizer.from_file(str(file))
    words.add_special_tokens([tokenizers.AddedToken("<|end_of_role|>", normalized=False)])
    words.save(str(file))
    folder = toys.model(tmp_path / "m", vocabulary=words.get_vocab_size())
    role = words.token_to_id("<|end_of_role|>")
    with contextlib.closing(open_engine(folder, engine="native")) as ours:
        with contextlib.closing(open_engine(folder, engine="hf")) as theirs:
            assert theirs._piece(role) == ours.words.piece(role) == b""


@pytest.mark.slow
def test_the_core_takes_it_for_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = toys.model(tmp_path / "m")
    with contextlib.closing(open_engine(folder, engine="native")) as ours:
        with contextlib.closing(open_engine(folder, engine="hf")) as theirs:
            assert theirs.encode(HALVES) == ours.encode(HALVES)


@pytest.mark.slow
def test_an_answer_is_scored_behind_what_the_template_writes_before_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    thought = "<think>\n\n</think>\n\n"
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ THOUGHT if m.role == 'assistant' }}{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ).replace("THOUGHT", repr(thought))
    folder = toys.model(tmp_path / "m", vocabulary=toys.byte_level(tmp_path / "m", template=template))
    asked = [Message("user", "Is it open?")]
    whole = f"<|im_start|>user\nIs it open?<|im_end|>\n<|im_start|>assistant\n{thought}"
    for kind in ("native", "hf"):
        with contextlib.closing(open_engine(folder, engine=kind)) as engine:
            ours, expected = engine.score(asked, ["yes", "no"]), engine.score(whole, ["yes", "no"])
            assert [x for row in ours for x in row] == pytest.approx([x for row in expected for x in row], abs=1e-4)
            # Asked to write, it may think first.
            assert engine.count(asked) == len(engine.encode(whole.removesuffix(thought)))


def test_the_hf_engine_opens_no_pickle(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    folder = toys.model(tmp_path / "m")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"pytorch_model\.bin, a pickle.*convert it to safetensors"):
        open_engine(folder, engine="hf")
