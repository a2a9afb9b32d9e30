"""What training draws its rows from: shares of text and examples, what is held out, echoes."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_a_mixture_holds_the_shares_that_were_asked_for() -> None:
    import numpy as np

    from mirim.training.mixture import Mixture, Part
    from mirim.training.packing import Row
    from mirim.training.shards import Shard

    text = Shard(np.arange(5000), np.arange(0, 5000, 50), np.full(100, 50), np.full(100, 2.0))
    examples = [Row(list(range(10))) for _ in range(400)]
    lengths, weights = np.full(400, 10), np.array([1.0, 2.0] * 200)
    for share in (0.2, 0.8, 1.0):
        mixed = Mixture([Part(text, text.lengths, text.weights, 1 - share), Part(examples, lengths, weights, share)])
        tokens = mixed.lengths * mixed.weights
        assert abs(tokens[-400:].sum() / tokens.sum() - share) < 1e-9
        # Examples as often as they want, whatever the share.
        assert (mixed.weights[-400:] == weights).all()
        assert len(mixed) == len(tokens) == 400 + 100 * (share < 1)
        assert list(mixed[len(mixed) - 400].ids) == list(range(10))
        assert len(mixed[0].ids) == (50 if share < 1 else 10)


@pytest.mark.slow
def test_few_examples_are_learned_and_not_all_held_out() -> None:
    from mirim.training.tasks import held_out

    for count, held in ((100, 10), (9_000, 300)):
        learned, watched = held_out(count)
        assert (len(learned), len(watched)) == (count - held, held)
        assert not set(learned) & set(watched)


@pytest.mark.slow
def test_echoes_say_again_what_was_said() -> None:
    import numpy as np

    from mirim.training.echoes import Echoes
    from mirim.training.shards import Shard

    tokens = np.random.default_rng(0).integers(3, 400, 20_000)
    text = Shard(tokens, np.arange(0, 20_000, 100), np.full(200, 100), np.full(200, 1.0))
    echoes = Echoes(text, 256, 7)
    assert len(echoes) == 200
    again = []
    for i in range(200):
        ids = np.asarray(echoes[i].ids)
        assert len(ids) == 256
        assert (ids == echoes[i].ids).all()
        pairs = list(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True))
        # Of the second half, how many neighbours were neighbours in the first.
        seen = set(pairs[:127])
        again.append(np.mean([p in seen for p in pairs[128:]]))
    assert np.mean(again) > 0.85
    # In plain text of the same tokens next to nothing comes again.
    plain = list(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
    assert np.mean([p in set(plain[:127]) for p in plain[128:255]]) < 0.1
