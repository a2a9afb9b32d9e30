"""The number of threads is chosen by trying."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirim.models.engines._threads import candidates, fastest


class Clock:
    """Time that passes only while work is done."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def work(self, cost: Callable[[int, int], float]) -> Callable[[int], None]:
        def run(number: int) -> None:
            self.calls += 1
            self.now += cost(number, self.calls)

        return run


def test_candidates_are_all_cores_half_and_one() -> None:
    assert candidates(1) == [1]
    assert candidates(2) == [2, 1]
    assert candidates(6) == [6, 3, 1]


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({8: 0.001, 4: 0.002, 1: 0.008}, 8),
        ({8: 0.009, 4: 0.002, 1: 0.008}, 4),
        ({8: 0.020, 4: 0.009, 1: 0.003}, 1),
        # Not a twentieth faster: the cores are worth more elsewhere.
        ({8: 0.00197, 4: 0.002, 1: 0.008}, 4),
    ],
)
def test_the_quickest_wins_and_a_tie_goes_to_fewer(seconds: dict[int, float], chosen: int) -> None:
    clock = Clock()
    assert fastest([8, 4, 1], clock.work(lambda number, _: seconds[number]), clock) == chosen


def test_a_moments_disturbance_decides_nothing() -> None:
    clock = Clock()
    work = clock.work(lambda number, call: (0.05 if call == 2 else 0.0) + 0.01 / number)
    assert fastest([2, 1], work, clock) == 2


def test_a_large_model_takes_all_cores_without_being_tried_again() -> None:
    clock = Clock()
    assert fastest([8, 4, 1], clock.work(lambda *_: 1.0), clock) == 8
    assert clock.calls == 1


def test_the_test_ends_in_time() -> None:
    clock = Clock()
    fastest([8, 4, 1], clock.work(lambda *_: 0.1), clock)
    assert clock.now < 0.5


@pytest.mark.slow
def test_scores_are_the_same_after_the_test(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("xllamacpp")
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent))
    import numpy as np
    import toys

    from mirim.models import convert
    from mirim.models.engines._llama import Scorer

    folder = tmp_path_factory.mktemp("threads")
    convert.write(convert.read(toys.model(folder / "m", "llama")), folder / "m.gguf", "f32")
    scorer = Scorer(folder / "m.gguf", 256, 1)
    before = scorer.logits([3, 4, 5])
    one, many = scorer.choose_threads(2)
    assert {one, many} <= {1, 2}
    np.testing.assert_allclose(scorer.logits([3, 4, 5]), before, atol=1e-4)
    assert scorer.choose_threads(1) == (1, 1)
    scorer.close()
