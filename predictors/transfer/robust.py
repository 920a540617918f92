"""Believing outliers less: single latencies that lie far from what all others say, as phones produce them.

Weights are those of a Student t with few degrees of freedom, in units of the median absolute left-out residual, so
that a device whose residuals are all large is noisy and not full of outliers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.grid import Grid
from predictors.transfer.mixture import Posterior, posterior

__all__ = ["robust_posterior", "starting_precision"]

FloatArray = NDArray[np.float64]

_DEGREES = 3.0
_ROUNDS = 4
_FAR = 2.5


def _scale(residuals: FloatArray) -> float:
    return max(1.4826 * float(np.median(np.abs(residuals))), 1e-12)


def starting_precision(shared: FloatArray, values: FloatArray) -> FloatArray:
    """First weights (n,): how far each value lies from a line through what the sources share.

    The slope is the median of those between pairs that are well apart (Theil and Sen), the constant the median.
    """
    first, second = np.triu_indices(len(values), 1)
    apart = shared[first] - shared[second]
    wide = np.abs(apart) > 0.3 * shared.std()
    if not wide.any():
        return np.ones(len(values))
    slope = float(np.median((values[first] - values[second])[wide] / apart[wide]))
    residuals = values - slope * shared
    residuals = residuals - np.median(residuals)
    far = np.abs(residuals) / _scale(residuals)
    return np.where(far < _FAR, 1.0, np.square(_FAR / np.maximum(far, _FAR)))


def robust_posterior(
    grid: Grid, kernels: FloatArray, values: FloatArray, start: FloatArray
) -> tuple[Posterior, FloatArray]:
    """The posterior with outliers believed less, and the precision (n,) that each value ended with.

    Where most values are one and the same, as of a clock that is coarse beside the differences, all are believed: half
    of the residuals would be nothing, and whatever differs an outlier.
    """
    if np.median(np.abs(values - np.median(values))) <= 0.0:
        everything = np.ones(len(values))
        return posterior(grid, kernels, values, everything), everything
    precision = start
    found = posterior(grid, kernels, values, precision)
    for _ in range(_ROUNDS):
        spread = np.sqrt(np.tensordot(found.weights, found.left_out_variance, axes=2))
        far = found.left_out_mean / np.maximum(spread, 1e-300)
        far = far / _scale(far)
        precision = np.minimum(1.0, (_DEGREES + 1.0) / (_DEGREES + np.square(far)))
        found = posterior(grid, kernels, values, precision)
    return found, precision
