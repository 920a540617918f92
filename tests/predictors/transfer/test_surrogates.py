import numpy as np
import pytest

from predictors.transfer.surrogates import LEAST_ROWS, fit_sources, robust_ridge
from profiler.errors import ConfigError


def test_sums_of_a_table_are_recovered(pool, devices):
    where = np.random.default_rng(0).permutation(len(pool))[:150]
    found = fit_sources(pool, {"kin": (where, devices["kin"][where])})
    assert found.surrogates[0].predicted_ms == pytest.approx(devices["kin"], abs=1e-3)
    assert found.scores.mean() == pytest.approx(0.0, abs=1e-9)
    assert found.scores.std() == pytest.approx(1.0)


def test_outliers_do_not_bend_it(pool, devices):
    rng = np.random.default_rng(0)
    where = rng.permutation(len(pool))[:200]
    latency_ms = devices["kin"][where] + 0.05 * rng.standard_normal(200)
    latency_ms[:20] += 60.0
    found = robust_ridge(pool.structure, where, latency_ms)
    assert np.abs(found.predicted_ms - devices["kin"]).mean() < 0.5
    assert 0.02 < found.noise_ms < 0.5
    assert found.half_width_ms(0.8) < 5.0 < found.half_width_ms(0.95)


def test_left_out_residuals_are_those_of_refits(pool, devices):
    rng = np.random.default_rng(3)
    where = rng.permutation(len(pool))[:120]
    latency_ms = devices["flat"][where] + rng.standard_normal(120)
    found = robust_ridge(pool.structure, where, latency_ms)
    assert 0.7 < found.noise_ms < 1.4


def test_too_few_or_equal_rows_are_refused(pool, devices):
    few = np.arange(LEAST_ROWS - 1)
    with pytest.raises(ConfigError, match=rf"'kin' has {LEAST_ROWS - 1} measured"):
        fit_sources(pool, {"kin": (few, devices["kin"][few])})
    with pytest.raises(ConfigError, match="all latencies of the source 'kin' are 1.0 ms"):
        fit_sources(pool, {"kin": (np.arange(60), np.ones(60))})
