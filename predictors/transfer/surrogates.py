"""Other devices' latencies as functions of the architecture: one robust ridge regression a device, in milliseconds.

Surrogates stand for the devices because these need not have measured the same architectures, and because a fit
over hundreds of them is less noisy than any one measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from predictors.intervals import conformal_rank
from predictors.transfer.pool import Pool
from profiler.errors import ConfigError

__all__ = ["LEAST_ROWS", "SourceDevices", "Surrogate", "fit_sources", "robust_ridge"]

FloatArray = NDArray[np.float64]

LEAST_ROWS = 50
"""Architectures that a device must have measured to be a source: fewer say little beyond the analytic features."""

_PENALTIES = tuple(10.0 ** (power / 2) for power in range(-8, 9))
_ROUNDS = 4
_TUNING = 2.5


@dataclass(frozen=True)
class Surrogate:
    """A device's latency as a linear function of features, with the noise of its measurements.

    Attributes:
        predicted_ms: of every architecture of the pool, shape (n,).
        left_out_ms: (m,) measured minus predicted from all others.
    """

    predicted_ms: FloatArray
    left_out_ms: FloatArray

    @property
    def noise_ms(self) -> float:
        """Robust standard deviation of the left-out residuals."""
        return 1.4826 * float(np.median(np.abs(self.left_out_ms - np.median(self.left_out_ms))))

    def half_width_ms(self, level: float) -> float:
        """Half-width of the conformal interval: the (m + 1) level-th smallest left-out residual."""
        rank = conformal_rank(len(self.left_out_ms), level)
        return float(np.sort(np.abs(self.left_out_ms))[rank - 1])


@dataclass(frozen=True)
class SourceDevices:
    """The sources of a transfer.

    Attributes:
        names: of the devices; none where nothing is transferred.
        surrogates: one a device.
    """

    names: tuple[str, ...]
    surrogates: tuple[Surrogate, ...]

    @cached_property
    def scores(self) -> FloatArray:
        """(n, devices): each surrogate with mean 0 and standard deviation 1 over the pool."""
        if not self.surrogates:
            return np.zeros((0, 0))
        latency_ms = np.stack([s.predicted_ms for s in self.surrogates], axis=1)
        scores: FloatArray = (latency_ms - latency_ms.mean(axis=0)) / latency_ms.std(axis=0)
        return scores


def fit_sources(pool: Pool, rows: Mapping[str, tuple[NDArray[np.int64], FloatArray]]) -> SourceDevices:
    """Fit one surrogate a device.

    Args:
        pool: the architectures.
        rows: for every device the positions (m,) in the pool that it measured, and their latencies (m,) in ms.

    Raises:
        ConfigError: where a device has too few rows, or they are all the same.
    """
    surrogates = []
    for device, (where, latency_ms) in rows.items():
        if len(where) < LEAST_ROWS:
            raise ConfigError(
                f"the source {device!r} has {len(where)} measured architectures of {pool.space}; {LEAST_ROWS} are "
                "needed for a surrogate: measure more, or leave it out with --sources"
            )
        if np.ptp(latency_ms) <= 0.0:
            raise ConfigError(f"all latencies of the source {device!r} are {latency_ms[0]} ms; leave it out")
        surrogates.append(robust_ridge(pool.structure, where, latency_ms))
    return SourceDevices(tuple(rows), tuple(surrogates))


def robust_ridge(features: FloatArray, where: NDArray[np.int64], latency_ms: FloatArray) -> Surrogate:
    """Ridge regression with the penalty that leaves the least absolute left-out error, outliers weighted down.

    Weights are Huber's, in units of the median absolute left-out residual.

    Args:
        features: (n, d).
        where: (m,) rows of `features` that were measured.
        latency_ms: (m,).
    """
    rows = features[where]
    weights = np.ones(len(rows))
    for _ in range(_ROUNDS):
        coefficients, constant, residuals = _ridge(rows, latency_ms, weights)
        sigma = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
        weights = np.minimum(1.0, _TUNING * sigma / np.maximum(np.abs(residuals), 1e-300)) if sigma > 0.0 else weights
    return Surrogate(features @ coefficients + constant, residuals)


def _ridge(rows: FloatArray, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Coefficients, constant, left-out residuals; the penalty chosen by their weighted mean."""
    root = np.sqrt(weights)[:, None]
    centre, mean = weights @ rows / weights.sum(), float(weights @ values / weights.sum())
    left, sizes, right = np.linalg.svd(root * (rows - centre), full_matrices=False)
    target = root[:, 0] * (values - mean)
    along = left.T @ target
    best: tuple[float, FloatArray, FloatArray] | None = None
    for penalty in _PENALTIES:
        shrink = sizes**2 / (sizes**2 + penalty)
        leverage = np.minimum((left**2) @ shrink + weights / weights.sum(), 1.0 - 1e-9)
        residuals = (target - left @ (shrink * along)) / (1.0 - leverage) / root[:, 0]
        error = float(weights @ np.abs(residuals))
        if best is None or error < best[0]:
            best = (error, right.T @ (sizes / (sizes**2 + penalty) * along), residuals)
    assert best is not None  # there are penalties
    return best[1], mean - float(centre @ best[1]), best[2]
