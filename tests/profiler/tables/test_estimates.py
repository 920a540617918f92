"""Estimates of many measurements at once are those of one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measure.stats import estimate
from profiler.tables.loading import estimates
from profiler.tables.loading.estimates import estimates_of

# few different values, so that there are ties, constant series and halves that cancel
SAMPLES = st.lists(st.integers(0, 6) | st.integers(1000, 1100), min_size=1, max_size=40)


def assert_as_one_by_one(samples: list[list[float]]) -> None:
    found = estimates_of([np.array(values, dtype=np.float64) for values in samples])
    for values, row in zip(samples, found, strict=True):
        one = estimate(values)
        assert row.tolist() == pytest.approx([one.median, one.standard_error, one.robust_cv], rel=1e-9, nan_ok=True)


@given(st.lists(SAMPLES, max_size=8))
def test_each_is_what_it_is_alone(samples: list[list[float]]):
    assert_as_one_by_one(samples)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 30, 31, 64, 300])
def test_autocorrelation_counts(n: int):
    rng = np.random.default_rng(n)
    walks = np.cumsum(rng.normal(0, 1, (20, n)), axis=1) + 100
    assert_as_one_by_one([*walks.tolist(), *rng.normal(100, 1, (20, n)).tolist()])


def test_many_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(estimates, "_VALUES_AT_A_TIME", 7)
    assert_as_one_by_one(np.random.default_rng(0).normal(5, 1, (11, 3)).tolist())
    assert_as_one_by_one(np.random.default_rng(0).normal(5, 1, (3, 20)).tolist())


def test_nothing_has_no_estimate():
    found = estimates_of([None, np.array([2.0, 4.0]), None])
    assert found[1, 0] == 3.0
    assert np.isnan(found[[0, 2]]).all()
    assert estimates_of([]).shape == (0, 3)


def test_a_median_of_zero_has_no_relative_scatter():
    assert math.isnan(estimates_of([np.zeros(5)])[0, 2])
