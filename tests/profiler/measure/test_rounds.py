import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measure import rounds, stats
from profiler.measure.rounds import Combined, combine_rounds, median_quantile, rounds_needed


def test_rounds_are_combined_by_what_differs_between_them():
    # samples agree, rounds differ: the quantile of a median of three normal values
    between = combine_rounds([98.0, 100.0, 102.0], [0.0, 0.0, 0.0])
    assert between.high - between.median == pytest.approx(4.414 * 2 / np.sqrt(3), rel=1e-3)
    assert between.spread == pytest.approx(0.02)
    # rounds agree by luck: no narrower than half a standard error of their median
    within = combine_rounds([100.0, 100.0, 100.0], [3.0, 3.0, 3.0])
    assert within.high - within.median == pytest.approx(0.5 * 3 / np.sqrt(3) * np.sqrt(np.pi / 2), rel=1e-3)


def test_one_round_has_no_spread_and_only_its_own_interval():
    one = combine_rounds([100.0], [2.0])
    assert np.isnan(one.spread)
    assert one.high == pytest.approx(100 + 1.96 * 2, rel=1e-3)
    assert np.isnan(combine_rounds([100.0], [float("nan")]).low), "nothing is known of its error"


def test_rounds_whose_own_errors_are_unknown_still_have_an_interval():
    found = combine_rounds([99.0, 101.0], [math.nan, math.nan])
    assert found.high - found.median == pytest.approx(12.706, rel=1e-3), "for two values it is Student's t"


def test_combining_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        combine_rounds([], [])
    with pytest.raises(ValueError, match="an error for each"):
        combine_rounds([1.0], [])


@pytest.mark.parametrize("count", [3, 4, 5, 10, 20, 30])
def test_the_quantiles_are_those_of_a_studentised_median(count: int):
    drawn = np.random.default_rng(11).normal(size=(200_000, count))
    found = np.quantile(np.abs(np.median(drawn, 1)) / (drawn.std(1, ddof=1) / np.sqrt(count)), 0.95)
    assert median_quantile(count) >= 0.985 * found
    assert median_quantile(count) <= (1.015 if count <= 20 else 1.1) * found


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("between", [0.0, 0.003, 0.015])
def test_intervals_cover_the_truth_as_often_as_they_say(count: int, between: float):
    """Rounds with a level each, and autocorrelated samples with outliers within."""
    rng = np.random.default_rng([7, count, int(1e4 * between)])
    inside, medians, trials = 0, [], 400
    for _ in range(trials):
        estimates = []
        for _ in range(count):
            noise = np.convolve(rng.normal(size=70), 0.6 ** np.arange(30), "valid") * 0.8
            samples = np.exp(between * rng.normal() * np.ones(noise.size) + 0.005 * noise)
            samples[rng.random(noise.size) < 0.03] *= 1.3
            estimates.append(stats.estimate(samples))
        found = combine_rounds([e.median for e in estimates], [e.standard_error for e in estimates])
        inside += found.low <= 1.0 <= found.high
        medians.append(found.median)
    # three standard errors of 400 trials are 3.3 %
    assert 0.917 <= inside / trials <= 0.985
    assert np.mean(medians) == pytest.approx(1.0, abs=0.005)


@given(st.integers(1, 40), st.floats(1e-4, 0.2), st.floats(1e-3, 0.1))
def test_so_many_rounds_more_do_it_and_one_fewer_does_not(n_rounds: int, spread: float, wanted: float):
    more = rounds_needed(Combined(1.0, 0.9, 1.1, spread, n_rounds), wanted)

    def width(count: int) -> float:
        return median_quantile(count) * spread / math.sqrt(count)

    if more is None:
        assert width(rounds.MOST_ROUNDS) > wanted
    else:
        assert width(max(2, n_rounds + more)) <= wanted
        assert more == 0 or n_rounds + more <= 2 or width(n_rounds + more - 1) > wanted


def test_one_round_cannot_say_how_many_it_needs():
    assert rounds_needed(combine_rounds([1.0], [0.1]), 0.01) is None
