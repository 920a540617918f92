"""A process tells operators apart, knows which measurements are uncertain, and follows its likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import approx_fprime

from predictors.candidates import cross_validated
from predictors.corrections import INPUTS
from predictors.features import FEATURES, feature_matrix
from predictors.process import GaussianProcess, _Likelihood
from predictors.regressors import UNSURE
from profiler.workloads.fusion import Kernel, single


def elementwise(kind: str, n: int, seed: int) -> list[Kernel]:
    rng = np.random.default_rng(seed)
    sizes = [(int(c), int(s)) for c, s in np.exp(rng.uniform(np.log([4, 4]), np.log([64, 32]), (n, 2)))]
    return [single(kind, ((1, c, s, s),), {}) for c, s in sizes]


def values_of(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return features[:, FEATURES.index("bytes_written")]


def test_operators_of_one_family_are_told_apart() -> None:
    kinds = {"relu": 1.0, "hswish": 6.0}
    features = np.vstack([feature_matrix(elementwise(kind, 20, 0)) for kind in kinds])
    factor = np.repeat(list(kinds.values()), 20)
    latency = 1e-6 * values_of(features) * factor
    process = GaussianProcess()
    process.fit(features, latency, 1.0 / latency)
    for kind, times in kinds.items():
        unseen = feature_matrix(elementwise(kind, 9, 1))
        truth = 1e-6 * values_of(unseen) * times
        np.testing.assert_allclose(process.predict(unseen), truth, rtol=0.15)


def test_an_uncertain_measurement_bends_less() -> None:
    features = feature_matrix(elementwise("relu", 25, 0))
    latency = 1e-6 * values_of(features)
    odd = latency.copy()
    odd[3] *= 4.0
    off = []
    for unsure in (0.0, 2.0):
        weights = 1.0 / odd
        weights[3] = 1.0 / np.hypot(odd[3], unsure * odd[3] / UNSURE)
        process = GaussianProcess()
        process.fit(features, odd, weights)
        off.append(abs(float(process.predict(features[3:4])[0]) / latency[3] - 1.0))
    assert off[1] < 0.3 * off[0]


def test_the_gradient_is_that_of_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(14, len(INPUTS)))
    rows[:, [name.startswith("is_") for name in INPUTS]] = 0.0
    rows[:7, INPUTS.index("is_relu")] = 1.0
    likelihood = _Likelihood(rows, rng.normal(size=14), np.full(14, 0.01))
    at = likelihood._prior + rng.normal(scale=0.2, size=len(likelihood._prior))
    found = likelihood._against(at)[1]

    def value(hyper: NDArray[np.float64]) -> float:
        return likelihood._against(hyper)[0]

    wanted = approx_fprime(at, value, 1e-6)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_folds_share_hyper_parameters_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    features = feature_matrix(elementwise("relu", 25, 0))
    latency = 1e-6 * values_of(features)
    searched: list[int] = []
    best = _Likelihood.best

    def counted(self: _Likelihood) -> NDArray[np.float64]:
        searched.append(len(self._rows))
        return best(self)

    monkeypatch.setattr(_Likelihood, "best", counted)
    spoilt = latency.copy()
    spoilt[0] *= 50.0
    first, second = (cross_validated(GaussianProcess, features, values, 1.0 / latency) for values in (latency, latency))
    np.testing.assert_array_equal(first, second)
    assert searched == [25, 25]
    predicted = cross_validated(GaussianProcess, features, spoilt, 1.0 / latency)
    assert predicted[0] < 10.0 * latency[0]
