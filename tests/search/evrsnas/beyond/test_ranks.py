import math

import numpy as np
import pytest
from scipy.stats import rankdata

from profiler.errors import ConfigError
from search.evrsnas.beyond.ranks import RankedScores, RankScale, draw_sample, mean_ranks


def test_mean_ranks_are_means_of_ranks():
    a, b = np.array([3.0, 1.0, 2.0]), np.array([10.0, 30.0, 20.0])
    np.testing.assert_allclose(mean_ranks([a]), [1.0, 1 / 3, 2 / 3])
    np.testing.assert_allclose(mean_ranks([a, b]), [2 / 3] * 3)
    np.testing.assert_allclose(mean_ranks([np.array([1.0, 1.0])]), [0.75, 0.75])


def test_no_unit_matters():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=20), rng.normal(size=20)
    np.testing.assert_array_equal(mean_ranks([a, b]), mean_ranks([np.exp(a), 1e6 * b - 3]))


def test_what_lacks_a_score_has_no_rank_and_moves_none():
    a, b = np.array([1.0, 2.0, np.nan, 3.0]), np.array([1.0, 2.0, 9.0, np.nan])
    np.testing.assert_array_equal(np.isnan(mean_ranks([a, b])), [False, False, True, True])
    np.testing.assert_allclose(mean_ranks([a, b])[:2], [0.5, 1.0])
    assert np.isnan(mean_ranks([np.array([np.nan])])).all()


@pytest.mark.parametrize("bad", [[], [np.zeros(2), np.zeros(3)], [np.zeros((2, 2))]])
def test_ranks_of_nothing_are_refused(bad):
    with pytest.raises(ConfigError, match="the same items"):
        mean_ranks(bad)


def test_a_scale_gives_the_sample_its_ranks_and_never_flattens():
    sample = np.random.default_rng(1).normal(size=40)
    scale = RankScale(sample)
    np.testing.assert_allclose(scale(sample), rankdata(sample) / 40)
    grid = np.linspace(-9, 9, 500)
    assert (np.diff(scale(grid)) > 0).all()
    assert scale(np.array([9.0]))[0] > 1.0
    assert scale(np.array([-9.0]))[0] < 0.0
    assert math.isnan(scale(np.array([np.nan]))[0])


def test_a_scale_with_many_equal_scores_still_rises():
    scale = RankScale(np.array([0.0] * 15 + [1.0] * 15))
    assert (np.diff(scale(np.linspace(-1, 2, 50))) > 0).all()


@pytest.mark.parametrize("bad", [np.arange(5.0), np.ones(30), np.full(30, np.nan)])
def test_a_sample_that_says_nothing_is_refused(bad):
    with pytest.raises(ConfigError, match="ranks by naswot need a sample of at least 10"):
        RankScale(bad, "naswot")


def test_a_combined_score_is_the_mean_and_does_not_depend_on_company(space):
    def size(archs):
        return np.array([float(sum(a.choices)) for a in archs])

    def first(archs):
        return np.array([a.choices[0] + 0.1 * a.choices[5] for a in archs])

    sample = draw_sample(space, 50, 0)
    combined = RankedScores({"size": size, "first": first}, sample)
    assert combined.sampled == 50
    alone = np.array([combined([a])[0] for a in sample[:7]])
    np.testing.assert_array_equal(combined(sample[:7]), alone)
    expected = (rankdata(size(sample)) + rankdata(first(sample))) / 100
    np.testing.assert_allclose(combined(sample), expected)
    assert np.isnan(RankedScores({"size": size, "none": missing_for_two}, sample)(sample[:2])).all()


def missing_for_two(archs):
    values = np.arange(float(len(archs)))
    values[:2] = np.nan
    return values


def test_a_sample_is_seeded_connected_and_of_classes(space):
    sample = draw_sample(space, 60, 3)
    assert sample == draw_sample(space, 60, 3)
    assert sample != draw_sample(space, 60, 4)
    assert all(space.connected(a) for a in sample)
    assert len({space.canonical(a) for a in sample}) == 60
