"""Choosing tokens, assembling text, stopping."""

from __future__ import annotations

import pytest

from mirim.core.errors import MirimError
from mirim.core.types import Delta, Sampling
from mirim.models import decode

np = pytest.importorskip("numpy")

PIECES = [b"<end>", b"Ol", b"\xc3", b"\xa1", b" mundo", b"\xff", b"!"]


def _say(tokens, context=100, **options):
    """Decode with a model that wants exactly these tokens."""

    def logits(seen):
        row = np.zeros(len(PIECES), np.float32)
        row[tokens[len(seen) - 1]] = 9.0
        return row

    sampling = Sampling(**{"max_tokens": 20, **options})
    deltas = decode.stream(
        [3], sampling, context=context, logits=logits, piece=PIECES.__getitem__, ends=lambda t: t == 0
    )
    return list(deltas)


def test_characters_split_over_tokens_come_whole():
    deltas = _say([1, 2, 3, 4, 0])
    assert [d.text for d in deltas] == ["Ol", "á", " mundo", ""]
    assert deltas[1].token_ids == (2, 3)
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].prompt_tokens == 1


def test_bytes_that_are_no_text_become_a_mark():
    assert "".join(d.text for d in _say([1, 5, 2, 6, 0])) == "Ol\ufffd\ufffd!"
    assert "".join(d.text for d in _say([1, 2], max_tokens=2)) == "Ol\ufffd"


def test_stop_strings_over_tokens_are_held_back():
    deltas = _say([1, 2, 3, 4, 6, 0], stop=("á mu",))
    assert "".join(d.text for d in deltas) == "Ol"
    assert deltas[-1].finish_reason == "stop"
    assert "".join(d.text for d in _say([1, 2, 3, 4, 0], stop=("undo?",))) == "Olá mundo"


def test_length_and_context_bound_the_answer():
    assert _say([1] * 9, max_tokens=3)[-1].finish_reason == "length"
    assert sum(len(d.token_ids) for d in _say([1] * 9, max_tokens=3)) == 3
    assert sum(len(d.token_ids) for d in _say([1] * 9, context=5)) == 4
    assert _say([1], max_tokens=0)[-1].finish_reason == "length"


def test_sampling_is_seeded_and_follows_its_limits():
    row = np.array([0.0, 1.0, 2.0, 3.0], np.float32)

    def draw(seed=0, **options):
        random = np.random.default_rng(seed)
        return [decode.choose(row, Sampling(temperature=1.0, **options), (), random) for _ in range(2000)]

    assert draw() == draw()
    assert draw(1) != draw(2)
    share = np.bincount(draw(), minlength=4) / 2000
    assert np.abs(share - np.exp(row) / np.exp(row).sum()).max() < 0.04
    assert set(draw(top_k=2)) == {2, 3}
    assert set(draw(top_p=0.5)) == {3}
    assert set(draw(min_p=0.3)) == {2, 3}
    assert decode.choose(row, Sampling(repeat_penalty=9.0), (3,), None) == 2
    assert decode.choose(row, Sampling(), (), None) == 3


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_told(value, temperature):
    row = np.array([0.0, value, 2.0], np.float32)
    with pytest.raises(MirimError, match="its weights are damaged"):
        decode.choose(row, Sampling(temperature=temperature), (), np.random.default_rng(0))
    # What a model forbids is none of that.
    row[1] = -np.inf
    assert decode.choose(row, Sampling(temperature=temperature, top_k=1), (), np.random.default_rng(0)) == 2


@pytest.mark.parametrize(
    ("pieces", "lead", "text"),
    [
        ([" Inga"], " ", "Inga"),
        (["", " ", "Inga"], " ", "Inga"),
        (["Inga"], " ", "Inga"),
        (["  Inga"], " ", " Inga"),
        ([" In", "ga "], "  ", "Inga "),
        ([" Inga"], "", " Inga"),
    ],
)
def test_blanks_of_the_template_are_taken_off_the_beginning_alone(pieces, lead, text):
    deltas = (Delta(piece, (n,)) for n, piece in enumerate(pieces))
    out = list(decode.without(deltas, lead))
    assert "".join(d.text for d in out) == text
    assert [d.token_ids for d in out] == [(n,) for n in range(len(pieces))]
