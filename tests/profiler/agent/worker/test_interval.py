"""Intervals of medians, held against what they promise and against what the host makes of the same samples."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import bdtr

from profiler.agent.worker import interval
from profiler.measure import stats


def coverage(series: Callable[[random.Random], list[float]], trials: int = 400) -> float:
    """How often the interval by `half_width`'s ranks holds the true median, 0."""
    rng = random.Random(5)
    hits = 0
    for _ in range(trials):
        samples = [1000 + value for value in series(rng)]  # so that the relative width is an absolute one / 1000
        hits += abs(interval.median(samples) - 1000) <= interval.half_width(samples) * interval.median(samples)
    return hits / trials


def autoregressive(rng: random.Random, r: float, n: int = 120) -> list[float]:
    values = [rng.gauss(0, 1)]
    while len(values) < n:
        values.append(r * values[-1] + math.sqrt(1 - r * r) * rng.gauss(0, 1))
    return values


def test_the_interval_covers_the_median_of_independent_samples() -> None:
    assert 0.90 <= coverage(lambda rng: autoregressive(rng, 0.0)) <= 1.0


def test_the_interval_of_correlated_samples_is_wide_enough_because_they_count_less() -> None:
    assert coverage(lambda rng: autoregressive(rng, 0.7)) >= 0.88
    rng = random.Random(6)
    samples = autoregressive(rng, 0.7, 2000)
    assert interval.effective_n(samples) < 0.5 * 2000
    assert interval.effective_n(random.Random(7).sample(samples, 2000)) > 0.85 * 2000


def test_one_outlier_moves_neither_the_interval_nor_the_effective_number() -> None:
    rng = random.Random(8)
    samples = [rng.gauss(100, 1) for _ in range(100)]
    spoiled = [1e6, *samples[1:]]
    assert interval.half_width(spoiled) == pytest.approx(interval.half_width(samples), rel=0.2)
    assert interval.effective_n(spoiled) == pytest.approx(interval.effective_n(samples), rel=0.2)


def test_few_samples_are_judged_by_their_whole_range() -> None:
    assert interval.half_width([90.0, 100.0, 110.0]) == pytest.approx(0.1)


# what the host finds in the same samples


def streams() -> st.SearchStrategy[list[int]]:
    """Durations as boards have them: correlated or not, of coarse clocks, with outliers; and any others."""

    def drawn(seed: int, n: int, r: float, step: int, outliers: float) -> list[int]:
        rng, level, found = random.Random(seed), 0.0, []
        for _ in range(n):
            level = r * level + math.sqrt(1 - r * r) * rng.gauss(0, 1)
            found.append(int(1e7 * (1 + 0.02 * level) * (1 + (rng.random() < outliers))) // step * step)
        return found

    realistic = st.builds(
        drawn, st.integers(0, 2**32), st.integers(1, 300), st.floats(-0.5, 0.99), st.sampled_from([1, 100_000]),
        st.sampled_from([0.0, 0.05]),
    )  # fmt: skip
    return realistic | st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(samples=streams())
def test_the_host_finds_the_same_width_and_number(samples: list[int]) -> None:
    """By numpy and scipy; a board that stops at one per cent would else be told 1.1 by the table."""
    low, high = stats.median_interval(samples)
    centre = float(np.median(samples))
    assert interval.half_width(samples) == pytest.approx((high - low) / 2 / centre, rel=1e-9, abs=1e-12)
    found, told = interval.effective_n(samples), stats.effective_n(samples)
    # below six neither matters
    assert found == told or max(found, told) < interval.MEANINGFUL


def test_ranks_are_those_of_the_binomial_distribution() -> None:
    for n in [*range(1, 400), 1000, 1075, 4999, 20000]:
        chances = bdtr(np.arange(n + 1), n, 0.5)
        assert interval.lower_rank(n) == int(np.searchsorted(chances, 0.025))


def test_no_samples_are_worth_none() -> None:
    assert interval.effective_n([]) == 0
    assert interval.half_width([0, 0, 0, 0]) == math.inf
