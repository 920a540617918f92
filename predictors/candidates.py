"""The regressors that kernels choose between, by name, and what cross-validation says of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.corrections import Trees
from predictors.process import GaussianProcess
from predictors.regressors import LINEAR, Regressor

__all__ = ["BENT", "BENT_LEAST", "REGRESSORS", "choose", "cross_validated"]

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

BENT_LEAST: Mapping[str, int] = {"process": 20, "forest": 40, "boosting": 40}
"""They are tried from so many rows on: a process forgets what few rows do not show, and a tree of few rows can only
repeat them."""

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
    usable = [name for name in candidates if len(latency) >= BENT_LEAST.get(name, 0) or len(candidates) == 1]
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
    """Predictions (n,) in ms, each row's by a fit without its fold.

    A process goes by the hyper-parameters of all rows, which are few beside the rows, and takes all else from the
    others of a fold.
    """
    whole = make()
    if isinstance(whole, GaussianProcess):
        whole.fit(features, latency, weights)
        make = whole.again
    fold = np.random.default_rng(0).permutation(len(latency)) % min(folds, len(latency))
    predicted = np.zeros(len(latency))
    for index in range(int(fold.max()) + 1):
        held = fold == index
        regressor = make()
        regressor.fit(features[~held], latency[~held], weights[~held])
        predicted[held] = regressor.predict(features[held])
    return predicted
