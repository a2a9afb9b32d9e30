import math

import numpy as np
import pytest

from mirim.evals.interval import bootstrap, paired, wilson


def test_wilson_has_the_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for hits, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        found = wilson(hits, n)
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert wilson(1, 29).low == pytest.approx(0.0061, abs=1e-4)
    assert math.isnan(wilson(0, 0).value)
    assert wilson(20, 20).high == 1


def test_the_bootstrap_is_seeded_and_near_the_normal_interval() -> None:
    values = np.random.default_rng(5).normal(2, 1, 400).tolist()
    found = bootstrap(values, 1)
    assert found == bootstrap(values, 1) != bootstrap(values, 2)
    half = 1.96 * np.std(values) / math.sqrt(400)
    assert found.low == pytest.approx(np.mean(values) - half, abs=0.02)
    assert found.high == pytest.approx(np.mean(values) + half, abs=0.02)
    assert bootstrap([]).n == 0


@pytest.mark.slow
def test_the_bootstrap_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(11)
    inside = 0
    for trial in range(200):
        found = bootstrap(rng.exponential(1.0, 80).tolist(), trial)
        inside += found.low <= 1.0 <= found.high
    assert 176 <= inside <= 200


def test_the_verdict_reads_the_paired_interval() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random(100)
    # The same questions, each a little better: pairing sees what two separate intervals would not.
    better = np.clip(hard + 0.05 + rng.normal(0, 0.01, 100), 0, 2)
    difference, verdict = paired(better.tolist(), hard.tolist())
    assert verdict == "helped"
    assert difference.low > 0.04
    assert bootstrap(better.tolist()).low < bootstrap(hard.tolist()).high
    assert paired(hard.tolist(), better.tolist())[1] == "hurt"
    assert paired(hard.tolist(), hard.tolist())[1] == "no evidence"
    assert paired([1, 0, 1, 0], [0, 1, 0, 1])[1] == "no evidence"
    with pytest.raises(ValueError, match="cannot be paired"):
        paired([1.0], [])


@pytest.mark.parametrize("n", [1, 2, 5, 49, 120, 399])
def test_wilson_is_closed_at_its_ends(n: int) -> None:
    assert wilson(n, n).high == 1.0
    assert wilson(0, n).low == 0.0


def test_a_few_cases_are_no_evidence() -> None:
    assert paired([1.0] * 5 + [0.0] * 9, [0.0] * 14)[1] == "no evidence"
    assert paired([1.0] * 6 + [0.0] * 9, [0.0] * 15)[1] == "helped"
    assert paired([0.0] * 15, [1.0] * 6 + [0.0] * 9)[1] == "hurt"
