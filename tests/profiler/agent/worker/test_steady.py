"""Tests for trends, held against noise of which there is none and warm-ups that have one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from profiler.agent.worker import steady, timing
from profiler.agent.worker.settings import Settings
from profiler.agent.worker.steady import SteadyTest, drifts

SETTINGS = Settings(min_batch_s=0.010, warmup_runs=5, warmup_s=0.5, min_batches=30, target_half_width=0.01, cap_s=10.0)


@pytest.mark.parametrize(
    ("batches", "passed"),
    [
        ([100, 98, 96, 94, 92, 90, 88, 86], False),
        ([100, 102, 104, 106, 108, 110, 112, 114], False),
        ([200, 190, 180, 170, 160, 150, 100, 100, 100, 100, 100, 100], True),  # it was, and is over
        ([100, 100.1, 100.2, 100.3, 100.4, 100.5, 100.6, 100.7], True),  # a trend of less than 1 % does not matter
        ([100] * 8, True),
        ([0] * 8, True),
        ([100] * 5, False),  # too few to tell
    ],
)
def test_steadiness(batches: list[float], passed: bool) -> None:
    assert SteadyTest(0.01, 0).passed(batches) is passed


def test_a_small_trend_matters_if_it_is_to_be_sampled_for_long() -> None:
    batches = [100 + 0.1 * step for step in range(8)]
    assert SteadyTest(0.01, 5).passed(batches)
    assert not SteadyTest(0.01, 30).passed(batches)


def test_a_trend_that_was_seen_is_gone_only_when_there_is_hardly_a_sign_of_it() -> None:
    weak = [100, 101, 99, 102, 103, 98, 104, 101, 105, 100, 103, 102]
    assert steady.GONE < steady.drift(weak).sure < steady.SIGNIFICANT
    test = SteadyTest(0.01, 30)
    assert test.passed([0.0] * 12 + weak)
    assert not test.passed([100.0 + step for step in range(10)])
    assert not test.passed([0.0] * 12 + weak)
    assert test.passed([100.0] * 20)


def walk(rng: random.Random, deviation: float, r: float) -> Iterator[float]:
    """Noise with a mean of 1."""
    level = rng.gauss(0, 1)
    while True:
        level = r * level + math.sqrt(1 - r * r) * rng.gauss(0, 1)
        yield 1 + deviation * level


def warmed(curve: Callable[[float], float], deviation: float, r: float, seed: int) -> tuple[float, bool]:
    """When a warm-up ends, and whether it was steady then; batches of 10 ms, longer by what `curve` says."""
    noise, now = walk(random.Random(seed), deviation, r), [0.0]

    def run() -> None:
        now[0] += 0.01 * (1 + curve(now[0])) * next(noise)

    warm = timing.warm_up(run, SETTINGS, 1, lambda: int(now[0] * 1e9))
    assert warm.lasted_s == pytest.approx(now[0], abs=1e-6)
    return now[0], warm.steady


@pytest.mark.parametrize(("deviation", "r"), [(0.005, 0.3), (0.03, 0.3), (0.02, 0.9)])
def test_noise_is_hardly_ever_taken_for_a_trend(deviation: float, r: float) -> None:
    ends = [warmed(lambda s: 0.0, deviation, r, seed) for seed in range(60)]
    assert all(settled for _, settled in ends)
    assert sum(end for end, _ in ends) / len(ends) < 0.65
    streams = [list(itertools.islice(walk(random.Random(seed), deviation, r), 100)) for seed in range(200)]
    assert sum(drifts(samples, 0.01) for samples in streams) <= 4


@pytest.mark.parametrize("n", [12, 30, 60, 150, 400])
@pytest.mark.parametrize("r", [0.7, 0.9, 0.97])
def test_samples_of_slow_noise_are_hardly_ever_said_to_drift_and_a_trend_in_them_is(n: int, r: float) -> None:
    """Noise that is forgotten within 3, 10 and 30 batches; as a line, and as a warm-up that was cut short."""
    streams = [list(itertools.islice(walk(random.Random(seed), 0.008, r), n)) for seed in range(200)]
    # the worst: as long as the noise remembers, and nothing but that noise
    assert sum(drifts(samples, 0.01) for samples in streams) <= (24 if r > 0.95 and n <= 30 else 12)
    line = [[x * (1 + 0.1 * i / n) for i, x in enumerate(samples)] for samples in streams]
    fade = [[x * (1 + 0.15 * math.exp(-3 * i / n)) for i, x in enumerate(samples)] for samples in streams]
    assert sum(drifts(samples, 0.01) for samples in line) >= 160
    assert sum(drifts(samples, 0.01) for samples in fade) >= 160


def test_a_warm_up_that_is_given_up_is_in_doubt_only_where_its_trend_is_beyond_doubt() -> None:
    assert SteadyTest(0.01, 30).still_moving([100.0 + step for step in range(20)])
    assert SteadyTest(0.01, 30).still_moving([100.0] * 3), "too few to tell"
    weak = [100, 101, 99, 102, 103, 98, 104, 101, 105, 100, 103, 102]
    assert not SteadyTest(0.01, 30).still_moving([0.0] * 12 + weak)


@pytest.mark.parametrize("deviation", [0.005, 0.03])
def test_a_ramp_is_waited_for(deviation: float) -> None:
    """A clock that speeds up for a second, by half; single batches scatter by more than it moves between two."""
    ends = [warmed(lambda s: max(0.0, 1 - s), deviation, 0.3, seed) for seed in range(40)]
    assert sum(end > 1.0 for end, _ in ends) >= 36
    assert sum(settled for _, settled in ends) >= 36


def test_what_settles_too_slowly_is_told() -> None:
    ends = [warmed(lambda s: 0.3 * math.exp(-s), 0.005, 0.3, seed) for seed in range(20)]
    assert not any(settled for _, settled in ends)
    assert min(end for end, _ in ends) >= timing.WARMUP_CAP * SETTINGS.warmup_s


def test_samples_that_drift_are_known_by_it() -> None:
    rng = random.Random(1)
    assert drifts([100 - step * 0.1 + rng.gauss(0, 0.3) for step in range(30)], 0.01)
    assert not drifts([100 - step * 0.01 + rng.gauss(0, 0.3) for step in range(30)], 0.01)
    assert not drifts([100.0, 90.0, 80.0], 0.01)
    assert not drifts([], 0.01)
