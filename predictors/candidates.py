"""The regressors that kernels choose between, by name, and what cross-validation says of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.corrections import GaussianProcess, Trees
from predictors.regressors import LINEAR, Regressor

__all__ = ["BENT", "REGRESSORS", "TREES_LEAST", "choose", "cross_validated"]

FloatArray = NDArray[np.float64]

REGRESSORS: dict[str, Callable[[], Regressor]] = {
    **LINEAR,
    "process": GaussianProcess,
    "forest": lambda: Trees("forest"),
    "boosting": lambda: Trees("boosting"),
}
"""Makers of fresh regressors by name, the simpler first."""

BENT = ("process", "forest", "boosting")
"""Those that learn more than a sum of features."""

TREES_LEAST = 20
"""They are tried from so many rows on: below, a leaf is a row and they can only repeat what they saw."""

WORTH = 0.05
"""By so much of its error a regressor has to beat a simpler one: the winner of many is in part the luckiest."""


NOISE = 1.1
"""Within so many times what the measurements themselves are uncertain by, there is nothing left to be bent."""


def choose(
    candidates: Sequence[str], features: FloatArray, latency: FloatArray, weights: FloatArray, noise: float = 0.0
) -> tuple[str, FloatArray]:
    """The candidate with the least root mean square of weighted errors on rows left out, and what it predicts for
    each row (n,) without it.

    Args:
        candidates: names out of `REGRESSORS`, the simpler first.
        features, latency, weights: as for `Regressor.fit`.
        noise: root mean square of the uncertainties of `latency`, weighted alike.
    """
    usable = [name for name in candidates if name not in BENT or len(latency) >= TREES_LEAST]
    best, best_found, best_rms = "", np.zeros(0), np.inf
    for name in usable:
        if name in BENT and best_rms <= NOISE * noise:
            continue
        predicted = cross_validated(REGRESSORS[name], features, latency, weights)
        rms = float(np.sqrt(np.mean(((predicted - latency) * weights) ** 2)))
        if rms < (1.0 - WORTH) * best_rms or not best:
            best, best_found, best_rms = name, predicted, rms
    return best, best_found


def cross_validated(
    make: Callable[[], Regressor], features: FloatArray, latency: FloatArray, weights: FloatArray, folds: int = 5
) -> FloatArray:
    """Predictions (n,) in ms, each row's by a fit without its fold."""
    fold = np.random.default_rng(0).permutation(len(latency)) % min(folds, len(latency))
    predicted = np.zeros(len(latency))
    for index in range(int(fold.max()) + 1):
        held = fold == index
        regressor = make()
        regressor.fit(features[~held], latency[~held], weights[~held])
        predicted[held] = regressor.predict(features[held])
    return predicted
